"""What a path gives on a patient the EHR sent lately: tried before it is kept, changing nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from integrations.ehr.fhir import people
from integrations.ehr.fhir.elements import Json, Unreadable, items, text
from integrations.ehr.field_reading import follow
from integrations.ehr.hl7v2 import fields as hl7v2_fields
from integrations.ehr.hl7v2 import messages
from integrations.ehr.hl7v2 import people as hl7v2_people
from integrations.ehr.transforms import Unfit
from integrations.field_health import said
from integrations.models import Connection, InboundEvent
from integrations.safe_json import NotJson, read_json

LOOKED_AT = 25


@dataclass(frozen=True, slots=True)
class Preview:
    """What came of it, in words without the value; ``external_id`` is empty when the EHR sent no patient lately."""

    says: str
    external_id: str = ""
    value: str = ""


def of_last_patient(connection: Connection, field: str, path: str, transform: str) -> Preview:
    """Follow a path in the newest patient among the last events that came with their content."""
    for resource in _patients(connection):
        try:
            record = people.patient_record(resource, connection.base_url, connection.mrn_system)
            value = said(follow(field, path, transform, resource, record), field)
        except Unreadable:
            continue
        except Unfit as problem:
            return Preview(f"It cannot be kept: {problem}.", record.external_id)
        return Preview("It gives a value." if value else "It gives nothing.", record.external_id, value)
    return Preview(
        "No patient came with an event lately, so there is nothing to try it on. Save it and look again here."
    )


def of_last_message(connection: Connection, field: str, path: str, transform: str) -> Preview:
    """Follow an HL7 v2 path in the newest message about a patient. Whoever has its number is whom it is about."""
    reading = messages.Reading.of(connection)
    rows = InboundEvent.objects.filter(connection=connection, content_type=messages.CONTENT_TYPE)
    for row in rows.filter(subject_key__startswith="Patient#").order_by("-pk")[:LOOKED_AT]:
        try:
            message = messages.parsed(bytes(row.body), reading)
            number = messages.news(message, reading).numbers[0]
            record = hl7v2_people.read(connection, message, number)
        except Unreadable:
            continue
        about = hl7v2_people.name_of(connection, number)
        try:
            found = hl7v2_fields.follow(field, path, transform, message, record)
        except Unfit as problem:
            return Preview(f"It cannot be kept: {problem}.", about)
        if found is None:
            return Preview("The message says nothing there: what we have stays.", about)
        value = said(found, field)
        return Preview("It gives a value." if value else "It says that there is none any more.", about, value)
    return Preview(
        "No HL7 v2 message about a patient came lately, so there is nothing to try it on. Save it and look again here."
    )


def _patients(connection: Connection) -> Iterator[Json]:
    rows = InboundEvent.objects.filter(connection=connection, subject_key__startswith="Patient/")
    for row in rows.order_by("-pk")[:LOOKED_AT]:
        try:
            found: Any = read_json(bytes(row.body))
        except NotJson:
            continue
        inside = [found, *(entry.get("resource") for entry in items(found, "entry"))]
        for each in inside:
            if isinstance(each, dict) and each.get("resourceType") == "Patient" and text(each.get("id")):
                yield each
