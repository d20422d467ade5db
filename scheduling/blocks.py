"""Time a provider is not to be booked."""

from __future__ import annotations

from django.db import transaction

from scheduling import guards
from scheduling.models import Block, Location, Provider
from scheduling.records import Interval


def add_block(provider: Provider, interval: Interval, *, location: Location | None = None, reason: str = "") -> Block:
    """Block a provider's time: openings under it close, and the rest of that day waits for staff."""
    with transaction.atomic():
        block = Block.objects.create(
            provider=provider, location=location, start=interval.start, end=interval.end, reason=reason[:120]
        )
        guards.apply_block(block)
    return block
