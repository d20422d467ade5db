"""Time that is given up in the calendar becomes an opening: once, whole, and where nothing else holds it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from audit.context import correlation_id
from scheduling import blocked_time, guards, openings, story
from scheduling.models import Appointment, Opening, Practice, Provider, Writeback
from scheduling.records import Interval
from scheduling.wake import wake


def open_freed_time(
    appointment: Appointment,
    *,
    provider_id: int,
    location_id: int,
    interval: Interval,
    version: str,
    verdict: str,
    freed_at: datetime | None = None,
    now: datetime | None = None,
) -> Opening | None:
    """Open the time ``appointment`` gave up at ``version``; the only creator of openings from the calendar.

    ``freed_at`` is when the EHR told us of it, if not just now. Returns None when nothing is to be offered: the time is
    past, the reason says so, the same cancellation was heard before, a block lies over it, or another opening holds it.
    A reason that nobody mapped opens a held one. Call it inside a transaction.
    """
    now = now or timezone.now()
    if interval.end <= now or interval.start <= now or verdict == "not_rebookable":
        return None
    depth = _depth_after(appointment)
    key = f"{appointment.pk}:{version or 'unversioned'}:{interval.start.isoformat()}/{interval.end.isoformat()}"
    house = Practice.current()
    if depth > house.deepest_chain or Opening.objects.filter(origin_key=key).exists():
        return None
    # The provider's row is the lock: three cancellations handled at once must see one another.
    Provider.objects.filter(pk=provider_id).update(claim_serial=F("claim_serial") + 1)
    free = _without_blocks_and_live_openings(provider_id, location_id, interval)
    if not free:
        return None
    merged = _merge_unoffered_neighbours(provider_id, location_id, free[0])
    fields = {"provider_id": provider_id, "location_id": location_id, "depth": depth, "freed_at": freed_at or now}
    opening = _insert(appointment, key, merged, **fields)
    if opening is None:
        return None
    story.tell(opening, "opening.opened", "Time was freed in the EHR.", appointment_id=appointment.pk)
    for rest in free[1:]:
        openings.open_remainder(opening, rest)
    guards.hold_if_doubtful(opening, verdict, house)
    wake("attention", opening.pk)
    return opening


def _insert(appointment: Appointment, key: str, interval: Interval, **fields: Any) -> Opening | None:
    try:
        with transaction.atomic():
            return Opening.objects.create(
                source_id=appointment.source_id,
                start=interval.start,
                end=interval.end,
                freed_by=appointment,
                origin_key=key,
                attention_due_at=timezone.now(),
                correlation_id=correlation_id(),
                **fields,
            )
    except IntegrityError:  # the same cancellation, heard at the same moment
        return None


def _depth_after(appointment: Appointment) -> int:
    """Return 0 for a plain cancellation, one more than its cause for one that made room for a move-up."""
    cause = (
        Writeback.objects.filter(appointment=appointment, kind=Writeback.Kind.CANCEL, opening__isnull=False)
        .values_list("opening__depth", flat=True)
        .first()
    )
    return 0 if cause is None else cause + 1


def _without_blocks_and_live_openings(provider_id: int, location_id: int, interval: Interval) -> list[Interval]:
    overlapping = Q(provider_id=provider_id, start__lt=interval.end, end__gt=interval.start)
    taken = blocked_time.over(provider_id, location_id, interval)
    started = Opening.objects.filter(overlapping, status__in=Opening.LIVE).exclude(
        status__in=(Opening.Status.OPEN, Opening.Status.CHECKING), waves_sent=0
    )
    taken += [openings.interval_of(opening) for opening in started]
    return interval.minus(taken)


def _merge_unoffered_neighbours(provider_id: int, location_id: int, interval: Interval) -> Interval:
    """Close openings beside or under ``interval`` that nobody was offered yet, and return the joined time."""
    unoffered = Q(status__in=(Opening.Status.OPEN, Opening.Status.CHECKING), waves_sent=0, held=Opening.Held.NO)
    neighbours = Opening.objects.filter(
        unoffered,
        provider_id=provider_id,
        location_id=location_id,
        start__lte=interval.end,
        end__gte=interval.start,
    )
    for neighbour in neighbours:
        if openings.close(neighbour, Opening.Closed.MERGED, only=unoffered):
            interval = Interval(min(interval.start, neighbour.start), max(interval.end, neighbour.end))
    return interval
