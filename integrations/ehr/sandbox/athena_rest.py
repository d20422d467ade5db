"""athenahealth's own REST interface to appointments: open ones are booked by id, and it writes to patients itself.

Source: athenahealth API, appointments. Bodies are forms, answers JSON, errors ``{"error": …}``, times local.
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from .athena import PRACTICE
from .booking import in_slot
from .clinic_setup import CANCELLATION_SYSTEM, TYPE_SYSTEM
from .desk import zone_of
from .indexing import relative_reference
from .interactions import save
from .messages import Request, Response, json_response
from .outcomes import FhirError
from .search import parse_search
from .store import Record, Store, Transaction, fetch

Json = dict[str, Any]
STATUSES = {"booked": "f", "pending": "f", "arrived": "2", "checked-in": "2", "fulfilled": "3"}
_ROOT = f"/v1/{PRACTICE}/appointments"
_ONE = re.compile(rf"{_ROOT}/(?P<id>[A-Za-z0-9\-.]{{1,64}})(?P<action>/cancel)?")
_OPEN_LIMIT = 1000


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def answer(store: Store, request: Request) -> Response:
    """Everything under ``/v1``."""
    try:
        found = _answer(store, request)
    except _Refused as refused:
        return json_response(refused.status, {"error": str(refused)})
    except FhirError as error:
        return json_response(error.status, {"error": str(error)})
    return json_response(200, found)


def _answer(store: Store, request: Request) -> Any:
    form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    if request.path == f"{_ROOT}/open" and request.method == "GET":
        return _open(store, dict(request.parameters))
    match = _ONE.fullmatch(request.path)
    if match is None:
        raise _Refused(404, "The requested resource does not exist.")
    actions: dict[tuple[str, bool], Callable[[], Any]] = {
        ("GET", False): lambda: _read(store, match["id"]),
        ("PUT", False): lambda: _book(store, match["id"], form),
        ("PUT", True): lambda: _cancel(store, match["id"], form),
    }
    action = actions.get((request.method, match["action"] is not None))
    if action is None:
        raise _Refused(405, "This method is not possible here.")
    return action()


def _open(store: Store, wanted: dict[str, str]) -> Json:
    """Open times of a department from ``startdate`` to ``enddate``, both inclusive, of any or one provider."""
    with store.reading() as connection:
        department = fetch(connection, "Location", wanted.get("departmentid", ""))
        if department is None:
            raise _Refused(400, "A departmentid is needed.")
        zone = zone_of(department.resource)
        first = _day(wanted, "startdate", zone)
        last = _day(wanted, "enddate", zone) + timedelta(days=1)
        criteria = [("status", "free"), ("schedule.actor", f"Location/{department.id}")]
        if wanted.get("providerid"):
            criteria.append(("schedule.actor", f"Practitioner/{wanted['providerid']}"))
        search = parse_search("Slot", criteria)
        search.add("r.start_ms >= ? AND r.start_ms < ?", *(round(at.timestamp() * 1000) for at in (first, last)))
        sql = f"SELECT id FROM resources r WHERE {search.where} ORDER BY start_ms LIMIT {_OPEN_LIMIT}"  # noqa: S608
        slots = [fetch(connection, "Slot", row[0]) for row in connection.execute(sql, search.arguments).fetchall()]
        found = [_line_of_slot(connection, slot) for slot in slots if slot is not None]
    return {"totalcount": len(found), "appointments": found}


def _read(store: Store, identity: str) -> list[Json]:
    with store.reading() as connection:
        present = fetch(connection, "Appointment", identity)
        if present is not None and not present.deleted:
            return [_line(connection, present)]
        slot = fetch(connection, "Slot", identity)
        if slot is None or slot.deleted or slot.resource["status"] != "free":
            raise _Refused(404, "The appointment is not available.")
        return [_line_of_slot(connection, slot)]


def _book(store: Store, identity: str, form: dict[str, str]) -> list[Json]:
    """Give an open time to ``patientid``. The appointment keeps the id of the time, unless that was used before."""
    with store.writing() as transaction:
        slot = transaction.get("Slot", identity)
        if slot is None:
            raise _Refused(404, "The appointment is not available.")
        patient = transaction.get("Patient", form.get("patientid", ""))
        if patient is None:
            raise _Refused(400, "The patientid is invalid.")
        if not form.get("appointmenttypeid") and not form.get("reasonid"):
            raise _Refused(400, "Either appointmenttypeid or reasonid is needed.")
        actor = {"actor": {"reference": f"Patient/{patient.id}"}, "required": "required", "status": "accepted"}
        concept = {"coding": [{"system": TYPE_SYSTEM, "code": form.get("appointmenttypeid") or form["reasonid"]}]}
        comment = {"comment": form["bookingnote"]} if form.get("bookingnote") else {}
        wish = in_slot(transaction, slot, actor) | {"status": "booked", "appointmentType": concept, **comment}
        is_new = fetch(transaction.connection, "Appointment", identity) is None
        try:
            record = save(transaction, "Appointment", identity if is_new else uuid.uuid4().hex, wish)
        except FhirError as error:
            raise _Refused(409 if error.status == 409 else 400, "The appointment is not available.") from None
        if form.get("donotsendconfirmationemail", "").casefold() != "true":
            _write_to_patient(transaction, record, patient)
        return [_line(transaction.connection, record)]


def _cancel(store: Store, identity: str, form: dict[str, str]) -> Json:
    with store.writing() as transaction:
        present = transaction.get("Appointment", identity)
        if present is None:
            raise _Refused(404, "The appointment is not available.")
        if form.get("patientid", "") != _actor(present.resource, "Patient"):
            raise _Refused(400, "The patientid is not the one of this appointment.")
        if present.resource["status"] not in ("booked", "pending"):
            raise _Refused(409, "The appointment cannot be cancelled in its present status.")
        reason: Json = {
            "coding": [{"system": CANCELLATION_SYSTEM, "code": form.get("appointmentcancelreasonid", "pat")}]
        }
        if form.get("cancellationreason"):
            reason["text"] = form["cancellationreason"]
        save(
            transaction,
            "Appointment",
            identity,
            present.resource | {"status": "cancelled", "cancelationReason": reason},
        )
    return {"status": "x", "appointmentid": identity}


def _write_to_patient(transaction: Transaction, appointment: Record, patient: Record) -> None:
    """The confirmation that athenahealth sends by itself; kept to be seen through the control API."""
    if any(each.get("system") == "email" for each in patient.resource.get("telecom", [])):
        transaction.connection.execute(
            "INSERT INTO messages (at_ms, kind, appointment_id, patient_id) VALUES (?, 'confirmation e-mail', ?, ?)",
            (appointment.updated_ms, appointment.id, patient.id),
        )


def _line(connection: sqlite3.Connection, record: Record) -> Json:
    resource = record.resource
    codes = resource.get("appointmentType", {}).get("coding", [])
    return _times(connection, resource, _actor(resource, "Location")) | {
        "appointmentid": record.id,
        "appointmentstatus": STATUSES.get(resource["status"], "x"),
        "patientid": _actor(resource, "Patient"),
        "providerid": _actor(resource, "Practitioner"),
        "appointmenttypeid": codes[0].get("code", "") if codes else "",
    }


def _line_of_slot(connection: sqlite3.Connection, slot: Record) -> Json:
    reference = relative_reference(slot.resource["schedule"]["reference"])
    schedule = fetch(connection, "Schedule", reference.removeprefix("Schedule/"))
    actors = schedule.resource.get("actor", []) if schedule is not None else []
    participants = {"participant": [{"actor": actor} for actor in actors]}
    return _times(connection, slot.resource, _actor(participants, "Location")) | {
        "appointmentid": slot.id,
        "appointmentstatus": "o",
        "providerid": _actor(participants, "Practitioner"),
    }


def _times(connection: sqlite3.Connection, resource: Json, location_id: str) -> Json:
    location = fetch(connection, "Location", location_id)
    zone = zone_of(location.resource) if location is not None else ZoneInfo("UTC")
    start, end = (datetime.fromisoformat(resource[name]).astimezone(zone) for name in ("start", "end"))
    return {
        "date": f"{start:%m/%d/%Y}",
        "starttime": f"{start:%H:%M}",
        "duration": round((end - start).total_seconds() / 60),
        "departmentid": location_id,
    }


def _actor(resource: Json, resource_type: str) -> str:
    for participant in resource.get("participant", []):
        kind, _, identity = relative_reference(participant.get("actor", {}).get("reference", "")).partition("/")
        if kind == resource_type:
            return identity
    return ""


def _day(wanted: dict[str, str], name: str, zone: ZoneInfo) -> datetime:
    try:
        day = datetime.strptime(wanted.get(name, ""), "%m/%d/%Y").date()  # noqa: DTZ007 - only its day counts
    except ValueError:
        raise _Refused(400, f"{name} must look like 03/05/2026.") from None
    return datetime.combine(day, time(), zone).astimezone(UTC)
