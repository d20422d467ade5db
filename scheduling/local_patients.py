"""Patients the EHR does not know yet: made from a list of the practice's own, with no external id until it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from audit.log import record_changes, record_created
from scheduling.bulk_people import insert_parts
from scheduling.models import ExternalId, Location, Patient, PatientIdentifier, Source
from scheduling.patients import describe, identifier_index
from scheduling.records import IdentifierRecord, PatientRecord

SPREADSHEET: Final = "spreadsheet"
#: The system under which chart numbers of a spreadsheet are kept: which EHR they are from, it does not say.
CHART_NUMBERS: Final = "urn:sooner:spreadsheet:mrn"
_BATCH = 1000


def spreadsheet() -> Source:
    """Return the source of what came from a spreadsheet, made at first use."""
    return Source.objects.get_or_create(key=SPREADSHEET, defaults={"name": "Spreadsheet", "writable": False})[0]


def chart_number(value: str) -> IdentifierRecord:
    """Return a chart number as a spreadsheet gives it."""
    return IdentifierRecord(CHART_NUMBERS, value, "MR")


def create(source: Source, records: Sequence[PatientRecord], places: Sequence[Location | None]) -> list[Patient]:
    """Create the patients of ``records``, each at its place; return them in order. Part of the caller's transaction.

    A number that somebody here has already is left out: it would be the reason to look, not to merge.
    """
    rows = [Patient() for _ in records]
    for row, record in zip(rows, records, strict=True):
        describe(row, record)
    Patient._base_manager.bulk_create(rows, batch_size=_BATCH)
    record_created(rows)
    through = Patient.locations.through
    through.objects.bulk_create(
        [through(patient_id=row.pk, location_id=place.pk) for row, place in zip(rows, places, strict=True) if place],
        batch_size=_BATCH,
    )
    insert_parts(source, rows, _with_free_numbers(source, records))
    return rows


def retire(patient_ids: Iterable[int]) -> int:
    """Take back patients that :func:`create` made: inactive, their numbers free again. Return how many there were.

    Those the EHR knows by now are left alone.
    """
    known = ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT).values("object_id")
    rows = list(Patient.objects.filter(pk__in=list(patient_ids), active=True).exclude(pk__in=known))
    ids = [row.pk for row in rows]
    PatientIdentifier.objects.filter(patient_id__in=ids, source__key=SPREADSHEET).delete()
    Patient.objects.filter(pk__in=ids).update(active=False)
    record_changes([(row, {"active": (True, False)}) for row in rows])
    return len(rows)


def in_ehr(patient_ids: Iterable[int]) -> set[int]:
    """Return those of these patients that some EHR has a name for."""
    named = ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id__in=list(patient_ids))
    return set(named.values_list("object_id", flat=True))


def _with_free_numbers(source: Source, records: Sequence[PatientRecord]) -> list[PatientRecord]:
    wanted = {identifier_index(each.system, each.value) for record in records for each in record.identifiers}
    rows = PatientIdentifier.objects.filter(source=source, value_index__among=wanted)
    taken = set(rows.values_list("value_index", flat=True))
    found = []
    for record in records:
        free = [each for each in record.identifiers if identifier_index(each.system, each.value) not in taken]
        taken |= {identifier_index(each.system, each.value) for each in free}
        found.append(replace(record, identifiers=tuple(free)))
    return found
