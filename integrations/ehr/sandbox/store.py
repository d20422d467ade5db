"""Resources with their versions and search terms in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .clock import Clock, format_instant, parse_instant
from .indexing import columns_of, terms_of
from .topics import Notifying

SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    key INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT '',
    start_ms INTEGER, end_ms INTEGER, body TEXT NOT NULL, UNIQUE (type, id));
CREATE INDEX IF NOT EXISTS resources_updated ON resources (type, updated_ms, key);
CREATE INDEX IF NOT EXISTS resources_start ON resources (type, IFNULL(start_ms, -1), key);
CREATE INDEX IF NOT EXISTS resources_time ON resources (type, start_ms, end_ms);
CREATE TABLE IF NOT EXISTS versions (
    type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
    deleted INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (type, id, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS terms (
    parameter TEXT NOT NULL, value TEXT NOT NULL, key INTEGER NOT NULL,
    PRIMARY KEY (parameter, value, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS terms_key ON terms (key);
CREATE TABLE IF NOT EXISTS slot_holds (slot_id TEXT PRIMARY KEY, appointment_id TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS slot_holds_appointment ON slot_holds (appointment_id);
CREATE TABLE IF NOT EXISTS subscription_secrets (subscription_id TEXT PRIMARY KEY, secret TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notifications (
    number INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, subscription_id TEXT NOT NULL,
    resource_type TEXT NOT NULL, body TEXT NOT NULL, due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting', treatment TEXT NOT NULL DEFAULT '', last_error TEXT NOT NULL DEFAULT '',
    kind TEXT NOT NULL DEFAULT 'event-notification', headers TEXT NOT NULL DEFAULT '{}');
CREATE INDEX IF NOT EXISTS notifications_state ON notifications (state, subscription_id, number);
CREATE TABLE IF NOT EXISTS subscription_events (
    subscription_id TEXT NOT NULL, number INTEGER NOT NULL, event_id TEXT NOT NULL, occurred_ms INTEGER NOT NULL,
    type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, deleted INTEGER NOT NULL,
    PRIMARY KEY (subscription_id, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, appointment_id TEXT NOT NULL,
    patient_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS proposals (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (
    appointment_id TEXT PRIMARY KEY, proposal_id TEXT NOT NULL, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
"""
#: Columns that files of earlier versions lack.
_ADDED = {
    "kind": "ALTER TABLE notifications ADD COLUMN kind TEXT NOT NULL DEFAULT 'event-notification'",
    "headers": "ALTER TABLE notifications ADD COLUMN headers TEXT NOT NULL DEFAULT '{}'",
}
_RECORD = "SELECT key, type, id, version, updated_ms, deleted, body FROM resources"


@dataclass(frozen=True, slots=True)
class Record:
    """One stored version; ``body`` is the JSON text as clients get it."""

    key: int
    resource_type: str
    id: str
    version: int
    updated_ms: int
    deleted: bool
    body: str

    @property
    def resource(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


def _record(row: tuple[Any, ...] | None) -> Record | None:
    return None if row is None else Record(row[0], row[1], row[2], row[3], row[4], bool(row[5]), row[6])


def fetch(connection: sqlite3.Connection, resource_type: str, resource_id: str) -> Record | None:
    """The current version, deleted ones included, or None."""
    return _record(connection.execute(f"{_RECORD} WHERE type = ? AND id = ?", (resource_type, resource_id)).fetchone())


def fetch_version(connection: sqlite3.Connection, resource_type: str, resource_id: str, version: int) -> Record | None:
    current = fetch(connection, resource_type, resource_id)
    if current is None or current.version == version:
        return current
    row = connection.execute(
        "SELECT 0, type, id, version, updated_ms, deleted, body FROM versions"
        " WHERE type = ? AND id = ? AND version = ?",
        (resource_type, resource_id, version),
    ).fetchone()
    return _record(row)


class Transaction:
    """Changes that become visible together. Only one exists at a time."""

    def __init__(self, connection: sqlite3.Connection, store: Store) -> None:
        self.connection = connection
        self.clock = store.clock
        self.base_url = store.base_url
        self.notifying = store.notifying
        self._watcher = store.watcher
        self._own_identifiers = store.own_identifiers

    def get(self, resource_type: str, resource_id: str) -> Record | None:
        """The current version, or None when there is none or it was deleted."""
        record = fetch(self.connection, resource_type, resource_id)
        return None if record is None or record.deleted else record

    def put(self, resource_type: str, resource_id: str, resource: dict[str, Any]) -> Record:
        """Store the next version. ``resource`` is not changed; id and meta are set on the stored copy."""
        return self._write(resource_type, resource_id, resource, deleted=False)

    def delete(self, record: Record) -> Record:
        return self._write(record.resource_type, record.id, record.resource, deleted=True)

    def load(self, resources: list[dict[str, Any]]) -> None:
        """Store first versions in bulk, telling nobody: what a clinic had before anyone looked.

        One whose ``meta.lastUpdated`` lies in the past was last changed then.
        """
        stamp = self.clock.reserve(len(resources))
        for offset, resource in enumerate(resources):
            told = resource.get("meta", {}).get("lastUpdated")
            at = min(parse_instant(told), stamp + offset) if told else stamp + offset
            self._insert(resource["resourceType"], resource["id"], resource, at)

    def reindex(self, record: Record) -> None:
        """Compute the terms of a resource again, because what it refers to has changed."""
        self._replace_terms(record.key, record.resource)

    def _write(self, resource_type: str, resource_id: str, resource: dict[str, Any], *, deleted: bool) -> Record:
        stamp = self.clock.tick()
        previous = fetch(self.connection, resource_type, resource_id)
        if previous is None:
            record = self._insert(resource_type, resource_id, resource, stamp)
        else:
            record = self._supersede(previous, resource, stamp, deleted)
        self._watcher(self, record)
        return record

    def _insert(self, resource_type: str, resource_id: str, resource: dict[str, Any], stamp: int) -> Record:
        stored, body = _stamped(self._identified(resource, resource_id), resource_id, 1, stamp)
        cursor = self.connection.execute(
            "INSERT INTO resources (type, id, version, updated_ms, status, start_ms, end_ms, body)"
            " VALUES (?, ?, 1, ?, ?, ?, ?, ?)",
            (resource_type, resource_id, stamp, *columns_of(stored), body),
        )
        key = cursor.lastrowid or 0
        self._add_terms(key, stored)
        return Record(key, resource_type, resource_id, 1, stamp, False, body)

    def _supersede(self, previous: Record, resource: dict[str, Any], stamp: int, deleted: bool) -> Record:
        version = previous.version + 1
        stored, body = _stamped(self._identified(resource, previous.id), previous.id, version, stamp)
        self.connection.execute(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)",
            (
                previous.resource_type,
                previous.id,
                previous.version,
                previous.updated_ms,
                previous.deleted,
                previous.body,
            ),
        )
        self.connection.execute(
            "UPDATE resources SET version = ?, updated_ms = ?, deleted = ?,"
            " status = ?, start_ms = ?, end_ms = ?, body = ?"
            " WHERE key = ?",
            (version, stamp, deleted, *columns_of(stored), body, previous.key),
        )
        self._replace_terms(previous.key, stored)
        return Record(previous.key, previous.resource_type, previous.id, version, stamp, deleted, body)

    def add_own_identifiers(self) -> None:
        """Give the server's identifier to what was stored before it had one. No new versions, no notifications."""
        for resource_type in self._own_identifiers:
            rows = self.connection.execute(
                "SELECT key, id, body FROM resources WHERE type = ?", (resource_type,)
            ).fetchall()
            for key, resource_id, body in rows:
                present = json.loads(body)
                identified = self._identified(present, resource_id)
                if identified is not present:
                    text = json.dumps(identified, ensure_ascii=False, separators=(",", ":"))
                    self.connection.execute("UPDATE resources SET body = ? WHERE key = ?", (text, key))
                    self._replace_terms(key, identified)

    def _identified(self, resource: dict[str, Any], resource_id: str) -> dict[str, Any]:
        """The resource with the server's own identifier, when this server gives one to its type."""
        system = self._own_identifiers.get(resource["resourceType"])
        present = resource.get("identifier", [])
        if system is None or any(each.get("system") == system for each in present):
            return resource
        return resource | {"identifier": [*present, {"system": system, "value": resource_id}]}

    def _replace_terms(self, key: int, resource: dict[str, Any]) -> None:
        self.connection.execute("DELETE FROM terms WHERE key = ?", (key,))
        self._add_terms(key, resource)

    def _add_terms(self, key: int, resource: dict[str, Any]) -> None:
        terms = terms_of(resource, self._actors_of_schedule)
        self.connection.executemany(
            "INSERT OR IGNORE INTO terms VALUES (?, ?, ?)", [(parameter, value, key) for parameter, value in terms]
        )

    def _actors_of_schedule(self, reference: str) -> list[str]:
        rows = self.connection.execute(
            "SELECT t.value FROM terms t JOIN resources r ON r.key = t.key"
            " WHERE r.type = 'Schedule' AND r.id = ? AND t.parameter = 'Schedule.actor'",
            (reference.rpartition("/")[2],),
        )
        return [row[0] for row in rows]


def _stamped(resource: dict[str, Any], resource_id: str, version: int, stamp: int) -> tuple[dict[str, Any], str]:
    meta = {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": format_instant(stamp)}
    head = {"resourceType": resource["resourceType"], "id": resource_id, "meta": meta}
    stored = {**head, **{name: value for name, value in resource.items() if name not in head}}
    return stored, json.dumps(stored, ensure_ascii=False, separators=(",", ":"))


class Store:
    """One SQLite file (WAL), many readers, one writer at a time.

    ``base_url`` is how the server names itself where nobody has addressed it: in notifications. ``hold_seconds`` is how
    long it keeps a time that is held. ``own_identifiers`` are the systems of the identifiers that it gives, by type.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._in_memory = path == ":memory:"
        self._lock = threading.RLock()
        self._writer = self._connect()
        self._readers: list[sqlite3.Connection] = []
        self._writer.executescript(SCHEMA)
        present = {row[1] for row in self._writer.execute("PRAGMA table_info(notifications)")}
        for column, statement in _ADDED.items():
            if column not in present:
                self._writer.execute(statement)
        latest = self._writer.execute("SELECT IFNULL(MAX(updated_ms), 0) FROM resources").fetchone()[0]
        self.clock = Clock(latest)
        self.base_url = ""
        self.hold_seconds = 600
        self.own_identifiers: Mapping[str, str] = {}
        self.notifying = Notifying()
        self.watcher: Callable[[Transaction, Record], None] = lambda transaction, record: None
        self.after_commit: Callable[[], None] = lambda: None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reads; a database in memory has only one, so reads take turns there."""
        if self._in_memory:
            with self._lock:
                yield self._writer
            return
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._readers.append(connection)

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """The only transaction; all or nothing."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._writer, self)
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")
        self.after_commit()

    def close(self) -> None:
        with self._lock:
            for connection in [*self._readers, self._writer]:
                connection.close()
