"""Every look at a patient leaves a record: who, when, whom."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils import timezone

from audit.log import record, record_each
from audit.models import AccessRecord
from scheduling.models import Patient

#: A list that refreshes itself shows the same names again and again; one record stands for this long.
ONE_LOOK = timedelta(minutes=15)


def record_view(patients: Iterable[Patient | None], *, reason: str = "") -> None:
    """Record that the acting person opened a page about these patients."""
    for patient in _once(patients):
        record(AccessRecord.Action.VIEW, subject=patient, reason=reason)


def record_listed(user: AbstractBaseUser | AnonymousUser, patients: Iterable[Patient | None]) -> None:
    """Record that ``user`` saw these patients' names in a list, unless they saw them a moment ago anyway."""
    shown = _once(patients)
    if not shown:
        return
    recent = set(
        AccessRecord.objects.filter(
            user_id=user.pk or 0,
            action__in=(AccessRecord.Action.VIEW, AccessRecord.Action.LIST),
            subject_kind=Patient._meta.label_lower,
            subject_id__in=[str(patient.pk) for patient in shown],
            at__gt=timezone.now() - ONE_LOOK,
        ).values_list("subject_id", flat=True)
    )
    record_each(AccessRecord.Action.LIST, [patient for patient in shown if str(patient.pk) not in recent])


def _once(patients: Iterable[Patient | None]) -> list[Patient]:
    return list({patient.pk: patient for patient in patients if patient is not None}.values())
