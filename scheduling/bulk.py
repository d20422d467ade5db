"""Thousands of appointments at once: the initial load and whatever else must not go row by row."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from operator import attrgetter
from typing import Any

from django.db import IntegrityError, transaction

from audit import log
from scheduling import copying
from scheduling.appointments import PLAIN_COLUMNS, note_seen
from scheduling.models import Appointment, AppointmentType, ExternalId, Opening, Patient, Source, Writeback
from scheduling.records import AppointmentRecord, Interval

REFERENCES = (ExternalId.Kind.PATIENT, ExternalId.Kind.PROVIDER, ExternalId.Kind.LOCATION)
_ROW_OF = tuple(f"{kind}_id" for kind in REFERENCES)
_COLUMNS = ("source_id", *_ROW_OF, "appointment_type_id", "slot_ids", *PLAIN_COLUMNS)
_NAME_COLUMNS = ("source_id", "kind", "value", "version", "object_id", "seen_at")
_plain_values = attrgetter(*PLAIN_COLUMNS)


def held_versions(source: Source, kind: str, values: Iterable[str]) -> dict[str, str]:
    """Return the version we hold of each of ``values`` that we know, in one query."""
    rows = ExternalId.objects.filter(source=source, kind=kind, value__among=values)
    return dict(rows.values_list("value", "version"))


def names_of(source: Source, kind: str) -> dict[str, int]:
    """Return every name of ``kind`` at the source with the key of our row."""
    return dict(ExternalId.objects.filter(source=source, kind=kind).values_list("value", "object_id"))


def insert_names(source: Source, kind: str, named: Iterable[tuple[str, str, int]], fetched_at: datetime) -> None:
    """Remember what ``source`` calls our new rows: value, version and key of each. IntegrityError as for one."""
    rows = [(source.pk, str(kind), value, version, pk, fetched_at) for value, version, pk in named]
    copying.insert(ExternalId, _NAME_COLUMNS, rows)


class AppointmentLoad:
    """The appointments of one load, page after page. What was looked up for one page serves the next ones."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._rows: dict[str, dict[str, int]] = {kind: {} for kind in REFERENCES}
        self._types = dict(AppointmentType.objects.values_list("code", "pk"))
        self._placed: set[tuple[int, int]] = set()

    def take(self, records: Iterable[AppointmentRecord], fetched_at: datetime) -> list[AppointmentRecord]:
        """Mirror a page of an initial load: new ones are inserted, known ones with another version left alone.

        Opens nothing. Returns the records it did not take: those that refer to a patient, provider or location not
        mirrored yet, those we know at another version, and those that meet a booking or an opening of ours; they go
        the single way, which fetches and compares.
        """
        by_id = {record.external_id: record for record in records}
        known = held_versions(self._source, ExternalId.Kind.APPOINTMENT, by_id)
        self._look_up(by_id.values())
        ours = _Ours(self._source, by_id.values())
        fresh: list[AppointmentRecord] = []
        left: list[AppointmentRecord] = []
        for record in by_id.values():
            held = known.get(record.external_id)
            if held is None and self._knows_all(record) and not ours.meets(record):
                fresh.append(record)
            elif held is None or held != record.version or not record.version:
                left.append(record)
        if not fresh:
            return left
        try:
            with transaction.atomic():
                self._insert(fresh, fetched_at)
        except IntegrityError:
            # Another worker met one of them meanwhile: each is taken by itself, which finds out which.
            return left + fresh
        return left

    def _look_up(self, records: Iterable[AppointmentRecord]) -> None:
        for kind, column in zip(REFERENCES, _ROW_OF, strict=True):
            known = self._rows[kind]
            unknown = {getattr(record, column) for record in records} - known.keys() - {""}
            if unknown:
                rows = ExternalId.objects.filter(source=self._source, kind=kind, value__among=unknown)
                known.update(rows.values_list("value", "object_id"))

    def _knows_all(self, record: AppointmentRecord) -> bool:
        patients, providers, locations = self._rows.values()
        return (
            (not record.patient_id or record.patient_id in patients)
            and (not record.provider_id or record.provider_id in providers)
            and (not record.location_id or record.location_id in locations)
        )

    def _insert(self, records: Sequence[AppointmentRecord], fetched_at: datetime) -> None:
        rows = [self._row(record) for record in records]
        keys = copying.insert(Appointment, _COLUMNS, rows)
        named = [(record.external_id, record.version, pk) for record, pk in zip(records, keys, strict=True)]
        insert_names(self._source, ExternalId.Kind.APPOINTMENT, named, fetched_at)
        seen = {row[1] for row, record in zip(rows, records, strict=True) if record.status in Appointment.SEEN}
        if seen - {None}:
            note_seen(seen - {None})
        self._place({(row[1], row[3]) for row in rows if row[1] and row[3]})
        # One row of the trail for the page: it says which rows came, by their keys.
        log.record(
            "import",
            subject_kind=Appointment._meta.label_lower,
            detail={"source": self._source.pk, "count": len(keys), "ids": list(_ranges(keys))},
        )

    def _row(self, record: AppointmentRecord) -> tuple[Any, ...]:
        patients, providers, locations = self._rows.values()
        return (
            self._source.pk,
            patients.get(record.patient_id),
            providers.get(record.provider_id),
            locations.get(record.location_id),
            self._types.get(record.type_target),
            list(record.slot_ids),
            *_plain_values(record),
        )

    def _place(self, pairs: set[tuple[int, int]]) -> None:
        """Staff of a location see the patients who have appointments there."""
        through = Patient.locations.through
        through.objects.bulk_create(
            [through(patient_id=patient, location_id=place) for patient, place in sorted(pairs - self._placed)],
            batch_size=1000,
            ignore_conflicts=True,
        )
        self._placed |= pairs


class _Ours:
    """What we are doing ourselves with the time of a page: bookings on their way to the EHR, and openings."""

    def __init__(self, source: Source, records: Iterable[AppointmentRecord]) -> None:
        writes = Writeback.objects.filter(source=source, kind=Writeback.Kind.CREATE)
        keys = {key for record in records for key in _keys_of(record)}
        self._keys = set(writes.filter(key__in=keys).values_list("key", flat=True)) if keys else set()
        self._starts = set(writes.filter(status__in=Writeback.LIVE).values_list("appointment__start", flat=True))
        openings = Opening.objects.filter(status__in=Opening.CLAIMABLE).values_list("start", "end")
        self._openings = [Interval(start, end) for start, end in openings]

    def meets(self, record: AppointmentRecord) -> bool:
        """Return whether the appointment may be a booking of ours, or takes time that we offer."""
        if self._keys and not self._keys.isdisjoint(_keys_of(record)):
            return True
        if record.start is None or record.end is None:
            return False
        if record.start in self._starts:
            return True
        interval = Interval(record.start, record.end)
        return any(interval.overlaps(opening) for opening in self._openings)


def _keys_of(record: AppointmentRecord) -> Iterator[uuid.UUID]:
    """Yield the identifiers that look like a key of ours."""
    for each in record.identifiers:
        with suppress(ValueError):
            yield uuid.UUID(each.value.removeprefix("urn:uuid:"))


def _ranges(keys: list[int]) -> Iterator[str]:
    """Yield ascending keys as few ranges: ``101-600``."""
    ordered = sorted(keys)
    first = ordered[0]
    for before, after in pairwise([*ordered, ordered[-1] + 2]):
        if after != before + 1:
            yield f"{first}-{before}"
            first = after
