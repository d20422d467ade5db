"""Argonaut's ``$find``: the times that are open, each as a proposed appointment that can be held and booked."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .clinic_setup import DURATION_EXTENSION
from .clock import parse_instant
from .indexing import relative_reference
from .messages import Request, Response, parameters_of
from .outcomes import FhirError, operation_outcome
from .search import parse_search, period_of
from .store import Store, fetch

Json = dict[str, Any]
COUNT_DEFAULT, COUNT_MAXIMUM = 50, 200
#: Parameters by the name Argonaut gives them, and under which others they are sent.
_NAMES = {
    "practitioner": ("practitioner", "provider", "provider-reference"),
    "location": ("location-reference", "location"),
    "type": ("visit-type", "service-type"),
}
_UNUSED = ("specialty", "organization", "location-string", "coverage", "patient-resource")


@dataclass(frozen=True)
class Wish:
    """What is looked for: from ``start`` to ``end`` in milliseconds, with any of the actors, for one visit type."""

    start: int
    end: int
    practitioners: tuple[str, ...]
    locations: tuple[str, ...]
    type_code: str
    count: int
    ignored: tuple[str, ...]


def find(store: Store, request: Request, resource_id: str) -> Response:
    """A searchset of proposed Appointments, earliest first, with an OperationOutcome among them."""
    wish = _wish(parameters_of(request))
    with store.reading() as connection:
        found = sorted(_proposals(connection, wish), key=lambda each: (each["start"], each["id"]))
    with store.writing() as transaction:
        transaction.connection.executemany(
            "INSERT OR IGNORE INTO proposals VALUES (?, ?)",
            [(each["id"], json.dumps(each, ensure_ascii=False)) for each in found[: wish.count]],
        )
    return searchset(request, found[: wish.count], _remark(wish, len(found)))


def searchset(request: Request, appointments: list[Json], outcome: Json) -> Response:
    """Argonaut's bundle: the appointments, and after the first of them what there is to say."""
    url = f"{request.base_url}/fhir/Appointment"
    entries = [
        {"fullUrl": f"{url}/{each['id']}", "resource": each, "search": {"mode": "match"}} for each in appointments
    ]
    entries.insert(1, {"resource": outcome, "search": {"mode": "outcome"}})
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(appointments), "entry": entries}
    return Response(200, json.dumps(bundle, ensure_ascii=False).encode())


def proposal(connection: sqlite3.Connection, identity: str) -> Json | None:
    """A proposed appointment that an earlier ``$find`` returned."""
    row = connection.execute("SELECT body FROM proposals WHERE id = ?", (identity,)).fetchone()
    return None if row is None else dict(json.loads(row[0]))


def _wish(given: list[tuple[str, str]]) -> Wish:
    def values(name: str) -> tuple[str, ...]:
        return tuple(value for key, value in given if key in _NAMES[name])

    single = dict(given)
    count = single.get("_count", str(COUNT_DEFAULT))
    if not count.isdigit():
        raise FhirError(400, "invalid", "_count must be a whole number.")
    types = values("type")
    return Wish(
        _instant(single, "start"),
        _instant(single, "end"),
        values("practitioner"),
        values("location"),
        types[0].rpartition("|")[2] if types else "",
        min(int(count), COUNT_MAXIMUM),
        tuple(sorted({name for name, _ in given if name in _UNUSED})),
    )


def _instant(given: dict[str, str], name: str) -> int:
    """A bound in milliseconds; a date without a time is the whole day."""
    text = given.get(name, "")
    if not text:
        raise FhirError(400, "required", f"{name} is needed.")
    try:
        begin, end = period_of(text)
    except ValueError:
        raise FhirError(400, "invalid", f"{name}: {text} is not a FHIR date or time with an offset.") from None
    return end if name == "end" and "T" not in text else begin


def _proposals(connection: sqlite3.Connection, wish: Wish) -> Iterator[Json]:
    slots = _free_slots(connection, wish)
    for reference, group in groupby(slots, key=lambda slot: relative_reference(slot["schedule"]["reference"])):
        record = fetch(connection, "Schedule", reference.removeprefix("Schedule/"))
        schedule = record.resource if record is not None and not record.deleted else {}
        visit = _visit(schedule, wish.type_code)
        if visit is None:
            continue
        own = list(group)
        for position in range(len(own)):
            run = _run(own[position:], visit.get("minutes", 0))
            if run:
                yield _proposed(schedule, run, visit.get("concept"))


def _free_slots(connection: sqlite3.Connection, wish: Wish) -> list[Json]:
    """Open slots, ordered by schedule and time. Those of a practitioner at a location are of both."""
    criteria = [("status", "free")]
    for kind, actors in (("Practitioner", wish.practitioners), ("Location", wish.locations)):
        references = [relative_reference(actor) if "/" in actor else f"{kind}/{actor}" for actor in actors]
        if references:
            criteria.append(("schedule.actor", ",".join(references)))
    search = parse_search("Slot", criteria)
    search.add("r.start_ms >= ? AND r.end_ms <= ?", wish.start, wish.end)
    sql = f"SELECT body FROM resources r WHERE {search.where} ORDER BY start_ms"  # noqa: S608 - fixed fragments
    slots = [json.loads(row[0]) for row in connection.execute(sql, search.arguments)]
    return sorted(slots, key=lambda slot: relative_reference(slot["schedule"]["reference"]))


def _visit(schedule: Json, code: str) -> Json | None:
    """Minutes and concept of the visit type at this schedule; empty when none is asked for, None when not offered."""
    if not code:
        return {}
    for concept in schedule.get("serviceType", []):
        if any(coding.get("code") == code for coding in concept.get("coding", [])):
            lengths = [each for each in concept.get("extension", []) if each.get("url") == DURATION_EXTENSION]
            minutes = lengths[0]["valuePositiveInt"] if lengths else 0
            return {"minutes": minutes, "concept": {"coding": concept["coding"]}}
    return None


def _run(slots: list[Json], minutes: int) -> list[Json]:
    """The first slots that together last so long without a gap; the first one alone for 0 minutes."""
    run: list[Json] = []
    for slot in slots:
        if run and run[-1]["end"] != slot["start"]:
            return []
        run.append(slot)
        if parse_instant(run[-1]["end"]) - parse_instant(run[0]["start"]) >= minutes * 60_000:
            return run
    return []


def _proposed(schedule: Json, run: list[Json], concept: Json | None) -> Json:
    start, end = run[0]["start"], run[-1]["end"]
    code = concept["coding"][0]["code"] if concept else ""
    identity = hashlib.sha256("|".join([code, *(slot["id"] for slot in run)]).encode()).hexdigest()[:32]
    return {
        "resourceType": "Appointment",
        "id": identity,
        "status": "proposed",
        **({"serviceType": [concept], "appointmentType": concept} if concept else {}),
        "start": start,
        "end": end,
        "minutesDuration": (parse_instant(end) - parse_instant(start)) // 60_000,
        "slot": [{"reference": f"Slot/{slot['id']}"} for slot in run],
        "participant": [
            {"actor": actor, "required": "required", "status": "needs-action"} for actor in schedule.get("actor", [])
        ],
    }


def _remark(wish: Wish, found: int) -> Json:
    if wish.ignored:
        return operation_outcome("not-supported", f"Not looked at: {', '.join(wish.ignored)}.", severity="warning")
    if found > wish.count:
        return operation_outcome("too-costly", f"There are more than these {wish.count}.", severity="information")
    return operation_outcome("informational", "Times can be taken by others until they are held.", "information")
