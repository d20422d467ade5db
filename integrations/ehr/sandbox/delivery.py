"""Sends queued notifications in the background: one thread per subscription, in order, again until accepted."""

# Statements are put together from fixed fragments; every value is a bound parameter.
# ruff: noqa: S608

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import Any

from .faults import Faults
from .outgoing import Outgoing
from .settings import SandboxSettings
from .signatures import notification_headers
from .store import Store, fetch
from .subscriptions import bundle_text, queue, signature_scheme
from .topics import heartbeat_seconds

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
    kind: str
    headers: dict[str, str]


class Courier:
    """Wakes on every commit and keeps one worker for each subscription with something to say."""

    def __init__(self, store: Store, settings: SandboxSettings, faults: Faults) -> None:
        self._store, self._settings, self._faults = store, settings, faults
        self._awake = threading.Condition()
        self._generation = 0
        self._stopping = False
        self._workers: dict[str, threading.Thread] = {}
        self._last_told: dict[str, float] = {}
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
            self._beat()
            seen = self._wait(seen, 1.0)

    def _beat(self) -> None:
        """Queue a heartbeat for each subscription by topic that has heard nothing for its period."""
        now = time.monotonic()
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT id, body FROM resources WHERE type = 'Subscription' AND deleted = 0 AND status = 'active'"
            ).fetchall()
        for subscription_id, body in rows:
            subscription = json.loads(body)
            period = heartbeat_seconds(subscription)
            is_due = now - self._last_told.setdefault(subscription_id, now) >= period
            if period and is_due and subscription["criteria"] in self._store.notifying.topics:
                self._last_told[subscription_id] = now
                with self._store.writing() as transaction:
                    text = bundle_text(transaction, subscription_id, subscription, "heartbeat")
                    queue(transaction, subscription_id, "Subscription", text, kind="heartbeat")

    def _work(self, subscription_id: str) -> None:
        line = Line(self._store, self._settings, self._faults, subscription_id)
        seen = -1
        while not self._stopping:
            try:
                pause = line.step()
                if pause == 0:
                    self._last_told[subscription_id] = time.monotonic()
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
        self._outgoing = Outgoing(settings.notification_timeout_seconds)

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
        aside = (
            "treatment IN ('late', 'reorder')"
            if self._store.notifying.is_ordered
            else "attempts > 0 OR treatment != ''"
        )
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT number, event_id, resource_type, body, due_ms, attempts, treatment, kind, headers"
                " FROM notifications WHERE state = 'waiting' AND subscription_id = ?"
                f" AND (NOT ({aside}) OR due_ms <= ?)"
                " ORDER BY number LIMIT 1",
                (self._subscription_id, self._store.clock.now()),
            ).fetchone()
        if rows is None:
            return None, 0.2 if self._has_held() else 60.0
        number, event_id, resource_type, body, due_ms, attempts, treatment, kind, headers = rows
        notification = Notification(
            number, event_id, resource_type, body.encode(), due_ms, attempts, treatment, kind, json.loads(headers)
        )
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
        subscription = self._subscription(notification.kind)
        if subscription is None:
            self._record(notification.number, state="dead", last_error="the subscription is not active")
            return
        error = self._send(subscription, notification)
        if not error and notification.treatment == "double":
            self._send(subscription, notification)
        if not error:
            self._record(notification.number, state="delivered", attempts=notification.attempts + 1)
            self._release_held()
            if notification.kind == "handshake":
                self._set_status("active")
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
        notifying = self._store.notifying
        if exhausted and notifying.ends_in_error and subscription["criteria"] in notifying.topics:
            self._set_status("error")

    def _set_status(self, status: str) -> None:
        """The server's own change of a subscription; in error its queue is given up, to be asked for by its client."""
        with self._store.writing() as transaction:
            present = transaction.get("Subscription", self._subscription_id)
            if present is None or present.resource["status"] not in ("requested", "active"):
                return
            transaction.put("Subscription", self._subscription_id, present.resource | {"status": status})
            if status == "error":
                transaction.connection.execute(
                    "UPDATE notifications SET state = 'dead', last_error = 'the subscription is in error'"
                    " WHERE subscription_id = ? AND state = 'waiting'",
                    (self._subscription_id,),
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

    def _subscription(self, kind: str) -> dict[str, Any] | None:
        """The subscription with its secret; None when it must not be told. A handshake comes before it is active."""
        with self._store.reading() as connection:
            record = fetch(connection, "Subscription", self._subscription_id)
            row = connection.execute(
                "SELECT secret FROM subscription_secrets WHERE subscription_id = ?", (self._subscription_id,)
            ).fetchone()
        ready = ("active", "requested") if kind == "handshake" else ("active",)
        if record is None or record.deleted or record.resource["status"] not in ready:
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
        headers |= notification.headers
        scheme = signature_scheme(subscription, self._store.notifying.scheme)
        headers |= notification_headers(scheme, secret, notification.event_id, int(time.time()), notification.body)
        try:
            status = self._outgoing.post(channel["endpoint"], notification.body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._outgoing.hang_up()
            return type(error).__name__
        return "" if 200 <= status < 300 else f"HTTP {status}"

    def hang_up(self) -> None:
        self._outgoing.hang_up()
