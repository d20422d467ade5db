"""One HTTP request and one answer, apart from the sockets."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from .outcomes import FhirError

FHIR_JSON = "application/fhir+json; charset=utf-8"
PLAIN_JSON = "application/json; charset=utf-8"


class Delivery(enum.Enum):
    """What becomes of the answer on its way out."""

    WHOLE = "whole"
    CUT = "cut"
    RESET = "reset"


@dataclass
class Request:
    """``path`` starts with a slash and has no query; ``base_url`` is the origin as the client addressed it."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes
    base_url: str
    client_is_loopback: bool = True
    client_has_left: Callable[[], bool] = lambda: False

    @property
    def parameters(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    def preference(self, name: str) -> str:
        """The value of one ``Prefer`` token (RFC 7240), or an empty string."""
        for part in self.headers.get("Prefer", "").replace(";", ",").split(","):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value.strip('"')
        return ""


@dataclass
class Response:
    status: int
    body: bytes = b""
    content_type: str = FHIR_JSON
    headers: dict[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    fault: str = ""


def json_response(
    status: int, value: Any, content_type: str = PLAIN_JSON, headers: dict[str, str] | None = None
) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, body, content_type, dict(headers or {}))


def parse_json(body: bytes) -> Any:
    """The value in a body. Raises ``ValueError`` for anything that is not strict, UTF-8 JSON of sane depth."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parameters_of(request: Request) -> list[tuple[str, str]]:
    """An operation's simple parameters, from the query and from a Parameters resource in the body."""
    found = request.parameters
    for parameter in resources_and_values(request):
        value = next((value for name, value in parameter.items() if name.startswith("value")), None)
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            found.append((str(parameter.get("name", "")), str(value)))
    return found


def resources_and_values(request: Request) -> list[dict[str, Any]]:
    """The items of a Parameters resource in the body. Raises ``FhirError`` 400 for another body."""
    if request.method != "POST" or not request.body:
        return []
    try:
        body = parse_json(request.body)
    except ValueError:
        body = None
    items = body.get("parameter", []) if isinstance(body, dict) and body.get("resourceType") == "Parameters" else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise FhirError(400, "structure", "The body must be a Parameters resource.")
    return items
