"""Events in work: leased by one conditional UPDATE, one per appointment at a time, each try counted in the row.

An event that kills its worker is taken up again when its lease runs out, and ends as a dead letter, not as a loop.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from audit.log import record_change
from integrations.models import Connection, InboundEvent
from scheduling import transitions
from scheduling.exceptions import IllegalTransition
from scheduling.wake import wake

Status = InboundEvent.Status

#: Renewed before each call to the EHR, so longer than any one of them.
LEASE = timedelta(seconds=20)
#: With so much of it left a call can begin: more than its deadline, which the transport keeps.
LONG_ENOUGH = timedelta(seconds=18)
#: Another event about the same appointment is being worked on: look again after this.
BUSY_WAIT = timedelta(milliseconds=300)

transitions.register(
    InboundEvent,
    "status",
    {
        Status.RECEIVED: {Status.PROCESSING},
        Status.PROCESSING: {Status.DONE, Status.IGNORED, Status.QUARANTINED, Status.DEAD, Status.RECEIVED},
        Status.QUARANTINED: {Status.RECEIVED},
        Status.DEAD: {Status.RECEIVED},
        # Heard again, and the state we hold is another one: it is looked at again.
        Status.DONE: {Status.RECEIVED},
        Status.IGNORED: {Status.RECEIVED},
    },
)


def due(now: datetime | None = None, limit: int = 100) -> list[int]:
    """Return the ids of events to deal with now, the longest due first; none of a paused or silent connection."""
    now = now or timezone.now()
    quiet = Q(connection__quiet_until__gt=now)
    rows = _due_rows(now).filter(connection__state=Connection.State.ACTIVE).exclude(quiet)
    return list(rows.order_by("due_at", "pk").values_list("pk", flat=True)[:limit])


def _due_rows(now: datetime) -> QuerySet[InboundEvent]:
    return InboundEvent.objects.filter(
        Q(status=Status.RECEIVED, due_at__lte=now) | Q(status=Status.PROCESSING, lease_until__lte=now)
    )


def lease(event_id: int, now: datetime | None = None) -> InboundEvent | None:
    """Take a due event into our hands; None when it is not due, or another one about the same thing is in work."""
    now = now or timezone.now()
    try:
        with transaction.atomic():
            taken = (
                _due_rows(now)
                .filter(pk=event_id)
                .update(status=Status.PROCESSING, lease_until=now + LEASE, attempts=F("attempts") + 1)
            )
    except IntegrityError:
        InboundEvent.objects.filter(pk=event_id, status=Status.RECEIVED).update(due_at=now + BUSY_WAIT)
        return None
    if not taken:
        return None
    return InboundEvent.objects.select_related("connection__source").get(pk=event_id)


def keep(event: InboundEvent) -> bool:
    """Renew the lease before a call to the EHR, unless it was taken or renewed just now; False when it was lost."""
    now = timezone.now()
    if event.lease_until is not None and event.lease_until - now >= LONG_ENOUGH:
        return True
    event.lease_until = now + LEASE
    return bool(_mine(event).update(lease_until=event.lease_until))


def finish(event: InboundEvent, status: str, outcome: str, *, error: str = "") -> bool:
    """Close an event with what came of it; False when its lease was lost to another worker."""
    return _set(event, status, outcome=outcome[:120], error=error[:300], done_at=timezone.now(), lease_until=None)


def postpone(event: InboundEvent, until: datetime, error: str, *, counts: bool = True, outcome: str = "") -> bool:
    """Look at it again at ``until``. With ``counts`` False the try is not counted (an outage).

    ``outcome`` says what the try may have come to; with one, the next try is no first one.
    """
    return _set(
        event,
        Status.RECEIVED,
        due_at=until,
        error=error[:300],
        outcome=outcome[:120] or event.outcome,
        lease_until=None,
        attempts=event.attempts if counts else max(event.attempts - 1, 0),
    )


def retry(event: InboundEvent) -> bool:
    """Take a dead letter or an unreadable event up again, from its first try."""
    at_rest = InboundEvent.objects.filter(pk=event.pk, status__in=(Status.DEAD, Status.QUARANTINED))
    with transaction.atomic():
        if not at_rest.update(status=Status.RECEIVED, due_at=timezone.now(), attempts=0, done_at=None, error=""):
            return False
        # Unlike what becomes of an event by itself, this is somebody's doing.
        record_change(event, {"status": (event.status, Status.RECEIVED)})
        wake("inbox")
    return True


def _mine(event: InboundEvent) -> QuerySet[InboundEvent]:
    return InboundEvent.objects.filter(pk=event.pk, status=Status.PROCESSING, attempts=event.attempts)


def _set(event: InboundEvent, status: str, **fields: Any) -> bool:
    """The one setter of an event's state; False, changing nothing, when the event is no longer in our hands.

    No audit entry: the event's row is itself the record of what came in and what became of it.
    """
    if not transitions.allows(InboundEvent, "status", event.status, status):
        raise IllegalTransition("InboundEvent", "status", event.status, status)
    if not _mine(event).update(status=status, **fields):
        return False
    event.status = status
    for name, value in fields.items():
        setattr(event, name, value)
    return True
