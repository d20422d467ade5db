"""Details of patients that the practice took over from its EHR, and enters itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from scheduling.models import ExternalId, Patient, Source
from scheduling.patients import MAY_BE_OURS, keep_search_tokens


def owned(patient: Patient) -> frozenset[str]:
    """Return the columns of this patient that the practice owns, at any of the systems that know the patient."""
    names = ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id=patient.pk)
    told = Source.objects.filter(pk__in=names.values("source_id")).values_list("practice_owns", flat=True)
    return MAY_BE_OURS & {column for columns in told for column in columns}


@transaction.atomic
def enter(patient: Patient, told: Mapping[str, Any]) -> bool:
    """Set details that the practice owns; False when they are so already. Raises ValueError for any other column."""
    if foreign := told.keys() - owned(patient):
        raise ValueError(f"{', '.join(sorted(foreign))}: the EHR owns it.")
    changed = [column for column, value in told.items() if getattr(patient, column) != value]
    for column in changed:
        setattr(patient, column, told[column])
    if not changed:
        return False
    patient.save(update_fields=[*changed, "updated_at"])
    if "preferred_name" in changed:
        keep_search_tokens(patient)
    return True
