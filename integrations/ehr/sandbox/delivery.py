"""Sends queued notifications in the background: one thread per subscription, in order, again until accepted."""

# Statements are put together from fixed fragments; every value is a bound parameter.
# ruff: noqa: S608

from __future__ import annotations

import http.client
import sqlite3
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .faults import Faults
from .settings import SandboxSettings
from .signatures import notification_headers
from .store import Store, fetch
from .subscriptions import signature_scheme

_REORDER_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Notification:
    number: int
    event_id: str
    resource_type: str
    body: bytes
    due_ms: int
    attempts: int
    treatment: str


class Courier:
    """Wakes on every commit and keeps one worker for each subscription with something to say."""

    def __init__(self, store: Store, settings: SandboxSettings, faults: Faults) -> None:
        self._store, self._settings, self._faults = store, settings, faults
        self._awake = threading.Condition()
        self._generation = 0
        self._stopping = False
        self._workers: dict[str, threading.Thread] = {}
        self._foreman = threading.Thread(target=self._supervise, name="sandbox-courier", daemon=True)

    def start(self) -> None:
        with self._store.writing() as transaction:
            transaction.connection.execute("DELETE FROM notifications WHERE state = 'delivered'")
        self._foreman.start()

    def stop(self) -> None:
        with self._awake:
            self._stopping = True
            self._awake.notify_all()
        for thread in [self._foreman, *self._workers.values()]:
            if thread.is_alive():
                thread.join(timeout=2)

    def wake(self) -> None:
        with self._awake:
            self._generation += 1
            self._awake.notify_all()

    def _wait(self, seen: int, seconds: float) -> int:
        with self._awake:
            if self._generation == seen and not self._stopping:
                self._awake.wait(seconds)
            return self._generation

    def _supervise(self) -> None:
        seen = -1
        while not self._stopping:
            with self._store.reading() as connection:
                rows = connection.execute(
                    "SELECT DISTINCT subscription_id FROM notifications WHERE state = 'waiting'"
                ).fetchall()
            for (subscription_id,) in rows:
                if subscription_id not in self._workers:
                    worker = threading.Thread(
                        target=self._work, args=(subscription_id,), name="sandbox-notifier", daemon=True
                    )
                    self._workers[subscription_id] = worker
                    worker.start()
            seen = self._wait(seen, 1.0)

    def _work(self, subscription_id: str) -> None:
        line = Line(self._store, self._settings, self._faults, subscription_id)
        seen = -1
        while not self._stopping:
            try:
                pause = line.step()
            except sqlite3.ProgrammingError:
                return  # the store was closed: the server stops
            if pause > 0:
                seen = self._wait(seen, min(pause, 1.0))
        line.hang_up()


class Line:
    """One subscription's queue and its connection to the receiver."""

    def __init__(self, store: Store, settings: SandboxSettings, faults: Faults, subscription_id: str) -> None:
        self._store, self._settings, self._faults = store, settings, faults
        self._subscription_id = subscription_id
        self._connection: http.client.HTTPConnection | None = None
        self._origin = ""

    def step(self) -> float:
        """Deal with the next notification. Returns the seconds to wait before the next step, 0 for none."""
        notification, wait = self._next()
        if notification is None:
            return wait
        if notification.attempts == 0 and not notification.treatment and self._treat(notification):
            return 0
        self._deliver(notification)
        return 0

    def _next(self) -> tuple[Notification | None, float]:
        """The head of the queue when it is due. Notifications set aside (late, held) do not block those behind them."""
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT number, event_id, resource_type, body, due_ms, attempts, treatment FROM notifications"
                " WHERE state = 'waiting' AND subscription_id = ?"
                " AND (treatment NOT IN ('late', 'reorder') OR due_ms <= ?)"
                " ORDER BY number LIMIT 1",
                (self._subscription_id, self._store.clock.now()),
            ).fetchone()
        if rows is None:
            return None, 0.2 if self._has_held() else 60.0
        number, event_id, resource_type, body, due_ms, attempts, treatment = rows
        notification = Notification(number, event_id, resource_type, body.encode(), due_ms, attempts, treatment)
        wait = (notification.due_ms - self._store.clock.now()) / 1000
        return (None, wait) if wait > 0 else (notification, 0)

    def _has_held(self) -> bool:
        with self._store.reading() as connection:
            row = connection.execute(
                "SELECT 1 FROM notifications WHERE state = 'waiting' AND subscription_id = ? LIMIT 1",
                (self._subscription_id,),
            ).fetchone()
        return row is not None

    def _treat(self, notification: Notification) -> bool:
        """Apply a fault to a notification that was never tried. True when it must not be sent now."""
        fault = self._faults.take_notification(notification.resource_type, self._subscription_id)
        if fault is None:
            return False
        treatment = fault.kind.removeprefix("notify-")
        if treatment == "lost":
            self._record(notification.number, state="lost", treatment=treatment)
            return True
        seconds = {"late": fault.seconds or 30.0, "reorder": fault.seconds or _REORDER_WAIT_SECONDS}.get(treatment, 0.0)
        due = self._store.clock.now() + round(seconds * 1000)
        self._record(notification.number, treatment=treatment, due_ms=due)
        return True

    def _deliver(self, notification: Notification) -> None:
        subscription = self._subscription()
        if subscription is None:
            self._record(notification.number, state="dead", last_error="the subscription is not active")
            return
        error = self._send(subscription, notification)
        if not error and notification.treatment == "double":
            self._send(subscription, notification)
        if not error:
            self._record(notification.number, state="delivered", attempts=notification.attempts + 1)
            self._release_held()
            return
        attempts = notification.attempts + 1
        exhausted = attempts >= self._settings.notification_attempts
        pause = self._settings.notification_backoff_seconds * 2 ** (attempts - 1)
        due = self._store.clock.now() + round(1000 * pause)
        # A wrong signature happens once; the redelivery is signed well.
        treatment = "" if notification.treatment == "bad-signature" else notification.treatment
        state = "dead" if exhausted else "waiting"
        self._record(
            notification.number, state=state, attempts=attempts, due_ms=due, treatment=treatment, last_error=error
        )

    def _release_held(self) -> None:
        with self._store.writing() as transaction:
            transaction.connection.execute(
                "UPDATE notifications SET due_ms = 0"
                " WHERE subscription_id = ? AND state = 'waiting' AND treatment = 'reorder'",
                (self._subscription_id,),
            )

    def _record(self, number: int, **changes: Any) -> None:
        assignments = ", ".join(f"{column} = ?" for column in changes)
        with self._store.writing() as transaction:
            transaction.connection.execute(
                f"UPDATE notifications SET {assignments} WHERE number = ?", (*changes.values(), number)
            )

    def _subscription(self) -> dict[str, Any] | None:
        with self._store.reading() as connection:
            record = fetch(connection, "Subscription", self._subscription_id)
            row = connection.execute(
                "SELECT secret FROM subscription_secrets WHERE subscription_id = ?", (self._subscription_id,)
            ).fetchone()
        if record is None or record.deleted or record.resource["status"] != "active":
            return None
        return record.resource | {"secret": row[0] if row else ""}

    def _send(self, subscription: dict[str, Any], notification: Notification) -> str:
        """One POST. Returns an empty string when it was accepted (2xx), else what went wrong."""
        channel = subscription["channel"]
        secret = "not the secret" if notification.treatment == "bad-signature" else subscription["secret"]
        headers = {"Content-Type": channel.get("payload") or "application/fhir+json", "User-Agent": "sandbox-ehr"}
        for line in channel.get("header", []):
            name, _, value = line.partition(":")
            headers[name.strip()] = value.strip()
        scheme = signature_scheme(subscription)
        headers |= notification_headers(scheme, secret, notification.event_id, int(time.time()), notification.body)
        try:
            status = self._post(channel["endpoint"], notification.body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.hang_up()
            return type(error).__name__
        return "" if 200 <= status < 300 else f"HTTP {status}"

    def _post(self, endpoint: str, body: bytes, headers: dict[str, str]) -> int:
        parts = urlsplit(endpoint)
        origin = f"{parts.scheme}://{parts.netloc}"
        if self._connection is None or origin != self._origin:
            self.hang_up()
            timeout, host = self._settings.notification_timeout_seconds, parts.hostname or ""
            if parts.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, parts.port, timeout=timeout)
            self._origin = origin
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = self._connection
        reused = connection.sock is not None
        try:
            response = _exchange(connection, target, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # A kept connection that the receiver has closed meanwhile is no refusal: once more on a new one.
            if not reused:
                raise
            connection.close()
            response = _exchange(connection, target, body, headers)
        response.read(1_000_000)
        if not response.isclosed():
            self.hang_up()
        return response.status

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _exchange(
    connection: http.client.HTTPConnection, target: str, body: bytes, headers: dict[str, str]
) -> http.client.HTTPResponse:
    connection.request("POST", target, body, headers)
    return connection.getresponse()


def queue_counts(store: Store) -> dict[str, int]:
    """Notifications by state: waiting, delivered, dead, lost."""
    with store.reading() as connection:
        rows = connection.execute("SELECT state, COUNT(*) FROM notifications GROUP BY state").fetchall()
    return {"waiting": 0, "delivered": 0, "dead": 0, "lost": 0} | dict(rows)


def pending_summary(store: Store, limit: int = 50) -> list[dict[str, Any]]:
    """The latest notifications, newest first, without their bodies."""
    columns = ("number", "event_id", "subscription_id", "resource_type", "attempts", "state", "treatment", "last_error")
    with store.reading() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(columns)} FROM notifications ORDER BY number DESC LIMIT ?", (limit,)
        ).fetchall()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def redeliver(store: Store, number: int) -> dict[str, int]:
    """Send one notification again under its old event id, as a vendor's replay does. Unknown numbers change nothing."""
    with store.writing() as transaction:
        changed = transaction.connection.execute(
            "INSERT INTO notifications (event_id, subscription_id, resource_type, body, due_ms)"
            " SELECT event_id, subscription_id, resource_type, body, 0 FROM notifications WHERE number = ?",
            (number,),
        ).rowcount
    return {"redelivered": changed}
