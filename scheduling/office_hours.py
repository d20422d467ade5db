"""When somebody is at the practice, and how much of a stretch of time that is. Pure but for :func:`of_practice`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduling.models import Practice


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """The same hours on each of ``days`` (1: Monday), by the wall clock of ``zone``. No days: never open."""

    zone: ZoneInfo
    days: frozenset[int]
    opens: time
    closes: time


def of_practice() -> OfficeHours:
    """Return the practice's own hours."""
    return of_row(Practice.current())


def of_row(row: Practice) -> OfficeHours:
    """Return the hours of a practice that was read already."""
    days = frozenset(int(digit) for digit in row.office_days)
    return OfficeHours(ZoneInfo(row.time_zone), days, row.office_opens, row.office_closes)


def is_open(hours: OfficeHours, moment: datetime) -> bool:
    """Return whether somebody is at the office."""
    local = moment.astimezone(hours.zone)
    return local.isoweekday() in hours.days and hours.opens <= local.time() < hours.closes


def next_open(hours: OfficeHours, moment: datetime) -> datetime | None:
    """Return ``moment`` while somebody is at the office, else when it opens next; None for one that never opens."""
    if is_open(hours, moment):
        return moment
    today = moment.astimezone(hours.zone).date()
    mornings = (datetime.combine(today + timedelta(days=days), hours.opens, hours.zone) for days in range(8))
    return next((each for each in mornings if each > moment and is_open(hours, each)), None)


def open_time(hours: OfficeHours, since: datetime, until: datetime) -> timedelta:
    """Return how long the office was open between two moments; a day on which the clocks change counts as it is."""
    total = timedelta()
    day = since.astimezone(hours.zone).date()
    last = until.astimezone(hours.zone).date()
    while day <= last:
        if day.isoweekday() in hours.days:
            opens = datetime.combine(day, hours.opens, hours.zone).astimezone(UTC)
            closes = datetime.combine(day, hours.closes, hours.zone).astimezone(UTC)
            total += max(min(closes, until) - max(opens, since), timedelta())
        day += timedelta(days=1)
    return total
