"""The switches of a connection that a person may press: pause, resume, sync now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.log import record_change
from integrations.ehr import batching
from integrations.models import Connection, InboundEvent
from scheduling.models import Opening, Writeback
from scheduling.wake import wake

#: Writes that are taken up when they fall due.
WAITING_WRITES = (Writeback.Status.WAITING, Writeback.Status.UNKNOWN, Writeback.Status.BY_HAND)


def pause(connection: Connection) -> bool:
    """Stop reading from the EHR and writing to it; what arrives is kept. False when it was not active."""
    return _switch(connection, (Connection.State.ACTIVE,), Connection.State.PAUSED)


def resume(connection: Connection, now: datetime | None = None) -> bool:
    """Go on, also after a refused login that an administrator has mended, with everything that waits, at once."""
    now = now or timezone.now()
    with transaction.atomic():
        resumed = _switch(
            connection,
            (Connection.State.PAUSED, Connection.State.STOPPED),
            Connection.State.ACTIVE,
            poll_due_at=now,
            listens_since=now,
            failing_since=None,
            quiet_until=None,
            last_error="",
        )
        if resumed:
            _make_due(connection, now)
    return resumed


def _make_due(connection: Connection, now: datetime) -> None:
    """End the waits for a connection that was not asked; whoever takes a row up decides anew whether to wait."""
    later = {"source_id": connection.source_id, "due_at__gt": now}
    Writeback.objects.filter(**later, status__in=WAITING_WRITES).update(due_at=now)
    events = InboundEvent.objects.filter(connection=connection, status=InboundEvent.Status.RECEIVED)
    events.filter(due_at__gt=now).update(due_at=now)
    # What is known of open time is as old as the pause. A held one waits for a person.
    live = Opening.objects.filter(source_id=connection.source_id, status__in=Opening.CLAIMABLE, held=Opening.Held.NO)
    live.filter(check_due_at__gt=now).update(check_due_at=now)
    for topic in ("inbox", "checks", "writebacks", "polls"):
        wake(topic)


def sync_now(connection: Connection, now: datetime | None = None) -> bool:
    """Have the next poll begin at once, and what waits for its batch read. False when paused or stopped."""
    rows = Connection.objects.filter(pk=connection.pk, state=Connection.State.ACTIVE)
    if not rows.update(poll_due_at=now or timezone.now(), rereads=_due_at_once(connection)):
        return False
    batching.deal_now(connection)
    wake("polls")
    return True


def _due_at_once(connection: Connection) -> dict[str, Any]:
    return {setting: {**known, "due_at": None} for setting, known in connection.rereads.items()}


def _switch(connection: Connection, origins: tuple[str, ...], to: str, **fields: Any) -> bool:
    before = connection.state
    with transaction.atomic():
        rows = Connection.objects.filter(pk=connection.pk, state__in=origins)
        if not rows.update(state=to, **fields):
            return False
        record_change(connection, {"state": (before, to)})
    connection.refresh_from_db()
    return True
