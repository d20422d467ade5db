"""Reading patients, clinicians and places again, every so many minutes, where a connection is set to batches of them.

Where the EHR can be asked what changed since a moment, that is asked; else all of them are read, once a day, and what
is here at the same version is skipped.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.utils import timezone

from audit.context import correlated, service
from integrations.ehr import intake, mirroring, outage
from integrations.ehr.gateway import GatewayError, Kind, connect
from integrations.ehr.reading_lease import AlreadyRunning, ReadingLease
from integrations.models import Connection, InboundEvent
from scheduling import bulk_people

logger = logging.getLogger(__name__)

#: By the connection's setting: what is read for it, in this order.
KINDS: dict[str, tuple[Kind, ...]] = {"directory_pace": ("location", "provider"), "patient_pace": ("patient",)}
#: Reading everything is for the night's end, not for every batch.
WHOLE_EVERY = timedelta(days=1)
RETRY = timedelta(minutes=5)


def due(now: datetime | None = None) -> list[int]:
    """Return the ids of connections of which something is to be read again now."""
    now = now or timezone.now()
    rows = Connection.objects.filter(state=Connection.State.ACTIVE, loaded_at__isnull=False)
    return [row.pk for row in rows if outage.answers(row, now) and _due_settings(row, now)]


def _due_settings(row: Connection, now: datetime) -> list[str]:
    return [
        setting
        for setting in KINDS
        if getattr(row, setting) != Connection.Pace.REAL_TIME
        and datetime.fromisoformat(row.rereads.get(setting, {}).get("due_at") or now.isoformat()) <= now
    ]


def after_load(row: Connection, began_at: datetime, now: datetime) -> dict[str, Any]:
    """Return what ``rereads`` says after a complete load: the first batch reads what changed since it began."""
    due_at = now + timedelta(minutes=row.batch_minutes)
    known = {"due_at": due_at.isoformat(), "cursor": began_at.isoformat(), "read_at": now.isoformat()}
    return {setting: dict(known) for setting in KINDS}


def read_again(connection_id: int, now: datetime | None = None) -> bool:
    """Read what is due of one connection; False when another worker reads it, or the EHR could not be read to the end.

    What was read by then stays, and the whole is read again after :data:`RETRY`.
    """
    now = now or timezone.now()
    lease = ReadingLease.take(connection_id, now)
    if lease is None:
        return False
    row = Connection.objects.select_related("source").get(pk=connection_id)
    kept: dict[str, Any] = dict(row.rereads)
    try:
        with service("worker: polling"), correlated():
            for setting in _due_settings(row, now):
                kept[setting] = {**kept.get(setting, {}), "due_at": (now + RETRY).isoformat()}
                kept[setting] = _read(row, lease, setting, now)
    except (GatewayError, AlreadyRunning) as error:
        logger.warning("reading people of %s again ended early: %s", row.slug, getattr(error, "code", "overtaken"))
        return False
    finally:
        lease.release(rereads=kept)
    return True


def _read(row: Connection, lease: ReadingLease, setting: str, now: datetime) -> dict[str, Any]:
    """Read the kinds of one setting to their end, and return when to do so again and from which moment on."""
    gateway, known = connect(row), row.rereads.get(setting, {})
    by_time = gateway.capabilities.people_last_updated
    since = None
    if by_time and known.get("cursor"):
        since = datetime.fromisoformat(known["cursor"]) - timedelta(minutes=row.poll_overlap_minutes)
    began_at: datetime | None = None
    for kind in KINDS[setting]:
        for page in gateway.load(kind, partial(_held, row, kind), since):
            began_at = began_at or page.server_time or page.asked_at
            intake.set_aside(row, InboundEvent.Via.POLL, page.quarantined)
            fetched_at = page.asked_at or now
            for other in mirroring.apply_in_bulk(row.source, page.records, fetched_at):
                lease.keep()
                mirroring.apply_singly(gateway, row.source, other, fetched_at)
            lease.keep()
    wait = timedelta(minutes=row.batch_minutes)
    due_at = now + (wait if by_time else max(wait, WHOLE_EVERY))
    return {"due_at": due_at.isoformat(), "cursor": (began_at or now).isoformat(), "read_at": now.isoformat()}


def _held(row: Connection, kind: Kind, versions: Any) -> set[str]:
    return bulk_people.unchanged(row.source, kind, versions)
