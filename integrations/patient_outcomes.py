"""How an attempt to write a patient ended: stored, and put to staff where a person decides, in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from integrations.ehr.gateway import PatientAsRead
from scheduling import patient_writes
from scheduling.corrections import Merge
from scheduling.models import PatientWrite, WorkItem
from scheduling.patients import apply_patient
from scheduling.worklist import ask_staff

Status = PatientWrite.Status
#: How often the EHR is asked whether it shows what staff were asked to enter; news of the patient shortens the wait.
LOOK_EVERY = timedelta(minutes=10)
#: How often a registration looks whether the records it waits for were compared.
REVIEWED_EVERY = timedelta(seconds=60)
REGISTER = "patient.register"
CONFLICT, BY_HAND, DEAD = "patient.write.conflict", "patient.write.by_hand", "patient.write.dead"


class SomebodyElseHasIt(Exception):
    """Another worker took the row over: nothing of ours may be stored."""


def must(held: bool) -> None:
    """Raise :class:`SomebodyElseHasIt` unless the row is still ours."""
    if not held:
        raise SomebodyElseHasIt


def done(row: PatientWrite, read: PatientAsRead, asked_at: datetime) -> None:
    """The EHR has what was corrected, and was read back."""
    with transaction.atomic():
        must(patient_writes.end(row, Status.DONE))
        apply_patient(row.source, read.record, asked_at)


def conflict(row: PatientWrite, found: Merge) -> None:
    """The EHR says something else of the same details: staff decide."""
    told = {key: list(values) for key, values in found.conflicts.items()}
    with transaction.atomic():
        must(patient_writes.put_down(row, Status.CONFLICT, timezone.now() + LOOK_EVERY, "conflict", conflicts=told))
        _ask(
            row,
            CONFLICT,
            "A detail of a patient was corrected here and, in another way, in the EHR",
            "Nothing was overwritten. Open the correction: both stand side by side. Take the EHR’s, or send ours.",
        )


def to_reviews(row: PatientWrite) -> None:
    """Somebody in the EHR may be the patient: the review queue asks, and the registration waits for its answer."""
    with transaction.atomic():
        must(patient_writes.put_down(row, Status.CONFLICT, timezone.now() + REVIEWED_EVERY, "found_in_ehr"))
        patient_writes.clear_work(row, "Somebody in the EHR may be this patient: compare the records.")


def to_staff(row: PatientWrite, code: str = "") -> None:
    """We may not write it: staff enter it, and the row ends when the EHR shows it."""
    with transaction.atomic():
        must(patient_writes.put_down(row, Status.BY_HAND, timezone.now() + LOOK_EVERY, code))
        if row.kind == PatientWrite.Kind.REGISTER:
            _ask(
                row,
                REGISTER,
                "Register a patient of the waitlist in the EHR",
                "The EHR does not know this patient. Look there first. Then register them; when the EHR shows them, "
                "“Patient reviews” asks whether both records are one person. Bookings wait until then.",
            )
            return
        _ask(
            row,
            BY_HAND,
            "Enter a patient’s corrected details in the EHR",
            "We may not change patients there. Open the correction for what to enter; this closes by itself as soon "
            "as the EHR shows it.",
        )


def dead(row: PatientWrite, code: str) -> None:
    """The tries are used up, or what the EHR has is not what it should be: a person decides."""
    with transaction.atomic():
        must(patient_writes.end(row, Status.DEAD, code))
        if row.kind == PatientWrite.Kind.REGISTER:
            _ask(
                row,
                DEAD,
                "A patient of the waitlist could not be registered in the EHR",
                "Look in the EHR whether they are there by now. Open the registration: send it again, or give it up. "
                "Bookings wait until then.",
            )
            return
        _ask(
            row,
            DEAD,
            "A patient’s corrected details could not be written to the EHR",
            "Here they count; the EHR has the old ones. Open the correction: send it again, or enter it in the EHR.",
        )


def _ask(row: PatientWrite, kind: str, title: str, advice: str) -> None:
    still_open = WorkItem.objects.filter(dedupe_key=patient_writes.work_key(row), status=WorkItem.Status.OPEN)
    if still_open.filter(kind=kind).exists():
        return
    patient_writes.clear_work(row, "It is for staff in another way now.")
    ask_staff(kind, title, advice=advice, dedupe_key=patient_writes.work_key(row), subject=row, patient=row.patient)
