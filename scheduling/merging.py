"""Two records that became one: by the EHR's word or a person's, never by the machine; and the way back.

Only the pointer is set here, with a line that says who said so, and *restricted*, the practice's own word about the
person, which then stands on the record in use. What the retired record's offers and waitlist entries
make of it is the waitlist's, which is told by ``Patient.attention_due_at``.
"""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.context import current_actor
from audit.log import record_change
from scheduling.families import records_of_one
from scheduling.matching import successor
from scheduling.models import Patient, PatientMerge

ToldBy = PatientMerge.ToldBy


class MergeRefused(Exception):
    """The two cannot become one; the text says why, in words for staff, without patient data."""


def holding(patient: Patient) -> PatientMerge | None:
    """Return the merge by which the record is replaced now."""
    return PatientMerge.objects.filter(retired=patient, undone_at__isnull=True).first() if patient.pk else None


def replacement(patient: Patient, linked: Patient | None, *, has_link: bool) -> Patient | None:
    """Return who replaces the patient, where the EHR's record names ``linked``, or nobody.

    What staff or a merge message said stands until it is undone, though the EHR's record does not say it.
    """
    if linked is not None or has_link:
        return linked
    held = holding(patient)
    return held.kept if held is not None and held.told_by != ToldBy.LINK else None


def note_link(patient: Patient, *, has_link: bool) -> None:
    """Keep the saved patient's merge in step with its ``replaced_by``, which :func:`replacement` gave."""
    held = holding(patient)
    if held is not None and held.kept_id != patient.replaced_by_id:
        _end(held, _who())
        held = None
    if patient.replaced_by_id is None:
        return
    if held is None:
        row = PatientMerge.objects.create(
            retired=patient, kept_id=patient.replaced_by_id, told_by=ToldBy.LINK, at=timezone.now(), by=_who()
        )
        _carry_restriction(row, patient)
    elif has_link and held.told_by != ToldBy.LINK:
        held.told_by = ToldBy.LINK
        held.save(update_fields=["told_by"])


def merge(retired: Patient, kept: Patient, *, told_by: str) -> PatientMerge:
    """Let ``kept``, or whoever replaces it, stand for ``retired``. Raises :class:`MergeRefused`, changing nothing."""
    try:
        with transaction.atomic():
            # Both rows are locked in one order, so that two opposite merges at once cannot make a circle.
            rows = Patient.objects.select_for_update().filter(pk__in={retired.pk, kept.pk}).order_by("pk")
            locked = {row.pk: row for row in rows}
            old, new = locked[retired.pk], successor(locked[kept.pk])
            if old.pk == new.pk:
                raise MergeRefused("The record to be kept is replaced by the other one already.")
            if old.replaced_by_id is not None:
                raise MergeRefused("The record to be retired is replaced by another one already.")
            row = PatientMerge.objects.create(retired=old, kept=new, told_by=told_by, at=timezone.now(), by=_who())
            old.replaced_by, old.attention_due_at = new, timezone.now()
            old.save(update_fields=["replaced_by", "attention_due_at", "updated_at"])
            _carry_restriction(row, old)
    except IntegrityError:
        raise MergeRefused("Somebody else merged this record at the same moment.") from None
    return row


def undo(merge: PatientMerge) -> bool:
    """Let the retired record be used again; False when it was undone before."""
    with transaction.atomic():
        if not _end(merge, _who()):
            return False
        old = Patient.objects.select_for_update().get(pk=merge.retired_id)
        if old.replaced_by_id == merge.kept_id:
            old.replaced_by = None
        old.attention_due_at = timezone.now()
        old.save(update_fields=["replaced_by", "attention_due_at", "updated_at"])
    return True


def _end(merge: PatientMerge, by: str) -> bool:
    now = timezone.now()
    rows = PatientMerge.objects.filter(pk=merge.pk, undone_at__isnull=True)
    if not rows.update(undone_at=now, undone_by=by):
        return False
    record_change(merge, {"undone_at": (None, now), "undone_by": ("", by)})
    merge.undone_at, merge.undone_by = now, by
    _lift_restriction(merge)
    return True


def _carry_restriction(merge: PatientMerge, retired: Patient) -> None:
    """Nobody is written to under another record what was forbidden under this one."""
    in_use = successor(retired)
    if retired.restricted and in_use.pk != retired.pk and _restrict(in_use.pk, True):
        merge.moved = [*merge.moved, {"restricted": in_use.pk}]
        merge.save(update_fields=["moved"])


def _lift_restriction(merge: PatientMerge) -> None:
    carried = [each["restricted"] for each in merge.moved if "restricted" in each]
    if not carried:
        return
    for pk in carried:
        other = _who_else_restricts(pk, merge)
        if other is None:
            _restrict(pk, False)
        else:
            other.moved = [*other.moved, {"restricted": pk}]
            other.save(update_fields=["moved"])
    merge.moved = [each for each in merge.moved if "restricted" not in each]
    merge.save(update_fields=["moved"])


def _who_else_restricts(patient_id: int, ended: PatientMerge) -> PatientMerge | None:
    """Return another merge by which a restricted record became this one."""
    others = records_of_one(patient_id) - records_of_one(ended.retired_id) - {patient_id}
    rows = PatientMerge.objects.filter(retired__in=others, retired__restricted=True, undone_at__isnull=True)
    return rows.order_by("pk").first()


def _restrict(patient_id: int, restricted: bool) -> bool:
    """Set *restricted*; False when it was so. The waitlist looks at what is out to the patient."""
    patient = Patient.objects.select_for_update().get(pk=patient_id)
    if patient.restricted == restricted:
        return False
    patient.restricted, patient.attention_due_at = restricted, timezone.now()
    patient.save(update_fields=["restricted", "attention_due_at", "updated_at"])
    return True


def _who() -> str:
    return current_actor().name[:150]
