"""Thousands of appointments at once: the initial load and whatever else must not go row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction

from scheduling.appointments import note_seen, set_plain_columns
from scheduling.models import Appointment, AppointmentType, ExternalId, Patient, Source
from scheduling.records import AppointmentRecord


def held_versions(source: Source, kind: str, values: Iterable[str]) -> dict[str, str]:
    """Return the version we hold of each of ``values`` that we know, in one query."""
    rows = ExternalId.objects.filter(source=source, kind=kind, value__in=list(values))
    return dict(rows.values_list("value", "version"))


def names_of(source: Source, kind: str) -> dict[str, int]:
    """Return every name of ``kind`` at the source with the key of our row."""
    return dict(ExternalId.objects.filter(source=source, kind=kind).values_list("value", "object_id"))


def load_appointments(
    source: Source, records: Iterable[AppointmentRecord], fetched_at: datetime
) -> list[AppointmentRecord]:
    """Mirror appointments of an initial load: new ones are inserted, known ones with another version left alone.

    Opens nothing. Returns the records it did not take: those that refer to a patient, provider or location not
    mirrored yet, and those we know at another version; they go the single way, which fetches and compares.
    """
    records = list(records)
    known = held_versions(source, ExternalId.Kind.APPOINTMENT, (record.external_id for record in records))
    names = {
        kind: _named(source, kind, {getattr(record, f"{kind}_id") for record in records})
        for kind in ("patient", "provider", "location")
    }
    types = dict(AppointmentType.objects.values_list("code", "pk"))
    fresh: list[AppointmentRecord] = []
    left: list[AppointmentRecord] = []
    for record in {record.external_id: record for record in records}.values():
        if known.get(record.external_id) == record.version and record.version:
            continue
        references = ((kind, getattr(record, f"{kind}_id")) for kind in names)
        resolvable = all(not value or value in names[kind] for kind, value in references)
        (fresh if record.external_id not in known and resolvable else left).append(record)
    with transaction.atomic():
        _insert(source, fresh, names, types, fetched_at)
    return left


def _named(source: Source, kind: str, values: set[str]) -> dict[str, int]:
    rows = ExternalId.objects.filter(source=source, kind=kind, value__in=values - {""})
    return dict(rows.values_list("value", "object_id"))


def _insert(
    source: Source,
    records: list[AppointmentRecord],
    names: Mapping[str, Mapping[str, int]],
    types: Mapping[str, int],
    fetched_at: datetime,
) -> None:
    rows = []
    for record in records:
        row = Appointment(
            source=source,
            patient_id=names["patient"].get(record.patient_id),
            provider_id=names["provider"].get(record.provider_id),
            location_id=names["location"].get(record.location_id),
            appointment_type_id=types.get(record.type_target),
        )
        set_plain_columns(row, record)
        rows.append(row)
    Appointment.objects.bulk_create(rows, batch_size=1000)
    ExternalId.objects.bulk_create(
        [
            ExternalId(
                source=source,
                kind=ExternalId.Kind.APPOINTMENT,
                value=record.external_id,
                version=record.version,
                object_id=row.pk,
                seen_at=fetched_at,
            )
            for record, row in zip(records, rows, strict=True)
        ],
        batch_size=1000,
    )
    note_seen({row.patient_id for row in rows if row.patient_id and row.status in Appointment.SEEN})
    through = Patient.locations.through
    pairs = {(row.patient_id, row.location_id) for row in rows if row.patient_id and row.location_id}
    through.objects.bulk_create(
        [through(patient_id=patient, location_id=location) for patient, location in sorted(pairs)],
        batch_size=1000,
        ignore_conflicts=True,
    )
