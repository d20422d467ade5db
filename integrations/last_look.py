"""A dead letter whose patient still waits for word: shortly before the visit the EHR is asked once more by itself.

What it holds is adopted, what it does not hold is given up, so that whoever said yes hears the end in time. Nothing is
written. What is there otherwise than asked for stays with staff.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from audit.context import correlated
from integrations import booking, outcomes
from integrations.attempt import Attempt
from integrations.ehr import outage
from integrations.ehr.gateway import GatewayError
from integrations.models import Connection
from integrations.readback import compare
from scheduling.exceptions import UnknownReference
from scheduling.models import Writeback
from waitlist.models import Claim

#: An EHR that did not answer is asked again after this, until the visit begins.
LOOK_EVERY = timedelta(seconds=60)
NOT_THERE = "The EHR does not have the booking, and its time is too close to try again."


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of dead letters to look for in the EHR now."""
    now = now or timezone.now()
    # From the claims, of which few are pending: the writes themselves are kept for ever.
    rows = Claim.objects.filter(
        state=Claim.State.PENDING,
        appointment__start__gt=now,
        appointment__writebacks__kind=Writeback.Kind.CREATE,
        appointment__writebacks__status=Writeback.Status.DEAD,
        appointment__writebacks__due_at__lte=now,
        appointment__writebacks__deadline_at__lte=now,
    )
    keys = rows.order_by("appointment__start").values_list("appointment__writebacks__pk", flat=True)
    return [key for key in keys[:limit] if key is not None]


def look(row: Writeback, now: datetime | None = None) -> bool:
    """Settle a dead letter by what the EHR has; False when another worker looks, or it cannot be said."""
    now = now or timezone.now()
    mine = Writeback.objects.filter(pk=row.pk, pk__in=due(now), due_at=row.due_at)
    connection = Connection.objects.filter(source_id=row.source_id).first()
    if not mine.update(due_at=now + LOOK_EVERY) or connection is None or not outage.answers(connection):
        return False
    row.refresh_from_db()
    attempt = Attempt(row)
    attempt.connection = connection
    with correlated(row.correlation_id or None):
        try:
            return _settle(attempt)
        except UnknownReference:
            # Without a name there it was never sent, and there is nothing to look for.
            return row.sent_at is None and outcomes.refused(row, "too_late", NOT_THERE, ask=False)
        except GatewayError:
            return False


def _settle(attempt: Attempt) -> bool:
    if attempt.row.sent_at is not None and timezone.now() < attempt.settled_at:
        return False
    asked = booking.booking_for(attempt)
    found = booking.look_up(attempt, asked)
    if found is None:
        return outcomes.refused(attempt.row, "too_late", NOT_THERE, ask=False)
    if not compare(asked, found).agrees:
        return False
    return outcomes.booked(attempt.row, found, attempt.asked_at, "The EHR holds the booking after all; it is ours.")
