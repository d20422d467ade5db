"""A patient's details where the practice says that they stand elsewhere than usual, and how all of them fare."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from typing import Any, Literal

from integrations.ehr.fhir import paths, people
from integrations.ehr.fhir.elements import Json
from integrations.ehr.transforms import Unfit, tidied
from integrations.field_health import HealthBook
from integrations.field_mapping import own_mappings
from integrations.fields import FIELDS
from integrations.models import Connection, FieldMapping
from scheduling.records import ContactRecord, EmergencyContact, PatientRecord

logger = logging.getLogger(__name__)

LONGEST = 300


class FieldBook:
    """The fields of one connection, read once and asked for every patient; :meth:`flush` stores how they fared.

    What nobody mapped differently is what the built-in reader found, which costs next to nothing.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._mappings: list[FieldMapping] | None = None
        self._by_message: frozenset[str] = frozenset()
        self._health = HealthBook(connection)

    def read(self, resource: Json, record: PatientRecord) -> PatientRecord:
        """Return the record with the practice's own paths followed. What cannot be read is marked, not emptied."""
        if self._mappings is None:
            self._mappings = list(own_mappings(self._connection).values())
            if self._connection.messages_tell == Connection.MessagesTell.FIELDS:
                self._by_message = frozenset(own_mappings(self._connection, FieldMapping.PathKind.HL7V2))
        told, unread = record, set(record.unread)
        for row in self._mappings:
            try:
                told = follow(row.field, row.path, row.transform, resource, told)
                unread.discard(row.field)
            except Unfit as problem:
                unread.add(row.field)
                self._health.failed(row.field, str(problem))
        # What messages tell is taken from FHIR only when a patient is first met.
        told = replace(told, unread=frozenset(unread | self._by_message))
        self._health.note(told, {row.field for row in self._mappings}, self._by_message)
        return told

    def flush(self) -> None:
        """Store what was seen since the last time."""
        self._health.flush()


def follow(field: str, path: str, transform: str, resource: Json, record: PatientRecord) -> PatientRecord:
    """Return the record with one field read by a FHIRPath; raises Unfit, which quotes nothing."""
    try:
        found = paths.compiled(path)(resource)
    except Exception as error:
        # Whatever a resource does to an expression, the page goes on; staff are told when it keeps failing.
        logger.info("the path of %s could not be followed: %s", field, type(error).__name__)
        raise Unfit("the path cannot be followed in what came") from error
    return taken(field, [each for each in found if each not in (None, "")], transform, record)


def taken(field: str, values: list[Any], transform: str, record: PatientRecord) -> PatientRecord:
    """Return the record with what stands at the field's path; raises Unfit for what cannot be kept."""
    if FIELDS[field].many:
        return replace(record, contacts=_contacts(field, values, transform, record.contacts))
    value: Any = _ONE.get(field, _first)(values, transform)
    return replace(record, **{field: value})


def _words(values: Iterable[Any], transform: str) -> str:
    return " ".join(_text(value, transform) for value in values)[:LONGEST]


def _first(values: list[Any], transform: str) -> str:
    return _text(values[0], transform) if values else ""


def _text(value: Any, transform: str) -> str:
    return str(_tidied(value, transform))[:LONGEST]


def _tidied(value: Any, transform: str) -> Any:
    if isinstance(value, dict | list):
        raise Unfit("the path leads to a whole element, not to a value in it")
    # Booleans in FHIR are true and false, in Python True and False.
    return tidied(str(value).lower() if isinstance(value, bool) else str(value), transform)


def _day(values: list[Any], transform: str) -> date | None:
    found = _tidied(values[0], transform) if values else None
    if found is not None and not isinstance(found, date):
        raise Unfit("it is no date")
    return found


def _yes_no(values: list[Any], transform: str) -> bool | None:
    found = _tidied(values[0], transform) if values else None
    if found is not None and not isinstance(found, bool):
        raise Unfit("it is neither yes nor no")
    return found


def _address(values: list[Any], transform: str) -> str:
    if values and isinstance(values[0], dict):
        return people.address(values[0])
    return ", ".join(_text(value, transform) for value in values)[:LONGEST]


def _emergency(values: list[Any], transform: str) -> EmergencyContact | None:
    if values and isinstance(values[0], dict):
        return people.emergency_contact(values[0])
    name = _first(values, transform)
    return EmergencyContact(name=name) if name else None


_ONE: dict[str, Callable[[list[Any], str], Any]] = {
    "given_name": _words,
    "birth_date": _day,
    "portal_active": _yes_no,
    "address": _address,
    "emergency_contact": _emergency,
}


def _contacts(
    field: str, values: list[Any], transform: str, held: tuple[ContactRecord, ...]
) -> tuple[ContactRecord, ...]:
    """Return the contacts with those of one kind replaced; a guardian's, who is another person, stay."""
    system: Literal["phone", "email"] = "phone" if field == "phones" else "email"
    found: list[ContactRecord] = []
    for rank, value in enumerate(values, start=1):
        if isinstance(value, dict):
            read = people.contacts([value])
            found += [replace(each, value=str(_tidied(each.value, transform)), system=system) for each in read]
        else:
            # Plain values have no rank of their own: their order is it.
            found.append(ContactRecord(system, str(_tidied(value, transform)), rank=min(rank, people.NO_RANK)))
    others = (each for each in held if each.system != system or each.guardian)
    return (*found, *others)
