"""Requests to an EHR, FHIR or not: where they may go, how long they may take, with which token, how they end.

Every call is made outside a transaction, has a total deadline, stays on the configured origin, is recorded, and ends
in an :class:`~integrations.ehr.fhir.answers.Answer` or a named error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from django.utils import timezone

from integrations import calls
from integrations.ehr import pace, pulse
from integrations.ehr.fhir import auth
from integrations.ehr.fhir.answers import Answer
from integrations.ehr.fhir.connecting import ClientIdentity
from integrations.ehr.fhir.exchange import Request, exchange, origin_of
from integrations.ehr.fhir.outcomes import WRITES, error_of
from integrations.ehr.gateway import GatewayError, LoginRefused, Refused, Throttled, Unavailable
from integrations.models import AccessToken, Connection
from scheduling import shadow
from scheduling.counting import counted
from scheduling.models import Writeback

FHIR_JSON = "application/fhir+json"
#: A call with everything in it: name, connection, request, answer. Shorter than any lease.
CALL_SECONDS = 15.0
#: A write that a shadow run holds up is tried again after so long.
SHADOW_WAIT = timedelta(seconds=60)
#: A write that has less of its time left than this share is not sent: its answer would be lost.
LEAST_SHARE = 0.2
_READ_HEADERS = {"Cache-Control": "no-cache", "Accept-Encoding": "gzip", "User-Agent": "sooner"}
#: We ask past caches. A cache that answers all the same says how old its answer is.
OLDEST_ANSWER_SECONDS = 1
_MAY_BE_CACHED = ("metadata", ".well-known/smart-configuration")
#: Statuses that say "not now" about one resource; the EHR itself is well.
_LOCKED = (409, 412, 423, 425)


class Transport:
    """Calls to one EHR, on behalf of one piece of work."""

    def __init__(
        self,
        connection: Connection,
        *,
        writeback: Writeback | None = None,
        seconds: float = CALL_SECONDS,
        asks_anyway: bool = False,
        media_type: str = FHIR_JSON,
    ) -> None:
        """``asks_anyway``: a person wants to know, although the connection is stopped or the EHR left in peace.

        ``media_type``: how the EHR calls the JSON that it sends and takes.
        """
        self.connection = connection
        self.base_url = connection.base_url.rstrip("/")
        self._origin = origin_of(self.base_url)
        self._writeback_id = writeback.pk if writeback is not None else None
        self._seconds = seconds
        self._media_type = media_type
        self._asks_anyway = asks_anyway
        #: Whether a patient waits for what is asked: such calls may run ahead of everyday ones.
        self.is_urgent = writeback is not None or asks_anyway
        self._scope = _scope_of(connection)
        self._login = auth.Login(connection, self)
        self._identity = _identity_of(connection)

    def read(self, path: str, parameters: Iterable[tuple[str, str]] = ()) -> Answer:
        """GET ``path`` below the base address, with parameters a search; raises GatewayError."""
        named = list(parameters)
        query = urlencode([*named, *self._scope] if named else named)
        return self._call("GET", f"{self.base_url}/{path}" + (f"?{query}" if query else ""))

    def follow(self, url: str, current: str = "") -> Answer:
        """GET a link the EHR gave us; raises Refused when it leads to another origin than the EHR's own."""
        target = self.absolute(url, current)
        return self._call("GET", target)

    def absolute(self, url: str, current: str = "") -> str:
        """Return the link as an absolute address; raises Refused when it leads elsewhere."""
        target = urljoin(current or f"{self.base_url}/", url)
        if origin_of(target) != self._origin:
            raise Refused("The EHR's next page lies on another host. The token is not sent there.")
        return target

    def _address(self, path: str) -> str:
        """``path`` is below the base address, or with a slash before it anywhere on its origin."""
        if path.startswith("/"):
            return self.absolute(path)
        return f"{self.base_url}/{path}" if path else self.base_url

    def write(self, method: str, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """Send ``body`` as JSON, or nothing for None; raises GatewayError.

        OutcomeUnknown means that it may have had an effect, and that no usable answer came. In shadow nothing is
        written but a subscription, which a person asked for and without which there is nothing to compute.
        """
        if not path.startswith("Subscription"):
            self._refuse_in_shadow()
        named = {"Content-Type": self._media_type, "Prefer": "return=representation", **(headers or {})}
        return self._call(method, self._address(path), b"" if body is None else json.dumps(body).encode(), named)

    def ask(self, path: str, body: Any) -> Answer:
        """POST a question that changes nothing, such as a batch of reads; raises GatewayError as a read does."""
        named = {"Content-Type": self._media_type}
        return self._call("POST", self._address(path), json.dumps(body).encode(), named, changes_records=False)

    def search(self, path: str, parameters: Iterable[tuple[str, str]]) -> Answer:
        """Search by POST, for what must not stand in an address; raises GatewayError as a read does."""
        named = {"Content-Type": "application/x-www-form-urlencoded"}
        form = urlencode([*parameters, *self._scope]).encode()
        return self._call("POST", f"{self.base_url}/{path}/_search", form, named, changes_records=False)

    def send_form(self, method: str, path: str, fields: Mapping[str, str]) -> Answer:
        """Send form fields to a path of the EHR's own origin, for interfaces beside FHIR; raises GatewayError."""
        self._refuse_in_shadow()
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        return self._call(method, self.absolute(path), urlencode(fields).encode(), headers)

    def read_publicly(self, path: str) -> Answer:
        """GET something that needs no login, without our token.

        That it is answered does not end an outage: the login, looked up by it meanwhile, may be what is down.
        """
        state = self._present_state()
        self._wait_turn()
        headers = {**_READ_HEADERS, "Accept": "application/json"}
        answer, error = self._attempt(Request("GET", f"{self.base_url}/{path}", headers))
        return self._finish(state, answer, error, is_public=True)

    def log_in(self) -> None:
        """Get a token, unless there is one that is still good; raises GatewayError."""
        self._login.token(self._present_state())

    def look_up_login(self) -> None:
        """Read anew where the EHR has its login, where that is not entered by hand."""
        self._login.look_up()

    def ask_for_token(self, url: str, form: bytes, authorization: str) -> Answer:
        """POST to the token endpoint, with ``authorization`` as its header unless that is empty.

        Refusals come back as answers; a failure of any kind had no effect on records.
        """
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": _READ_HEADERS["User-Agent"],
        }
        if authorization:
            headers["Authorization"] = authorization
        state = self._present_state()
        self._wait_turn()
        answer, error = self._attempt(Request("POST", url, headers, form, changes_records=False), resource="token")
        if answer is not None and (answer.status == 200 or (400 <= answer.status < 500 and answer.status != 429)):
            return answer
        return self._finish(state, answer, error)

    def _call(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        changes_records: bool = True,
    ) -> Answer:
        state = self._present_state()
        # A write ends in its time, whatever it waited for: after that its absence is taken for proof of no effect.
        until = time.monotonic() + self._seconds if changes_records and method in WRITES else None
        named = {"Accept": self._media_type, **_READ_HEADERS, **(headers or {})}
        if self.connection.login_method == Connection.LoginMethod.NONE:
            self._wait_turn()
            return self._finish(state, *self._attempt(Request(method, url, named, body, changes_records), until=until))
        token, serial = self._login.token(state)
        request = Request(method, url, {**named, "Authorization": f"Bearer {token}"}, body, changes_records)
        self._wait_turn()
        answer, error = self._attempt(request, until=until)
        if answer is not None and answer.status == 401:
            # Refused before anything was done, so that even a write may be sent again, once.
            token, _ = self._login.renewed_after(serial)
            self._wait_turn()
            again = replace(request, headers={**named, "Authorization": f"Bearer {token}"})
            answer, error = self._attempt(again, until=until)
        return self._finish(state, answer, error)

    def _refuse_in_shadow(self) -> None:
        """Raise Throttled, so that whoever would write keeps what is to be written: the EHR hears nothing of it."""
        if shadow.is_on(self.connection.source_id):
            raise Throttled("Shadow: nothing is written to this EHR.", retry_at=timezone.now() + SHADOW_WAIT)

    def _wait_turn(self) -> None:
        """Keep to the vendor's limit; raises Throttled, of which nobody need hear: the EHR is well."""
        pace.wait_turn(self.connection.pk, self.connection.calls_per_minute, is_urgent=self.is_urgent)

    def _present_state(self) -> AccessToken:
        """Read the token and whether calls make sense now; raises LoginRefused or Throttled when they do not."""
        calls.refuse_inside_transaction()
        rows = AccessToken.objects.select_related("connection").only(
            "value",
            "expires_at",
            "serial",
            "connection__state",
            "connection__quiet_until",
            "connection__failing_since",
            "connection__last_success_at",
        )
        row = rows.filter(connection_id=self.connection.pk).first()
        if row is None:
            auth.ensure_row(self.connection.pk)
            row = rows.get(connection_id=self.connection.pk)
        known = row.connection
        if self._asks_anyway:
            return row
        if known.state == Connection.State.STOPPED:
            raise LoginRefused("The connection is stopped until its login is mended.")
        if known.quiet_until is not None and known.quiet_until > timezone.now():
            raise Throttled("The EHR is left in peace for now.", retry_at=known.quiet_until)
        return row

    def _finish(
        self, state: AccessToken, answer: Answer | None, error: GatewayError | None, *, is_public: bool = False
    ) -> Answer:
        """Note how the EHR fares, and return the answer or raise the error. ``is_public``: anybody may ask for it."""
        if error is None and answer is not None:
            if not is_public:
                pulse.note_success(self.connection.pk, state.connection)
            return answer
        if error is None:
            raise Unavailable("No answer.")
        told = answer.retry_at if answer is not None else None
        if isinstance(error, Throttled):
            error.retry_at = pulse.note_trouble(self.connection.pk, error.code, told)
        elif isinstance(error, Unavailable) and error.status not in _LOCKED:
            pulse.note_trouble(self.connection.pk, error.detail or error.code, told)
        elif told is not None:
            pulse.note_trouble(self.connection.pk, error.code, told)
        elif answer is not None and answer.status == 401:
            pulse.note_refused_login(self.connection.pk, "The EHR refused a new token.")
        elif answer is not None and answer.status < 500 and not is_public:
            pulse.note_success(self.connection.pk, state.connection)
        raise error

    def _left(self, until: float | None) -> float:
        """Return how long a call may take; raises Unavailable when too little of its time is left for it to leave."""
        left = self._seconds if until is None else until - time.monotonic()
        if left < self._seconds * LEAST_SHARE:
            raise Unavailable("The time of the call was used up before it could leave.")
        return left

    def _attempt(
        self, request: Request, resource: str = "", until: float | None = None
    ) -> tuple[Answer | None, GatewayError | None]:
        """Make one request, ended by ``until`` (by the monotonic clock) where that is given, and record it."""
        seconds = self._left(until)
        at, began = timezone.now(), time.monotonic()
        answer: Answer | None = None
        error: GatewayError | None
        try:
            answer = exchange(request, self.connection.pk, seconds, self._identity)
            error = error_of(request.judged_as, answer) or self._error_of_age(request, answer)
        except GatewayError as problem:
            error = problem
        calls.record(
            system="ehr",
            method=request.method,
            resource=resource or self._resource(request.url),
            at=at,
            seconds=time.monotonic() - began,
            result=error.code if error else "ok",
            status=answer.status if answer is not None else None,
            connection_id=self.connection.pk,
            writeback_id=self._writeback_id,
        )
        return answer, error

    def _error_of_age(self, request: Request, answer: Answer) -> GatewayError | None:
        """A record out of a cache is no news, whatever version it has: taken for it, it would bring back what was.

        What an EHR says of itself may lie in a cache.
        """
        is_record = request.method == "GET" and self._resource(request.url) not in _MAY_BE_CACHED
        if not is_record or answer.age_seconds <= OLDEST_ANSWER_SECONDS:
            return None
        return Unavailable(f"The answer came from a cache and is {counted(answer.age_seconds, 'second')} old.")

    def _resource(self, url: str) -> str:
        path = urlsplit(url).path
        base = urlsplit(self.base_url).path
        return path.removeprefix(base).strip("/") or "/"


def _scope_of(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Return what each search must say besides: at athenahealth one address serves every practice.

    Source: athenahealth, search parameter ``ah-practice``. Reads by id need none: the id names the practice.
    """
    if connection.kind != Connection.Kind.ATHENA or not connection.practice_number:
        return ()
    return (("ah-practice", f"Organization/a-1.Practice-{connection.practice_number}"),)


def _identity_of(connection: Connection) -> ClientIdentity | None:
    if not connection.client_certificate:
        return None
    return ClientIdentity(connection.client_certificate, connection.client_certificate_key or "")
