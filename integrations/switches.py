"""The switches of a connection that a person may press: pause, resume, sync now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.log import record_change
from integrations.models import Connection
from scheduling.wake import wake


def pause(connection: Connection) -> bool:
    """Stop reading from the EHR and writing to it; what arrives is kept. False when it was not active."""
    return _switch(connection, (Connection.State.ACTIVE,), Connection.State.PAUSED)


def resume(connection: Connection, now: datetime | None = None) -> bool:
    """Go on, also after a refused login that an administrator has mended: read first, then write what waits."""
    now = now or timezone.now()
    resumed = _switch(
        connection,
        (Connection.State.PAUSED, Connection.State.STOPPED),
        Connection.State.ACTIVE,
        poll_due_at=now,
        failing_since=None,
        quiet_until=None,
        last_error="",
    )
    if resumed:
        for topic in ("inbox", "checks", "writebacks"):
            wake(topic)
    return resumed


def sync_now(connection: Connection, now: datetime | None = None) -> bool:
    """Have the next poll begin at once. False when the connection is paused or stopped."""
    rows = Connection.objects.filter(pk=connection.pk, state=Connection.State.ACTIVE)
    return bool(rows.update(poll_due_at=now or timezone.now()))


def _switch(connection: Connection, origins: tuple[str, ...], to: str, **fields: Any) -> bool:
    before = connection.state
    with transaction.atomic():
        rows = Connection.objects.filter(pk=connection.pk, state__in=origins)
        if not rows.update(state=to, **fields):
            return False
        record_change(connection, {"state": (before, to)})
    connection.refresh_from_db()
    return True
