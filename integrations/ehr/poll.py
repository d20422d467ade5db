"""Polling: what changed since the last time, by the EHR's own clock. It repairs whatever notifications lost.

The cursor moves only after the last page, so a read that breaks off is simply repeated. Versions are compared first;
only what differs from what we hold becomes an event.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone

from audit.context import correlated, service
from integrations.ehr import freshness, intake, outage
from integrations.ehr.fhir.events import Notice
from integrations.ehr.gateway import GatewayError, Page, connect
from integrations.ehr.reading_lease import AlreadyRunning, ReadingLease
from integrations.models import Connection, InboundEvent
from scheduling.bulk import held_versions
from scheduling.models import Appointment, ExternalId

logger = logging.getLogger(__name__)

#: A poll that failed for a reason of its own is repeated after this.
RETRY = timedelta(seconds=60)


@dataclass(slots=True)
class Poll:
    """What a poll found: entries read, those that differ from ours, those that cannot be read."""

    seen: int = 0
    changed: int = 0
    quarantined: int = 0


def poll_due(now: datetime | None = None) -> list[int]:
    """Return the ids of connections to poll now: loaded, active, and not asked to be left in peace."""
    now = now or timezone.now()
    rows = Connection.objects.filter(
        Q(poll_due_at__isnull=True) | Q(poll_due_at__lte=now),
        Q(poll_lease_until__isnull=True) | Q(poll_lease_until__lte=now),
        Q(quiet_until__isnull=True) | Q(quiet_until__lte=now),
        state=Connection.State.ACTIVE,
        loaded_at__isnull=False,
    ).exclude(kind=Connection.Kind.HL7V2)  # it only sends
    return list(rows.order_by(F("poll_due_at").asc(nulls_first=True)).values_list("pk", flat=True))


def poll(connection_id: int, now: datetime | None = None) -> Poll | None:
    """Read what changed at the EHR; None when another worker does, or when the EHR could not be read to the end."""
    lease = ReadingLease.take(connection_id, now)
    if lease is None:
        return None
    connection = Connection.objects.select_related("source").get(pk=connection_id)
    next_at = timezone.now() + timedelta(minutes=connection.poll_minutes)
    try:
        with service("worker: poll"), correlated():
            found = read_changes(connection, lease)
    except AlreadyRunning:
        logger.warning("poll of %s took too long; another worker does it", connection.slug)
        return None
    except GatewayError as error:
        logger.warning("poll of %s ended early: %s", connection.slug, error.code)
        next_at = timezone.now() + RETRY
        if isinstance(error, outage.NO_ANSWER):
            next_at = outage.ask_again_at(connection, error)
        found = None
    finally:
        lease.release(poll_due_at=next_at)
    return found


def read_changes(connection: Connection, lease: ReadingLease) -> Poll:
    """Read to the end, for whoever holds the lease; raises GatewayError, and AlreadyRunning when it was lost."""
    gateway = connect(connection)
    overlap = timedelta(minutes=connection.poll_overlap_minutes)
    since = connection.cursor - overlap if connection.cursor else None
    found, began_at, present = Poll(), None, set[str]()
    as_of = timezone.now()
    by_time = since is not None and gateway.capabilities.search_last_updated
    for page in gateway.changed_since(since):
        began_at = began_at or page.server_time or page.asked_at
        _take_page(connection, page, found, by_time)
        present.update(page.versions)
        lease.keep()
    if not gateway.capabilities.search_last_updated:
        _look_after_absent(connection, present)
    _advance(connection, began_at or timezone.now(), as_of)
    return found


def _take_page(connection: Connection, page: Page, found: Poll, by_time: bool) -> None:
    held = held_versions(connection.source, ExternalId.Kind.APPOINTMENT, page.versions)
    changed = {
        external_id: version
        for external_id, version in page.versions.items()
        if not version or held.get(external_id) != version
    }
    # What a search by days shows for the first time may be an old visit on a day that has only now come near.
    since = _shown_by_then(connection)
    after = {each: since for each in changed if since and (by_time or each in held)}
    intake.receive_changes(connection, page.bodies, changed, page.asked_at or timezone.now(), after)
    intake.set_aside(connection, InboundEvent.Via.POLL, page.quarantined)
    found.seen += len(page.versions)
    found.changed += len(changed)
    found.quarantined += len(page.quarantined)


def _shown_by_then(connection: Connection) -> datetime | None:
    """Return up to when what the EHR changed was surely shown by the complete read before this one."""
    overlap = timedelta(minutes=connection.poll_overlap_minutes)
    return connection.calendar_as_of - overlap if connection.calendar_as_of else None


def _advance(connection: Connection, began_at: datetime, as_of: datetime) -> None:
    """The whole of it was read: from now on what changed after ``began_at`` matters. A clock set back moves nothing."""
    now = timezone.now()
    Connection.objects.filter(pk=connection.pk).update(last_poll_at=now, last_success_at=now, calendar_as_of=as_of)
    freshness.go_on(connection, now)
    behind = Q(cursor__isnull=True) | Q(cursor__lt=began_at)
    Connection.objects.filter(behind, pk=connection.pk).update(cursor=began_at)


def _look_after_absent(connection: Connection, present: set[str]) -> None:
    """Where only whole windows can be read, what we hold in the window and did not meet is asked for by its id.

    Its absence proves nothing by itself; the answer to that question does.
    """
    now = timezone.now()
    ahead = Appointment.objects.filter(
        source=connection.source, status__in=Appointment.OCCUPYING, start__gt=now, start__lt=now + timedelta(days=90)
    )
    names = ExternalId.objects.filter(
        source=connection.source, kind=ExternalId.Kind.APPOINTMENT, object_id__in=ahead.values("pk")
    )
    for external_id in names.values_list("value", flat=True):
        if external_id not in present:
            intake.remember(connection, InboundEvent.Via.POLL, Notice("appointment", external_id))
