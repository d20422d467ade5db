"""Plays the EHR's front desk through the sandbox's control interface. Only where the demo says where that is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import requests
from django.conf import settings
from django.utils import timezone

from scheduling.counting import counted

TIMEOUT_SECONDS = 5
#: The demo offers a time until an hour before its start; what is cancelled by hand should be offered for a while.
OFFERED_AHEAD = timedelta(minutes=90)
#: A long weekend.
LOOKS_AHEAD = 4

#: Cancellation reasons a person may pick, with what they are for.
REASONS = (
    ("pat", "the patient cancels: the time may be offered"),
    ("prov-pers", "the provider is away: the time is not offered"),
    ("other", "something else: staff decide"),
    ("x-9", "a code nobody has mapped"),
    ("", "no reason at all"),
)

#: Faults worth playing with by hand, with the words for each.
FAULTS = (
    ("down", "the EHR is down until switched off"),
    ("500", "answers with an error"),
    ("503-html", "shows a maintenance page"),
    ("429", "asks for patience"),
    ("timeout", "does not answer"),
    ("slow", "answers after 30 seconds"),
    ("reset-after-commit", "books, then the line breaks"),
    ("cut-json", "books, and the answer is cut off"),
    ("empty-201", "books, with an empty answer"),
    ("taken-409", "says the time is taken"),
    ("stale-409", "says our version is old"),
    ("duplicate-409", "says it has the booking already"),
    ("wrong-readback", "shows another time when read back"),
    ("notify-double", "notifies twice"),
    ("notify-late", "notifies 30 seconds late"),
    ("notify-lost", "does not notify"),
    ("notify-bad-signature", "signs a notification wrongly"),
)


class SandboxAway(Exception):
    """The sandbox EHR did not do it; the text says what it answered, or that it did not."""


@dataclass(frozen=True, slots=True)
class Line:
    """One appointment of the EHR's calendar, as the EHR's own desk sees it."""

    id: str
    status: str
    start: datetime
    end: datetime
    patient_id: str
    patient: str
    provider_id: str
    provider: str
    type: str


@dataclass(frozen=True, slots=True)
class Day:
    """One local day at one location."""

    date: date
    location_id: str
    location: str
    zone: str
    lines: list[Line]

    def ahead(self, now: datetime) -> list[Line]:
        """Return what of today can still be offered when it is cancelled, or all of any other day."""
        is_today = timezone.localdate(now, ZoneInfo(self.zone)) == self.date
        return [line for line in self.lines if line.start > now + OFFERED_AHEAD or not is_today]


def is_there() -> bool:
    """Whether this installation has a sandbox EHR to play with."""
    return bool(getattr(settings, "SANDBOX_CONTROL_URL", ""))


def who_is_written_to() -> str:
    """Say where messages to made-up patients go, as the rest of a sentence."""
    if settings.TEST_RECIPIENTS:
        return "messages leave this machine for the addresses in TEST_RECIPIENTS only"
    return "no message leaves this machine"


def calendar(day: str, location: str) -> Day:
    """Return a day of the EHR's calendar; without one the first with something to cancel that can still be offered.

    An empty ``location`` means the EHR's first.
    """
    found = _calendar(day, location)
    soon = timezone.now() + OFFERED_AHEAD
    for _ in range(0 if day else LOOKS_AHEAD):
        if any(line.status == "booked" and line.start > soon for line in found.lines):
            break
        found = _calendar((found.date + timedelta(days=1)).isoformat(), found.location_id)
    return found


def _calendar(day: str, location: str) -> Day:
    query = {name: value for name, value in (("date", day), ("location", location)) if value}
    found = _ask("GET", "calendar", params=query)
    place = found["location"]
    return Day(
        date.fromisoformat(found["date"]),
        place["id"],
        place["name"],
        place["zone"],
        [_line(each) for each in found["appointments"]],
    )


def _line(each: dict[str, Any]) -> Line:
    patient, provider = each.get("patient") or {}, each.get("practitioner") or {}
    return Line(
        each["id"],
        each["status"],
        datetime.fromisoformat(each["start"]),
        datetime.fromisoformat(each["end"]),
        patient.get("id", ""),
        patient.get("display", ""),
        provider.get("id", ""),
        provider.get("display", "") or provider.get("id", ""),
        each.get("type", ""),
    )


def cancel(appointment_id: str, reason: str) -> str:
    """Cancel an appointment as the EHR's desk would."""
    _ask("POST", f"appointments/{appointment_id}/cancel", json={"reason_code": reason or None})
    return "The EHR has cancelled it and says so to Sooner."


def uncancel(appointment_id: str, _: str = "") -> str:
    """Take a cancellation back."""
    _ask("POST", f"appointments/{appointment_id}/uncancel", json={})
    return "The EHR has booked it again."


def book(wish: dict[str, Any]) -> str:
    """Book ``{patient, practitioner, location, start, minutes}`` in the EHR, past Sooner."""
    _ask("POST", "appointments", json=wish)
    return "The EHR has booked it."


def out_today(provider_id: str, day: str) -> str:
    """Send a provider home: their day is cancelled one by one and blocked."""
    done = _ask("POST", f"providers/{provider_id}/out-today", json={"date": day} if day else {})
    return f"The EHR has cancelled {counted(len(done.get('cancelled', ())), 'appointment')} of that day."


def faults() -> list[dict[str, Any]]:
    """Return the faults that are switched on."""
    names = dict(FAULTS)
    listed = _ask("GET", "faults").get("faults", [])
    return [{**fault, "words": names.get(fault["kind"], fault["kind"])} for fault in listed if fault["count"] != 0]


def switch_on(kind: str, count: int) -> str:
    """Switch a fault on for the next ``count`` requests it can meet."""
    _ask("POST", "faults", json={"kind": kind, "count": count})
    return f"Switched on: the EHR {dict(FAULTS).get(kind, kind)}."


def switch_off(number: str) -> str:
    """Switch one fault off."""
    _ask("DELETE", f"faults/{number}")
    return "Switched off."


def _ask(method: str, path: str, **more: Any) -> dict[str, Any]:
    address = f"{_root()}/_sandbox/{path}"
    headers = {"X-Sandbox-Control": settings.SANDBOX_CONTROL_TOKEN} if settings.SANDBOX_CONTROL_TOKEN else {}
    try:
        answer = requests.request(method, address, headers=headers, timeout=TIMEOUT_SECONDS, **more)
    except requests.RequestException:
        raise SandboxAway("The sandbox EHR does not answer. Nothing was done. Is the demo still running?") from None
    if answer.status_code >= 400:
        raise SandboxAway(f"The sandbox EHR refused: {_diagnosis(answer)}")
    found = answer.json() if answer.content else {}
    return found if isinstance(found, dict) else {}


def _root() -> str:
    address = str(settings.SANDBOX_CONTROL_URL).rstrip("/")
    for ending in ("/_sandbox", "/fhir"):
        address = address.removesuffix(ending)
    return address


def _diagnosis(answer: requests.Response) -> str:
    try:
        issues = answer.json().get("issue", [])
    except ValueError:
        return f"status {answer.status_code}."
    texts = [
        issue.get("diagnostics") or issue.get("details", {}).get("text") or issue.get("code", "") for issue in issues
    ]
    return " ".join(text for text in texts if text) or f"status {answer.status_code}."
