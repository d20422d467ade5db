"""A clinic of one: what an appointment record refers to is mirrored already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from scheduling.appointments import Applied, apply_appointment
from scheduling.models import ExternalId, Location, Patient, Provider, Source
from scheduling.records import AppointmentRecord
from tests import factories


@dataclass
class Clinic:
    """Applies appointment states to the mirror as an EHR would report them, one version after the other."""

    source: Source
    location: Location
    provider: Provider
    patient: Patient

    def record(self, external: str = "a1", **fields: object) -> AppointmentRecord:
        start = factories.in_days(3)
        plain = AppointmentRecord(
            external_id=external,
            version="1",
            status="booked",
            status_code="booked",
            start=start,
            end=start + timedelta(minutes=30),
            patient_id=f"pat-{self.patient.pk}",
            provider_id="prov",
            location_id="loc",
        )
        return replace(plain, **fields)  # type: ignore[arg-type]

    def apply(self, record: AppointmentRecord, at: datetime | None = None, *, opens: bool = True) -> Applied:
        return apply_appointment(self.source, record, at or timezone.now(), opens=opens)

    def cancel(self, record: AppointmentRecord, **fields: object) -> Applied:
        changed = {"version": "2", "status": "cancelled", "status_code": "cancelled", **fields}
        return self.apply(replace(record, **changed))  # type: ignore[arg-type]


@pytest.fixture
def clinic(db: None) -> Clinic:
    source = factories.source()
    location, provider = factories.location(), factories.provider()
    factories.external_id(source, ExternalId.Kind.LOCATION, location, "loc")
    factories.external_id(source, ExternalId.Kind.PROVIDER, provider, "prov")
    return Clinic(source, location, provider, factories.patient(names=source))
