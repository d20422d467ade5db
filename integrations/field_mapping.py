"""Where a connection tells a patient's details, and whose word counts. :mod:`integrations.fields` has the defaults."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from integrations.fields import FIELDS, Field, Owner, Transform
from integrations.models import Connection, FieldMapping
from scheduling.models import Source
from scheduling.patients import ours

PathKind = FieldMapping.PathKind


def owner_of(connection: Connection, field: str) -> Owner:
    """Return whose word counts for a field; raises KeyError for one that is not in FIELDS.

    A field the practice owns is taken from the EHR once, when the patient is first met, and never overwritten.
    """
    return "practice" if not FIELDS[field].fixed and field in ours(connection.source) else "ehr"


@transaction.atomic
def set_owner(connection: Connection, field: str, owner: Owner) -> None:
    """Say whose word counts; raises ValueError, in words, where it is always the EHR's."""
    declared = FIELDS[field]
    if owner == "practice" and declared.fixed:
        raise ValueError(declared.fixed)
    source = Source.objects.select_for_update().get(pk=connection.source_id)
    owned = {*source.practice_owns} - {field} | ({field} if owner == "practice" else set())
    if owned != {*source.practice_owns}:
        source.practice_owns = sorted(owned)
        source.save(update_fields=["practice_owns"])
        connection.source.practice_owns = source.practice_owns


def default_path(field: Field, kind: str) -> str:
    """Return where a field stands unless the practice says otherwise; empty where there is no usual place."""
    return field.hl7v2 if kind == PathKind.HL7V2 else field.fhirpath


def own_mappings(connection: Connection, kind: str = PathKind.FHIRPATH) -> dict[str, FieldMapping]:
    """Return what the practice mapped differently at this connection, by field."""
    return {row.field: row for row in FieldMapping.objects.filter(connection=connection, path_kind=kind)}


@transaction.atomic
def map_field(connection: Connection, field: str, kind: str, path: str, transform: str) -> None:
    """Say where a field stands; what equals the default leaves no row. Raises ValueError, in words, for a bad path."""
    declared = FIELDS[field]
    rows = FieldMapping.objects.filter(connection=connection, field=field, path_kind=kind)
    if path == default_path(declared, kind) and transform == declared.transform:
        for row in rows:
            row.delete()
        return
    Transform(transform)
    told: dict[str, Any] = {"path": path, "transform": transform}
    FieldMapping.objects.update_or_create(connection=connection, field=field, path_kind=kind, defaults=told)
