"""One provider's time at one location, on a Tuesday morning in New York, and patients who wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from scheduling.models import Appointment, AppointmentType, Location, Opening, Patient, Provider, Source, Writeback
from scheduling.openings import record_check
from scheduling.records import Freshness, Interval, SlotRecord
from scheduling.writebacks import Outcome
from tests import factories
from waitlist import claims, offers, replies
from waitlist.models import Claim, Message, Offer, Reply, WaitlistEntry

#: 10 o'clock in New York.
MORNING = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)


@dataclass
class Scene:
    """What the tests of offers and claims act on."""

    clock: Any
    source: Source
    location: Location
    provider: Provider
    type: AppointmentType
    people: list[Patient] = field(default_factory=list)

    def waiting(self, number: int = 1, **fields: Any) -> list[WaitlistEntry]:
        """That many more patients on the list, the first waiting longest. Patient's fields start with patient_."""
        persons = {
            name.removeprefix("patient_"): fields.pop(name) for name in list(fields) if name.startswith("patient_")
        }
        made = []
        for _ in range(number):
            person = factories.patient(**persons)
            joined = timezone.now() - timedelta(days=60) + timedelta(minutes=len(self.people))
            self.people.append(person)
            made.append(factories.entry(person, fields.get("type", self.type), **{"joined_at": joined, **fields}))
        return made

    def opening(self, *, hours: float = 72, **fields: Any) -> Opening:
        """Free time that starts in so many hours, opened two minutes ago, with a slot of the EHR for it."""
        opening = factories.opening(
            self.provider, self.location, start=timezone.now() + timedelta(hours=hours), **fields
        )
        Opening.objects.filter(pk=opening.pk).update(created_at=timezone.now() - timedelta(minutes=2))
        opening.refresh_from_db()
        return opening

    def look(self, opening: Opening, free: bool = True) -> int:
        """Take a fresh look and send the wave, in one transaction as the worker does; return how many offers."""
        whole = Interval(opening.start, opening.end)
        slot = SlotRecord(f"slot-{opening.pk}", opening.start, opening.end, free=True)
        freshness = Freshness(timezone.now(), (whole,), (slot,)) if free else Freshness(timezone.now(), ())
        with transaction.atomic():
            if not record_check(opening, freshness):
                return 0
            return offers.send_wave(opening, timezone.now())

    def offered(self, number: int = 1, *, hours: float = 10, **fields: Any) -> list[Offer]:
        """So many patients who were offered one opening by a wave, and whose messages have been sent."""
        self.waiting(number, **fields)
        opening = self.opening(hours=hours)
        self.look(opening)
        self.deliver()
        return list(opening.offers.order_by("rank").select_related("opening", "patient", "entry", "appointment_type"))

    def deliver(self) -> list[Message]:
        """Mark everything due as sent, as a carrier that takes all would."""
        due = Message.objects.filter(status=Message.Status.WAITING, due_at__lte=timezone.now())
        sent = list(due.order_by("pk"))
        due.update(status=Message.Status.SENT, sent_at=timezone.now())
        return sent

    def yes(self, offer: Offer, channel: str = "link") -> claims.ClaimResult:
        """Say yes to an offer as it is now."""
        row = Offer.objects.select_related("opening", "patient", "entry", "appointment_type").get(pk=offer.pk)
        return claims.claim(row.opening, row.patient, offer=row, channel=channel)

    def text(self, patient: Patient, body: str, **fields: Any) -> Reply:
        """A patient's text, received and read."""
        phone = patient.contact_points.get(system="phone").value
        reply = replies.receive("sms", f"in-{Reply.objects.count() + 1}", phone, body, **fields)
        replies.handle(reply.pk)
        reply.refresh_from_db()
        return reply

    def answer(self, claim: Claim, result: str = "done", **fields: Any) -> None:
        """The EHR's answer about a claim, handed over as the outbox does."""
        row = Writeback.objects.get(appointment_id=claim.appointment_id, kind=Writeback.Kind.CREATE)
        with transaction.atomic():
            claims.settle(row, Outcome(result, **fields))  # type: ignore[arg-type]
        claim.refresh_from_db()

    def booked(self, patient: Patient, *, hours: float, **fields: Any) -> Appointment:
        """An appointment the patient has, with this provider unless told."""
        start = timezone.now() + timedelta(hours=hours)
        return factories.appointment(
            patient,
            **{"provider": self.provider, "location": self.location, "type": self.type, "start": start, **fields},
        )

    def pass_time(self, **delta: float) -> datetime:
        """Let the clock go on."""
        self.clock.shift(timedelta(**delta))
        return timezone.now()


@pytest.fixture
def scene(db: None) -> Iterator[Scene]:
    """A practice with one provider who takes one type of visit of 30 minutes, automatically."""
    with time_machine.travel(MORNING, tick=False) as clock:
        factories.practice()
        location, provider, kind = factories.location(), factories.provider(), factories.appointment_type()
        factories.bookable(provider, location, kind)
        yield Scene(clock, factories.source(), location, provider, kind)


def told(patient: Patient) -> list[str]:
    """The kinds of messages queued for a patient that were not stopped, in order."""
    rows = Message.objects.filter(patient=patient).exclude(status=Message.Status.SUPPRESSED).order_by("pk")
    return [f"{row.kind} by {row.channel}" for row in rows]


def steps(opening: Opening) -> list[str]:
    """The kinds of the story's steps, in order."""
    return list(opening.timeline.order_by("pk").values_list("kind", flat=True))
