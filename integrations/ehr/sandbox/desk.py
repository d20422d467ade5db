"""What the practice's front desk does in the EHR itself: book, cancel, move, send a provider home."""

# Statements are put together from fixed fragments; every value is a bound parameter.
# ruff: noqa: S608

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .clinic_setup import CANCELLATION_SYSTEM, TIMEZONE_EXTENSION, TYPE_SYSTEM
from .clock import format_instant, parse_instant
from .indexing import relative_reference
from .interactions import save
from .outcomes import FhirError, not_found, unprocessable
from .search import matching_keys, parse_search
from .store import Record, Store, Transaction
from .validation import check_shape

_CALENDAR_LIMIT = 2000
_OUT_REASON = "prov-pers"


class FrontDesk:
    def __init__(self, store: Store) -> None:
        self._store = store

    def book(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Book ``{patient, practitioner, location, start, end or minutes, slots, type, status}`` by ids.

        Times are FHIR instants. Raises ``FhirError`` 409 when the time is taken.
        """
        appointment: dict[str, Any] = {
            "resourceType": "Appointment",
            "status": wish.get("status", "booked"),
            "participant": [],
        }
        for role in ("patient", "practitioner", "location"):
            if wish.get(role):
                reference = f"{role.capitalize()}/{str(wish[role]).rpartition('/')[2]}"
                appointment["participant"].append({"actor": {"reference": reference}, "status": "accepted"})
        if wish.get("type"):
            appointment["appointmentType"] = {"coding": [{"system": TYPE_SYSTEM, "code": str(wish["type"])}]}
        slots = [str(slot).rpartition("/")[2] for slot in wish.get("slots", [])]
        with self._store.writing() as transaction:
            appointment |= _times(transaction, wish, slots)
            if slots:
                appointment["slot"] = [{"reference": f"Slot/{slot}"} for slot in slots]
            check_shape(appointment, "Appointment")
            return save(transaction, "Appointment", uuid.uuid4().hex, appointment).resource

    def cancel(self, appointment_id: str, how: dict[str, Any]) -> dict[str, Any]:
        """Cancel with ``{reason_code, reason_system, drop_slot, free_slots}``; null as reason_code gives none."""
        with self._store.writing() as transaction:
            appointment = _present(transaction, appointment_id)
            cancelled = appointment | {"status": "cancelled"}
            reason = how.get("reason_code", "pat")
            cancelled.pop("cancelationReason", None)
            if reason is not None:
                system = how.get("reason_system", CANCELLATION_SYSTEM)
                cancelled["cancelationReason"] = {"coding": [{"system": system, "code": str(reason)}]}
            if how.get("drop_slot"):
                cancelled.pop("slot", None)
            frees_slots = bool(how.get("free_slots", True))
            return save(transaction, "Appointment", appointment_id, cancelled, frees_slots=frees_slots).resource

    def uncancel(self, appointment_id: str) -> dict[str, Any]:
        """Booked again, when the time is still free; else ``FhirError`` 409."""
        with self._store.writing() as transaction:
            appointment = _present(transaction, appointment_id)
            if appointment["status"] not in ("cancelled", "noshow"):
                raise unprocessable(
                    "Only a cancelled or missed appointment can be taken back.", "Appointment.status", "invariant"
                )
            booked = appointment | {"status": "booked"}
            booked.pop("cancelationReason", None)
            check_shape(booked, "Appointment")
            return save(transaction, "Appointment", appointment_id, booked).resource

    def move(self, appointment_id: str, wish: dict[str, Any]) -> dict[str, Any]:
        """To another time (``start``, ``end``, ``slots``), ``practitioner`` or ``location``; the length stays."""
        slots = [str(slot).rpartition("/")[2] for slot in wish.get("slots", [])]
        with self._store.writing() as transaction:
            moved = _present(transaction, appointment_id)
            if "end" not in wish and "minutes" not in wish and "start" in moved:
                length = parse_instant(moved["end"]) - parse_instant(moved["start"])
                wish = wish | {"minutes": length // 60000}
            if "start" in wish or slots:
                moved |= _times(transaction, wish, slots)
                moved.pop("slot", None)
            if slots:
                moved["slot"] = [{"reference": f"Slot/{slot}"} for slot in slots]
            for role in ("practitioner", "location"):
                if wish.get(role):
                    moved["participant"] = _replaced(moved["participant"], role.capitalize(), str(wish[role]))
                    moved.pop("slot", None)
            check_shape(moved, "Appointment")
            return save(transaction, "Appointment", appointment_id, moved).resource

    def out_today(self, practitioner_id: str, how: dict[str, Any]) -> dict[str, Any]:
        """Cancel a provider's day (``date``, default today) appointment by appointment and block the free slots."""
        reason = how.get("reason_code", _OUT_REASON)
        cancelled: list[str] = []
        with self._store.reading() as connection:
            zone = _zone_of_practitioner(connection, practitioner_id)
        day = _day(how.get("date"), zone)
        window = [("date", f"ge{day[0]}"), ("date", f"lt{day[1]}"), ("practitioner", practitioner_id)]
        for appointment in self._found("Appointment", [*window, ("status", "pending,booked,arrived,checked-in")]):
            self.cancel(appointment["id"], {"reason_code": reason})
            cancelled.append(appointment["id"])
        blocked = self._block(practitioner_id, day)
        return {"cancelled": cancelled, "blocked_slots": blocked}

    def _block(self, practitioner_id: str, day: tuple[str, str]) -> list[str]:
        window = [
            ("start", f"ge{day[0]}"),
            ("start", f"lt{day[1]}"),
            ("schedule.actor", f"Practitioner/{practitioner_id}"),
        ]
        slots = self._found("Slot", [*window, ("status", "free")])
        with self._store.writing() as transaction:
            for slot in slots:
                save(transaction, "Slot", slot["id"], slot | {"status": "busy-unavailable"})
        return [slot["id"] for slot in slots]

    def appointments(self, parameters: list[tuple[str, str]]) -> dict[str, Any]:
        """Whole Appointments by the search parameters of FHIR, for checks from outside."""
        found = self._found("Appointment", parameters)
        return {"total": len(found), "appointments": found}

    def calendar(self, wish: dict[str, str]) -> dict[str, Any]:
        """One local day (``date``, default today) at one ``location`` (default: the first), ordered by time."""
        locations = self._found("Location", [("_id", wish["location"])] if wish.get("location") else [])
        if not locations:
            raise not_found("Location", wish.get("location", ""))
        location = locations[0]
        zone = zone_of(location)
        begin, end, day = *_day(wish.get("date"), zone), wish.get("date") or datetime.now(zone).date().isoformat()
        window = [("date", f"ge{begin}"), ("date", f"lt{end}"), ("location", location["id"]), ("_sort", "date")]
        found = self._found("Appointment", window)
        return {
            "date": day,
            "location": {"id": location["id"], "name": location.get("name", ""), "zone": zone.key},
            "appointments": [_line(appointment, zone) for appointment in found],
        }

    def _found(self, resource_type: str, parameters: list[tuple[str, str]]) -> list[dict[str, Any]]:
        search = parse_search(resource_type, parameters)
        if search.unknown:
            raise FhirError(400, "not-supported", f"Unknown parameter: {', '.join(search.unknown)}.")
        columns = "r.key, r.type, r.id, r.version, r.updated_ms, r.deleted, r.body"
        sql = f"SELECT {columns} FROM resources r WHERE {search.where}"
        with self._store.reading() as connection:
            rows = connection.execute(
                f"{sql} ORDER BY {search.sort_column}, key LIMIT {_CALENDAR_LIMIT}", search.arguments
            ).fetchall()
        return [Record(*row).resource for row in rows]


def zone_of(location: dict[str, Any]) -> ZoneInfo:
    """The zone in a Location's timezone extension, UTC without one."""
    for extension in location.get("extension", []):
        if extension.get("url") == TIMEZONE_EXTENSION:
            return ZoneInfo(str(extension["valueCode"]))
    return ZoneInfo("UTC")


def _zone_of_practitioner(connection: Any, practitioner_id: str) -> ZoneInfo:
    """The zone of the provider's first location."""
    keys = matching_keys(connection, parse_search("PractitionerRole", [("practitioner", practitioner_id)]), 1)
    if not keys:
        raise not_found("Practitioner", practitioner_id)
    row = connection.execute(
        "SELECT l.body FROM terms t JOIN resources l ON l.type = 'Location' AND t.value = 'Location/' || l.id"
        " WHERE t.key = ? AND t.parameter = 'PractitionerRole.location'",
        (keys[0],),
    ).fetchone()
    return zone_of(Record(0, "Location", "", 0, 0, False, row[0]).resource) if row else ZoneInfo("UTC")


def _day(text: Any, zone: ZoneInfo) -> tuple[str, str]:
    """Begin and end of a local day as UTC instants."""
    try:
        day = date.fromisoformat(text) if text else datetime.now(zone).date()
    except (TypeError, ValueError):
        raise FhirError(400, "invalid", "date must look like 2026-03-04.") from None
    bounds = [datetime.combine(moment, time(), zone).astimezone(UTC) for moment in (day, day + timedelta(days=1))]
    return bounds[0].strftime("%Y-%m-%dT%H:%M:%SZ"), bounds[1].strftime("%Y-%m-%dT%H:%M:%SZ")


def _present(transaction: Transaction, appointment_id: str) -> dict[str, Any]:
    record = transaction.get("Appointment", appointment_id)
    if record is None:
        raise not_found("Appointment", appointment_id)
    return record.resource


def _times(transaction: Transaction, wish: dict[str, Any], slots: list[str]) -> dict[str, Any]:
    """start, end and minutesDuration from the wish, or from the slots it names."""
    try:
        if slots:
            records = [transaction.get("Slot", slot) for slot in slots]
            found = [record.resource for record in records if record is not None]
            start, end = (
                min(parse_instant(slot["start"]) for slot in found),
                max(parse_instant(slot["end"]) for slot in found),
            )
        else:
            start = parse_instant(wish["start"])
            end = parse_instant(wish["end"]) if "end" in wish else start + int(wish["minutes"]) * 60000
    except (KeyError, TypeError, ValueError):
        raise FhirError(
            400, "required", "Slots, or start with end or minutes, are needed; times with an offset."
        ) from None
    return {"start": format_instant(start), "end": format_instant(end), "minutesDuration": (end - start) // 60000}


def _replaced(participants: list[dict[str, Any]], resource_type: str, identity: str) -> list[dict[str, Any]]:
    others = [
        one
        for one in participants
        if not str(one.get("actor", {}).get("reference", "")).startswith(f"{resource_type}/")
    ]
    reference = f"{resource_type}/{identity.rpartition('/')[2]}"
    return [*others, {"actor": {"reference": reference}, "status": "accepted"}]


def _line(appointment: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    actors: dict[str, dict[str, str]] = {}
    for participant in appointment["participant"]:
        actor = participant.get("actor", {})
        kind, _, identity = relative_reference(actor.get("reference", "")).partition("/")
        actors.setdefault(kind.casefold(), {"id": identity, "display": actor.get("display", "")})
    codings = appointment.get("appointmentType", {}).get("coding", [])
    times = [datetime.fromisoformat(appointment[name]).astimezone(zone) for name in ("start", "end")]
    return {
        "id": appointment["id"],
        "version": appointment["meta"]["versionId"],
        "status": appointment["status"],
        "start": times[0].isoformat(),
        "end": times[1].isoformat(),
        "time": f"{times[0]:%H:%M}",
        "patient": actors.get("patient"),
        "practitioner": actors.get("practitioner"),
        "type": codings[0].get("code", "") if codings else "",
    }
