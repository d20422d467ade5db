"""Whether an EHR that should tell us of changes does so, judged by the changes that only a poll found.

A change counts when the EHR made it while it should have told us: after we began to listen, and after the last thing
it told. When a change was made nobody knows but the EHR; that it was made after a read which did not show it yet is
certain, so that is what is compared.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from integrations.models import Connection, EventSubscription, InboundEvent

#: So many changes that only a poll found are no accident, and a notification may be late by so much.
UNHEARD = 3
ON_ITS_WAY = timedelta(minutes=10)
#: How far back it is looked.
WITHIN = timedelta(days=1)
#: A row that every notification updates would be a queue.
NOTED_EVERY = timedelta(seconds=30)


def begin(connection: Connection, now: datetime | None = None) -> None:
    """From now on the EHR is to tell us of each change: what it changed before counts for nothing."""
    connection.listens_since = now or timezone.now()
    Connection.objects.filter(pk=connection.pk).update(listens_since=connection.listens_since)


def heard_late(connection_id: int, dedupe_key: str, now: datetime) -> None:
    """A notification says what we have a row of. When a poll made that row, the EHR has told us all the same: late."""
    found = InboundEvent.objects.filter(
        connection_id=connection_id, dedupe_key=dedupe_key, via=InboundEvent.Via.POLL
    ).exists()
    if found:
        stale = Q(listens_since__isnull=True) | Q(listens_since__lt=now - NOTED_EVERY)
        Connection.objects.filter(stale, pk=connection_id).update(listens_since=now)


def unheard_changes(connection: Connection, now: datetime) -> int:
    """Return how many changes of the last day the EHR should have told us of and did not; 0 where it is only polled.

    The last minutes do not count: a notification may be on its way.
    """
    is_told = connection.events_by == Connection.EventsBy.PLATFORM and bool(connection.webhook_secrets)
    if not is_told and not connection.subscriptions.filter(status=EventSubscription.Status.ACTIVE).exists():
        return 0
    events = InboundEvent.objects.filter(connection=connection, received_at__gt=now - WITHIN)
    found = events.filter(
        via=InboundEvent.Via.POLL, received_at__lt=now - ON_ITS_WAY, outcome__startswith="mirror"
    ).exclude(changed_after=None)
    last = _told(events).order_by("-received_at").values_list("received_at", flat=True).first()
    began = max((at for at in (connection.listens_since, last) if at is not None), default=None)
    return found.filter(changed_after__gt=began).count() if began else found.count()


def _told(events: QuerySet[InboundEvent]) -> QuerySet[InboundEvent]:
    """Notifications of appointments, or of what nobody can name: news of patients says nothing of these."""
    named = Q(subject_key="") | Q(subject_key__startswith="Appointment")
    told = events.filter(named, via=InboundEvent.Via.WEBHOOK).exclude(status=InboundEvent.Status.IGNORED)
    # What a notification of several things was divided into is told by each of them.
    return told.exclude(outcome__startswith="divided")
