"""The days of the calendar that are read as a whole, and how long one page of them may take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.utils import timezone

#: A page of a load with everything in it; a second login included, shorter than the lease of whoever reads.
PAGE_SECONDS = 90.0
LOAD_BACK, LOAD_AHEAD = timedelta(days=30), timedelta(days=90)


def window() -> list[tuple[str, str]]:
    """Return the days whose appointments are mirrored, as search parameters."""
    now = timezone.now()
    return days(now - LOAD_BACK, now + LOAD_AHEAD)


def days(first: datetime, last: datetime) -> list[tuple[str, str]]:
    """Return the days from that of ``first`` to that of ``last`` as search parameters."""
    first, last = first.astimezone(UTC), last.astimezone(UTC) + timedelta(days=1)
    return [("date", f"ge{first:%Y-%m-%d}"), ("date", f"lt{last:%Y-%m-%d}")]
