"""The practice that the whole loop runs through: a busy EHR, patients who wait, and the product's processes."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import re
import secrets
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.utils import timezone

from bench import clinic, stack
from bench.clinic import Clinic, Time
from bench.listening import Listener
from integrations.ehr import load
from integrations.models import Connection, InboundEvent
from integrations.sweep import TOPICS
from scheduling import mirror
from scheduling.models import (
    AppointmentType,
    Bookable,
    ExternalId,
    Location,
    Opening,
    Patient,
    Provider,
    Writeback,
)
from waitlist import consent, entries
from waitlist.entry_drafts import Draft
from waitlist.models import Message, OutreachPolicy

#: Half hours of a provider's day. Two of them, apart, are booked and will be cancelled: a third within ten minutes
#: would look like an absence, and the product would ask staff first. The others are free for direct bookings.
SLOTS, CANCELLED_SLOTS = 8, (0, 4)
PROVIDERS = 20
LONGEST_REST = 30.0
_LINK = re.compile(r"/o/([A-Za-z0-9_-]{20,64})/")


class Practice:
    """The EHR, the product connected to it, and times to cancel, each once."""

    def __init__(self, ehr: Clinic, cancellations: int, direct: int) -> None:
        self.ehr = ehr
        days = -(-max(cancellations // 2, direct // (SLOTS - 2)) // PROVIDERS) + 1
        self._waiting = cancellations + 50
        times = list(_times(days))
        self._to_cancel = [each for number, each in times if number in CANCELLED_SLOTS]
        self._free = [each for number, each in times if number not in CANCELLED_SLOTS]
        ehr.fill(self._resources(days))
        self.connection: Connection = clinic.connect(ehr)
        load.load(self.connection.pk)
        self._put_on_the_list()

    def next_to_cancel(self) -> Time:
        """Return a booked time that nobody cancelled yet."""
        return self._to_cancel.pop(0)

    def next_free(self) -> Time:
        """Return a time that nobody booked yet."""
        return self._free.pop(0)

    def opening_of(self, at: Time) -> Opening:
        """Return the opening that the cancelled time became."""
        rows = Opening.objects.select_related("source__connection", "provider", "location", "freed_by")
        return rows.get(start=at.start, provider_id=self._object(ExternalId.Kind.PROVIDER, at.provider))

    def link_of_an_offer(self, opening: Opening) -> str:
        """Return the token of one of the opening's offers, as its patient reads it in the text."""
        message = Message.objects.filter(opening=opening, kind=Message.Kind.OFFER, channel="sms").order_by("pk")[0]
        found = _LINK.search(message.body)
        if found is None:
            raise LookupError("the text of an offer holds no link")
        return found[1]

    def _object(self, kind: str, external: str) -> int:
        return mirror.object_id(self.connection.source, kind, external) or 0

    def _resources(self, days: int) -> Iterator[dict[str, Any]]:
        yield clinic.location()
        for number in range(PROVIDERS):
            yield from clinic.practitioner(f"provider{number}")
        for number in range(self._waiting):
            yield clinic.patient(f"waiting-{number}", number)
        for number in range(PROVIDERS * 2):
            yield clinic.patient(f"holder-{number}", self._waiting + number)
        for number, at in _times(days):
            is_busy = number in CANCELLED_SLOTS
            yield clinic.slot(at, "busy" if is_busy else "free")
            if is_busy:
                holder = int(at.provider.removeprefix("provider")) * 2 + (number > 0)
                yield clinic.appointment(at, f"holder-{holder}", id=at.booking, slot=[{"reference": f"Slot/{at.slot}"}])

    def _put_on_the_list(self) -> None:
        # Nobody tires of offers here, and it is never night: each sample finds the same list.
        OutreachPolicy.objects.create(
            start_delay_seconds=0,
            quiet_from="00:00",
            quiet_until="00:00",
            offers_per_day=30_000,
            offers_per_week=30_000,
            silences_before_asking=30_000,
        )
        follow_up = AppointmentType.objects.create(code="follow-up", name="Follow-up", duration_minutes=30)
        place = Location.objects.get()
        Bookable.objects.bulk_create(
            Bookable(
                provider=provider,
                location=place,
                appointment_type=follow_up,
                duration_minutes=30,
                mode=Bookable.Mode.AUTOMATIC,
            )
            for provider in Provider.objects.all()
        )
        ids = [self._object(ExternalId.Kind.PATIENT, f"waiting-{number}") for number in range(self._waiting)]
        Patient.objects.filter(pk__in=ids).update(established=True)
        drafts = []
        for minutes, patient in enumerate(Patient.objects.filter(pk__in=ids).order_by("pk")):
            for contact in patient.contact_points.all():
                consent.grant(patient, contact, source="form", wording_version="bench")
            joined = timezone.now() - timedelta(days=60, minutes=-minutes)
            drafts.append(Draft(patient, follow_up, fields={"minimum_notice_minutes": 0, "joined_at": joined}))
        entries.bulk_add(drafts)


class Running:
    """The product's processes, and the outside world calling them over kept connections."""

    def __init__(self, web: stack.Web, workers: stack.Workers, listener: Listener) -> None:
        self.web, self.workers, self.listener = web, workers, listener
        self._caller = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)

    def notify(self, at: Time) -> float:
        """Send the EHR's signed notification of a cancelled appointment; return when that began."""
        body = json.dumps({"resourceType": "Appointment", "id": at.booking, "status": "cancelled"}).encode()
        headers = {
            "Content-Type": "application/fhir+json",
            "X-Event-Id": secrets.token_hex(8),
            "X-Signature": hmac.new(clinic.WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest(),
        }
        return self._post(f"/webhooks/ehr/{clinic.SLUG}/", body, headers, 200)

    def say_yes(self, token: str) -> float:
        """Answer an offer by its link; return when that began."""
        return self._post(f"/o/{token}/", b"answer=yes", {"Content-Type": "application/x-www-form-urlencoded"}, 303)

    def rest(self) -> None:
        """Wait until nothing is due or under way, twice in a row."""
        until, quiet = time.monotonic() + LONGEST_REST, 0
        while quiet < 2:
            quiet = 0 if is_busy() else quiet + 1
            if time.monotonic() > until:
                due = [topic for topic, is_due in TOPICS.items() if is_due(timezone.now())]
                raise RuntimeError(f"the product does not come to rest; due: {due}\n{self.workers.said[-4000:]}")
            time.sleep(0.02)
        self.listener.forget()

    def _post(self, path: str, body: bytes, headers: dict[str, str], expected: int) -> float:
        began = time.perf_counter()
        try:
            self._caller.request("POST", path, body, headers)
            answer = self._caller.getresponse()
        except (http.client.HTTPException, ConnectionError):
            # The server ended the kept connection between two samples.
            self._caller.close()
            began = time.perf_counter()
            self._caller.request("POST", path, body, headers)
            answer = self._caller.getresponse()
        answer.read()
        if answer.status != expected:
            raise RuntimeError(f"the answer was {answer.status}, not {expected}")
        return began


def is_busy() -> bool:
    """Return whether anything is due or under way."""
    now = timezone.now()
    return (
        any(is_due(now) for is_due in TOPICS.values())
        or InboundEvent.objects.filter(status__in=("received", "processing"), due_at__lte=now).exists()
        or Message.objects.filter(status="sending").exists()
        or Writeback.objects.filter(status__in=("waiting", "sending", "unknown")).exists()
    )


def _times(days: int) -> Iterator[tuple[int, Time]]:
    """Yield every half hour of every provider with its number in the day, day by day, from three days ahead."""
    first = clinic.midnight() + timedelta(days=3, hours=14)
    for day in range(days):
        for number in range(SLOTS):
            for provider in range(PROVIDERS):
                start = first + timedelta(days=day, minutes=30 * number)
                yield number, Time(f"provider{provider}", f"p{provider}-d{day}-s{number}", start)
