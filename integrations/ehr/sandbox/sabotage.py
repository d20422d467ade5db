"""What a fault does to the answer of a request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .auth import unauthorised
from .clock import format_instant, parse_instant
from .faults import AFTER_COMMIT, CACHE, PAGE, Fault, Faults
from .messages import FHIR_JSON, Delivery, Request, Response, json_response
from .outcomes import FhirError
from .paging import position_of

TIMEOUT_SECONDS = 120.0
SLOW_SECONDS = 30.0
_HTML = "text/html; charset=utf-8"
_MAINTENANCE = (
    b"<!doctype html><html><head><title>Service Unavailable</title></head>"
    b"<body><h1>503</h1><p>Down for maintenance</p></body></html>"
)
_PORTAL = b"<!doctype html><html><head><title>Sign in</title></head><body><form><input name=user></form></body></html>"
_CONFLICTS = {
    "stale-409": (409, "conflict", "The version in If-Match is not the present one. Read it again."),
    "taken-409": (409, "conflict", "The slot is no longer available."),
    "locked-423": (423, "lock-error", "Somebody is changing this appointment. Try again later."),
    "duplicate-409": (409, "duplicate", "This appointment already exists."),
}


def answer_with_fault(faults: Faults, fault: Fault, request: Request, route: Callable[[Request], Response]) -> Response:
    """The answer of a request that meets a fault; ``route`` is the honest way through the server."""
    if fault.kind == "slow":
        _hold(faults, fault, request, SLOW_SECONDS, until_client_leaves=False)
        response = route(request)
    elif fault.kind in AFTER_COMMIT:
        response = _after_commit(fault, route(request))
    elif fault.kind == CACHE:
        response = _from_cache(fault, request, route)
    elif fault.kind in PAGE or fault.kind == "wrong-readback":
        response = _distorted(fault, request, route)
    else:
        if fault.processed:
            route(request)
        response = _refusal(faults, fault, request)
    response.fault = fault.kind
    return response


def _from_cache(fault: Fault, request: Request, route: Callable[[Request], Response]) -> Response:
    """The answer that was given first, however old, unless the client asks past the cache."""
    said = f"{request.headers.get('Cache-Control', '')} {request.headers.get('Pragma', '')}"
    address = f"{request.path}?{request.query}"
    now = time.monotonic()
    kept = fault.kept.get(address)
    is_young = kept is not None and (fault.seconds is None or now - kept[0] <= fault.seconds)
    if kept is not None and is_young and "no-cache" not in said:
        made, old = kept
        return replace(old, headers=old.headers | {"Age": str(int(now - made))})
    response = route(request)
    if response.status == 200:
        fault.kept[address] = (now, replace(response))
    return response


def _hold(faults: Faults, fault: Fault, request: Request, default: float, *, until_client_leaves: bool) -> None:
    deadline = time.monotonic() + (default if fault.seconds is None else fault.seconds)
    while time.monotonic() < deadline and faults.contains(fault.number):
        if until_client_leaves and request.client_has_left():
            return
        time.sleep(min(0.05, max(0.0, deadline - time.monotonic())))


def _refusal(faults: Faults, fault: Fault, request: Request) -> Response:
    if fault.kind in ("reset-before", "down"):
        return Response(500, delivery=Delivery.RESET)
    if fault.kind == "timeout":
        _hold(faults, fault, request, TIMEOUT_SECONDS, until_client_leaves=True)
        return Response(500, delivery=Delivery.RESET)
    if fault.kind == "503-html":
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        return Response(503, _MAINTENANCE, _HTML, headers)
    if fault.kind == "html-200":
        return Response(200, _PORTAL, _HTML)
    if fault.kind == "redirect":
        return Response(302, headers={"Location": fault.url})
    return _error_response(_error_of(fault))


def _error_of(fault: Fault) -> FhirError:
    if fault.kind == "429":
        return FhirError(429, "throttled", "Too many requests.", headers={"Retry-After": fault.retry_after or "1"})
    if fault.kind == "401":
        return unauthorised("expired", "The token has expired. Ask for a new one.")
    if fault.kind == "403":
        return FhirError(403, "forbidden", "The client has no right to this.")
    if fault.kind in _CONFLICTS:
        return FhirError(*_CONFLICTS[fault.kind])
    return FhirError(500, "transient", "Something went wrong in the EHR.")


def _error_response(error: FhirError) -> Response:
    return json_response(error.status, error.outcome, FHIR_JSON, error.headers)


def _after_commit(fault: Fault, response: Response) -> Response:
    if fault.kind == "reset-after-commit":
        response.delivery = Delivery.RESET
    elif fault.kind == "cut-json":
        response.delivery = Delivery.CUT
    elif response.status in (200, 201):
        response.status, response.body = 201, b""
    return response


def _distorted(fault: Fault, request: Request, route: Callable[[Request], Response]) -> Response:
    if fault.kind == "page-500":
        return _error_response(FhirError(500, "transient", "Something went wrong in the EHR."))
    response = route(request)
    if response.status == 200:
        value = json.loads(response.body)
        changed = _wrong(value, fault.field) if fault.kind == "wrong-readback" else _page(fault, request, value)
        response.body = json.dumps(changed, ensure_ascii=False).encode()
    return response


def _page(fault: Fault, request: Request, bundle: dict[str, Any]) -> dict[str, Any]:
    if fault.kind == "bad-entry":
        entries = bundle.get("entry", [])
        if entries:
            resource = entries[len(entries) // 2]["resource"]
            resource |= {"status": 7, "start": "next Tuesday", "participant": "nobody", "name": 3}
        return bundle
    following = bundle["link"][0]["url"]
    if fault.kind == "foreign-next":
        following = f"{fault.url}/{request.path.rpartition('/')[2]}?page={position_of(request.parameters).page + 1}"
    bundle["link"] = [link for link in bundle["link"] if link["relation"] != "next"]
    bundle["link"].append({"relation": "next", "url": following})
    return bundle


def _wrong(appointment: dict[str, Any], field: str) -> dict[str, Any]:
    """Another start, patient, practitioner, location or status than the one stored."""
    if field == "start":
        for name in ("start", "end"):
            if name in appointment:
                later = parse_instant(appointment[name]) + int(timedelta(hours=1).total_seconds() * 1000)
                appointment[name] = format_instant(later)
    elif field == "status":
        appointment["status"] = "cancelled" if appointment.get("status") != "cancelled" else "booked"
    else:
        for participant in appointment.get("participant", []):
            actor = participant.get("actor", {})
            if str(actor.get("reference", "")).startswith(f"{field.capitalize()}/"):
                participant["actor"] = {"reference": f"{field.capitalize()}/somebody-else", "display": "Somebody Else"}
    return appointment
