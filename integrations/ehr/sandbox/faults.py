"""Faults on demand: which of them are switched on, and which request or notification meets one."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from dataclasses import dataclass
from typing import Any

from .messages import Request, Response
from .outcomes import FhirError
from .paging import CURSOR, position_of

WRITES = ("POST", "PUT", "PATCH", "DELETE")
REFUSING = ("500", "503-html", "429", "timeout", "reset-before", "401", "403", "redirect", "html-200", "down", "slow")
CONFLICTING = ("stale-409", "taken-409", "duplicate-409", "locked-423")
AFTER_COMMIT = ("reset-after-commit", "cut-json", "empty-201")
CACHE = "stale-cache"
PAGE = ("page-loop", "page-500", "foreign-next", "bad-entry")
NOTIFICATION = ("notify-double", "notify-late", "notify-reorder", "notify-lost", "notify-bad-signature")
KINDS = (*REFUSING, *CONFLICTING, *AFTER_COMMIT, *PAGE, "wrong-readback", CACHE, *NOTIFICATION)
_WRITE_ONLY = (*CONFLICTING, "empty-201", "reset-after-commit")


@dataclass
class Fault:
    """One switched-on fault.

    ``count`` is how many requests it still hits (None: until cleared), ``skip`` how many matching ones pass first.
    ``processed`` lets the request take effect before it is answered wrongly. ``field`` is what wrong-readback changes;
    ``page`` is the page that page faults hit; ``url`` is where redirect and foreign-next lead. ``kept`` are the answers
    of stale-cache by address, with the time they were made.
    """

    kind: str
    method: str = "*"
    path: str = "*"
    count: int | None = 1
    skip: int = 0
    seconds: float | None = None
    retry_after: str = ""
    processed: bool = False
    field: str = "start"
    page: int | None = None
    url: str = "http://other-ehr.example.org/fhir"
    number: int = 0
    hits: int = 0
    ends_at: float | None = None
    kept: dict[str, tuple[float, Response]] = dataclasses.field(default_factory=dict)


def parse_fault(value: Any) -> Fault:
    """A fault from the control API's JSON. Raises ``FhirError`` 400 that names what is wrong."""
    if not isinstance(value, dict):
        raise FhirError(400, "invalid", "A fault is a JSON object with a kind.")
    allowed = {
        "kind": str,
        "method": str,
        "path": str,
        "count": int,
        "skip": int,
        "seconds": (int, float),
        "retry_after": (str, int),
        "processed": bool,
        "field": str,
        "page": int,
        "url": str,
    }
    for name, item in value.items():
        if name not in allowed:
            raise FhirError(400, "invalid", f"A fault has no {name}. Known: {', '.join(allowed)}.")
        if not isinstance(item, allowed[name]) and not (name == "count" and item is None):  # type: ignore[arg-type]
            raise FhirError(400, "invalid", f"{name} has the wrong form.")
    if value.get("kind") not in KINDS:
        raise FhirError(400, "invalid", f"kind must be one of {', '.join(KINDS)}.")
    fault = Fault(**value | {"retry_after": str(value.get("retry_after", ""))})
    fault.method = fault.method.upper()
    if fault.kind in ("down", CACHE):
        fault.count = None
        fault.ends_at = None if fault.seconds is None else time.monotonic() + fault.seconds
    if fault.kind == "page-500" and fault.page is None:
        fault.page = 2
    return fault


class Faults:
    """The switched-on faults, shared by all request threads. Kept in memory: a restart heals everything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            fault.number = next(self._numbers)
            self._faults.append(fault)
        return fault

    def clear(self, number: int | None = None) -> None:
        with self._lock:
            self._faults = [fault for fault in self._faults if number is not None and fault.number != number]

    def contains(self, number: int) -> bool:
        """False once a fault was cleared: whoever waits because of it may go on."""
        with self._lock:
            return any(fault.number == number for fault in self._faults)

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {
                    each.name: getattr(fault, each.name)
                    for each in dataclasses.fields(fault)
                    if each.name not in ("ends_at", "kept")
                }
                for fault in self._faults
            ]

    def take_request(self, request: Request) -> Fault | None:
        """The first fault that this request meets; its count goes down."""
        if not self._faults:
            return None
        return self._take(lambda fault: fault.kind not in NOTIFICATION and _meets(fault, request))

    def take_notification(self, resource_type: str, subscription_id: str) -> Fault | None:
        if not self._faults:
            return None
        places = ("*", resource_type, subscription_id)
        return self._take(lambda fault: fault.kind in NOTIFICATION and fault.path in places)

    def _take(self, meets: Any) -> Fault | None:
        with self._lock:
            now = time.monotonic()
            self._faults = [fault for fault in self._faults if fault.ends_at is None or fault.ends_at > now]
            for fault in self._faults:
                if fault.count == 0 or not meets(fault):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.hits += 1
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None


def _meets(fault: Fault, request: Request) -> bool:
    if fault.kind == "down":
        return True
    if fault.method not in ("*", request.method) or not _path_meets(fault.path, request.path):
        return False
    if fault.kind in _WRITE_ONLY and fault.method == "*":
        return request.method in WRITES and not request.path.endswith("/_search")
    if fault.kind == CACHE:
        return request.method == "GET" and request.path.startswith("/fhir/")
    if fault.kind in PAGE:
        return _is_search(request) and (fault.page is None or fault.page == _page(request))
    if fault.kind == "wrong-readback":
        parts = request.path.strip("/").split("/")
        is_one = len(parts) >= 3 and not parts[2].startswith("$")
        return request.method == "GET" and parts[:2] == ["fhir", "Appointment"] and is_one
    return True


def _path_meets(pattern: str, path: str) -> bool:
    """``Appointment`` meets everything below it, ``Appointment/7`` only that one."""
    if pattern == "*":
        return True
    wanted = pattern.strip("/").removeprefix("fhir/").split("/")
    present = path.strip("/").removeprefix("fhir/").split("/")
    return present[: len(wanted)] == wanted


def _is_search(request: Request) -> bool:
    parts = request.path.strip("/").split("/")
    return parts[0] == "fhir" and ((len(parts) == 2 and request.method == "GET") or parts[2:] == ["_search"])


def _page(request: Request) -> int:
    try:
        return position_of([pair for pair in request.parameters if pair[0] == CURSOR]).page
    except FhirError:
        return 1
