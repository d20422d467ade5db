"""A call ends in time and within bounds, however the EHR behaves; and it is never made inside a transaction."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from integrations.ehr.fhir import exchange, transport
from integrations.ehr.fhir.answers import Answer
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Malformed, OutcomeUnknown, Unavailable
from integrations.models import AccessToken, ApiCall, Connection
from tests import factories
from tests.fixtures.sandbox import Sandbox


@contextmanager
def trickling(head: bytes, drop: bytes) -> Iterator[int]:
    """A server that sends ``head`` and then ``drop`` again and again, a little at a time. Yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(65536)
                try:
                    client.sendall(head)
                    while not stopping.wait(0.05):
                        client.sendall(drop)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopping.set()
        listener.close()
        thread.join(2)


def connection_to(port: int) -> Connection:
    row = factories.connection(base_url=f"http://127.0.0.1:{port}/fhir", token_url=f"http://127.0.0.1:{port}/token")
    AccessToken.objects.create(connection=row, value="token", expires_at=timezone.now() + timedelta(hours=1))
    return row


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"{"),
        (b"", b""),
    ],
    ids=["headers drip", "the body drips", "nothing comes"],
)
def test_a_server_that_trickles_does_not_hold_a_worker(head: bytes, drop: bytes) -> None:
    with trickling(head, drop) as port:
        connection = connection_to(port)
        for call, error in (
            (lambda: Transport(connection, seconds=0.5).read("Location/elm"), Unavailable),
            (lambda: Transport(connection, seconds=0.5).write("POST", "Appointment", {}), OutcomeUnknown),
        ):
            Connection.objects.update(quiet_until=None)
            began = time.monotonic()
            with pytest.raises(error):
                call()
            assert time.monotonic() - began < 4.5


@pytest.mark.django_db
def test_an_answer_without_end_is_cut_off(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LARGEST_ANSWER", 100_000)
    bomb = gzip.compress(b"[" * 10_000_000)

    def answer(request: Request) -> Response:
        return Response(bomb, headers={"Content-Encoding": "gzip"})

    httpserver.expect_request("/fhir/Location/elm").respond_with_handler(answer)
    with pytest.raises(Malformed):
        Transport(connection_to(httpserver.port)).read("Location/elm")


@pytest.mark.django_db
def test_a_compressed_answer_is_read(httpserver: HTTPServer) -> None:
    body = gzip.compress(b'{"resourceType": "Location", "id": "elm"}')
    httpserver.expect_request("/fhir/Location/elm").respond_with_data(body, headers={"Content-Encoding": "gzip"})
    assert Transport(connection_to(httpserver.port)).read("Location/elm").resource()["id"] == "elm"


@pytest.mark.django_db(transaction=True)
def test_no_call_is_made_inside_a_transaction(httpserver: HTTPServer) -> None:
    connection = connection_to(httpserver.port)
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        Transport(connection).read("Location/elm")
    assert httpserver.log == []
    assert not ApiCall.objects.exists()


class WatchedTooLate(exchange.Call):
    """A call whose own timeout strikes before its watch does."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._watch = threading.Timer(3600, self._cut)
        self._watch.daemon = True


@pytest.mark.django_db
def test_a_kept_connection_that_answers_too_late_is_not_asked_twice(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.small_clinic()
    transport = Transport(sandbox.connect(), seconds=0.5)
    transport.read("Location/elm")
    monkeypatch.setattr(exchange, "Call", WatchedTooLate)
    sandbox.fault("timeout", path="Location/elm")
    with pytest.raises(Unavailable):
        transport.read("Location/elm")
    assert len(sandbox.calls("/fhir/Location/elm")) < 3


# --- a write ends in its time, whatever it waited for -----------------------------------------------------------------


class Outside:
    """A clock that stands still, a limit of calls to wait for, and an EHR: each takes as long as a test says."""

    def __init__(self) -> None:
        self.now, self.for_turn, self.statuses = 1000.0, 0.0, [200]
        self.takes: dict[str, float] = {}
        self.given: list[tuple[str, float]] = []

    def monotonic(self) -> float:
        return self.now

    def wait_turn(self, *_: object, **__: object) -> None:
        self.now += self.for_turn

    def exchange(self, request: exchange.Request, _: int, seconds: float, __: object) -> Answer:
        name = request.url.rpartition("/")[2]
        self.given.append((name, seconds))
        self.now += self.takes.get(name, 0.0)
        said = b'{"resourceType": "Appointment", "id": "7", "access_token": "new", "expires_in": 600}'
        return Answer(200 if name == "token" else self.statuses.pop(0), {}, said, timezone.now())


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    stands_in = Outside()
    monkeypatch.setattr(transport, "time", stands_in)
    monkeypatch.setattr(transport.pace, "wait_turn", stands_in.wait_turn)
    monkeypatch.setattr(transport, "exchange", stands_in.exchange)
    return stands_in


@pytest.mark.django_db
def test_what_a_write_waits_for_is_taken_off_its_time(outside: Outside) -> None:
    """By its deadline another worker may ask whether it had an effect, and send it again if it is not there."""
    outside.for_turn = 9.0
    Transport(connection_to(1)).write("POST", "Appointment", {})
    assert outside.given == [("Appointment", 6.0)]


@pytest.mark.django_db
def test_a_write_whose_time_is_used_up_does_not_leave(outside: Outside) -> None:
    outside.for_turn = 12.1
    with pytest.raises(Unavailable):
        Transport(connection_to(1)).write("POST", "Appointment", {})
    assert outside.given == []
    assert Connection.objects.get().failing_since is None, "the EHR is well"


@pytest.mark.django_db
def test_a_refused_token_is_renewed_and_the_write_repeated_only_within_its_time(outside: Outside) -> None:
    outside.statuses, outside.takes = [401, 200], {"Appointment": 8.0, "token": 5.0}
    with pytest.raises(Unavailable):
        Transport(connection_to(1)).write("POST", "Appointment", {})
    assert outside.given == [("Appointment", 15.0), ("token", 15.0)]
    outside.statuses, outside.takes = [401, 200], {"Appointment": 4.0, "token": 1.0}
    outside.given.clear()
    Transport(Connection.objects.get()).write("POST", "Appointment", {})
    assert outside.given == [("Appointment", 15.0), ("token", 15.0), ("Appointment", 10.0)]


@pytest.mark.django_db
def test_a_read_has_its_time_after_the_wait(outside: Outside) -> None:
    outside.for_turn = 12.1
    Transport(connection_to(1)).read("Appointment")
    assert outside.given == [("Appointment", 15.0)]
