"""Taking up whatever fell due for the waitlist. Conditional updates let several workers drain at once."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, Q, QuerySet
from django.utils import timezone

from audit.context import correlated
from scheduling import guards, openings, reviews
from scheduling.contention import is_deadlock
from scheduling.models import Opening, WorkItem
from scheduling.worklist import ask_staff, finish_for
from waitlist import closed_records, match_summary, offers, replies
from waitlist.models import Claim, Offer, WaitlistEntry
from waitlist.policies import policy_for
from waitlist.settlement import chase
from waitlist.withdrawal import FROZEN, tell_late

logger = logging.getLogger(__name__)

#: After a failure the opening is taken up again so much later.
SETBACK = timedelta(seconds=30)
BATCH = 100


def drain(now: datetime | None = None) -> int:
    """Do everything that is due, return how many things that were."""
    now = now or timezone.now()
    # People before openings: what is out to a record that was closed ends before the next wave is thought of.
    done = offers.end_late() + replies.drain(now) + closed_records.drain(now) + reviews.wake_later(now)
    done += drain_openings(now) + offers.expire(now)
    for claim in _overdue_claims(now).select_related("opening__location", "patient", "appointment")[:BATCH]:
        done += chase(claim)
    return done + match_summary.drain(now)


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`drain` would find anything, by the partial indexes."""
    now = now or timezone.now()
    live = Offer.objects.filter(status=Offer.Status.SENT)
    return (
        Opening.objects.filter(attention_due_at__lte=now).exists()
        or replies.is_due(now)
        or closed_records.due(now).exists()
        or reviews.due(now).exists()
        or live.filter(Q(expires_at__lte=now) | Q(answered_at__isnull=False)).exists()
        or _overdue_claims(now).exists()
        or match_summary.due(now).exists()
    )


def _overdue_claims(now: datetime) -> QuerySet[Claim]:
    return Claim.objects.filter(state=Claim.State.PENDING, chase_at__lte=now)


def drain_openings(now: datetime) -> int:
    """Look at every opening something changed about; return how many."""
    due = Opening.objects.filter(attention_due_at__lte=now).order_by("attention_due_at")
    return sum(take_up(pk, now) for pk in due.values_list("pk", flat=True)[:BATCH])


def take_up(opening_id: int, now: datetime | None = None) -> bool:
    """Look at one opening that something changed about; False when nothing did, or another worker has seen to it."""
    now = now or timezone.now()
    try:
        with transaction.atomic():
            # In the transaction that acts on it: a worker that dies leaves the row due.
            mine = Opening.objects.filter(pk=opening_id, attention_due_at__lte=now)
            if not mine.update(attention_due_at=None):
                return False
            asked = WorkItem.objects.filter(dedupe_key=_stuck_key(opening_id), status=WorkItem.Status.OPEN)
            rows = Opening.objects.select_related("location", "provider").annotate(was_stuck=Exists(asked))
            opening = rows.get(pk=opening_id)
            with correlated(opening.correlation_id or None):
                look_at(opening, now)
                if opening.was_stuck:
                    finish_for(_stuck_key(opening_id), "It works again.")
    except Exception as error:
        if is_deadlock(error):
            return True  # nothing was done, so it is still due
        # A fault of ours at one opening: staff know, it is tried again, and the others go on.
        logger.exception("opening %s could not be taken up: %s", opening_id, type(error).__name__)
        _set_back(opening_id, now)
    return True


def _set_back(opening_id: int, now: datetime) -> None:
    """One opening that fails must not keep the others from being looked at."""
    Opening.objects.filter(pk=opening_id).update(attention_due_at=now + SETBACK)
    opening = Opening.objects.get(pk=opening_id)
    ask_staff(
        "opening.stuck",
        "The machine fails at one opening",
        advice="It is tried again every 30 seconds and the others go on. Fill this time by hand or close it, "
        "and tell whoever runs the system.",
        dedupe_key=_stuck_key(opening.pk),
        urgency=WorkItem.Urgency.RED,
        subject=opening,
        opening=opening,
        due_at=opening.start,
    )


def _stuck_key(opening_id: int) -> str:
    return f"opening.stuck:{opening_id}"


_REASONS = {
    Opening.Closed.TAKEN: "taken",
    Opening.Closed.RESTORED: "restored",
    Opening.Closed.BLOCKED: "blocked",
    Opening.Closed.CUT_OFF: "cut_off",
    Opening.Closed.UNFILLABLE: "cut_off",
}
#: Holds that leave offers alone: they are about what was not offered yet, or pass by themselves.
LENIENT = (Opening.Held.ASK_FIRST, Opening.Held.EHR_SILENT)
#: Offers whose patient's record is not to be used, for now.
RECORD_CLOSED = (
    Q(patient__active=False)
    | Q(patient__deceased=True)
    | Q(patient__restricted=True)
    | Q(patient__replaced_by__isnull=False)
)
#: Offers whose patient waits no longer, or under another record.
WAITS_NO_MORE = ~Q(entry__status=WaitlistEntry.Status.WAITING) | ~Q(entry__patient=F("patient"))


def look_at(opening: Opening, now: datetime) -> None:
    """Bring the offers of one opening in line with what it has become."""
    if opening.status == Opening.Status.FILLED:
        _end_offers(opening, "filled", now)
    elif opening.status == Opening.Status.CLOSED:
        _end_offers(opening, _REASONS.get(Opening.Closed(opening.closed_reason), "closed"), now)
    elif opening.status in Opening.CLAIMABLE:
        _look_at_claimable(opening, now)


def _end_offers(opening: Opening, reason: str, now: datetime) -> None:
    offers.withdraw(opening, reason, now)
    guards.settle_ended(opening)
    if tell_late(opening, reason, now):
        openings.request_attention(opening.pk)


def _look_at_claimable(opening: Opening, now: datetime) -> None:
    if opening.held:
        if opening.held not in LENIENT:
            offers.withdraw(opening, "held", now)
        openings.request_check(opening.pk, max(now, _held_until(opening)))
        return
    if opening.offers.filter(status__in=offers.OUT).exists():
        offers.withdraw(opening, "changed", now, only=Q(start__lt=opening.start) | Q(end__gt=opening.end))
        offers.withdraw(opening, FROZEN, now, only=RECORD_CLOSED)
        offers.withdraw(opening, "not_waiting", now, only=WAITS_NO_MORE)
        offers.end_untold(opening, now)
    delay = policy_for(opening.location_id, None).start_delay
    openings.request_check(opening.pk, max(now, opening.created_at + delay))


def _held_until(opening: Opening) -> datetime:
    """A held opening is looked at only when it is over; whoever frees it asks for a look."""
    return opening.start - policy_for(opening.location_id, None).cut_off
