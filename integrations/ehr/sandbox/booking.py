"""No double booking: which slots an appointment holds, decided inside the one write transaction."""

# Statements are put together from fixed fragments; every value is a bound parameter.
# ruff: noqa: S608

from __future__ import annotations

from typing import Any

from .clock import parse_instant
from .indexing import relative_reference
from .outcomes import slot_taken, unprocessable
from .store import Record, Transaction

HOLDING_STATUSES = ("pending", "booked", "arrived", "checked-in", "fulfilled")
_DAY_MS = 24 * 3600 * 1000


def occupy(
    transaction: Transaction,
    appointment_id: str,
    before: dict[str, Any] | None,
    after: dict[str, Any],
    *,
    frees_slots: bool = True,
) -> None:
    """Move the slots' states along with an appointment that is about to be stored.

    ``before`` is its present version, None for a new one. With ``frees_slots`` False a cancelled appointment leaves its
    slots busy, as some systems do. Raises ``FhirError`` 409 when the time is taken.
    """
    held_before = before is not None and before.get("status") in HOLDING_STATUSES
    if after.get("status") not in HOLDING_STATUSES:
        if held_before:
            release(transaction, appointment_id, frees_slots=frees_slots)
        return
    if held_before and before is not None and _claim(before) == _claim(after):
        return
    start, end = parse_instant(after["start"]), parse_instant(after["end"])
    practitioners = _actors(after, "Practitioner")
    slots = _slots_for(transaction, after, start, end)
    for slot in slots:
        practitioners |= _practitioners_of_slot(transaction, slot)
    _refuse_overlap(transaction, appointment_id, practitioners, start, end)
    held = _held(transaction, appointment_id)
    for slot in slots:
        if slot.resource["status"] != "free" and slot.id not in held:
            raise slot_taken()
    release(transaction, appointment_id, kept={slot.id for slot in slots})
    for slot in slots:
        _hold(transaction, appointment_id, slot)


def in_slot(transaction: Transaction, slot: Record, patient: dict[str, Any]) -> dict[str, Any]:
    """An Appointment without status, of the patient with the actors of the slot's schedule."""
    start, end = slot.resource["start"], slot.resource["end"]
    reference = relative_reference(slot.resource["schedule"]["reference"])
    schedule = transaction.get("Schedule", reference.removeprefix("Schedule/"))
    actors = schedule.resource.get("actor", []) if schedule is not None else []
    others = [{"actor": actor, "required": "required", "status": "accepted"} for actor in actors]
    return {
        "resourceType": "Appointment",
        "start": start,
        "end": end,
        "minutesDuration": (parse_instant(end) - parse_instant(start)) // 60_000,
        "slot": [{"reference": f"Slot/{slot.id}"}],
        "participant": [patient, *others],
    }


def note_holds(transaction: Transaction, appointments: list[dict[str, Any]]) -> None:
    """Remember which slots loaded appointments name, so that cancelling one frees them."""
    holds = [
        (relative_reference(slot["reference"]).rpartition("/")[2], appointment["id"])
        for appointment in appointments
        if appointment.get("status") in HOLDING_STATUSES
        for slot in appointment.get("slot", [])
        if "reference" in slot
    ]
    transaction.connection.executemany("INSERT OR REPLACE INTO slot_holds VALUES (?, ?)", holds)


def release(
    transaction: Transaction, appointment_id: str, *, kept: set[str] | None = None, frees_slots: bool = True
) -> None:
    """Free the slots that an appointment holds, apart from ``kept``."""
    for slot_id in _held(transaction, appointment_id) - (kept or set()):
        transaction.connection.execute("DELETE FROM slot_holds WHERE slot_id = ?", (slot_id,))
        record = transaction.get("Slot", slot_id)
        if frees_slots and record is not None and record.resource["status"] == "busy":
            transaction.put("Slot", slot_id, record.resource | {"status": "free"})


def _claim(appointment: dict[str, Any]) -> tuple[Any, ...]:
    slots = {relative_reference(slot.get("reference", "")) for slot in appointment.get("slot", [])}
    times = [parse_instant(appointment[name]) if name in appointment else None for name in ("start", "end")]
    return (*times, _actors(appointment, "Practitioner"), _actors(appointment, "Location"), slots)


def _actors(appointment: dict[str, Any], resource_type: str) -> set[str]:
    references = {
        relative_reference(participant.get("actor", {}).get("reference", ""))
        for participant in appointment.get("participant", [])
    }
    return {reference for reference in references if reference.startswith(f"{resource_type}/")}


def _held(transaction: Transaction, appointment_id: str) -> set[str]:
    rows = transaction.connection.execute("SELECT slot_id FROM slot_holds WHERE appointment_id = ?", (appointment_id,))
    return {row[0] for row in rows}


def _slots_for(transaction: Transaction, appointment: dict[str, Any], start: int, end: int) -> list[Record]:
    """The slots named by the appointment, or else those of its practitioner (and location) at its time."""
    named = [relative_reference(slot["reference"]) for slot in appointment.get("slot", []) if "reference" in slot]
    if not named:
        return _matching_slots(transaction, appointment, start, end)
    slots = [slot for slot in (transaction.get("Slot", name.rpartition("/")[2]) for name in named) if slot is not None]
    for slot in slots:
        resource = slot.resource
        if parse_instant(resource["start"]) >= end or parse_instant(resource["end"]) <= start:
            raise unprocessable(
                f"Slot/{slot.id} is not at the time of the appointment.", "Appointment.slot", "invariant"
            )
    return slots


def _matching_slots(transaction: Transaction, appointment: dict[str, Any], start: int, end: int) -> list[Record]:
    practitioners, locations = _actors(appointment, "Practitioner"), _actors(appointment, "Location")
    if not practitioners:
        return []
    conditions = [_is_of(practitioners)]
    if locations:
        conditions.append(_is_of(locations))
    rows = transaction.connection.execute(
        "SELECT id FROM resources r WHERE type = 'Slot' AND deleted = 0 AND status != 'entered-in-error'"
        f" AND start_ms < ? AND start_ms > ? AND end_ms > ? AND {' AND '.join(conditions)} ORDER BY start_ms",
        [end, start - _DAY_MS, start, *practitioners, *locations],
    ).fetchall()
    return [slot for slot in (transaction.get("Slot", row[0]) for row in rows) if slot is not None]


def _is_of(actors: set[str]) -> str:
    condition = f"key = r.key AND parameter = 'Slot.schedule.actor' AND value IN ({_marks(actors)})"
    return f"EXISTS (SELECT 1 FROM terms WHERE {condition})"


def _practitioners_of_slot(transaction: Transaction, slot: Record) -> set[str]:
    rows = transaction.connection.execute(
        "SELECT value FROM terms WHERE key = ? AND parameter = 'Slot.schedule.actor' AND value LIKE 'Practitioner/%'",
        (slot.key,),
    )
    return {row[0] for row in rows}


def _refuse_overlap(
    transaction: Transaction, appointment_id: str, practitioners: set[str], start: int, end: int
) -> None:
    if not practitioners:
        return
    row = transaction.connection.execute(
        "SELECT 1 FROM resources r WHERE type = 'Appointment' AND deleted = 0 AND id != ?"
        f" AND status IN ({_marks(HOLDING_STATUSES)}) AND start_ms < ? AND start_ms > ? AND end_ms > ?"
        " AND EXISTS (SELECT 1 FROM terms WHERE key = r.key AND parameter = 'Appointment.practitioner'"
        f" AND value IN ({_marks(practitioners)})) LIMIT 1",
        [appointment_id, *HOLDING_STATUSES, end, start - _DAY_MS, start, *practitioners],
    ).fetchone()
    if row is not None:
        raise slot_taken()


def _hold(transaction: Transaction, appointment_id: str, slot: Record) -> None:
    transaction.connection.execute("INSERT OR REPLACE INTO slot_holds VALUES (?, ?)", (slot.id, appointment_id))
    if slot.resource["status"] == "free":
        transaction.put("Slot", slot.id, slot.resource | {"status": "busy"})


def _marks(values: set[str] | tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))
