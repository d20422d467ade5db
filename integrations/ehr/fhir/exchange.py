"""One HTTP request and its complete answer, or the named error for having none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from django.utils import timezone
from urllib3.exceptions import HTTPError

from integrations.ehr.fhir.answers import Answer
from integrations.ehr.fhir.connecting import CONNECT_SECONDS, Call, ClientIdentity, session_for
from integrations.ehr.fhir.outcomes import WRITES
from integrations.ehr.gateway import GatewayError, Malformed, OutcomeUnknown, Refused, Unavailable

LARGEST_ANSWER = 32 * 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. ``changes_records`` is off for a POST that leaves no trace, such as asking for a token."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    changes_records: bool = True

    @property
    def judged_as(self) -> str:
        """The method by which a failure is judged."""
        return self.method if self.changes_records else "GET"


def exchange(request: Request, connection_id: int, seconds: float, identity: ClientIdentity | None = None) -> Answer:
    """Send ``request`` and read its whole answer within ``seconds``; raises GatewayError when there is none.

    Redirects are answers, not followed. A read that met a kept connection which the EHR had just closed is repeated
    once on a new one.
    """
    for may_repeat in (request.method == "GET", False):
        with Call(seconds) as call:
            try:
                return _send(request, connection_id, call, identity)
            except (requests.RequestException, HTTPError, OSError) as problem:
                if may_repeat and call.reused and not call.answered and not _is_late(call, problem):
                    continue
                raise _lost(request.judged_as, call, problem) from None
    raise Unavailable("No answer.")


def _send(request: Request, connection_id: int, call: Call, identity: ClientIdentity | None) -> Answer:
    asked_at = timezone.now()
    session = session_for(connection_id, origin_of(request.url), identity)
    prepared = session.prepare_request(
        requests.Request(request.method, request.url, headers=dict(request.headers), data=request.body or None)
    )
    response = session.send(prepared, stream=True, allow_redirects=False, timeout=(CONNECT_SECONDS, call.remaining))
    call.answered = True
    try:
        content = _read_within(response, call)
    except BaseException:
        response.raw.close()  # half an answer must not meet the next request on this connection
        raise
    names = {name.lower(): value for name, value in response.headers.items()}
    response.close()
    return Answer(response.status_code, names, content, asked_at)


def _read_within(response: requests.Response, call: Call) -> bytes:
    parts: list[bytes] = []
    size = 0
    for chunk in response.raw.stream(_CHUNK, decode_content=True):
        size += len(chunk)
        if size > LARGEST_ANSWER or call.timed_out:
            raise OSError("too large or too late")
        parts.append(chunk)
    if call.timed_out:
        raise OSError("too late")
    return b"".join(parts)


def _lost(method: str, call: Call, problem: Exception) -> GatewayError:
    """Return the error for a request without a complete answer."""
    if not call.began_to_leave:
        if isinstance(problem, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
            return Refused("The address of the EHR is not one we can call.")
        reason = "tls" if isinstance(problem, requests.exceptions.SSLError) else "no connection"
        return Unavailable(f"The EHR could not be reached ({reason}).")
    reason = "timeout" if _is_late(call, problem) else "connection lost"
    if method in WRITES:
        return OutcomeUnknown(f"No complete answer ({reason}).")
    if call.answered and not call.timed_out:
        return Malformed(f"The answer was cut off ({reason}).")
    return Unavailable(f"No complete answer ({reason}).")


def _is_late(call: Call, problem: Exception) -> bool:
    """The read's own timeout may strike a moment before the watch that ends the whole call."""
    return call.timed_out or isinstance(problem, requests.exceptions.Timeout)


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address; raises Refused for one without them."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        raise Refused("The address is not a web address.") from None
    if not parts.hostname or parts.username or parts.password:
        raise Refused("The address names no host, or a password.")
    return f"{parts.scheme}://{parts.hostname.lower()}:{port}"
