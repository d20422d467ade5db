"""When somebody is at the practice, and how much of a stretch of time that is. Pure but for what reads the rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from zoneinfo import ZoneInfo

from scheduling.models import ClosedDay, Location, Practice

#: An office that stays closed for longer than this many days opens never, as far as anybody is told.
LONGEST_CLOSURE = 60


@dataclass(frozen=True, slots=True)
class Closed:
    """Days on which nobody is there: ``days`` once, ``yearly``, as (month, day), in every year."""

    days: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()

    @classmethod
    def of(cls, rows: Iterable[ClosedDay]) -> Closed:
        """Return the days of stored rows."""
        held = list(rows)
        return cls(
            frozenset(row.day for row in held), frozenset((row.day.month, row.day.day) for row in held if row.yearly)
        )

    def __contains__(self, day: date) -> bool:
        return day in self.days or (day.month, day.day) in self.yearly

    def __or__(self, other: Closed) -> Closed:
        return Closed(self.days | other.days, self.yearly | other.yearly)

    def __and__(self, other: Closed) -> Closed:
        both = frozenset(day for day in self.days | other.days if day in self and day in other)
        return Closed(both, self.yearly & other.yearly)


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """The same hours on each of ``days`` (1: Monday), by the wall clock of ``zone``. No days: never open."""

    zone: ZoneInfo
    days: frozenset[int]
    opens: time
    closes: time
    closed: Closed = field(default_factory=Closed)

    def has(self, day: date) -> bool:
        """Return whether the office opens on ``day``."""
        return day.isoweekday() in self.days and day not in self.closed


def of_practice(location_id: int | None = None) -> OfficeHours:
    """Return the practice's hours, at one location or, with None, as long as anybody is at any of them."""
    return of_row(Practice.current(), location_id)


def of_row(row: Practice, location_id: int | None = None) -> OfficeHours:
    """Return the hours of a practice that was read already."""
    days = frozenset(int(digit) for digit in row.office_days)
    return OfficeHours(ZoneInfo(row.time_zone), days, row.office_opens, row.office_closes, closed_at(location_id))


def closed_at(location_id: int | None) -> Closed:
    """Return the closed days of a location; with None those on which no location is open."""
    rows = list(ClosedDay.objects.all())
    everywhere = Closed.of(row for row in rows if row.location_id is None)
    if location_id is not None:
        return everywhere | Closed.of(row for row in rows if row.location_id == location_id)
    if len(rows) == len(everywhere.days):
        return everywhere
    places = Location.objects.filter(active=True).values_list("pk", flat=True)
    each = [Closed.of(row for row in rows if row.location_id == place) for place in places]
    return everywhere | reduce(Closed.__and__, each) if each else everywhere


def is_open(hours: OfficeHours, moment: datetime) -> bool:
    """Return whether somebody is at the office."""
    local = moment.astimezone(hours.zone)
    return hours.has(local.date()) and hours.opens <= local.time() < hours.closes


def next_open(hours: OfficeHours, moment: datetime) -> datetime | None:
    """Return ``moment`` while somebody is at the office, else when it opens next; None for one that never opens."""
    if is_open(hours, moment):
        return moment
    today = moment.astimezone(hours.zone).date()
    days = (today + timedelta(days=days) for days in range(LONGEST_CLOSURE))
    mornings = (datetime.combine(day, hours.opens, hours.zone) for day in days if hours.has(day))
    return next((each for each in mornings if each > moment and is_open(hours, each)), None)


def open_time(hours: OfficeHours, since: datetime, until: datetime) -> timedelta:
    """Return how long the office was open between two moments; a day on which the clocks change counts as it is."""
    total = timedelta()
    day = since.astimezone(hours.zone).date()
    last = until.astimezone(hours.zone).date()
    while day <= last:
        if hours.has(day):
            opens = datetime.combine(day, hours.opens, hours.zone).astimezone(UTC)
            closes = datetime.combine(day, hours.closes, hours.zone).astimezone(UTC)
            total += max(min(closes, until) - max(opens, since), timedelta())
        day += timedelta(days=1)
    return total
