"""Which of a provider's time staff have blocked."""

from __future__ import annotations

from django.db.models import Q

from scheduling.models import Block
from scheduling.records import Interval


def over(provider_id: int, location_id: int, interval: Interval) -> list[Interval]:
    """Return the blocked times that overlap ``interval``: those of this location, and those of wherever they work."""
    rows = Block.objects.filter(
        Q(location__isnull=True) | Q(location_id=location_id),
        provider_id=provider_id,
        start__lt=interval.end,
        end__gt=interval.start,
    )
    return [Interval(start, end) for start, end in rows.values_list("start", "end")]
