"""A look at the queue of notifications, and sending one of them again."""

# Statements are put together from fixed fragments; every value is a bound parameter.
# ruff: noqa: S608

from __future__ import annotations

from typing import Any

from .store import Store

_COLUMNS = (
    "number", "event_id", "subscription_id", "resource_type", "kind", "attempts", "state", "treatment", "last_error",
)  # fmt: skip


def queue_counts(store: Store) -> dict[str, int]:
    """Notifications by state: waiting, delivered, dead, lost."""
    with store.reading() as connection:
        rows = connection.execute("SELECT state, COUNT(*) FROM notifications GROUP BY state").fetchall()
    return {"waiting": 0, "delivered": 0, "dead": 0, "lost": 0} | dict(rows)


def pending_summary(store: Store, limit: int = 50) -> list[dict[str, Any]]:
    """The latest notifications, newest first, without their bodies."""
    with store.reading() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM notifications ORDER BY number DESC LIMIT ?", (limit,)
        ).fetchall()
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def redeliver(store: Store, number: int) -> dict[str, int]:
    """Send one notification again under its old event id, as a vendor's replay does. Unknown numbers change nothing."""
    with store.writing() as transaction:
        changed = transaction.connection.execute(
            "INSERT INTO notifications (event_id, subscription_id, resource_type, body, due_ms, kind, headers)"
            " SELECT event_id, subscription_id, resource_type, body, 0, kind, headers FROM notifications"
            " WHERE number = ?",
            (number,),
        ).rowcount
    return {"redelivered": changed}
