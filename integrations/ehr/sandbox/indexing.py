"""What of a resource can be searched: columns for status and time, terms for the rest."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

from .clock import parse_instant

Terms = Iterator[tuple[str, str]]


def normalised(text: str) -> str:
    """Case and accents removed, as FHIR string search wants it."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()


def phone_digits(text: str) -> str:
    """The last ten digits before an extension, so that formats of one number meet."""
    digits = "".join(character for character in text.casefold().partition("x")[0] if character.isdigit())
    return digits[-10:]


def relative_reference(reference: str) -> str:
    """``Type/id`` of a relative or absolute reference, without a version."""
    parts = reference.partition("/_history/")[0].rstrip("/").split("/")
    return "/".join(parts[-2:])


def columns_of(resource: dict[str, Any]) -> tuple[str, int | None, int | None]:
    """status, start and end (milliseconds) of a resource that has them."""
    status = resource.get("status", "")
    times = [_milliseconds(resource.get(name)) for name in ("start", "end")]
    return status if isinstance(status, str) else "", times[0], times[1]


def terms_of(resource: dict[str, Any], actors_of_schedule: Callable[[str], list[str]]) -> list[tuple[str, str]]:
    """(``Type.parameter``, value) pairs; ``actors_of_schedule`` resolves a Slot's schedule to its actors."""
    resource_type = resource["resourceType"]
    found = list(_identifiers(resource))
    if resource_type in ("Patient", "Practitioner"):
        found += _person(resource)
    elif resource_type == "Appointment":
        found += _appointment(resource)
    elif resource_type == "Slot":
        schedule = relative_reference(resource.get("schedule", {}).get("reference", ""))
        found += [("schedule", schedule), *(("schedule.actor", actor) for actor in actors_of_schedule(schedule))]
    elif resource_type == "Schedule":
        found += [
            ("actor", relative_reference(actor["reference"]))
            for actor in resource.get("actor", [])
            if "reference" in actor
        ]
    elif resource_type == "PractitionerRole":
        found += _role(resource)
    elif resource_type == "Coverage":
        found += _coverage(resource)
    elif resource_type in ("Location", "Organization") and isinstance(resource.get("name"), str):
        found.append(("name", normalised(resource["name"])))
    if isinstance(resource.get("active"), bool):
        found.append(("active", str(resource["active"]).lower()))
    return [(f"{resource_type}.{name}", value) for name, value in found if value]


def _milliseconds(value: Any) -> int | None:
    try:
        return parse_instant(value)
    except (TypeError, ValueError):
        return None


def _identifiers(resource: dict[str, Any]) -> Terms:
    identifiers = resource.get("identifier", [])
    for identifier in identifiers if isinstance(identifiers, list) else []:
        value, system = str(identifier.get("value", "")), str(identifier.get("system", ""))
        yield "identifier", value
        yield "identifier", f"{system}|{value}"
        yield "identifier", f"{system}|"


def _person(resource: dict[str, Any]) -> Terms:
    for name in resource.get("name", []):
        family = name.get("family", "")
        yield "family", normalised(family)
        yield "family:exact", family
        for text in [family, name.get("text", ""), *name.get("given", [])]:
            yield "name", normalised(text)
        for given in name.get("given", []):
            yield "given", normalised(given)
            yield "given:exact", given
    for telecom in resource.get("telecom", []):
        if telecom.get("system") in ("phone", "sms"):
            yield "phone", phone_digits(telecom.get("value", ""))
        elif telecom.get("system") == "email":
            yield "email", telecom.get("value", "").casefold()
    yield "birthdate", resource.get("birthDate", "")
    yield "gender", resource.get("gender", "")


def _appointment(resource: dict[str, Any]) -> Terms:
    for participant in resource.get("participant", []):
        reference = relative_reference(participant.get("actor", {}).get("reference", ""))
        if not reference:
            continue
        yield "actor", reference
        role = reference.partition("/")[0].casefold()
        if role in ("patient", "practitioner", "location"):
            yield role, reference
    for slot in resource.get("slot", []):
        yield "slot", relative_reference(slot.get("reference", ""))
    for coding in resource.get("appointmentType", {}).get("coding", []):
        yield "appointment-type", coding.get("code", "")
        yield "appointment-type", f"{coding.get('system', '')}|{coding.get('code', '')}"


def _role(resource: dict[str, Any]) -> Terms:
    yield "practitioner", relative_reference(resource.get("practitioner", {}).get("reference", ""))
    for location in resource.get("location", []):
        yield "location", relative_reference(location.get("reference", ""))


def _coverage(resource: dict[str, Any]) -> Terms:
    whose = relative_reference(resource.get("beneficiary", {}).get("reference", ""))
    yield "beneficiary", whose
    yield "patient", whose
    for payor in resource.get("payor", []):
        yield "payor", relative_reference(payor.get("reference", ""))
    for coding in resource.get("type", {}).get("coding", []):
        yield "type", coding.get("code", "")
        yield "type", f"{coding.get('system', '')}|{coding.get('code', '')}"
