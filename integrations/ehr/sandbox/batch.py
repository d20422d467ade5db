"""Several reads and searches in one request: a Bundle of type batch at the base address."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .messages import Request, Response, parse_json
from .outcomes import FhirError, operation_outcome

ENTRIES_MAXIMUM = 100


def answer_batch(request: Request, route: Callable[[Request], Response]) -> Response:
    """The answers in the order of the entries, each with its own status. Only GET entries are done.

    ``route`` answers one of them and never raises. Raises ``FhirError`` for what is no batch of a sane size.
    """
    entries = [_answer(request, entry, route) for entry in _entries(request)]
    bundle = {"resourceType": "Bundle", "type": "batch-response", "entry": entries}
    return Response(200, json.dumps(bundle, ensure_ascii=False).encode())


def _entries(request: Request) -> list[dict[str, Any]]:
    try:
        bundle = parse_json(request.body)
    except ValueError:
        bundle = None
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle" or bundle.get("type") != "batch":
        raise FhirError(400, "invalid", "The body must be a Bundle of type batch.")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FhirError(400, "structure", "entry must be a list.", expression="Bundle.entry")
    if len(entries) > ENTRIES_MAXIMUM:
        raise FhirError(413, "too-costly", f"A batch has at most {ENTRIES_MAXIMUM} entries.", expression="Bundle.entry")
    return entries


def _answer(request: Request, entry: dict[str, Any], route: Callable[[Request], Response]) -> dict[str, Any]:
    wanted = entry.get("request")
    method, url = (str(wanted.get(name, "")) for name in ("method", "url")) if isinstance(wanted, dict) else ("", "")
    if method != "GET" or not url:
        text = "Only entries with the method GET and a url are done in a batch."
        return {"response": {"status": "405", "outcome": operation_outcome("not-supported", text)}}
    path, _, query = url.removeprefix(f"{request.base_url}/fhir/").lstrip("/").partition("?")
    answer = route(replace(request, method="GET", path=f"/fhir/{path}", query=query, body=b""))
    resource = json.loads(answer.body) if answer.body else None
    response: dict[str, Any] = {"status": str(answer.status)}
    if "ETag" in answer.headers:
        response["etag"] = answer.headers["ETag"]
    if answer.status >= 400:
        return {"response": response | {"outcome": resource}}
    return {"resource": resource, "response": response}
