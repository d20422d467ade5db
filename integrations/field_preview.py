"""What a path gives on a patient whom the EHR sent lately, or shows now: tried before it is kept, changing nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from integrations.ehr import outage
from integrations.ehr.fhir import people
from integrations.ehr.fhir.elements import Json, Unreadable, items, text
from integrations.ehr.field_reading import follow
from integrations.ehr.gateway import GatewayError, connect
from integrations.ehr.hl7v2 import fields as hl7v2_fields
from integrations.ehr.hl7v2 import messages
from integrations.ehr.hl7v2 import people as hl7v2_people
from integrations.ehr.transforms import Unfit
from integrations.field_health import said
from integrations.models import Connection, FieldHealth, InboundEvent
from integrations.safe_json import NotJson, read_json
from scheduling.models import ExternalId

LOOKED_AT = 25
_MESSAGE = "the last message about a patient"


@dataclass(frozen=True, slots=True)
class Preview:
    """What came of it, in words without the value, and on whom: ``external_id`` is empty where there was nobody."""

    says: str
    external_id: str = ""
    value: str = ""
    on: str = ""


def of_last_patient(connection: Connection, field: str, path: str, transform: str) -> Preview:
    """Follow a path in the newest patient among the last events that came with their content.

    Where there is none the EHR is asked for one: call it outside any transaction.
    """
    for resource in _patients(connection):
        try:
            return _followed(connection, field, path, transform, resource, on="the patient who came last")
        except Unreadable:
            continue
    return _of_one_asked_for(connection, field, path, transform)


def _of_one_asked_for(connection: Connection, field: str, path: str, transform: str) -> Preview:
    """Follow it in a patient whom the EHR is asked for: where events only name their subject, none is stored."""
    external_id = _somebody(connection, field)
    if not external_id or connection.only_sends or not outage.answers(connection):
        return _NOBODY
    try:
        resource = connect(connection).read_patient(external_id).raw
        if not resource:
            return _NOBODY
        return _followed(connection, field, path, transform, resource, on="a patient read from the EHR just now")
    except GatewayError:
        return Preview("No patient came with an event lately, and the EHR showed none when it was asked. Try it later.")


def _somebody(connection: Connection, field: str) -> str:
    """Return the EHR's id of whoever had the field when it last came, else of the patient read last."""
    rows = ExternalId.objects.filter(source_id=connection.source_id, kind=ExternalId.Kind.PATIENT)
    had = FieldHealth.objects.filter(connection=connection, field=field).values("last_good_external_id")
    found = rows.filter(value__in=had).first() or rows.order_by(F("seen_at").desc(nulls_last=True), "pk").first()
    return found.value if found else ""


_NOBODY = Preview(
    "No patient came with an event lately, so there is nothing to try it on. Save it and look again here."
)


def _followed(connection: Connection, field: str, path: str, transform: str, resource: Json, *, on: str) -> Preview:
    """Return what the path gives in one patient; raises Unreadable."""
    record = people.patient_record(resource, connection.base_url, connection.mrn_system)
    try:
        value = said(follow(field, path, transform, resource, record), field)
    except Unfit as problem:
        return Preview(f"It cannot be kept: {problem}.", record.external_id, on=on)
    return Preview("It gives a value." if value else "It gives nothing.", record.external_id, value, on)


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
            return Preview(f"It cannot be kept: {problem}.", about, on=_MESSAGE)
        if found is None:
            return Preview("The message says nothing there: what we have stays.", about, on=_MESSAGE)
        value = said(found, field)
        says = "It gives a value." if value else "It says that there is none any more."
        return Preview(says, about, value, _MESSAGE)
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
