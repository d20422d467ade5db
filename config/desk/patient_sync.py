"""How far a patient's record here is that of the EHR: when it was read, what waits, what failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Max

from integrations.models import InboundEvent
from scheduling.models import Appointment, ExternalId, Patient, Writeback

_WAITS = (InboundEvent.Status.RECEIVED, InboundEvent.Status.PROCESSING)
_FAILED = (InboundEvent.Status.QUARANTINED, InboundEvent.Status.DEAD)


@dataclass(frozen=True, slots=True)
class PatientSync:
    """``read`` is when each system was last asked about the patient. News are of the patient and their appointments.

    ``writes`` are bookings and cancellations at locations of whoever looks.
    """

    read: list[tuple[str, datetime | None]]
    news_waiting: int
    news_failed: int
    writes_waiting: int
    writes_failed: int


def sync_of(patient: Patient, user: AbstractBaseUser | AnonymousUser) -> PatientSync:
    """Return how far the patient is in step with the EHR."""
    names = ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id=patient.pk)
    read = names.values("source__name").annotate(at=Max("seen_at")).order_by("source__name")
    appointments = Appointment.objects.filter(patient=patient)
    visits = ExternalId.objects.filter(kind=ExternalId.Kind.APPOINTMENT, object_id__in=appointments.values("pk"))
    subjects = [(source, f"Patient/{value}") for source, value in names.values_list("source_id", "value")]
    subjects += [(source, f"Appointment/{value}") for source, value in visits.values_list("source_id", "value")]
    events = InboundEvent.objects.filter(
        status__in=(*_WAITS, *_FAILED),
        connection__source_id__in={source for source, _ in subjects},
        subject_key__in={key for _, key in subjects},
    )
    states = list(events.values_list("status", flat=True))
    writes = Writeback.objects.for_user(user).filter(appointment__patient=patient)
    return PatientSync(
        [(row["source__name"], row["at"]) for row in read],
        sum(status in _WAITS for status in states),
        sum(status in _FAILED for status in states),
        writes.filter(status__in=Writeback.LIVE).count(),
        writes.filter(status=Writeback.Status.DEAD).count(),
    )
