"""Epic's form of Argonaut Scheduling: by POST alone, at an STU3 address beside R4, under names of its own.

Source: Epic, ``Appointment.$find`` and ``Appointment.$book`` (STU3). What it does not know it does not look at:
proposals are of every practitioner of the place. References in its answers are absolute.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from . import argonaut, proposals
from .indexing import relative_reference
from .messages import Request, Response, resources_and_values
from .outcomes import FhirError
from .store import Store

Json = dict[str, Any]

#: Where it has FHIR R4 and STU3. Its R4 is what the other dialects have under /fhir.
R4, STU3 = "/interconnect/api/FHIR/R4", "/interconnect/api/FHIR/STU3"


def answer(store: Store, request: Request) -> Response:
    """``POST Appointment/$find`` and ``$book``; there is nothing else at STU3."""
    operation = request.path.removeprefix(f"{STU3}/Appointment/")
    if operation not in ("$find", "$book"):
        raise FhirError(404, "not-found", "At STU3 there are Appointment/$find and Appointment/$book alone.")
    if request.method != "POST" or request.query:
        raise FhirError(405, "not-supported", f"{operation} takes a Parameters resource by POST.")
    given = {str(item.get("name", "")): item for item in resources_and_values(request)}
    asked = _finds(given) if operation == "$find" else _books(given)
    body = json.dumps({"resourceType": "Parameters", "parameter": asked}).encode()
    run = proposals.find if operation == "$find" else argonaut.book
    return _absolute(run(store, replace(request, body=body), ""), f"{request.base_url}{STU3}")


def _finds(given: dict[str, Json]) -> list[Json]:
    times = [("start", "startTime"), ("end", "endTime")]
    asked = [{"name": ours, "valueDateTime": given.get(name, {}).get("valueDateTime", "")} for ours, name in times]
    place = given.get("location-reference", {}).get("valueReference", {}).get("reference", "")
    return [*asked, *([{"name": "location-reference", "valueUri": relative_reference(place)}] if place else [])]


def _books(given: dict[str, Json]) -> list[Json]:
    patient, wanted = (
        given.get(name, {}).get("valueIdentifier", {}).get("value", "") for name in ("patient", "appointment")
    )
    if not patient or not wanted:
        raise FhirError(400, "required", "patient and appointment are needed, each as a valueIdentifier.")
    note = given.get("appointmentNote", {}).get("valueString", "")
    return [
        {"name": "patient-id", "valueUri": f"Patient/{patient}"},
        {"name": "appt-id", "valueUri": wanted},
        {"name": "comment", "valueString": note},
    ]


def _absolute(response: Response, base: str) -> Response:
    bundle = json.loads(response.body)
    for entry in bundle.get("entry", []):
        for participant in entry["resource"].get("participant", []):
            actor = participant["actor"]
            participant["actor"] = {**actor, "reference": f"{base}/{actor['reference']}"}
    return replace(response, body=json.dumps(bundle, ensure_ascii=False).encode())
