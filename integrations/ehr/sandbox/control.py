"""The control API under /_sandbox/: faults, the front desk's hands, a calendar to look at. Not part of FHIR."""

from __future__ import annotations

import collections
import hmac
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from .auth import TokenDesk
from .booking import note_holds
from .clinic import load_clinic
from .clock import format_instant
from .desk import FrontDesk
from .faults import KINDS, Faults, parse_fault
from .messages import Request, Response, json_response, parse_json
from .notification_queue import pending_summary, queue_counts, redeliver
from .outcomes import FhirError
from .search import PARAMETERS
from .settings import SandboxSettings
from .store import Store

TOKEN_HEADER = "X-Sandbox-Control"  # noqa: S105 - the name of a header
_LOCAL_HOST = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


#: Which settings can change while the server runs, and what each takes.
_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "token_seconds": _is_count,
    "token_requests": lambda value: value is None or _is_count(value),
    "granted_scopes": lambda value: isinstance(value, str),
    "is_discoverable": lambda value: isinstance(value, bool),
    "hold_seconds": _is_count,
    "rate_limit": lambda value: value is None or _is_count(value),
    "rate_window_seconds": lambda value: _is_count(value) and value > 0,
    "retry_after_is_date": lambda value: isinstance(value, bool),
    "gather_seconds": lambda value: _is_count(value) or (isinstance(value, float) and value >= 0),
    "deletes_told": lambda value: isinstance(value, bool),
}
_Action = Callable[[Request, re.Match[str]], Any]


class Control:
    def __init__(
        self,
        store: Store,
        settings: SandboxSettings,
        faults: Faults,
        tokens: TokenDesk,
        log: collections.deque[dict[str, Any]],
    ) -> None:
        self._store, self._settings, self._faults, self._tokens, self._log = store, settings, faults, tokens, log
        self._desk = FrontDesk(store)
        self._routes = [
            (method, re.compile(f"/_sandbox/{path}/?"), action) for method, path, action in self._addresses()
        ]

    def _addresses(self) -> list[tuple[str, str, _Action]]:
        number, name = r"(?P<id>\d+)", r"(?P<id>[A-Za-z0-9\-.]{1,64})"
        faults, desk, store = self._faults, self._desk, self._store
        return [
            ("GET", "state", self._state),
            ("GET", "calendar", lambda request, match: desk.calendar(dict(request.parameters))),
            ("GET", "appointments", lambda request, match: desk.appointments(request.parameters)),
            ("POST", "appointments", lambda request, match: desk.book(_body(request))),
            (
                "POST",
                f"appointments/{name}/cancel",
                lambda request, match: desk.cancel(match["id"], _body(request)),
            ),
            ("POST", f"appointments/{name}/uncancel", lambda request, match: desk.uncancel(match["id"])),
            ("POST", f"appointments/{name}/move", lambda request, match: desk.move(match["id"], _body(request))),
            (
                "POST",
                f"providers/{name}/out-today",
                lambda request, match: desk.out_today(match["id"], _body(request)),
            ),
            ("GET", "faults", lambda request, match: {"faults": faults.listed(), "kinds": KINDS}),
            ("POST", "faults", lambda request, match: _named(faults.add(parse_fault(_body(request))).number)),
            ("DELETE", "faults", lambda request, match: faults.clear()),
            ("DELETE", f"faults/{number}", lambda request, match: faults.clear(int(match["id"]))),
            ("GET", "log", self._recent_requests),
            ("GET", "notifications", lambda request, match: {"notifications": pending_summary(store)}),
            ("POST", f"notifications/{number}/redeliver", lambda request, match: redeliver(store, int(match["id"]))),
            ("GET", "messages", lambda request, match: {"messages": self._messages()}),
            ("POST", "tokens/revoke", lambda request, match: self._tokens.revoke_all()),
            ("POST", "settings", self._change_settings),
            ("POST", "load", self._load),
            ("POST", "reset", self._reset),
        ]

    def answer(self, request: Request) -> Response:
        """JSON answers; errors are OperationOutcomes as elsewhere."""
        self._check_access(request)
        methods = []
        for method, pattern, action in self._routes:
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                return json_response(200, action(request, match) or {})
            if match:
                methods.append(method)
        if methods:
            raise FhirError(
                405,
                "not-supported",
                f"Only {', '.join(methods)} is possible here.",
                headers={"Allow": ", ".join(methods)},
            )
        raise FhirError(404, "not-found", "The control API has no such address.")

    def _check_access(self, request: Request) -> None:
        """With a control token: the token. Without one: this machine only, and no other site's page in its browser."""
        expected = self._settings.control_token
        if expected:
            if not hmac.compare_digest(request.headers.get(TOKEN_HEADER, "").encode(), expected.encode()):
                raise FhirError(403, "forbidden", f"The control API needs its token in the header {TOKEN_HEADER}.")
            return
        host_is_local = _LOCAL_HOST.fullmatch(request.headers.get("Host", "")) is not None
        if not request.client_is_loopback or not host_is_local or "Origin" in request.headers:
            raise FhirError(
                403, "forbidden", "Without a control token the control API answers programs on this machine only."
            )

    def _state(self, request: Request, match: re.Match[str]) -> dict[str, Any]:
        with self._store.reading() as connection:
            rows = connection.execute("SELECT type, COUNT(*) FROM resources WHERE deleted = 0 GROUP BY type").fetchall()
            statuses = connection.execute(
                "SELECT type, status, COUNT(*) FROM resources"
                " WHERE deleted = 0 AND type IN ('Appointment', 'Slot') GROUP BY 1, 2"
            ).fetchall()
        counts = dict.fromkeys(PARAMETERS, 0) | dict(rows)
        by_status = {
            kind: {status: count for of, status, count in statuses if of == kind} for kind in ("Appointment", "Slot")
        }
        return {
            "clock": format_instant(self._store.clock.now()),
            "resources": counts,
            "statuses": by_status,
            "notifications": queue_counts(self._store),
            "faults": self._faults.listed(),
            "token_seconds": self._settings.token_seconds,
        }

    def _recent_requests(self, request: Request, match: re.Match[str]) -> dict[str, Any]:
        limit = dict(request.parameters).get("limit", "200")
        entries = list(self._log)[-int(limit) :] if limit.isdigit() and int(limit) else []
        return {"requests": [entry | {"at": format_instant(entry["at"])} for entry in entries]}

    def _messages(self) -> list[dict[str, Any]]:
        """What the EHR has written to patients by itself."""
        with self._store.reading() as connection:
            rows = connection.execute("SELECT at_ms, kind, appointment_id, patient_id FROM messages").fetchall()
        return [
            {"at": format_instant(at_ms), "kind": kind, "appointment": appointment, "patient": patient}
            for at_ms, kind, appointment, patient in rows
        ]

    def _change_settings(self, request: Request, match: re.Match[str]) -> dict[str, Any]:
        """Only what is named changes: ``{token_seconds, token_requests, granted_scopes, is_discoverable}``."""
        wanted = _body(request)
        for name, value in wanted.items():
            check = _SETTINGS.get(name)
            if check is None:
                raise FhirError(400, "invalid", f"There is no setting {name}. Known: {', '.join(_SETTINGS)}.")
            if not check(value):
                raise FhirError(400, "invalid", f"{name} has the wrong form.")
        for name, value in wanted.items():
            setattr(self._settings, name, value)
        return {name: getattr(self._settings, name) for name in _SETTINGS}

    def _load(self, request: Request, match: re.Match[str]) -> dict[str, Any]:
        """Store the resources of a Bundle as they are: no rules, no notifications. For bulk data in benchmarks."""
        resources = [entry.get("resource") for entry in _body(request).get("entry", [])]
        for resource in resources:
            if not isinstance(resource, dict) or resource.get("resourceType") not in PARAMETERS or "id" not in resource:
                raise FhirError(400, "invalid", "Each entry needs a resource of a known type with an id.")
        with self._store.writing() as transaction:
            transaction.load(resources)
            note_holds(transaction, [each for each in resources if each["resourceType"] == "Appointment"])
        return {"loaded": len(resources)}

    def _reset(self, request: Request, match: re.Match[str]) -> dict[str, Any]:
        """The clinic as new. Subscriptions stay, queued notifications and faults go."""
        today = _body(request).get("today")
        try:
            day = date.fromisoformat(today) if today else self._settings.today
        except (TypeError, ValueError):
            raise FhirError(400, "invalid", "today must look like 2026-03-04.") from None
        self._faults.clear()
        load_clinic(self._store, day, replaces=True)
        return self._state(request, match)


def _named(number: int) -> dict[str, int]:
    return {"number": number}


def _body(request: Request) -> dict[str, Any]:
    if not request.body:
        return {}
    try:
        value = parse_json(request.body)
    except ValueError:
        raise FhirError(400, "structure", "The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise FhirError(400, "structure", "The body must be a JSON object.")
    return value
