"""Time a provider is not to be booked: entered by staff, and taken out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from scheduling import guards
from scheduling.models import Appointment, Block, Location, Opening, Provider
from scheduling.records import Interval


@dataclass(frozen=True, slots=True)
class Blocked:
    """A block that was entered, and what came of it at once.

    ``closed`` openings lay under it, ``held`` ones wait for a person's word on the rest of the day. Left alone were
    ``under_way`` bookings that patients said yes to, and ``booked`` visits.
    """

    block: Block
    closed: int
    held: int
    under_way: int
    booked: int


def add_block(
    provider: Provider,
    interval: Interval,
    *,
    location: Location | None = None,
    reason: str = "",
    hold_day: bool = True,
) -> Blocked:
    """Block a provider's time, wherever they work or at one location: openings under it close.

    The rest of the day waits for staff to say whether the provider is in, unless ``hold_day`` is false.
    """
    with transaction.atomic():
        block = Block.objects.create(
            provider=provider, location=location, start=interval.start, end=interval.end, reason=reason[:120]
        )
        closed, held = guards.apply_block(block, hold_day=hold_day)
        under_way = _under(block, Opening.objects.filter(status=Opening.Status.CLAIMED)).count()
        visits = Appointment.objects.filter(status__in=Appointment.OCCUPYING).exclude(status=Appointment.Status.PENDING)
        return Blocked(block, closed, held, under_way, _under(block, visits).count())


def remove_block(block: Block) -> int:
    """Take a block out: time that is freed under it is offered again. Openings it closed stay closed.

    Returns how many of them could be opened again by hand.
    """
    with transaction.atomic():
        closed = Opening.objects.filter(status=Opening.Status.CLOSED, closed_reason=Opening.Closed.BLOCKED)
        still_ahead = _under(block, closed).filter(start__gt=timezone.now()).count()
        block.delete()
    return still_ahead


def _under(block: Block, rows: QuerySet[Any]) -> QuerySet[Any]:
    here = Q() if block.location_id is None else Q(location_id=block.location_id)
    return rows.filter(here, provider_id=block.provider_id, start__lt=block.end, end__gt=block.start)
