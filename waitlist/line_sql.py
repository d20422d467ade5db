"""The head of the line by SQL: ordered index scans of the match keys, merged.

An opening is suited by keys of a few kinds: per type the opening's provider or any, its location or any, its weekday
or any. Each kind is one range of the index, already in rank order, so each branch of the UNION reads only as many
rows as are asked for. Pages continue after a key, never by OFFSET. The SQL is the same on PostgreSQL and SQLite.
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
    for (weekday, some), provider, location in product(
        by_day.items(), (facts.provider_id, MatchKey.ANY), (facts.location_id, MatchKey.ANY)
    ):
        spans = [local_span(place, facts.zone) for place in some]
        days = [place.start.astimezone(facts.zone).date() for place in some]
        yield Branch(
            type_id=fit.type_id,
            provider_key=provider,
            location_key=location,
            weekday_key=weekday,
            looseness=looseness(
                left_over,
                any_provider=provider == MatchKey.ANY,
                any_location=location == MatchKey.ANY,
                any_day=weekday == ANY_DAY,
            ),
            first_day=min(days),
            last_day=max(days),
            lead_minutes=(max(place.start for place in some) - facts.now) // timedelta(minutes=1),
            latest_begin=max(minute_of_day(place.start, facts.zone) for place in some),
            # Only somebody without hours of their own comes to a visit that runs past midnight.
            earliest_end=min(span[2] if span else DAY_MINUTES for span in spans),
        )


def fetch(branches: list[Branch], limit: int, after: Place | None = None) -> list[tuple[Any, ...]]:
    """Return rows (urgency, moving_up, races, joined_at, looseness, entry_id) in rank order."""
    parameters: list[Any] = []
    parts = []
    for number, branch in enumerate(branches):
        continuation, values = _continue(branch, after)
        parts.append(
            # Only our own column names and integers are spelt into the text; everything else is a parameter.
            f"SELECT * FROM (SELECT {ORDER}, {int(branch.looseness)} AS looseness, entry_id FROM {TABLE}"  # noqa: S608
            " WHERE appointment_type_id = %s AND provider_key = %s AND location_key = %s AND weekday_key = %s"
            f"{continuation}"
            " AND (earliest_date IS NULL OR earliest_date <= %s) AND (latest_date IS NULL OR latest_date >= %s)"
            " AND notice_minutes <= %s AND from_minute <= %s AND until_minute >= %s"
            f" ORDER BY {ORDER}, entry_id LIMIT {int(limit)}) AS branch{number}"
        )
        parameters += _parameters(branch, values)
    sql = " UNION ALL ".join(parts) + f" ORDER BY 1, 2, 3, 4, 5, 6 LIMIT {int(limit)}"
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def _parameters(branch: Branch, continuation: list[Any]) -> list[Any]:
    adapt = connection.ops.adapt_datefield_value
    return [
        branch.type_id,
        branch.provider_key,
        branch.location_key,
        branch.weekday_key,
        *continuation,
        adapt(branch.last_day),
        adapt(branch.first_day),
        branch.lead_minutes,
        branch.latest_begin,
        branch.earliest_end,
    ]


def _continue(branch: Branch, after: Place | None) -> tuple[str, list[Any]]:
    """Return the condition that a branch goes on after a place: one comparison of rows, which the index answers.

    Looseness is the same all over a branch, so it only decides how places that tie with ``after`` are treated.
    """
    if after is None:
        return "", []
    *order, looseness, entry_id = after.position
    if branch.looseness == looseness:
        return f" AND ({ORDER}, entry_id) > (%s, %s, %s, %s, %s)", [*order, entry_id]
    operator = ">=" if branch.looseness > looseness else ">"
    return f" AND ({ORDER}) {operator} (%s, %s, %s, %s)", order
