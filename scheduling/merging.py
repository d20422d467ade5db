"""Two records that became one: by the EHR's word or a person's, never by the machine; and the way back.

Only the pointer is set here, with a line that says who said so, and what holds for the person whichever record it was
said of: *restricted*, the practice's own word, and *deceased*. Both stand on the record in use, too. What the retired
record's offers and waitlist entries make of it is the waitlist's, which is told by ``Patient.attention_due_at``.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.context import current_actor
from audit.log import record_change
from scheduling.matching import successor
from scheduling.models import Patient, PatientMerge

ToldBy = PatientMerge.ToldBy
#: What holds for the person, whichever of their records it was said of.
CARRIED = ("restricted", "deceased")


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
        _carry(row, patient)
        return
    if has_link and held.told_by != ToldBy.LINK:
        held.told_by = ToldBy.LINK
        held.save(update_fields=["told_by"])
    follow(patient)


def follow(retired: Patient) -> None:
    """Let the record in use follow what the saved record that it replaces, if any does, says of the person by now."""
    merge = PatientMerge.objects.select_for_update().filter(retired=retired, undone_at__isnull=True).first()
    if merge is not None:
        _lift(merge, [column for column in CARRIED if not getattr(retired, column)])
        _carry(merge, retired)


def death_told(patient: Patient, *, told: bool) -> bool:
    """Return whether the person has died, where ours said so and the source's record says ``told``.

    What it says of this very record is then its own, and outlives the undo of a merge that had said so.
    """
    if told:
        for merge in PatientMerge.objects.filter(kept=patient, undone_at__isnull=True):
            merge.moved = [each for each in merge.moved if each != {"deceased": patient.pk}]
            merge.save(update_fields=["moved"])
    return told or died_elsewhere(patient)


def died_elsewhere(patient: Patient) -> bool:
    """Return whether a record that this one replaces says that the person has died."""
    return Patient.objects.filter(replaced_by=patient, deceased=True).exists()


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
            _carry(row, old)
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
    _lift(merge, CARRIED)
    return True


def _carry(merge: PatientMerge, retired: Patient) -> None:
    """Nobody is written to under another record what was forbidden under this one; so on, from record to record."""
    brought = [column for column in CARRIED if getattr(retired, column) and _set(merge.kept_id, column, value=True)]
    if brought:
        merge.moved = [*merge.moved, *({column: merge.kept_id} for column in brought)]
        merge.save(update_fields=["moved"])
        follow(Patient.objects.get(pk=merge.kept_id))


def _lift(merge: PatientMerge, columns: Iterable[str]) -> None:
    carried = [(column, each[column]) for column in columns for each in merge.moved if column in each]
    if not carried:
        return
    merge.moved = [each for each in merge.moved if not any({column: pk} == each for column, pk in carried)]
    merge.save(update_fields=["moved"])
    for column, pk in carried:
        others = PatientMerge.objects.filter(**{f"retired__{column}": True}, kept=pk, undone_at__isnull=True)
        other = others.order_by("pk").first()
        if other is not None:
            other.moved = [*other.moved, {column: pk}]
            other.save(update_fields=["moved"])
        elif _set(pk, column, value=False):
            follow(Patient.objects.get(pk=pk))


def _set(patient_id: int, column: str, *, value: bool) -> bool:
    """Set the column; False when it was so. The waitlist looks at what is out to the patient."""
    patient = Patient.objects.select_for_update().get(pk=patient_id)
    if getattr(patient, column) == value:
        return False
    setattr(patient, column, value)
    patient.attention_due_at = timezone.now()
    patient.save(update_fields=[column, "attention_due_at", "updated_at"])
    return True


def _who() -> str:
    return current_actor().name[:150]
