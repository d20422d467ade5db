"""The head of the line by SQL: ordered index scans of the match keys, merged.

An opening is suited by keys of a few kinds: per type the opening's provider or any, its location or any, its weekday
or any. Each kind is one range of the index, already in rank order, so each branch reads only as many
rows as are asked for. Pages continue after a key, never by OFFSET. PostgreSQL and SQLite read the same ranges by the
same conditions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from typing import Any

from django.db import connection

from scheduling.records import Interval
from waitlist.eligibility import placements
from waitlist.facts import Fit, OpeningFacts, looseness
from waitlist.hours import ANY_DAY, DAY_MINUTES, local_span, minute_of_day
from waitlist.models import MatchKey
from waitlist.pacing import cut_off

TABLE = MatchKey._meta.db_table
LAST_ENTRY = 2**63 - 1
ORDER = "urgency, moving_up, races_won_by_others, joined_at"


@dataclass(frozen=True, slots=True)
class Place:
    """A waiting entry's place in the line; ``position`` holds the database's own values and says where to go on."""

    entry_id: int
    position: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """One range of the index, and what its keys are asked for beyond it. ``looseness`` ranks equal places."""

    type_id: int
    provider_key: int
    location_key: int
    weekday_key: int
    looseness: int
    first_day: date
    last_day: date
    lead_minutes: int
    latest_begin: int
    earliest_end: int


def walk(facts: OpeningFacts, after: Place | None, page: int) -> Iterator[Place]:
    """Yield every place in rank order, ``page`` rows at a time, each entry once."""
    branches = branches_of(facts)
    last_entry = after.entry_id if after else None
    while branches:
        rows = fetch(branches, page, after)
        for row in rows:
            place = Place(row[-1], tuple(row))
            # Two stretches of hours of one day are two keys at the same place.
            if place.entry_id != last_entry:
                yield place
            after, last_entry = place, place.entry_id
        if len(rows) < page:
            return


def branches_of(facts: OpeningFacts) -> list[Branch]:
    """Return the ranges to read: none when nothing can be booked in the opening."""
    return [branch for fit in facts.fits if fit.is_on for branch in _branches_of_type(facts, fit)]


def _branches_of_type(facts: OpeningFacts, fit: Fit) -> Iterator[Branch]:
    times = [
        place
        for place in placements(facts, fit.duration)
        if facts.now <= cut_off(place.start, fit.policy, fit.minimum_notice)
    ]
    by_day: dict[int, list[Interval]] = {}
    for place in times:
        by_day.setdefault(place.start.astimezone(facts.zone).weekday(), []).append(place)
    if times:
        by_day[ANY_DAY] = times
    left_over = facts.end - facts.start - fit.duration
    for weekday, some in by_day.items():
        asked = _asked(facts, some)
        for provider, location in product((facts.provider_id, MatchKey.ANY), (facts.location_id, MatchKey.ANY)):
            fits_how = looseness(
                left_over,
                any_provider=provider == MatchKey.ANY,
                any_location=location == MatchKey.ANY,
                any_day=weekday == ANY_DAY,
            )
            yield Branch(fit.type_id, provider, location, weekday, fits_how, *asked)


def _asked(facts: OpeningFacts, places: list[Interval]) -> tuple[date, date, int, int, int]:
    """Return what keys must allow for any of these times to suit: the last five fields of a Branch."""
    days = [place.start.astimezone(facts.zone).date() for place in places]
    spans = [local_span(place, facts.zone) for place in places]
    return (
        min(days),
        max(days),
        (max(place.start for place in places) - facts.now) // timedelta(minutes=1),
        max(minute_of_day(place.start, facts.zone) for place in places),
        # Only somebody without hours of their own comes to a visit that runs past midnight.
        min(span[2] if span else DAY_MINUTES for span in spans),
    )


def fetch(branches: list[Branch], limit: int, after: Place | None = None) -> list[tuple[Any, ...]]:
    """Return at most ``limit`` rows (urgency, moving_up, races, joined_at, looseness, entry_id) in rank order."""
    with connection.cursor() as cursor:
        cursor.execute(*statement(branches, limit, after))
        return cursor.fetchall()


def statement(branches: list[Branch], limit: int, after: Place | None = None) -> tuple[str, list[Any]]:
    """Return the SQL of :func:`fetch` and its parameters.

    Our own column names, whole numbers and days are spelt into the text, where a parameter each would cost more than
    the search itself; what says where to go on is a parameter.
    """
    rows = [_literals(branch, after) for branch in branches]
    order = [] if after is None else list(after.position[:4])
    if connection.vendor == "postgresql":
        return _lateral(rows, order, int(limit))
    return _union(rows, order, int(limit))


def _lateral(rows: list[list[str]], order: list[Any], limit: int) -> tuple[str, list[Any]]:
    """One range scan per row of VALUES: the planner looks at one subquery, however many branches there are."""
    # The first row's types are those of all.
    typed = [f"{literal}::{TYPES[name]}" for name, literal in zip(COLUMNS, rows[0], strict=True)]
    values = ", ".join(f"({', '.join(row)})" for row in (typed, *rows[1:]))
    where = _where([f"branch.{name}" for name in COLUMNS], bool(order))
    sql = (
        f"SELECT found.* FROM (VALUES {values}) AS branch ({', '.join(COLUMNS)}) CROSS JOIN LATERAL"  # noqa: S608
        f" (SELECT {ORDER}, branch.looseness, entry_id FROM {TABLE} WHERE {where}"
        f" ORDER BY {ORDER}, entry_id LIMIT {limit}) AS found ORDER BY 1, 2, 3, 4, 5, 6 LIMIT {limit}"
    )
    return sql, order


def _union(rows: list[list[str]], order: list[Any], limit: int) -> tuple[str, list[Any]]:
    """The same for a database without LATERAL: one subquery per branch."""
    parts = [
        f"SELECT * FROM (SELECT {ORDER}, {row[0]} AS looseness, entry_id FROM {TABLE}"  # noqa: S608
        f" WHERE {_where(row, bool(order))} ORDER BY {ORDER}, entry_id LIMIT {limit})"
        for row in rows
    ]
    return " UNION ALL ".join(parts) + f" ORDER BY 1, 2, 3, 4, 5, 6 LIMIT {limit}", order * len(rows)


#: What a branch asks of a key: the columns of :func:`_literals`, in the order in which :func:`_where` names them.
COLUMNS = (
    "looseness",
    "type_id",
    "provider_key",
    "location_key",
    "weekday_key",
    "last_day",
    "first_day",
    "lead_minutes",
    "latest_begin",
    "earliest_end",
    "after_entry",
)
TYPES = {name: "date" if name.endswith("_day") else "bigint" for name in COLUMNS}


def _where(names: list[str], is_continued: bool) -> str:
    (_, type_id, provider, location, weekday, last_day, first_day, lead, begin, end, after_entry) = names
    where = (
        f"appointment_type_id = {type_id} AND provider_key = {provider} AND location_key = {location}"
        f" AND weekday_key = {weekday}"
        f" AND (earliest_date IS NULL OR earliest_date <= {last_day})"
        f" AND (latest_date IS NULL OR latest_date >= {first_day})"
        f" AND notice_minutes <= {lead} AND from_minute <= {begin} AND until_minute >= {end}"
    )
    # A comparison of rows goes on in the middle of an index range.
    return f"{where} AND ({ORDER}, entry_id) > (%s, %s, %s, %s, {after_entry})" if is_continued else where


def _literals(branch: Branch, after: Place | None) -> list[str]:
    return [
        f"'{value.isoformat()}'" if isinstance(value, date) else str(int(value))
        for value in (
            branch.looseness,
            branch.type_id,
            branch.provider_key,
            branch.location_key,
            branch.weekday_key,
            branch.last_day,
            branch.first_day,
            branch.lead_minutes,
            branch.latest_begin,
            branch.earliest_end,
            _after_entry(branch, after),
        )
    ]


def _after_entry(branch: Branch, after: Place | None) -> int:
    """Return after which entry a branch goes on among those that tie with ``after`` in all that comes first.

    Looseness comes before the entry's number and is the same all over a branch: a tighter branch is through with its
    ties, a looser one has them all before it.
    """
    if after is None or branch.looseness > after.position[4]:
        return 0
    return after.entry_id if branch.looseness == after.position[4] else LAST_ENTRY
