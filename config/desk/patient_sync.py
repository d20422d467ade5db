"""How far a patient's record here is that of the EHR: when it was read, what waits, what failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Max, QuerySet

from integrations.models import CoverageRead, Difference, InboundEvent
from scheduling import corrections, coverages, families
from scheduling.models import Appointment, ExternalId, Patient, PatientWrite, Writeback

WAITS = (InboundEvent.Status.RECEIVED, InboundEvent.Status.PROCESSING)
FAILED = (InboundEvent.Status.QUARANTINED, InboundEvent.Status.DEAD)


#: The latest corrections that are shown; the rest stand in their list.
MOST_CORRECTIONS = 5


@dataclass(frozen=True, slots=True)
class CorrectionLine:
    """A correction made here: where it is, and which details of the patient it is about."""

    row: PatientWrite
    details: str
    tone: str


@dataclass(frozen=True, slots=True)
class PatientSync:
    """``read`` is when each system was last asked about the patient. News are of the patient and their appointments.

    ``insurance`` is what the EHR says of it, asked for only while they wait for a visit that needs it.
    ``writes`` are bookings and cancellations at locations of whoever looks, ``corrections`` details for an EHR,
    ``differing`` appointments there that differ from the EHR's, ``conflicts`` details that it says otherwise: both
    wait for a decision.
    """

    read: list[tuple[str, datetime | None]]
    news_waiting: int
    news_failed: int
    writes_waiting: int
    writes_failed: int
    corrections: list[CorrectionLine]
    details_waiting: int
    details_failed: int
    differing: int
    conflicts: int
    insurance: list[str]
    insurance_read_at: datetime | None


def sync_of(patient: Patient, user: AbstractBaseUser | AnonymousUser) -> PatientSync:
    """Return how far the patient is in step with the EHR."""
    names = ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id=patient.pk)
    read = names.values("source__name").annotate(at=Max("seen_at")).order_by("source__name")
    records = families.records_of_one(patient.pk)
    appointments = Appointment.objects.filter(patient__in=records)
    visits = ExternalId.objects.filter(kind=ExternalId.Kind.APPOINTMENT, object_id__in=appointments.values("pk"))
    news_waiting, news_failed = news_of("Patient", names)
    visits_waiting, visits_failed = news_of("Appointment", visits)
    details = PatientWrite.objects.filter(patient=patient)
    writes = Writeback.objects.for_user(user).filter(appointment__patient__in=records)
    differing = Difference.objects.for_user(user).filter(patient__in=records, state__in=Difference.WAITING)
    return PatientSync(
        [(row["source__name"], row["at"]) for row in read],
        news_waiting + visits_waiting,
        news_failed + visits_failed,
        writes.filter(status__in=Writeback.LIVE).count(),
        writes.filter(status=Writeback.Status.DEAD).count(),
        _corrections(patient),
        details.filter(status__in=PatientWrite.LIVE).exclude(status=PatientWrite.Status.CONFLICT).count(),
        details.filter(status=PatientWrite.Status.DEAD).count(),
        differing.count(),
        details.filter(status=PatientWrite.Status.CONFLICT).count(),
        coverages.in_words(patient),
        CoverageRead.objects.filter(patient=patient).aggregate(at=Max("read_at"))["at"],
    )


def news_of(resource: str, names: QuerySet[ExternalId]) -> tuple[int, int]:
    """Return how many messages of the EHR about those it calls by these names wait, and how many could not be read.

    One that came before the EHR was last asked about its subject is none of those: what it was to tell is here.
    """
    seen = {
        (source_id, f"{resource}/{value}"): seen_at
        for source_id, value, seen_at in names.values_list("source_id", "value", "seen_at")
    }
    events = InboundEvent.objects.filter(
        status__in=(*WAITS, *FAILED),
        connection__source_id__in={source_id for source_id, _ in seen},
        subject_key__in={key for _, key in seen},
    )
    waiting = failed = 0
    told = events.values_list("status", "received_at", "connection__source_id", "subject_key")
    for status, received_at, source_id, subject_key in told:
        if (source_id, subject_key) not in seen:
            continue
        seen_at = seen[source_id, subject_key]
        if status in WAITS:
            waiting += 1
        elif seen_at is None or received_at >= seen_at:
            failed += 1
    return waiting, failed


def _corrections(patient: Patient) -> list[CorrectionLine]:
    rows = PatientWrite.objects.filter(patient=patient).select_related("source")
    return [
        CorrectionLine(row, _details(row), "danger" if row.status == PatientWrite.Status.CONFLICT else "")
        for row in rows.exclude(status=PatientWrite.Status.DROPPED).order_by("-pk")[:MOST_CORRECTIONS]
    ]


def _details(row: PatientWrite) -> str:
    if row.kind == PatientWrite.Kind.REGISTER:
        return "Registration"
    labels = dict.fromkeys(each.detail.label for each in corrections.read(row.wanted))
    return ", ".join(labels).capitalize()
