"""The nightly comparison: the next days in the EHR's calendar and in ours, side by side, and what differs for staff.

It is a read. It opens nothing and changes no appointment; only a version without any difference is noted. What the
poll still finds is left to the inbox first, so that what differs afterwards is what no event has told. Absence is
concluded from an answer about the appointment itself, and only after the whole of the calendar was read.
"""

from __future__ import annotations

import logging
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from audit.context import correlated, service
from integrations.ehr import comparing, differences, outage, taking_over
from integrations.ehr.comparison import Comparison, Implausible
from integrations.ehr.differences import Finding
from integrations.ehr.gateway import GatewayError
from integrations.ehr.reading_lease import AlreadyRunning, ReadingLease
from integrations.models import Connection, Reconciliation
from scheduling import openings
from scheduling.models import Opening, Practice
from scheduling.wake import wake

logger = logging.getLogger(__name__)

#: A comparison that failed for a reason of its own is repeated after this.
RETRY = timedelta(minutes=10)


def ask(connection: Connection, now: datetime | None = None) -> bool:
    """Have the connection compared soon; False when it is paused, stopped or was never loaded."""
    rows = Connection.objects.filter(pk=connection.pk, state=Connection.State.ACTIVE, loaded_at__isnull=False)
    rows = rows.exclude(kind=Connection.Kind.HL7V2)  # it only sends: there is nothing to compare with
    asked = bool(rows.update(reconcile_due_at=now or timezone.now()))
    if asked:
        wake("reconciles")
    return asked


def due(now: datetime | None = None, limit: int = 5) -> list[int]:
    """Return the ids of connections to compare now; none that somebody reads at this moment."""
    now = now or timezone.now()
    rows = Connection.objects.filter(
        Q(poll_lease_until__isnull=True) | Q(poll_lease_until__lte=now),
        Q(quiet_until__isnull=True) | Q(quiet_until__lte=now),
        reconcile_due_at__lte=now,
        state=Connection.State.ACTIVE,
        loaded_at__isnull=False,
    )
    return list(rows.order_by("reconcile_due_at").values_list("pk", flat=True)[:limit])


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`due` or :func:`taking_over.due` would find anything."""
    return bool(due(now, limit=1)) or bool(taking_over.due(now, limit=1))


def unplanned() -> list[int]:
    """Return the ids of loaded connections whose first night is not planned yet."""
    rows = Connection.objects.filter(reconcile_due_at__isnull=True, loaded_at__isnull=False)
    rows = rows.exclude(kind=Connection.Kind.HL7V2)  # it only sends: there is nothing to compare with
    return list(rows.values_list("pk", flat=True))


def plan(connection_id: int, now: datetime | None = None) -> bool:
    """Plan the first night of a connection; False when that was done meanwhile."""
    rows = Connection.objects.filter(pk=connection_id, reconcile_due_at__isnull=True)
    connection = rows.first()
    return connection is not None and bool(rows.update(reconcile_due_at=next_night(connection, now or timezone.now())))


def next_night(connection: Connection, now: datetime) -> datetime:
    """Return the next time the clock of the practice shows the connection's hour."""
    zone = ZoneInfo(Practice.current().time_zone)
    local = now.astimezone(zone)
    tonight = datetime.combine(local.date(), time(connection.reconcile_hour), zone)
    return tonight if tonight > now else datetime.combine(local.date() + timedelta(days=1), tonight.timetz())


def take_up(connection_id: int, now: datetime | None = None) -> bool:
    """Compare one connection that is due; False when another worker reads it."""
    now = now or timezone.now()
    lease = ReadingLease.take(connection_id, now)
    if lease is None:
        return False
    connection = Connection.objects.select_related("source").get(pk=connection_id)
    again_at = now + RETRY
    try:
        with service("worker: reconcile"), correlated():
            error = _run(connection, lease, now)
        again_at = next_night(connection, now)
        if error is not None:
            retry_at = outage.ask_again_at(connection, error) if isinstance(error, outage.NO_ANSWER) else now + RETRY
            again_at = max(retry_at, now + RETRY)
    except AlreadyRunning:
        logger.warning("the comparison of %s took too long; another worker does it", connection.slug)
    finally:
        lease.release(reconcile_due_at=again_at)
    return True


def _run(connection: Connection, lease: ReadingLease, now: datetime) -> GatewayError | None:
    """Compare from end to end and keep a record of it; returns what ended it early."""
    Reconciliation.objects.filter(connection=connection, ended_at__isnull=True).update(
        ended_at=now, error="interrupted"
    )
    until = now + timedelta(days=connection.reconcile_days)
    row = Reconciliation.objects.create(connection=connection, began_at=now, until=until)
    comparison = Comparison(connection, lease, now, until)
    try:
        comparison.run()
    except GatewayError as error:
        logger.warning("the comparison of %s ended early: %s", connection.slug, error.code)
        Reconciliation.objects.filter(pk=row.pk).update(ended_at=timezone.now(), error=error.code)
        if isinstance(error, Implausible):
            differences.show_implausible(connection)
        return error
    found = comparison.found
    with transaction.atomic():
        missed = differences.store(connection, found.differing, keep=found.unsettled, now=now)
        differences.end_implausible(connection)
        Reconciliation.objects.filter(pk=row.pk).update(
            ended_at=timezone.now(),
            compared=found.compared,
            differing=len(found.differing),
            missed=missed,
            unreadable=found.unreadable,
        )
    _look_again_at_taken_time(connection, found.differing)
    return None


def _look_again_at_taken_time(connection: Connection, found: list[Finding]) -> None:
    """Open time that the EHR shows as taken gets a fresh look now: nobody is offered it on the strength of our copy."""
    now = timezone.now()
    spans = [
        (datetime.fromisoformat(each.ehr_says["start"]), datetime.fromisoformat(each.ehr_says["end"]))
        for each in found
        if comparing.takes_time(each.ehr_says) and {"start", "end"} <= each.ehr_says.keys()
    ]
    if not spans:
        return
    live = Opening.objects.filter(source_id=connection.source_id, status__in=Opening.CLAIMABLE)
    for opening in live:
        if any(start < opening.end and opening.start < end for start, end in spans):
            openings.request_check(opening.pk, now)
