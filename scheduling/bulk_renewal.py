"""Patients of a page whom we know at another version, or as another reading of their record has them: in bulk.

After a change of where a field stands, or who owns it, this is every patient of a practice. Whatever could concern
anybody but the patient's own columns and contacts goes the single way of :mod:`scheduling.patients`: records that are
closed, replaced or opened again, numbers we have not seen with this patient, corrections on their way to the EHR.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.log import record_changes, record_created
from scheduling import copying
from scheduling.models import (
    ContactPoint,
    ExternalId,
    Patient,
    PatientIdentifier,
    PatientMerge,
    PatientSearchToken,
    PatientWrite,
    Source,
)
from scheduling.patient_contacts import OF_CONTACTS, contacts_told
from scheduling.patients import (
    DESCRIBED,
    describe,
    identifier_index,
    name_tokens,
    ours,
    unread_columns,
)
from scheduling.records import PatientRecord

Changes = dict[str, tuple[Any, Any]]
_BATCH = 500


def renew_patients(source: Source, records: Iterable[PatientRecord], fetched_at: datetime) -> list[PatientRecord]:
    """Take over the known patients among ``records``, and return those that it did not take, unknown ones included.

    A record older than what we hold changes nothing. A fixed number of statements, however many there are.
    """
    by_id = {record.external_id: record for record in records}
    if not by_id:
        return []
    try:
        with transaction.atomic():
            taken = _renew(source, by_id, fetched_at)
    except IntegrityError:  # another worker changed the same contacts meanwhile: each is taken by itself
        taken = set()
    return [record for value, record in by_id.items() if value not in taken]


@dataclass(slots=True)
class _Page:
    """What we hold of the patients of one page, each list by the patient's key."""

    names: dict[int, ExternalId]
    people: dict[int, Patient]
    contacts: dict[int, list[ContactPoint]] = field(default_factory=lambda: defaultdict(list))
    numbers: dict[int, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    tokens: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    not_usual: set[int] = field(default_factory=set)


def _renew(source: Source, by_id: Mapping[str, PatientRecord], fetched_at: datetime) -> set[str]:
    page = _read(source, by_id)
    owned = ours(source)
    renewed: list[tuple[Patient, Changes]] = []
    taken: set[str] = set()
    names: list[ExternalId] = []
    told: list[tuple[Patient, PatientRecord]] = []
    for pk, name in page.names.items():
        patient, record = page.people[pk], by_id[name.value]
        if not _is_usual(page, patient, record):
            continue
        taken.add(name.value)
        if name.seen_at is not None and name.seen_at > fetched_at:
            continue
        name.version, name.seen_at = record.version, fetched_at
        names.append(name)
        told.append((patient, record))
        if changes := _redescribed(patient, record, DESCRIBED - owned - unread_columns(record)):
            renewed.append((patient, changes))
    ExternalId.objects.bulk_update(names, ("version", "seen_at"), batch_size=_BATCH)
    _write(Patient, renewed, ("updated_at",))
    _renew_contacts(page, told)
    _renew_tokens(page, [patient for patient, _ in told])
    return taken


def _read(source: Source, by_id: Mapping[str, PatientRecord]) -> _Page:
    rows = ExternalId.objects.select_for_update().filter(source=source, kind=ExternalId.Kind.PATIENT)
    held = list(rows.filter(value__among=list(by_id)).order_by("pk"))
    often = Counter(name.object_id for name in held)
    names = {name.object_id: name for name in held if often[name.object_id] == 1}
    people = {row.pk: row for row in Patient.objects.select_for_update().filter(pk__in=names).order_by("pk")}
    page = _Page(names, people)
    for row in ContactPoint.objects.filter(patient__in=people).order_by("pk"):
        page.contacts[row.patient_id].append(row)
    for pk, *number in PatientIdentifier.objects.filter(source=source, patient__in=people).values_list(
        "patient_id", "system", "value_index"
    ):
        page.numbers[pk].add((number[0], number[1]))
    for pk, token in PatientSearchToken.objects.filter(patient__in=people).values_list("patient_id", "token"):
        page.tokens[pk].add(token)
    corrected = PatientWrite.objects.filter(patient__in=people, source=source, status__in=PatientWrite.LIVE)
    merged = PatientMerge.objects.filter(retired__in=people, undone_at__isnull=True)
    page.not_usual = {*corrected.values_list("patient_id", flat=True), *merged.values_list("retired_id", flat=True)}
    return page


def _is_usual(page: _Page, patient: Patient, record: PatientRecord) -> bool:
    return (
        patient.pk not in page.not_usual
        and not record.replaced_by
        and patient.replaced_by_id is None
        # Whether a record that it replaces says so, too, matters once they are separated.
        and not patient.deceased
        and (patient.active, patient.deceased) == (record.active, record.deceased)
        and {(each.system, identifier_index(each.system, each.value)) for each in record.identifiers}
        <= page.numbers[patient.pk]
    )


def _redescribed(patient: Patient, record: PatientRecord, columns: frozenset[str]) -> Changes:
    before = {column: getattr(patient, column) for column in columns}
    describe(patient, record, columns)
    return {
        column: (old, getattr(patient, column)) for column, old in before.items() if old != getattr(patient, column)
    }


def _renew_contacts(page: _Page, told: Sequence[tuple[Patient, PatientRecord]]) -> None:
    new: list[ContactPoint] = []
    renewed: list[tuple[ContactPoint, Changes]] = []
    for patient, record in told:
        before = {row.pk: {name: getattr(row, name) for name in OF_CONTACTS} for row in page.contacts[patient.pk]}
        for row in contacts_told(patient, record, page.contacts[patient.pk]):
            if row._state.adding:
                new.append(row)
                continue
            now = {name: getattr(row, name) for name in OF_CONTACTS}
            changes = {name: (old, now[name]) for name, old in before[row.pk].items() if old != now[name]}
            if changes:
                renewed.append((row, changes))
    ContactPoint.objects.bulk_create(new, batch_size=_BATCH)
    record_created(new)
    _write(ContactPoint, renewed)


def _write(model: Any, renewed: Sequence[tuple[Any, Changes]], also: tuple[str, ...] = ()) -> None:
    """Write the changed columns of these rows, with the entries in the log that saving each would have left."""
    if not renewed:
        return
    columns = sorted({column for _, changes in renewed for column in changes} | {*also})
    for row, _ in renewed if also else ():
        row.updated_at = timezone.now()
    model.objects.bulk_update([row for row, _ in renewed], columns, batch_size=_BATCH)
    record_changes(renewed)


def _renew_tokens(page: _Page, people: Sequence[Patient]) -> None:
    """Have them found by the names they have now."""
    fresh: list[tuple[int, str]] = []
    for patient in people:
        wanted, held = name_tokens(patient), page.tokens[patient.pk]
        fresh += [(patient.pk, token) for token in sorted(wanted - held)]
        if held - wanted:
            PatientSearchToken.objects.filter(patient=patient, token__in=held - wanted).delete()
    copying.insert(PatientSearchToken, ("patient_id", "token"), fresh)
