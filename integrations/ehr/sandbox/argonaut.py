"""Argonaut's ``$hold`` and ``$book``: a proposed appointment is kept for a while, and given to a patient.

Source: Argonaut Scheduling Implementation Guide 1.0.0. As it says there, a refused hold or booking is answered by 200
with the appointment cancelled and an OperationOutcome.
"""

from __future__ import annotations

import uuid
from email.utils import formatdate
from typing import Any

from .indexing import relative_reference
from .interactions import save
from .messages import Request, Response, parameters_of, resources_and_values
from .outcomes import FhirError, not_found, operation_outcome, unprocessable
from .proposals import proposal, searchset
from .store import Store, Transaction
from .validation import check_form, check_rules

Json = dict[str, Any]


def hold(store: Store, request: Request, resource_id: str) -> Response:
    """Keeps the time as a pending Appointment until ``Expires``."""
    with store.writing() as transaction:
        wanted, held_id = _wanted(transaction, request, resource_id)
        if held_id:
            return _refused(request, wanted, "This time is held already.")
        try:
            record = save(transaction, "Appointment", uuid.uuid4().hex, wanted | {"status": "pending"})
        except FhirError as error:
            return _refused(request, wanted, _taken(error))
        expires_ms = store.clock.now() + store.hold_seconds * 1000
        transaction.connection.execute(
            "INSERT INTO holds VALUES (?, ?, ?)", (record.id, wanted.get("id", ""), expires_ms)
        )
    response = searchset(request, [record.resource], _done("The time is held."))
    response.headers["Expires"] = formatdate(expires_ms / 1000, usegmt=True)
    return response


def book(store: Store, request: Request, resource_id: str) -> Response:
    """Books a held or a proposed time for the patients named, and answers with the booked Appointment."""
    given = parameters_of(request)
    patients = [relative_reference(value) for name, value in given if name in ("patient-id", "patient-reference")]
    comment = next((value for name, value in given if name == "comment"), "")
    with store.writing() as transaction:
        wanted, held_id = _wanted(transaction, request, resource_id)
        booked = _with_patients(wanted, patients) | {"status": "booked"} | ({"comment": comment} if comment else {})
        check_rules(booked)
        try:
            record = save(transaction, "Appointment", held_id or uuid.uuid4().hex, booked)
        except FhirError as error:
            return _refused(request, wanted, _taken(error))
        transaction.connection.execute("DELETE FROM holds WHERE appointment_id = ?", (record.id,))
    return searchset(request, [record.resource], _done("The appointment is booked."))


def release_expired(store: Store) -> None:
    """Give up the holds whose time is over: their appointments are cancelled, their slots free."""
    now = store.clock.now()
    with store.reading() as connection:
        if connection.execute("SELECT 1 FROM holds WHERE expires_ms <= ? LIMIT 1", (now,)).fetchone() is None:
            return
    with store.writing() as transaction:
        rows = transaction.connection.execute(
            "SELECT appointment_id FROM holds WHERE expires_ms <= ?", (now,)
        ).fetchall()
        transaction.connection.execute("DELETE FROM holds WHERE expires_ms <= ?", (now,))
        for (appointment_id,) in rows:
            present = transaction.get("Appointment", appointment_id)
            if present is not None and present.resource["status"] == "pending":
                save(transaction, "Appointment", appointment_id, present.resource | {"status": "cancelled"})


def _wanted(transaction: Transaction, request: Request, resource_id: str) -> tuple[Json, str]:
    """The appointment that is meant, and the id under which it is held, else an empty string.

    By ``appt-id``, of a proposal or of a hold, or as ``appt-resource`` that the client has made itself.
    """
    named = dict(parameters_of(request)).get("appt-id", resource_id)
    identity = relative_reference(named).removeprefix("Appointment/")
    if not identity:
        return _own(request), ""
    held = transaction.connection.execute(
        "SELECT appointment_id FROM holds WHERE appointment_id = ? OR (proposal_id != '' AND proposal_id = ?)",
        (identity, identity),
    ).fetchone()
    if held is not None:
        present = transaction.get("Appointment", held[0])
        if present is not None:
            return present.resource, str(held[0])
    found = proposal(transaction.connection, identity)
    if found is None:
        present = transaction.get("Appointment", identity)
        if present is None:
            raise not_found("Appointment", identity)
        raise unprocessable("This appointment is neither proposed nor held.", "Appointment.status", "business-rule")
    return found, ""


def _own(request: Request) -> Json:
    for item in resources_and_values(request):
        if item.get("name") == "appt-resource":
            resource = check_form(item.get("resource"), "Appointment")
            if not resource.get("slot"):
                raise unprocessable("An appointment of one's own needs its slots.", "Appointment.slot", "required")
            own = {name: value for name, value in resource.items() if name not in ("id", "meta")}
            check_rules(own | {"status": "booked"})
            return own
    raise FhirError(400, "required", "appt-id or appt-resource is needed.")


def _with_patients(wanted: Json, patients: list[str]) -> Json:
    present = [each for each in wanted["participant"] if not _is_patient(each)]
    named = patients or [each["actor"]["reference"] for each in wanted["participant"] if _is_patient(each)]
    if not named or not all(relative_reference(reference).startswith("Patient/") for reference in named):
        raise unprocessable("A patient-id like Patient/1 is needed.", "patient-id", "required")
    actors = [{"actor": {"reference": reference}, "required": "required"} for reference in named]
    return wanted | {"participant": [each | {"status": "accepted"} for each in [*actors, *present]]}


def _is_patient(participant: Json) -> bool:
    return relative_reference(str(participant.get("actor", {}).get("reference", ""))).startswith("Patient/")


def _taken(error: FhirError) -> str:
    """What a conflict says; every other error is not about the time and goes on its way."""
    if error.status != 409:
        raise error
    return str(error)


def _refused(request: Request, wanted: Json, text: str) -> Response:
    refused = {"id": uuid.uuid4().hex, **wanted, "status": "cancelled"}
    return searchset(request, [refused], operation_outcome("conflict", text))


def _done(text: str) -> Json:
    return operation_outcome("informational", text, severity="information")
