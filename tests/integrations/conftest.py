"""An EHR in memory behind a connection, and a claimed opening that waits to be booked in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import outbox
from integrations.ehr import gateway
from integrations.models import Connection
from scheduling.models import Appointment, ExternalId, Location, Opening, Patient, Provider, WorkItem, Writeback
from tests import factories, fakes
from tests.fixtures.sandbox import sandbox  # noqa: F401 - a fixture
from waitlist import claims
from waitlist.models import Claim


@dataclass
class Clinic:
    """One provider at one location, known to the EHR as prov-1 and loc-1."""

    ehr: fakes.FakeEhr
    connection: Connection
    provider: Provider
    location: Location
    type: Any

    def patient(self, **fields: Any) -> Patient:
        """A patient the EHR calls pat-<pk>."""
        return factories.patient(names=self.connection.source, locations=[self.location], **fields)

    def opening(self, **fields: Any) -> Opening:
        """Free time of the provider."""
        return factories.opening(self.provider, self.location, source=self.connection.source, **fields)


@dataclass
class Booking:
    """A first yes on its way into the EHR."""

    clinic: Clinic
    patient: Patient
    opening: Opening
    claim: Claim
    writeback: Writeback

    def process(self) -> bool:
        """Work on the write once, as a worker would."""
        return outbox.process(self.writeback.pk)

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the write: what falls due within ``seconds`` is due now."""
        past = timedelta(seconds=seconds)
        row = Writeback.objects.get(pk=self.writeback.pk)
        Writeback.objects.filter(pk=row.pk).update(
            due_at=row.due_at - past,
            sent_at=row.sent_at - past if row.sent_at else None,
            lease_until=row.lease_until - past if row.lease_until else None,
        )
        Connection.objects.filter(quiet_until__isnull=False).update(quiet_until=timezone.now() - timedelta(seconds=1))

    def finish(self, rounds: int = 12) -> None:
        """Work until the write has ended, letting the time between tries pass."""
        for _ in range(rounds):
            self.process()
            if self.status not in Writeback.LIVE:
                return
            self.pass_time(400)

    @property
    def status(self) -> str:
        """The write's status now."""
        return Writeback.objects.values_list("status", flat=True).get(pk=self.writeback.pk)

    @property
    def state(self) -> str:
        """The claim's state now."""
        return Claim.objects.values_list("state", flat=True).get(pk=self.claim.pk)

    @property
    def appointment(self) -> Appointment:
        """The appointment row now."""
        return Appointment.objects.get(pk=self.claim.appointment_id)

    @property
    def booked(self) -> list[Any]:
        """What the EHR holds of the patient's live appointments at the opening's start."""
        patient_id = f"pat-{self.patient.pk}"
        live = self.clinic.ehr.live
        return [each for each in live if (each.patient_id, each.start) == (patient_id, self.opening.start)]

    @property
    def story(self) -> list[str]:
        """The kinds of the opening's steps about the write, in order."""
        return list(self.opening.timeline.filter(kind__startswith="writeback.").values_list("kind", flat=True))


@pytest.fixture
def clinic(db: None, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """A clinic whose EHR is in memory."""
    monkeypatch.setitem(gateway.ADAPTERS, "fhir", "tests.fakes.open_gateway")
    connection = factories.connection()
    provider, location, kind = factories.provider(), factories.location(), factories.appointment_type()
    factories.bookable(provider, location, kind)
    factories.external_id(connection.source, ExternalId.Kind.PROVIDER, provider, "prov-1")
    factories.external_id(connection.source, ExternalId.Kind.LOCATION, location, "loc-1")
    ehr = fakes.stand_in(connection, fakes.FakeEhr())
    return Clinic(ehr, connection, provider, location, kind)


@pytest.fixture
def booking(clinic: Clinic) -> Booking:
    """A patient said yes; the EHR was not asked yet."""
    return say_yes(clinic)


def say_yes(clinic: Clinic, start: datetime | None = None) -> Booking:
    """Have a new patient take a new opening."""
    patient = clinic.patient()
    opening = clinic.opening(**({"start": start} if start else {}))
    offer = factories.offer(opening, factories.entry(patient, clinic.type))
    result = claims.claim(opening, patient, offer=offer, channel="link")
    assert result.claim is not None, result.outcome
    return Booking(clinic, patient, opening, result.claim, Writeback.objects.get(appointment=result.claim.appointment))


def open_items() -> list[str]:
    """The kinds of what is on the worklist."""
    return list(WorkItem.objects.filter(status=WorkItem.Status.OPEN).values_list("kind", flat=True))
