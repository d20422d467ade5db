"""Keeping the stream of events whole: subscriptions alive, gaps noticed, heartbeats missed.

Whatever was missed is found by a poll that begins at once; a subscription that the EHR ended is asked for again, and
staff hear of it only when that does not work.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from integrations.ehr import listening
from integrations.ehr.fhir import subscriptions
from integrations.ehr.fhir.events import StreamStatus
from integrations.ehr.gateway import GatewayError, NotFound
from integrations.models import Connection, EventSubscription
from scheduling.wake import wake
from scheduling.worklist import ask_staff, finish_for

Status = EventSubscription.Status
#: Settings by which an EHR finds us and we know it; those of the admin's form that stand for hidden ones among them.
HOW_IT_TELLS = frozenset(
    {"base_url", "kind", "practice_number", "events_by", "event_topic", "webhook_proof", "webhook_senders"}
    | {"new_webhook_secret", "only_newest_webhook_secret"}
)
#: How often a subscription that is well is looked at.
CHECKED_EVERY = timedelta(minutes=15)
#: A heartbeat may be late by so many of its periods before the stream counts as broken.
MISSED_PERIODS = 3


def start(connection: Connection, base_url: str = "", now: datetime | None = None) -> EventSubscription:
    """Have the EHR notify us at ``base_url``, this site's public one by default, and remember the subscription.

    Raises GatewayError.
    """
    now = now or timezone.now()
    endpoint = (base_url or settings.PUBLIC_BASE_URL) + reverse("ehr-webhook", args=[connection.slug])
    found = subscriptions.subscribe(connection, endpoint)
    by_topic = connection.events_by == Connection.EventsBy.TOPIC
    row, _ = EventSubscription.objects.update_or_create(
        connection=connection,
        external_id=found.external_id,
        defaults={
            "by": connection.events_by,
            "status": _status(found.status),
            "heartbeat_seconds": subscriptions.HEARTBEAT_SECONDS if by_topic else None,
            "checked_at": now,
        },
    )
    connection.subscriptions.exclude(pk=row.pk).delete()
    listening.begin(connection, now)
    finish_for(_key(connection.pk), "The EHR notifies us again.")
    return row


def note(connection: Connection, said: StreamStatus, now: datetime | None = None) -> bool:
    """Take in what a notification says about its stream; True when events before it are missing.

    Notifications overtake one another, so a gap costs a poll and nothing else.
    """
    now = now or timezone.now()
    rows = EventSubscription.objects.filter(connection=connection, external_id=said.subscription_id)
    row = rows.first()
    if row is None:
        return False
    rows.filter(Q(last_heard_at__isnull=True) | Q(last_heard_at__lt=now)).update(last_heard_at=now)
    # Written before the handshake was answered, or not: what tells of an event is active.
    status = str(Status.ACTIVE) if said.told and said.status == Status.REQUESTED else said.status
    if status and status != row.status:
        rows.update(status=_status(status))
        _listen_if_active(row, status, now)
    if said.total is None:
        return False
    rows.filter(Q(events_seen__isnull=True) | Q(events_seen__lt=said.total)).update(events_seen=said.total)
    is_gap = row.events_seen is not None and said.total - said.told > row.events_seen
    if is_gap:
        _poll_now(connection.pk, now)
    return is_gap


def due(now: datetime | None = None, limit: int = 10) -> list[int]:
    """Return the ids of subscriptions to look at now: long unseen, ended, or without their heartbeat."""
    now = now or timezone.now()
    rows = EventSubscription.objects.filter(connection__state=Connection.State.ACTIVE).order_by("checked_at")
    return [row.pk for row in rows.filter(checked_at__lt=now - timedelta(minutes=1)) if _is_due(row, now)][:limit]


def _is_due(row: EventSubscription, now: datetime) -> bool:
    unwell = row.status in (Status.ERROR, Status.OFF) or has_missed_heartbeat(row, now)
    return unwell or row.checked_at < now - CHECKED_EVERY


def has_missed_heartbeat(row: EventSubscription, now: datetime) -> bool:
    """Return whether the EHR promised a sign of life and has not given one for three times as long."""
    if not row.heartbeat_seconds or row.last_heard_at is None:
        return False
    return now - row.last_heard_at > MISSED_PERIODS * timedelta(seconds=row.heartbeat_seconds)


def keep(subscription_id: int, now: datetime | None = None) -> bool:
    """Look at one subscription and bring it back if it ended; False when another worker has it."""
    now = now or timezone.now()
    row = EventSubscription.objects.select_related("connection").get(pk=subscription_id)
    if not EventSubscription.objects.filter(pk=row.pk, checked_at=row.checked_at).update(checked_at=now):
        return False
    missed = has_missed_heartbeat(row, now)
    try:
        was_ended = _bring_back(row, now)
    except GatewayError as error:
        _poll_now(row.connection_id, now)
        _ask(row.connection, f"the EHR did not take it again: {error.code}")
        return True
    if missed or was_ended:
        # Whatever happened meanwhile was told to nobody.
        _poll_now(row.connection_id, now)
        EventSubscription.objects.filter(pk=row.pk).update(last_heard_at=now)
    finish_for(_key(row.connection_id), "The EHR notifies us again.")
    return True


def _bring_back(row: EventSubscription, now: datetime) -> bool:
    """Return whether the subscription had ended; it is active or asked for again when this returns."""
    try:
        found = subscriptions.read(row.connection, row.external_id)
    except NotFound:
        start(row.connection, now=now)
        return True
    if not subscriptions.is_ours(row.connection, found):  # another server counts its subscriptions too
        start(row.connection, now=now)
        return True
    ended = found.status not in (Status.ACTIVE, Status.REQUESTED)
    if ended:
        found = subscriptions.reactivate(row.connection, found)
    EventSubscription.objects.filter(pk=row.pk).update(status=_status(found.status))
    if ended:
        row.status = Status.OFF
    _listen_if_active(row, found.status, now)
    return ended


def _listen_if_active(row: EventSubscription, status: str, now: datetime) -> None:
    """A subscription that was not active and is now tells of what changes from now on."""
    if status == Status.ACTIVE and row.status != Status.ACTIVE:
        listening.begin(row.connection, now)


def follow(connection: Connection, changed: Collection[str], now: datetime | None = None) -> None:
    """These settings of a connection were changed: how it is told of changes may have changed with them.

    A subscription at the address before is none at the new one, so it is looked at by the next round.
    """
    if HOW_IT_TELLS.isdisjoint(changed):
        return
    listening.begin(connection, now)
    connection.subscriptions.update(checked_at=F("checked_at") - CHECKED_EVERY)
    wake("polls")


def _ask(connection: Connection, why: str) -> None:
    ask_staff(
        "connection.subscription_ended",
        f"The EHR {connection.slug} has stopped sending us its changes",
        advice=f"Our subscription is off ({why}). Nothing is lost: it is polled every {connection.poll_minutes} "
        "minutes, so cancellations are found a little later. Turn the subscription on in the EHR, or ask for it again "
        "on the page Connect.",
        dedupe_key=_key(connection.pk),
        subject=connection,
    )


def _poll_now(connection_id: int, now: datetime) -> None:
    rows = Connection.objects.filter(pk=connection_id, state=Connection.State.ACTIVE)
    if rows.filter(Q(poll_due_at__isnull=True) | Q(poll_due_at__gt=now)).update(poll_due_at=now):
        wake("polls")


def _status(written: str) -> str:
    return written if written in Status.values else Status.ERROR


def _key(connection_id: int) -> str:
    return f"connection.subscription_ended:{connection_id}"


def look_soon(connection: Connection) -> bool:
    """The EHR says that a subscription ended: have ours looked at by the next round; False where we know of none."""
    rows = EventSubscription.objects.filter(connection=connection)
    if not rows.update(status=Status.ERROR, checked_at=F("checked_at") - CHECKED_EVERY):
        _ask(connection, "the EHR ended it")
        return False
    wake("polls")
    return True
