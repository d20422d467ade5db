"""The rules of Oracle Health's Millennium for appointments: one open slot, one patient, no way back.

Source: Oracle Health Millennium Platform APIs, Appointment.
"""

from __future__ import annotations

from typing import Any

from .booking import in_slot
from .indexing import relative_reference
from .outcomes import unprocessable
from .store import Record, Transaction

#: Other elements of a new appointment are ignored: the slot says when, with whom and where.
KEPT = ("appointmentType", "reasonCode", "comment", "description", "extension")
CHANGES = {
    "proposed": {"booked", "cancelled"},
    "booked": {"arrived", "checked-in", "cancelled"},
    "arrived": {"checked-in", "cancelled"},
    "checked-in": {"fulfilled", "cancelled"},
}


def appointment_in_one_slot(transaction: Transaction, wish: dict[str, Any]) -> dict[str, Any]:
    """The appointment that a new one becomes. Raises ``FhirError`` 422 for any other wish than one patient in a slot.

    An identifier that the client made up is not kept.
    """
    if wish.get("status") != "booked":
        raise unprocessable("A new appointment must have the status booked.", "Appointment.status", "value")
    slot = _only_slot(transaction, wish)
    kept = {name: wish[name] for name in KEPT if name in wish}
    return in_slot(transaction, slot, _only_patient(wish)) | {"status": "booked"} | kept


def check_status_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Raises ``FhirError`` 422 for a status that does not follow on the present one."""
    old, new = before.get("status", ""), after.get("status", "")
    if new != old and new not in CHANGES.get(old, ()):
        raise unprocessable(f"An appointment that is {old} cannot become {new}.", "Appointment.status", "business-rule")


def _only_slot(transaction: Transaction, wish: dict[str, Any]) -> Record:
    references = [relative_reference(str(slot.get("reference", ""))) for slot in wish.get("slot", [])]
    if len(references) != 1 or not references[0].startswith("Slot/"):
        raise unprocessable("Exactly one slot is needed.", "Appointment.slot", "required")
    slot = transaction.get("Slot", references[0].removeprefix("Slot/"))
    if slot is None:
        raise unprocessable(f"{references[0]} is not known here.", "Appointment.slot", "not-found")
    return slot


def _only_patient(wish: dict[str, Any]) -> dict[str, Any]:
    path = "Appointment.participant"
    participants = wish.get("participant", [])
    if len(participants) != 1:
        raise unprocessable("Exactly one participant is needed, the patient.", path, "required")
    participant = participants[0]
    reference = relative_reference(str(participant.get("actor", {}).get("reference", "")))
    if not reference.startswith("Patient/"):
        raise unprocessable("The participant must be a Patient.", f"{path}[0].actor", "value")
    if participant.get("status") != "accepted":
        raise unprocessable("The patient must have accepted.", f"{path}[0].status", "value")
    if "type" in participant:
        raise unprocessable("The participant must have no type.", f"{path}[0].type", "not-supported")
    return {"actor": {"reference": reference}, "required": "required", "status": "accepted"}
