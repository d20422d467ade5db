"""A proprietary system's rows, written as the FHIR resources they would be.

What stands behind the gateway, the inbox and the poll among it, reads FHIR with all the care that untidy data needs.
So a row is rewritten at the door, by its declaration, and nothing is judged here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from integrations.ehr.fhir.elements import MADE_UP, Json
from integrations.ehr.fhir.people import NPI, TIME_ZONE
from integrations.ehr.gateway import Kind
from integrations.ehr.rest.declaration import CoverageFields, Declaration, Fields, Row
from integrations.models import Connection


def resource(declaration: Declaration, connection: Connection, kind: Kind, row: Row) -> Json:
    """Return the resource that a row of this kind stands for; what is missing or of a strange form is left as it is."""
    if kind == "patient":
        return _patient(declaration, connection.mrn_system, row)
    if kind == "provider":
        return _provider(declaration, row)
    if kind == "location":
        return _location(declaration, row)
    return _appointment(declaration, connection.identifier_system, row)


def coverage(fields: CoverageFields, row: Row) -> Json:
    """Return the Coverage that a row stands for; what is missing or of a strange form is left as it is."""
    plan, payor = _word(row, fields.plan), _word(row, fields.payor)
    payor_name = value_at(row, fields.payor_name)
    ends = {"start": value_at(row, fields.valid_from), "end": value_at(row, fields.valid_until)}
    its_plan = {"type": {"coding": [{"code": "plan"}]}, "value": plan, "name": value_at(row, fields.plan_name)}
    return {
        "resourceType": "Coverage",
        **identity(fields, row),
        "status": "cancelled" if value_at(row, fields.active) is False else "active",
        "beneficiary": _reference("Patient", _word(row, fields.patient_id)),
        "order": value_at(row, fields.position),
        "period": {name: day for name, day in ends.items() if day},
        "class": [its_plan] if plan else [],
        "payor": [_reference("Organization", payor) | {"display": payor_name}] if payor else [{"display": payor_name}],
    }


def value_at(row: Any, path: str) -> Any:
    """Return what stands in a row at a path such as ``patient.id``; None where there is nothing."""
    for name in path.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row


def identity(fields: Fields, row: Row) -> Json:
    """Return the id and the version of a row, as a resource holds them."""
    version = _word(row, fields.version) if fields.version else ""
    if not version:
        written = json.dumps(row, sort_keys=True, default=str).encode()
        version = f"{MADE_UP}{hashlib.sha256(written).hexdigest()[:32]}"
    return {"id": _word(row, fields.external_id), "meta": {"versionId": version}}


def _word(row: Row, path: str) -> Any:
    """Return the value, a number as text: many systems number their records."""
    value = value_at(row, path)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _patient(declaration: Declaration, mrn_system: str, row: Row) -> Json:
    fields = declaration.patient
    number, successor, language = (
        _word(row, path) for path in (fields.record_number, fields.replaced_by, fields.language)
    )
    points = (("phone", "mobile", fields.mobile), ("phone", "home", fields.phone), ("email", "home", fields.email))
    return {
        "resourceType": "Patient",
        **identity(fields, row),
        "active": value_at(row, fields.active),
        "name": [{"family": value_at(row, fields.family_name), "given": [value_at(row, fields.given_name)]}],
        "birthDate": value_at(row, fields.birth_date),
        "telecom": [
            {"system": system, "use": use, "value": _word(row, path), "rank": rank}
            for rank, (system, use, path) in enumerate(points, start=1)
            if _word(row, path)
        ],
        "identifier": [{"system": mrn_system, "value": number}] if mrn_system and number else [],
        "communication": [{"language": {"coding": [{"code": language}]}}] if language else [],
        "link": [{"type": "replaced-by", "other": _reference("Patient", successor)}] if successor else [],
    }


def _provider(declaration: Declaration, row: Row) -> Json:
    fields = declaration.provider
    return {
        "resourceType": "Practitioner",
        **identity(fields, row),
        "active": value_at(row, fields.active),
        "name": [{"text": value_at(row, fields.name)}],
        "identifier": [{"system": NPI, "value": _word(row, fields.npi)}],
    }


def _location(declaration: Declaration, row: Row) -> Json:
    fields = declaration.location
    return {
        "resourceType": "Location",
        **identity(fields, row),
        "status": "inactive" if value_at(row, fields.active) is False else "active",
        "name": value_at(row, fields.name),
        "telecom": [{"system": "phone", "value": _word(row, fields.phone)}],
        "extension": [{"url": TIME_ZONE, "valueCode": value_at(row, fields.time_zone)}],
    }


def _appointment(declaration: Declaration, identifier_system: str, row: Row) -> Json:
    fields = declaration.appointment
    status, key, minutes = (_word(row, path) for path in (fields.status, fields.key, fields.minutes))
    actors = (
        ("Patient", fields.patient_id),
        ("Practitioner", fields.provider_id),
        ("Location", fields.location_id),
    )
    return {
        "resourceType": "Appointment",
        **identity(fields, row),
        "status": declaration.statuses.get(status, status) if isinstance(status, str) else status,
        "start": value_at(row, fields.start),
        "end": value_at(row, fields.end),
        "minutesDuration": minutes,
        "participant": [
            {"actor": _reference(name, _word(row, path)), "status": "accepted"}
            for name, path in actors
            if _word(row, path)
        ],
        "appointmentType": _concept(_word(row, fields.type_code), value_at(row, fields.type_name)),
        "cancelationReason": _concept(_word(row, fields.reason_code), None),
        "cancellationDate": value_at(row, fields.cancelled_at),
        "identifier": [{"system": identifier_system, "value": key}] if key else [],
    }


def _reference(name: str, external_id: Any) -> Json:
    return {"reference": f"{name}/{external_id}"}


def _concept(code: Any, display: Any) -> Json | None:
    return {"coding": [{"code": code, "display": display}]} if code else None
