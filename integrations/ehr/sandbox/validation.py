"""What a resource must look like before it is stored."""

from __future__ import annotations

import re
from typing import Any

from .clock import parse_instant
from .indexing import relative_reference
from .outcomes import FhirError, unprocessable
from .search import PARAMETERS
from .store import Transaction

APPOINTMENT_STATUSES = frozenset(
    [
        "proposed",
        "pending",
        "booked",
        "arrived",
        "fulfilled",
        "cancelled",
        "noshow",
        "entered-in-error",
        "checked-in",
        "waitlist",
    ]
)
SLOT_STATUSES = frozenset(["busy", "free", "busy-unavailable", "busy-tentative", "entered-in-error"])
TIMELESS_STATUSES = frozenset({"proposed", "cancelled", "waitlist"})
COVERAGE_STATUSES = frozenset(["active", "cancelled", "draft", "entered-in-error"])
PARTICIPATION_STATUSES = frozenset(["accepted", "declined", "tentative", "needs-action"])
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

# Shapes of the elements that search and booking read: L list of objects, O object, S text, B true or false.
_SHAPES = {
    "identifier": "L",
    "name": "L",
    "telecom": "L",
    "communication": "L",
    "participant": "L",
    "actor": "L",
    "slot": "L",
    "location": "L",
    "contact": "L",
    "link": "L",
    "extension": "L",
    "appointmentType": "O",
    "schedule": "O",
    "practitioner": "O",
    "beneficiary": "O",
    "payor": "L",
    "class": "L",
    "period": "O",
    "cancelationReason": "O",
    "channel": "O",
    "meta": "O",
    "status": "S",
    "start": "S",
    "end": "S",
    "birthDate": "S",
    "criteria": "S",
    "active": "B",
}
_TEXT_NAMES = {"Location", "HealthcareService", "Organization"}


def check_shape(resource: Any, resource_type: str) -> dict[str, Any]:
    """The resource, when it is one of this type and keeps its rules. Raises ``FhirError`` 400 or 422."""
    return check_rules(check_form(resource, resource_type))


def check_form(resource: Any, resource_type: str) -> dict[str, Any]:
    """The resource, when its elements have the form in which they can be read. Raises ``FhirError`` 400."""
    if not isinstance(resource, dict):
        raise FhirError(400, "structure", "The body must be one FHIR resource.")
    if resource.get("resourceType") != resource_type:
        raise FhirError(400, "invalid", f"The body must be a {resource_type}.", expression="resourceType")
    for name, value in resource.items():
        shape = _SHAPES.get(name)
        if name == "name" and resource_type in _TEXT_NAMES:
            shape = "S"
        if shape is not None and not _fits(value, shape):
            raise FhirError(400, "structure", f"{name} has the wrong form.", expression=f"{resource_type}.{name}")
    _check_depth(resource, resource_type)
    checked: dict[str, Any] = resource
    return checked


def check_rules(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource, when it keeps the rules of its type. Raises ``FhirError`` 422."""
    check = _CHECKS.get(resource["resourceType"])
    if check is not None:
        check(resource)
    return resource


def check_references(transaction: Transaction, resource: dict[str, Any], present: dict[str, Any] | None) -> None:
    """Every new reference to a kind of resource that lives here must lead to one. Raises ``FhirError`` 422.

    A reference that the present version already has may dangle: a slot that is gone must not keep an appointment
    from being cancelled.
    """
    known = {reference for _, reference in _references(present)} if present else set()
    for path, reference in _references(resource):
        if reference in known:
            continue
        target = relative_reference(reference)
        resource_type, _, resource_id = target.partition("/")
        if resource_type in PARAMETERS and transaction.get(resource_type, resource_id) is None:
            raise unprocessable(f"{target} is not known here.", path, "not-found")


def _fits(value: Any, shape: str) -> bool:
    if shape == "L":
        return isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return isinstance(value, {"O": dict, "S": str, "B": bool}[shape])


def _check_depth(resource: dict[str, Any], resource_type: str) -> None:
    """The second level of what search reads: names, phone numbers, references."""
    for name in resource.get("name", []) if isinstance(resource.get("name"), list) else []:
        given = name.get("given", [])
        texts = [name.get("family", ""), name.get("text", ""), *(given if isinstance(given, list) else [None])]
        if not all(isinstance(text, str) for text in texts):
            raise FhirError(400, "structure", "A name has the wrong form.", expression=f"{resource_type}.name")
    for telecom in resource.get("telecom", []):
        if not isinstance(telecom.get("value", ""), str):
            raise FhirError(400, "structure", "A telecom value must be text.", expression=f"{resource_type}.telecom")
    for coding in resource.get("appointmentType", {}).get("coding", []):
        if not isinstance(coding, dict) or not isinstance(coding.get("code", ""), str):
            raise FhirError(
                400, "structure", "A coding has the wrong form.", expression=f"{resource_type}.appointmentType"
            )
    for path, reference in _references(resource):
        if not isinstance(reference, str):
            raise FhirError(400, "structure", "A reference must be text.", expression=path)


def _references(resource: dict[str, Any]) -> list[tuple[str, Any]]:
    kind = resource["resourceType"]
    found: list[tuple[str, Any]] = []
    for position, participant in enumerate(resource.get("participant", [])):
        actor = participant.get("actor", {})
        path = f"{kind}.participant[{position}].actor"
        found.append((path, actor.get("reference") if isinstance(actor, dict) else 0))
    for name in ("actor", "slot", "location", "payor") if kind != "Location" else ():
        found += [(f"{kind}.{name}[{at}]", item.get("reference")) for at, item in enumerate(resource.get(name, []))]
    for name in ("schedule", "practitioner", "beneficiary"):
        if name in resource:
            found.append((f"{kind}.{name}", resource[name].get("reference")))
    return [(path, reference) for path, reference in found if reference is not None]


def _milliseconds(resource: dict[str, Any], name: str) -> int | None:
    if name not in resource:
        return None
    kind = resource["resourceType"]
    if "T" not in resource[name]:
        raise unprocessable(f"{name} must be a time, not only a date.", f"{kind}.{name}", "value")
    try:
        return parse_instant(resource[name])
    except ValueError as error:
        raise unprocessable(f"{name} is not valid: {error}.", f"{kind}.{name}", "value") from None


def _check_appointment(appointment: dict[str, Any]) -> None:
    status = appointment.get("status")
    if status not in APPOINTMENT_STATUSES:
        raise unprocessable("status is missing or not one that R4 knows.", "Appointment.status", "code-invalid")
    start, end = _milliseconds(appointment, "start"), _milliseconds(appointment, "end")
    if (start is None) != (end is None):
        raise unprocessable("start and end come together or not at all.", "Appointment.start", "invariant")
    if start is None or end is None:
        if status not in TIMELESS_STATUSES:
            raise unprocessable(
                f"An appointment that is {status} needs start and end.", "Appointment.start", "required"
            )
    elif end <= start:
        raise unprocessable("end must be after start.", "Appointment.end", "invariant")
    if "cancelationReason" in appointment and status not in ("cancelled", "noshow"):
        raise unprocessable(
            "A cancelation reason needs the status cancelled or noshow.", "Appointment.cancelationReason", "invariant"
        )
    _check_participants(appointment.get("participant", []))


def _check_participants(participants: list[dict[str, Any]]) -> None:
    if not participants:
        raise unprocessable("At least one participant is needed.", "Appointment.participant", "required")
    for position, participant in enumerate(participants):
        path = f"Appointment.participant[{position}]"
        if not participant.get("actor") and not participant.get("type"):
            raise unprocessable("A participant needs an actor or a type.", path, "invariant")
        if participant.get("status") not in PARTICIPATION_STATUSES:
            raise unprocessable("A participant needs a status that R4 knows.", f"{path}.status", "code-invalid")


def _check_slot(slot: dict[str, Any]) -> None:
    if slot.get("status") not in SLOT_STATUSES:
        raise unprocessable("status is missing or not one that R4 knows.", "Slot.status", "code-invalid")
    start, end = _milliseconds(slot, "start"), _milliseconds(slot, "end")
    if start is None or end is None or "schedule" not in slot:
        raise unprocessable("A slot needs schedule, start and end.", "Slot", "required")
    if end <= start:
        raise unprocessable("end must be after start.", "Slot.end", "invariant")


def _check_schedule(schedule: dict[str, Any]) -> None:
    if not schedule.get("actor"):
        raise unprocessable("At least one actor is needed.", "Schedule.actor", "required")


def _check_coverage(coverage: dict[str, Any]) -> None:
    if coverage.get("status") not in COVERAGE_STATUSES:
        raise unprocessable("status is missing or not one that R4 knows.", "Coverage.status", "code-invalid")
    if not coverage.get("beneficiary") or not coverage.get("payor"):
        raise unprocessable("A coverage needs beneficiary and payor.", "Coverage", "required")


def _check_subscription(subscription: dict[str, Any]) -> None:
    criteria, channel = subscription.get("criteria", ""), subscription.get("channel", {})
    if subscription.get("status") not in ("requested", "active", "off", "error"):
        raise unprocessable("status is missing or not one that R4 knows.", "Subscription.status", "code-invalid")
    if criteria.partition("?")[0] not in PARAMETERS and "://" not in criteria:
        raise unprocessable(
            "criteria must be a topic, or start with a type this server has, such as Appointment?",
            "Subscription.criteria",
        )
    if channel.get("type") != "rest-hook":
        raise unprocessable("Only the channel rest-hook is supported.", "Subscription.channel.type", "not-supported")
    if not subscription.get("reason"):
        raise unprocessable("A Subscription needs a reason.", "Subscription.reason", "required")
    headers = channel.get("header", [])
    if not isinstance(headers, list) or not all(isinstance(line, str) and ":" in line for line in headers):
        raise unprocessable("header must be a list of lines like Name: value.", "Subscription.channel.header")
    if not str(channel.get("endpoint", "")).startswith(("http://", "https://")):
        raise unprocessable("endpoint must be an http or https address.", "Subscription.channel.endpoint")


_CHECKS = {
    "Appointment": _check_appointment,
    "Coverage": _check_coverage,
    "Slot": _check_slot,
    "Schedule": _check_schedule,
    "Subscription": _check_subscription,
}
