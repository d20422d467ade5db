"""A patient's details by the practice's own HL7 v2 paths, and how the fields that messages tell fare."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from integrations.ehr.field_reading import taken
from integrations.ehr.hl7v2 import translation
from integrations.ehr.hl7v2.paths import parsed, values_in
from integrations.ehr.hl7v2.segments import Message, Part
from integrations.ehr.transforms import Unfit
from integrations.field_health import HealthBook
from integrations.field_mapping import own_mappings
from integrations.fields import FIELDS
from integrations.models import Connection, FieldMapping
from scheduling.records import PatientRecord


class MessageFields:
    """The fields of one connection as its messages tell them; :meth:`flush` stores how they fared."""

    def __init__(self, connection: Connection) -> None:
        self._own = own_mappings(connection, FieldMapping.PathKind.HL7V2)
        self._health = HealthBook(connection)

    @property
    def own(self) -> frozenset[str]:
        """The fields with a path of the practice's own in messages."""
        return frozenset(self._own)

    def read(self, message: Message, record: PatientRecord, silent: frozenset[str]) -> PatientRecord:
        """Return the record with the practice's own paths followed.

        ``silent`` are the details that the message says nothing of. They are marked as unread, as is what cannot be
        read: of a patient who is known both stay as they are.
        """
        told, unheard, unread = record, set(silent), set(record.unread) - silent
        for field, row in self._own.items():
            unheard.discard(field)
            unread.discard(field)
            try:
                found = follow(field, row.path, row.transform, message, told)
            except Unfit as problem:
                unread.add(field)
                self._health.failed(field, str(problem))
                continue
            if found is None:
                unheard.add(field)
            else:
                told = found
        own = set(self._own)
        self._health.note(replace(told, unread=frozenset(unread)), own, frozenset(unheard))
        return replace(told, unread=frozenset(unread | unheard))

    def over(self, message: Message, record: PatientRecord) -> PatientRecord:
        """Return a record that FHIR told, with those fields over it that have a path of their own in messages."""
        own = set(self._own)
        told = self.read(message, record, frozenset(FIELDS) - own)
        return replace(told, unread=frozenset((told.unread & own) | (record.unread - own)))

    def flush(self) -> None:
        """Store what was seen since the last time."""
        self._health.flush()


def follow(field: str, path: str, transform: str, message: Message, record: PatientRecord) -> PatientRecord | None:
    """Return the record with one field read by an HL7 v2 path; None where the message says nothing of it.

    Raises Unfit, which quotes nothing.
    """
    values = _whole(field, path, message) or values_in(message.read, path)
    if all(value is None for value in values):
        return None
    return taken(field, [value for value in values if value], transform, record)


def _whole(field: str, path: str, message: Message) -> list[Any]:
    """Return the elements that a path to a whole field leads to, where such a field is more than one value."""
    wanted = parsed(path)
    if wanted["component"] is not None:
        return []
    segments = list(message.all(str(wanted["segment"])))[int(wanted["nth"] or 1) - 1 :]
    parts = segments[0].repetitions(int(wanted["field"] or 0)) if segments else []
    if nth := wanted["repetition"]:
        parts = parts[int(nth) - 1 : int(nth)]
    found = [_element(field, part, rank) for rank, part in enumerate(parts, start=1)]
    return [each for several in found for each in several]


def _element(field: str, part: Part, rank: int) -> list[Any]:
    if part.is_deleted:
        return [""]
    if field == "address":
        return [translation.address(part)]
    if field in ("phones", "emails"):
        system = "phone" if field == "phones" else "email"
        return [each for each in translation.contact_points(part, rank) if each["system"] == system]
    return [part.said(1)]
