"""What pays for patients' visits, as their EHR tells it. News go to the waitlist by ``Patient.attention_due_at``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.log import record_changes
from scheduling.models import Coverage, Patient, Plan, Source
from scheduling.records import CoverageRecord
from scheduling.wake import wake

BATCH = 500


def keep(source: Source, patient_id: int, records: Iterable[CoverageRecord]) -> bool:
    """Let ``records`` be all that the source knows to pay for the patient; return whether that changes anything.

    What it no longer tells is deleted. Call it for a patient by one worker at a time.
    """
    plans = dict(Plan.objects.values_list("code", "pk"))
    with transaction.atomic():
        held = {row.external_id: row for row in Coverage.objects.filter(source=source, patient_id=patient_id)}
        changed = False
        for record in records:
            row = held.pop(record.external_id, None) or Coverage(
                source=source, patient_id=patient_id, external_id=record.external_id
            )
            changed |= _describe(row, record, plans.get(record.plan_target))
        for gone in held.values():
            gone.delete()
        if changed or held:
            _tell_the_waitlist([patient_id])
    return changed or bool(held)


def _describe(row: Coverage, record: CoverageRecord, plan_id: int | None) -> bool:
    wanted: dict[str, Any] = {
        "system": record.system,
        "code": record.code,
        "display": record.display,
        "position": record.position,
        "valid_from": record.valid_from,
        "valid_until": record.valid_until,
        "plan_id": plan_id,
    }
    if row.pk is not None and all(getattr(row, name) == value for name, value in wanted.items()):
        return False
    for name, value in wanted.items():
        setattr(row, name, value)
    row.save()
    return True


def in_words(patient: Patient) -> list[str]:
    """Return what pays for the patient's visits as the EHR tells it, in a few words each, in the order they apply."""
    rows = Coverage.objects.filter(patient=patient).select_related("plan")
    return [_words(row) for row in rows.order_by(F("position").asc(nulls_last=True), "pk")]


def _words(row: Coverage) -> str:
    named = row.display or row.code or "an insurance without a name"
    means = f"here {row.plan.name}" if row.plan else "not mapped" if row.code else "names no plan"
    begins = f"from {row.valid_from:%b %-d, %Y}" if row.valid_from and row.valid_from > timezone.localdate() else ""
    ends = f"until {row.valid_until:%b %-d, %Y}" if row.valid_until else ""
    return ", ".join(filter(None, (named, means, begins, ends)))


def set_plan(source: Source, system: str, code: str, target: str) -> int:
    """Let coverage with this code be of our plan ``target``, by its code, empty for none; return how many were not.

    Takes up to :data:`BATCH` rows, in the caller's transaction; call it until there are fewer.
    """
    plan_id = Plan.objects.filter(code=target).values_list("pk", flat=True).first() if target else None
    rows = Coverage.objects.filter(source=source, system=system, code=code)
    # A condition of its own: nothing compares with NULL.
    wrong = rows.filter(plan__isnull=False) if plan_id is None else rows.exclude(plan_id=plan_id)
    # Locked as they are found: what the EHR says of them by then is what is judged.
    batch = list(wrong.select_for_update().order_by("pk").only("pk", "patient_id", "plan_id")[:BATCH])
    if batch:
        Coverage.objects.filter(pk__in=[row.pk for row in batch]).update(plan_id=plan_id, updated_at=timezone.now())
        record_changes([(row, {"plan": (row.plan_id, plan_id)}) for row in batch])
        _tell_the_waitlist([row.patient_id for row in batch])
    return len(batch)


def _tell_the_waitlist(patient_ids: list[int]) -> None:
    Patient.objects.filter(pk__in=patient_ids).update(attention_due_at=timezone.now())
    wake("attention")
