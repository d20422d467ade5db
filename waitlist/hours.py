"""A patient's hours against the wall clock of the place. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from scheduling.records import Interval
from waitlist.facts import Window

DAY_MINUTES = 24 * 60
#: Stands for every weekday; Monday is 0.
ANY_DAY = 7


def minute_of_day(moment: datetime, zone: ZoneInfo) -> int:
    """Return the wall clock's minutes since midnight; the hour that comes twice counts the same both times."""
    local = moment.astimezone(zone)
    return local.hour * 60 + local.minute


def stretches(windows: Iterable[Window]) -> dict[int, list[tuple[int, int]]]:
    """Return the windows per weekday as (from, until) minutes since midnight, in order; those that touch are one."""
    merged: dict[int, list[tuple[int, int]]] = {}
    for window in sorted(windows, key=lambda each: (each.weekday, each.start, each.end)):
        since = window.start.hour * 60 + window.start.minute
        until = window.end.hour * 60 + window.end.minute
        if until == DAY_MINUTES - 1:
            until = DAY_MINUTES
        day = merged.setdefault(window.weekday, [])
        if day and since <= day[-1][1]:
            day[-1] = (day[-1][0], max(day[-1][1], until))
        else:
            day.append((since, until))
    return merged


def day_keys(windows: Iterable[Window]) -> list[tuple[int, int, int]]:
    """Return (weekday, from, until) for each stretch, weekday 7 for hours that are the same every day.

    No windows means always: ``[(7, 0, 1440)]``.
    """
    by_day = stretches(windows)
    if not by_day:
        return [(ANY_DAY, 0, DAY_MINUTES)]
    if len(by_day) == ANY_DAY and all(hours == by_day[0] for hours in by_day.values()):
        return [(ANY_DAY, since, until) for since, until in by_day[0]]
    return [(weekday, since, until) for weekday, day in sorted(by_day.items()) for since, until in day]


def local_span(place: Interval, zone: ZoneInfo) -> tuple[int, int, int] | None:
    """Return weekday, first and last minute of a visit on the wall clock; None when it runs past midnight."""
    start, end = place.start.astimezone(zone), place.end.astimezone(zone)
    begins, ends = minute_of_day(place.start, zone), minute_of_day(place.end, zone)
    if end.second or end.microsecond:
        ends += 1
    if end.date() != start.date():
        if (end.date() - start.date()).days > 1 or ends > 0:
            return None
        ends = DAY_MINUTES
    return start.weekday(), begins, ends


def within_windows(windows: Iterable[Window], place: Interval, zone: ZoneInfo) -> bool:
    """Return whether the visit lies within one stretch of hours. No windows: always."""
    by_day = stretches(windows)
    if not by_day:
        return True
    span = local_span(place, zone)
    if span is None:
        return False
    weekday, begins, ends = span
    return any(since <= begins and ends <= until for since, until in by_day.get(weekday, ()))
