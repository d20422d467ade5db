"""Hours as a person writes them: "8-12, 1:30pm-5pm", one line per weekday."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import time
from itertools import pairwise

from django.core.exceptions import ValidationError

from waitlist.models import EntryWindow

ALL_DAY = (time(0, 0), time(23, 59))
_SPAN = re.compile(
    r"^\s*(\d{1,2})(?::?(\d{2}))?\s*(am|pm|a|p)?\s*(?:-|–|to)\s*(\d{1,2})(?::?(\d{2}))?\s*(am|pm|a|p)?\s*$",
    re.IGNORECASE,
)
_OFFICE_HOURS_BEGIN = 7


def read_hours(text: str) -> list[tuple[time, time]]:
    """Return the spans of one day; none for an empty line. Raises ValidationError that shows how to write them.

    Without am or pm, 1 to 6 are taken as afternoon, as people mean them of a practice's day.
    """
    if not text.strip():
        return []
    if text.strip().lower() in ("all day", "any", "any time"):
        return [ALL_DAY]
    spans = [_read_span(part) for part in text.split(",") if part.strip()]
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            raise ValidationError("These hours overlap. Write them in order, for example 8-12, 1:30-5.")
    return spans


def _read_span(text: str) -> tuple[time, time]:
    found = _SPAN.match(text)
    if not found:
        raise ValidationError("Write hours such as 8-12 or 1:30pm-5pm, several with commas, or: all day.")
    start = _clock(found[1], found[2], found[3])
    end = _clock(found[4], found[5], found[6])
    if end <= start:
        raise ValidationError("These hours end before they begin. Write for example 8-12 or 1:30pm-5pm.")
    return start, end


def _clock(hour: str, minute: str | None, half: str | None) -> time:
    number = int(hour)
    mark = (half or "").lower()[:1]
    if mark:
        number = number % 12 + (12 if mark == "p" else 0)
    elif 0 < number < _OFFICE_HOURS_BEGIN:
        number += 12
    try:
        return time(23, 59) if number == 24 else time(number, int(minute or 0))
    except ValueError:
        raise ValidationError("This is not a time of day. Write for example 8-12 or 1:30pm-5pm.") from None


def write_week(windows: Iterable[EntryWindow]) -> str:
    """Return the hours of all weekdays, days of the same hours in a row as one: "Mon–Fri 8am-12pm, Sat all day"."""
    by_day: dict[int, list[EntryWindow]] = {}
    for window in windows:
        by_day.setdefault(window.weekday, []).append(window)
    runs: list[tuple[int, int, str]] = []
    for weekday, hours in sorted((day, write_hours(of_day)) for day, of_day in by_day.items()):
        if runs and (runs[-1][1], runs[-1][2]) == (weekday - 1, hours):
            runs[-1] = (runs[-1][0], weekday, hours)
        else:
            runs.append((weekday, weekday, hours))
    return ", ".join(f"{_days(first, last)} {hours}" for first, last, hours in runs)


def _days(first: int, last: int) -> str:
    names = [str(EntryWindow.Weekday(day).label)[:3] for day in (first, last)]
    return names[0] if first == last else "–".join(names)


def write_hours(windows: Iterable[EntryWindow]) -> str:
    """Return the spans of one day as :func:`read_hours` takes them."""
    spans = sorted((window.start, window.end) for window in windows)
    if spans == [ALL_DAY]:
        return "all day"
    return ", ".join(f"{_written(start)}-{_written(end)}" for start, end in spans)


def _written(moment: time) -> str:
    half = "am" if moment.hour < 12 else "pm"
    minutes = f":{moment:%M}" if moment.minute else ""
    return f"{moment.hour % 12 or 12}{minutes}{half}"
