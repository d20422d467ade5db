"""Days on which nobody is there, entered many at once as somebody has them in a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from django.core.exceptions import ValidationError
from django.db import transaction

from scheduling.models import ClosedDay, Location

_LINE = re.compile(r"^(?P<day>\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{4})[\s,;:]*(?P<name>.*)$")
MOST = 400


def read(text: str) -> list[tuple[date, str]]:
    """Return the days with their names, from one line each: "12/25/2026 Christmas Day", or with the year first.

    Raises ValidationError that names each line that cannot be read.
    """
    found: dict[date, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.match(line.strip())
        day = _day(match["day"]) if match else None
        if match is None or day is None:
            problems.append(f"Line {number} does not begin with a date. Write for example 12/25/2026 Christmas Day.")
        else:
            found[day] = " ".join(match["name"].strip(' \t,;"').split())[:80]
    if not found and not problems:
        problems.append("Write a date in each line, for example 12/25/2026 Christmas Day.")
    if len(found) > MOST:
        problems.append(f"These are more than {MOST} days. Enter them in parts.")
    if problems:
        raise ValidationError(problems)
    return sorted(found.items())


@transaction.atomic
def add(location: Location | None, days: Iterable[tuple[date, str]], *, yearly: bool = False) -> list[ClosedDay]:
    """Close a location, or with None the whole practice, on these days; a day entered before is renamed, not doubled.

    A yearly day stays yearly. Returns the rows, in the order given.
    """
    rows = []
    for day, name in days:
        row = ClosedDay.objects.filter(location=location, day=day).first() or ClosedDay(location=location, day=day)
        row.name, row.yearly = name or row.name, yearly or row.yearly
        row.save()
        rows.append(row)
    return rows


def _day(text: str) -> date | None:
    numbers = [int(each) for each in re.split(r"[-/]", text)]
    year, month, day = numbers if "-" in text else (numbers[2], numbers[0], numbers[1])
    try:
        return date(year, month, day)
    except ValueError:
        return None
