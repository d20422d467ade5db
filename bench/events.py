"""Signed webhooks stored per second and per processor second, against a bare DRF view that verifies and inserts."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from datetime import UTC, datetime

from django.test import Client

from bench import profiling, stack
from bench.caller import Calls, call, request
from bench.environment import Surroundings
from bench.figures import Figure, Result, Rounds, percentile
from bench.floors.models import FloorEvent
from bench.usage import cpu_seconds
from integrations.models import Connection, InboundEvent
from scheduling.models import Source

NAME = "events"
CONNECTIONS = 8
SECRET = "bench-webhook-secret"
SLUG = "bench"
PATH = f"/webhooks/ehr/{SLUG}/"


def run(surroundings: Surroundings) -> Result:
    """POST new events to both servers in turn; no worker runs, so that only storing is measured."""
    result = Result(NAME, "Events stored: signed webhooks to gunicorn")
    count = surroundings.size(2000, 100)
    url = surroundings.database("bench_events")
    _connection()
    ours = stack.product(surroundings.directory, url)
    floor = stack.floor(surroundings.directory, url)
    try:
        sides = {"ours": _Side(ours, PATH, SECRET), "floor": _Side(floor, "/events/", os.environ["SECRET_KEY"])}
        for side in sides.values():
            side.measure(surroundings.size(400, 20), surroundings.servers.postgres_pid)
            side.forget()
        for _ in range(surroundings.rounds):
            for side in sides.values():
                side.measure(count, surroundings.servers.postgres_pid)
        _report(result, sides["ours"], sides["floor"])
        _check(result, sides)
    finally:
        ours.stop()
        floor.stop()
    result.profile = _profile(surroundings.size(500, 50))
    return result


class _Side:
    """A server and what was measured of it, round by round."""

    def __init__(self, web: stack.Web, path: str, secret: str) -> None:
        self.web, self._path, self._secret = web, path, secret
        self.sent = 0
        self.stored = 0
        self.forget()

    def forget(self) -> None:
        """Drop what was measured so far, as after a warm-up."""
        self.rates: list[float] = []
        self.cpu: list[float] = []
        self.database_cpu: list[float] = []
        self.medians: list[float] = []
        self.tails: list[float] = []

    def measure(self, count: int, postgres_pid: int) -> None:
        """Send so many new events and note how it went."""
        requests = [signed(self._path, self._secret) for _ in range(count)]
        before, database_before = cpu_seconds(self.web.process.pid), _database_cpu(postgres_pid)
        calls: Calls = call(self.web.port, requests, CONNECTIONS)
        self.cpu.append((cpu_seconds(self.web.process.pid) - before) / count * 1e6)
        self.database_cpu.append((_database_cpu(postgres_pid) - database_before) / count * 1e6)
        self.rates.append(calls.per_second)
        self.medians.append(percentile(calls.latencies, 0.5) * 1000)
        self.tails.append(percentile(calls.latencies, 0.99) * 1000)
        self.sent += count
        self.stored += calls.count(200)


def _database_cpu(postgres_pid: int) -> float:
    return cpu_seconds(postgres_pid) if postgres_pid else 0.0


def event() -> tuple[str, bytes]:
    """Return the id and the body of a notification of an appointment nobody knows, as an EHR sends it."""
    number = secrets.token_hex(8)
    body = {
        "resourceType": "Appointment",
        "id": f"bench-{number}",
        "meta": {"versionId": "2", "lastUpdated": datetime.now(UTC).isoformat()},
        "status": "cancelled",
        "start": "2030-03-07T15:00:00Z",
        "end": "2030-03-07T15:30:00Z",
        "participant": [
            {"actor": {"reference": f"{kind}/bench"}, "status": "accepted"}
            for kind in ("Patient", "Practitioner", "Location")
        ],
    }
    return number, json.dumps(body).encode()


def signed(path: str, secret: str) -> bytes:
    """Return the request that brings a new event, signed over its raw bytes."""
    event_id, body = event()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = [("X-Signature", signature), ("X-Event-Id", event_id), ("Content-Type", "application/fhir+json")]
    return request("POST", path, body, headers)


def _connection() -> None:
    source = Source.objects.create(key="ehr", name="EHR")
    Connection.objects.create(
        slug=SLUG, source=source, base_url="http://127.0.0.1:9/fhir", client_id="bench", webhook_secrets=[SECRET]
    )


def _report(result: Result, ours: _Side, floor: _Side) -> None:
    def figure(name: str, unit: str, attribute: str, limit: float | None = None, at_least: bool = False) -> None:
        mine, theirs = Rounds(tuple(getattr(ours, attribute))), Rounds(tuple(getattr(floor, attribute)))
        if theirs.low > 0:
            result.figures.append(Figure(name, unit, mine, "bare DRF view", theirs, limit, at_least))

    figure("processor time of the web server per event", "µs", "cpu", 1.25)
    figure("events per second", "/s", "rates", 0.8, at_least=True)
    figure("processor time of PostgreSQL per event", "µs", "database_cpu")
    figure("time to the answer, median", "ms", "medians")
    figure("time to the answer, 99th percentile", "ms", "tails")


def _check(result: Result, sides: dict[str, _Side]) -> None:
    for name, side in sides.items():
        result.check(f"{name}: every event was acknowledged", side.stored == side.sent)
    result.check("ours: every event is a row", InboundEvent.objects.count() == sides["ours"].sent)
    result.check("floor: every event is a row", FloorEvent.objects.count() == sides["floor"].sent)


def _profile(calls: int) -> str:
    """Return where the time of storing an event goes, through the whole stack of middleware, without a socket."""
    client = Client()
    prepared = []
    for _ in range(calls + 10):
        event_id, body = event()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        prepared.append((body, {"X-Signature": signature, "X-Event-Id": event_id}))

    def send(some: list[tuple[bytes, dict[str, str]]]) -> None:
        for body, headers in some:
            client.post(PATH, body, "application/fhir+json", headers=headers, SERVER_NAME="127.0.0.1")

    send(prepared[:10])
    return profiling.profile(lambda: send(prepared[10:]), calls)
