"""Openings: how they are checked, change hands and close. They begin in :mod:`scheduling.freed_time`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from audit.log import record_change
from scheduling import blocked_time, story
from scheduling.models import Appointment, Opening, Practice, Provider
from scheduling.records import Freshness, Interval
from scheduling.transitions import move, move_by_id
from scheduling.wake import wake

#: What whoever closes an opening may have read before somebody else changed it.
_CHANGED_BY_OTHERS = (
    "status",
    "closed_reason",
    "closed_at",
    "check_due_at",
    "attention_due_at",
    "start",
    "end",
    "held",
    "waves_sent",
)


def interval_of(opening: Opening) -> Interval:
    """Return the opening's time."""
    return Interval(opening.start, opening.end)


def open_remainder(parent: Opening, interval: Interval) -> Opening | None:
    """Open what is left of ``parent``; it is checked before it is offered, like any other."""
    if interval.start <= timezone.now():
        return None
    try:
        with transaction.atomic():
            opening = Opening.objects.create(
                provider_id=parent.provider_id,
                location_id=parent.location_id,
                source_id=parent.source_id,
                start=interval.start,
                end=interval.end,
                freed_by=parent.freed_by,
                freed_at=parent.freed_at,
                parent=parent,
                held=parent.held,
                origin_key=f"remainder:{parent.pk}:{interval.start.isoformat()}/{interval.end.isoformat()}",
                depth=parent.depth,
                attention_due_at=timezone.now(),
                correlation_id=parent.correlation_id,
            )
    except IntegrityError:
        return None
    story.tell(opening, "opening.remainder", f"This time is what was left of opening {parent.pk}.", parent_id=parent.pk)
    wake("attention", opening.pk)
    return opening


def record_check(opening: Opening, freshness: Freshness) -> bool:
    """Store what the EHR said about the opening's time; True when (some of) it is free.

    Time our own bookings under way have taken counts as taken, and so does what staff have blocked, although the EHR
    does not know it. Where only part is free the opening shrinks to the first part and the others become openings of
    their own. Call it inside a transaction; the row is locked by its first UPDATE. False, too, when the look's lease
    was lost to another one.
    """
    # Who stood still for longer than its lease may hold an older answer than the one another look has stored since.
    mine = Opening.objects.filter(pk=opening.pk, check_lease_until=opening.check_lease_until)
    locked = mine.filter(status__in=Opening.CLAIMABLE)
    if not locked.update(checked_at=freshness.asked_at, check_due_at=None, check_lease_until=None):
        mine.update(check_due_at=None, check_lease_until=None)
        return False
    # With what the offers that follow want to know of it.
    opening.refresh_from_db(from_queryset=Opening.objects.select_related("provider", "location", "source", "freed_by"))
    whole = interval_of(opening)
    taken = _our_pending_times(opening)
    free = [piece for offered in sorted(freshness.free) for piece in _within(offered, whole).minus(taken)]
    free = [piece for piece in free if piece.start < piece.end]
    blocked = blocked_time.over(opening.provider_id, opening.location_id, whole)
    is_free_in_ehr, free = bool(free), [rest for piece in free for rest in piece.minus(blocked)]
    if not free:
        close(opening, Opening.Closed.BLOCKED if is_free_in_ehr else Opening.Closed.TAKEN)
        return False
    slots = [
        {"id": slot.external_id, "start": slot.start.isoformat(), "end": slot.end.isoformat()}
        for slot in freshness.slots
        if slot.free and free[0].covers(slot.interval)
    ]
    _keep_only(opening, free[0], slots=slots)
    if opening.status == Opening.Status.OPEN:
        move(opening, Opening.Status.CHECKING)
    if free != [whole]:
        story.tell(opening, "opening.partly_free", "Only part of this time is free in the EHR.")
        request_attention(opening.pk)
    for rest in free[1:]:
        open_remainder(opening, rest)
    return True


def _within(piece: Interval, whole: Interval) -> Interval:
    start, end = max(piece.start, whole.start), min(piece.end, whole.end)
    return Interval(start, max(start, end))


def _our_pending_times(opening: Opening) -> list[Interval]:
    rows = Appointment.objects.filter(
        provider_id=opening.provider_id,
        status=Appointment.Status.PENDING,
        origin=Appointment.Origin.WAITLIST,
        start__lt=opening.end,
        end__gt=opening.start,
    )
    return [Interval(row.start, row.end) for row in rows if row.start and row.end]


def take(opening_id: int, *, by_staff: bool = False, now: datetime | None = None) -> Opening | None:
    """Claim the opening by one conditional UPDATE; None when it is not to be had any more.

    Patients cannot take a held opening; staff, who decide about it, can.
    """
    where = Q(start__gt=now or timezone.now())
    if not by_staff:
        where &= Q(held=Opening.Held.NO)
    row = move_by_id(
        Opening, opening_id, Opening.Status.CLAIMED, where=where & Q(status__in=Opening.CLAIMABLE), check_due_at=None
    )
    return row if isinstance(row, Opening) else None


def reserve(opening: Opening, start: datetime, end: datetime) -> list[Opening]:
    """Keep ``start`` to ``end`` of a claimed opening and open the rest of it as openings of their own."""
    rest = interval_of(opening).minus([Interval(start, end)])
    if rest:
        _keep_only(opening, Interval(start, end))
    remainders = [open_remainder(opening, piece) for piece in rest]
    return [remainder for remainder in remainders if remainder is not None]


def _keep_only(opening: Opening, piece: Interval, **fields: Any) -> None:
    """Shrink an opening whose row is locked to a piece of it, which may be all of it."""
    before = interval_of(opening)
    Opening.objects.filter(pk=opening.pk).update(start=piece.start, end=piece.end, **fields)
    for name, value in {"start": piece.start, "end": piece.end, **fields}.items():
        setattr(opening, name, value)
    if piece != before:
        record_change(opening, {"start": (before.start, piece.start), "end": (before.end, piece.end)})


def fill(opening: Opening) -> bool:
    """The booking was read back from the EHR: the opening is filled."""
    filled = move(opening, Opening.Status.FILLED, closed_at=timezone.now(), attention_due_at=timezone.now())
    if filled:
        wake("attention", opening.pk)
    return filled


def release(opening: Opening) -> bool:
    """The claim came to nothing: offer the time again, after a fresh look."""
    to = Opening.Status.OFFERING if opening.waves_sent else Opening.Status.OPEN
    released = move(opening, to, attention_due_at=timezone.now())
    if released:
        wake("attention", opening.pk)
    return released


def close(opening: Opening, reason: str, *, only: Q | None = None) -> bool:
    """Close an opening nobody has claimed, whatever a wave has made of it since it was read.

    Its live offers are withdrawn by the waitlist. False when it was claimed, filled or closed before, or is not as
    ``only`` asks.
    """
    return _close(opening, reason, Q(status__in=Opening.CLAIMABLE) & (only or Q()))


def close_claimed(opening: Opening, reason: str) -> bool:
    """The claim came to nothing, and the time is not to be had: close the opening."""
    return _close(opening, reason, Q(status=Opening.Status.CLAIMED))


def _close(opening: Opening, reason: str, where: Q) -> bool:
    now = timezone.now()
    closed = move_by_id(
        Opening,
        opening.pk,
        Opening.Status.CLOSED,
        where=where,
        closed_reason=reason,
        closed_at=now,
        check_due_at=None,
        attention_due_at=now,
    )
    if closed is None:
        return False
    for name in _CHANGED_BY_OTHERS:
        setattr(opening, name, getattr(closed, name))
    story.tell(opening, "opening.closed", f"Closed: {Opening.Closed(reason).label}.", reason=str(reason))
    wake("attention", opening.pk)
    return True


def reopen(opening: Opening) -> bool:
    """Offer a closed opening again, after a fresh look; False when some of its time is in another live opening by now.

    False, too, when all of it is blocked, or it was opened by somebody else.
    """
    with transaction.atomic():
        # The provider's row is the lock, as it is for time that is freed: the same time must not be offered twice.
        Provider.objects.filter(pk=opening.provider_id).update(claim_serial=F("claim_serial") + 1)
        overlapping = Q(provider_id=opening.provider_id, start__lt=opening.end, end__gt=opening.start)
        if Opening.objects.filter(overlapping, status__in=Opening.LIVE).exists():
            return False
        whole = interval_of(opening)
        if not whole.minus(blocked_time.over(opening.provider_id, opening.location_id, whole)):
            return False
        now = timezone.now()
        if not move(opening, Opening.Status.OPEN, closed_reason="", closed_at=None, attention_due_at=now):
            return False
        story.tell(opening, "opening.reopened", "Opened again.")
        wake("attention", opening.pk)
    return True


def hold(opening: Opening, why: str) -> bool:
    """Stop offers of this opening until a person decides; patients cannot claim it meanwhile."""
    rows = Opening.objects.filter(pk=opening.pk, status__in=Opening.CLAIMABLE).exclude(held=why)
    return _set_hold(opening, rows, why, "opening.held", f"Held: {Opening.Held(why).label}")


def unhold(opening: Opening) -> bool:
    """Go on with a held opening, after a fresh look.

    False when it has ended, or is held for another reason than whoever read it knew of.
    """
    if not opening.held:
        return False
    rows = Opening.objects.filter(pk=opening.pk, held=opening.held, status__in=Opening.LIVE)
    return _set_hold(opening, rows, Opening.Held.NO, "opening.unheld", "No longer held.")


def _set_hold(opening: Opening, rows: QuerySet[Opening], held: str, kind: str, summary: str) -> bool:
    before = opening.held
    with transaction.atomic():
        if not rows.update(held=held):
            return False
        opening.held = held
        record_change(opening, {"held": (before, held)})
        story.tell(opening, kind, summary)
        request_attention(opening.pk)
    return True


def make_mine(opening: Opening, by: str, now: datetime | None = None) -> bool:
    """A clerk fills this slot by hand: no waves meanwhile, renewable. False when it is another clerk's, or claimed."""
    now = now or timezone.now()
    until = now + timedelta(minutes=Practice.current().mine_minutes)
    free_to_take = Q(mine_until__isnull=True) | Q(mine_until__lte=now) | Q(mine_by=by)
    rows = Opening.objects.filter(free_to_take, pk=opening.pk, status__in=Opening.CLAIMABLE)
    with transaction.atomic():
        if not _set_mine(opening, rows, by, until):
            return False
        story.tell(opening, "opening.mine", "A clerk is filling this slot by hand.")
    return True


def give_back(opening: Opening, by: str) -> bool:
    """The clerk is done: the machine may go on. False when it is another clerk's by now."""
    with transaction.atomic():
        if not _set_mine(opening, Opening.objects.filter(pk=opening.pk, mine_by=by), "", None):
            return False
        request_attention(opening.pk)
    return True


def _set_mine(opening: Opening, rows: QuerySet[Opening], by: str, until: datetime | None) -> bool:
    before = opening.mine_by, opening.mine_until
    if not rows.update(mine_by=by, mine_until=until):
        return False
    opening.mine_by, opening.mine_until = by, until
    record_change(opening, {"mine_by": (before[0], by), "mine_until": (before[1], until)})
    return True


def give_way(provider_id: int, interval: Interval, appointment: Appointment) -> None:
    """The EHR booked this time: nobody can be offered it any more.

    An opening it covers is closed; one it covers in part keeps the rest. A claim under way is left to the outbox,
    which asks the EHR before it writes.
    """
    overlapping = Opening.objects.filter(
        provider_id=provider_id, status__in=Opening.CLAIMABLE, start__lt=interval.end, end__gt=interval.start
    )
    for opening in overlapping:
        restored = opening.freed_by_id == appointment.pk
        if close(opening, Opening.Closed.RESTORED if restored else Opening.Closed.TAKEN):
            for piece in interval_of(opening).minus([interval]):
                open_remainder(opening, piece)


def request_check(opening_id: int, at: datetime) -> None:
    """Ask for a fresh look at the EHR no later than ``at``."""
    later_or_none = Q(check_due_at__isnull=True) | Q(check_due_at__gt=at)
    Opening.objects.filter(later_or_none, pk=opening_id, status__in=Opening.CLAIMABLE).update(check_due_at=at)
    if at <= timezone.now():
        wake("checks", opening_id)


def request_attention(opening_id: int) -> None:
    """Tell the waitlist that something about the opening changed."""
    Opening.objects.filter(pk=opening_id).update(attention_due_at=timezone.now())
    wake("attention", opening_id)
