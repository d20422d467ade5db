"""Patients, clinicians and places of a load, a page at a time: new ones in bulk, everything unusual one by one.

Each function mirrors what it can and returns the records it did not take. Those go the single way of
:mod:`scheduling.patients` and :mod:`scheduling.directory`, which knows of replaced records, numbers that two people
have and places without a time zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from django.db import IntegrityError, models, transaction
from django.db.models import Q

from audit import log
from scheduling import copying, registrations, reviews
from scheduling.bulk import held_versions, insert_names
from scheduling.directory import describe_location, describe_provider, told_zone
from scheduling.models import (
    ContactPoint,
    ExternalId,
    Location,
    Patient,
    PatientIdentifier,
    PatientSearchToken,
    Provider,
    Source,
)
from scheduling.patient_contacts import contact_points
from scheduling.patients import describe, identifier_index, name_tokens
from scheduling.records import LocationRecord, PatientRecord, ProviderRecord

Described = TypeVar("Described", PatientRecord, ProviderRecord, LocationRecord)
_BATCH = 1000


def unchanged(source: Source, kind: str, versions: Mapping[str, str]) -> set[str]:
    """Return which of these, by external id, we hold at just that version, so that they need not be read.

    A patient whose successor is still to come, or whose guardian's number counts only until a birthday, is read
    again all the same.
    """
    held = held_versions(source, kind, versions)
    same = {value for value, version in versions.items() if version and held.get(value) == version}
    return same - _read_again(source, same) if kind == ExternalId.Kind.PATIENT and same else same


def _read_again(source: Source, values: Iterable[str]) -> set[str]:
    guardians = ContactPoint.objects.filter(guardian=True).exclude(use="old")
    rows = Patient.objects.filter(Q(active=False, replaced_by=None) | Q(pk__in=guardians.values("patient_id")))
    names = ExternalId.objects.filter(source=source, kind=ExternalId.Kind.PATIENT, value__among=values)
    return set(names.filter(object_id__in=rows.values("pk")).values_list("value", flat=True))


def load_patients(source: Source, records: Iterable[PatientRecord], fetched_at: datetime) -> list[PatientRecord]:
    """Insert the new patients among ``records`` with their contacts, numbers and search tokens; return the rest.

    A patient we hold at the same version is among the rest only where time or a successor may have changed it.
    """
    by_id = {record.external_id: record for record in records}
    known = held_versions(source, ExternalId.Kind.PATIENT, by_id)
    taken = _taken_numbers(source, by_id.values())
    is_ours = registrations.recogniser(source)
    fresh: list[PatientRecord] = []
    left: list[PatientRecord] = []
    for value, record in by_id.items():
        if value in known:
            is_same = bool(record.version) and known[value] == record.version
            if not is_same or record.replaced_by or record.active:
                left.append(record)
        elif record.replaced_by or is_ours(record) or not taken.isdisjoint(numbers := _numbers_of(record)):
            left.append(record)
        else:
            taken |= numbers
            fresh.append(record)
    return left + _inserted(fresh, lambda: _insert_patients(source, fresh, fetched_at))


def load_providers(source: Source, records: Iterable[ProviderRecord], fetched_at: datetime) -> list[ProviderRecord]:
    """Insert the new clinicians among ``records``; return those we know at another version."""
    fresh, left = _sorted_out(source, ExternalId.Kind.PROVIDER, records)

    def insert() -> None:
        rows = [Provider() for _ in fresh]
        for row, record in zip(rows, fresh, strict=True):
            describe_provider(row, record)
        _insert(source, ExternalId.Kind.PROVIDER, rows, fresh, fetched_at)

    return left + _inserted(fresh, insert)


def load_locations(source: Source, records: Iterable[LocationRecord], fetched_at: datetime) -> list[LocationRecord]:
    """Insert the new places among ``records``; return those we know at another version, or without a time zone."""
    fresh, left = _sorted_out(source, ExternalId.Kind.LOCATION, records)
    left += [record for record in fresh if not told_zone(record)]
    fresh = [record for record in fresh if told_zone(record)]

    def insert() -> None:
        rows = [Location() for _ in fresh]
        for row, record in zip(rows, fresh, strict=True):
            describe_location(row, record)
        _insert(source, ExternalId.Kind.LOCATION, rows, fresh, fetched_at)

    return left + _inserted(fresh, insert)


def _sorted_out(source: Source, kind: str, records: Iterable[Described]) -> tuple[list[Described], list[Described]]:
    """Return the new ones and those that differ from what we hold."""
    by_id = {record.external_id: record for record in records}
    known = held_versions(source, kind, by_id)
    fresh = [record for value, record in by_id.items() if value not in known]
    left = [record for value, record in by_id.items() if value in known and known[value] != (record.version or None)]
    return fresh, left


def _inserted(fresh: list[Described], insert: Callable[[], None]) -> list[Described]:
    """Insert all or nothing; return those that were not: another worker met one of them meanwhile."""
    if not fresh:
        return []
    try:
        with transaction.atomic():
            insert()
    except IntegrityError:
        return fresh
    return []


def _insert_patients(source: Source, records: Sequence[PatientRecord], fetched_at: datetime) -> None:
    rows = [Patient() for _ in records]
    for row, record in zip(rows, records, strict=True):
        describe(row, record)
    _insert(source, ExternalId.Kind.PATIENT, rows, records, fetched_at)
    insert_parts(source, rows, records)


def insert_parts(source: Source, rows: Sequence[Patient], records: Sequence[PatientRecord]) -> None:
    """Insert the numbers, contacts and search tokens of patients that were inserted just now."""
    both = list(zip(rows, records, strict=True))
    _create(PatientIdentifier, [each for row, record in both for each in _identifiers(source, row, record)])
    _create(ContactPoint, [each for row, record in both for each in contact_points(row, record.contacts)])
    tokens = [(row.pk, token) for row in rows for token in sorted(name_tokens(row))]
    copying.insert(PatientSearchToken, ("patient_id", "token"), tokens)
    reviews.look_around_in_bulk(rows)


def _insert(
    source: Source, kind: str, rows: Sequence[models.Model], records: Sequence[Described], fetched_at: datetime
) -> None:
    _create(type(rows[0]), rows)
    named = ((record.external_id, record.version, row.pk) for row, record in zip(rows, records, strict=True))
    insert_names(source, kind, named, fetched_at)


def _create(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """Insert rows, with the entries in the audit log that saving each would have left."""
    model._base_manager.bulk_create(rows, batch_size=_BATCH)
    log.record_created(rows)


def _identifiers(source: Source, patient: Patient, record: PatientRecord) -> list[PatientIdentifier]:
    rows: dict[tuple[str, str], PatientIdentifier] = {}
    for each in record.identifiers:
        index = identifier_index(each.system, each.value)
        row = PatientIdentifier(
            source=source,
            patient=patient,
            system=each.system,
            value=each.value,
            value_index=index,
            type_code=each.type_code,
        )
        rows.setdefault((each.system, index), row)
    return list(rows.values())


def _numbers_of(record: PatientRecord) -> set[tuple[str, str]]:
    return {(each.system, identifier_index(each.system, each.value)) for each in record.identifiers}


def _taken_numbers(source: Source, records: Iterable[PatientRecord]) -> set[tuple[str, str]]:
    """Return the numbers on this page that some patient here has already."""
    indexes = {index for record in records for _, index in _numbers_of(record)}
    rows = PatientIdentifier.objects.filter(source=source, value_index__among=indexes)
    return set(rows.values_list("system", "value_index"))
