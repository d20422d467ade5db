"""What was told to subscriptions by topic, so that it can be counted and asked for again."""

from __future__ import annotations

from typing import Any

from .store import fetch_version
from .topics import Event

EVENTS_LIMIT = 500


def total_events(connection: Any, subscription_id: str) -> int:
    row = connection.execute(
        "SELECT IFNULL(MAX(number), 0) FROM subscription_events WHERE subscription_id = ?", (subscription_id,)
    ).fetchone()
    return int(row[0])


def events_between(connection: Any, subscription_id: str, first: int, last: int) -> tuple[Event, ...]:
    """Past events by their numbers, both inclusive, each with the version that it made."""
    rows = connection.execute(
        "SELECT number, event_id, occurred_ms, type, id, version FROM subscription_events"
        " WHERE subscription_id = ? AND number >= ? AND number <= ? ORDER BY number LIMIT ?",
        (subscription_id, first, last, EVENTS_LIMIT),
    ).fetchall()
    return tuple(_event(connection, row) for row in rows)


def _event(connection: Any, row: tuple[Any, ...]) -> Event:
    number, event_id, occurred_ms, resource_type, resource_id, version = row
    record = fetch_version(connection, resource_type, resource_id, version)
    body = "" if record is None or record.deleted else record.body
    return Event(number, event_id, occurred_ms, resource_type, resource_id, version, body)
