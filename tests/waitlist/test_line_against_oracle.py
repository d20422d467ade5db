"""The line by SQL names the very patients that judging and sorting everybody in Python names."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as some

from scheduling.models import Opening
from tests import factories as make
from waitlist import candidates, entries, ranking
from waitlist.eligibility import judge
from waitlist.models import WaitlistEntry

pytestmark = [pytest.mark.django_db, pytest.mark.long]

NOW = datetime(2030, 3, 8, 12, 0, tzinfo=UTC)
# The Sunday on which New York's clocks go forward, and the days around it.
DAYS = (datetime(2030, 3, 9, tzinfo=UTC), datetime(2030, 3, 10, tzinfo=UTC), datetime(2030, 3, 12, tzinfo=UTC))
NOTICES = (0, 60, 24 * 60, 3 * 24 * 60)


@dataclass
class World:
    """Two of everything, made once per example."""

    providers: list[Any] = field(default_factory=list)
    locations: list[Any] = field(default_factory=list)
    types: list[Any] = field(default_factory=list)

    @classmethod
    def build(cls) -> World:
        world = cls(
            [make.provider(), make.provider()],
            [make.location(make.NEW_YORK), make.location(make.LOS_ANGELES)],
            [make.appointment_type(20), make.appointment_type(45), make.appointment_type(60)],
        )
        for provider in world.providers:
            for location in world.locations:
                for kind in world.types[:2]:
                    make.bookable(provider, location, kind)
        return world


some_windows = some.lists(
    some.tuples(some.integers(0, 6), some.integers(0, 22), some.integers(1, 24)).filter(lambda w: w[2] > w[1]),
    max_size=4,
)


def rarely(strategy: Any, otherwise: Any) -> Any:
    """Mostly ``otherwise``: an example in which nobody suits tells little."""
    return some.integers(0, 4).flatmap(lambda dice: strategy if dice == 4 else some.just(otherwise))


some_entries = some.fixed_dictionaries(
    {
        "type": some.sampled_from((0, 0, 1, 1, 2)),
        "providers": some.sampled_from(((), (), (0,), (1,), (0, 1))),
        "locations": some.sampled_from(((), (), (0,), (1,), (0, 1))),
        "windows": some.one_of(some.just([]), some.just([(day, 6, 18) for day in range(7)]), some_windows),
        "urgency": some.integers(0, 2),
        "lost_races": some.integers(0, 2),
        "joined": some.integers(0, 1),
        "notice": rarely(some.sampled_from(NOTICES), 0),
        "need": rarely(some.sampled_from(NOTICES), 0),
        "earliest": rarely(some.integers(8, 13), None),
        "latest": rarely(some.integers(8, 13), None),
        "moving_up": some.booleans(),
        "deceased": rarely(some.just(True), False),
        "paused": rarely(some.just(True), False),
        "second_type": rarely(some.integers(0, 2), None),
    }
)
some_openings = some.fixed_dictionaries(
    {
        "day": some.sampled_from(DAYS),
        "minute": some.one_of(some.integers(13 * 60, 22 * 60), some.integers(0, 24 * 60 - 1)),
        "minutes": some.sampled_from((20, 30, 60, 135)),
        "slots": some.sampled_from((0, 15, 20)),
        "provider": some.integers(0, 1),
        "location": some.integers(0, 1),
    }
)


def add(world: World, wish: dict[str, Any]) -> None:
    patient = make.patient(deceased=wish["deceased"], email=None)
    fields: dict[str, Any] = {
        "urgency": wish["urgency"],
        "lost_races": wish["lost_races"],
        "joined_at": NOW - timedelta(days=wish["joined"]),
        "minimum_notice_minutes": wish["notice"],
        "needs": [{"need": "escort", "notice_minutes": wish["need"]}],
        "providers": [world.providers[index] for index in wish["providers"]],
        "locations": [world.locations[index] for index in wish["locations"]],
        "windows": [
            make.window(day, time(since), time(until) if until < 24 else time(23, 59))
            for day, since, until in wish["windows"]
        ],
    }
    if wish["earliest"]:
        fields["earliest_date"] = date(2030, 3, wish["earliest"])
    if wish["latest"] and wish["latest"] >= (wish["earliest"] or 0):
        fields["latest_date"] = date(2030, 3, wish["latest"])
    if wish["moving_up"]:
        fields["move_up"] = make.appointment(patient, start=NOW + timedelta(days=3))
    entry = entries.add(patient, world.types[wish["type"]], **fields)
    if wish["second_type"] not in (None, wish["type"]):
        entries.add(patient, world.types[wish["second_type"]], joined_at=entry.joined_at)
    if wish["paused"]:
        entries.pause(entry)


def an_opening(world: World, wish: dict[str, Any]) -> Opening:
    start = wish["day"] + timedelta(minutes=wish["minute"])
    end = start + timedelta(minutes=wish["minutes"])
    slots = []
    if wish["slots"]:
        length = timedelta(minutes=wish["slots"])
        begins = [start + length * number for number in range(wish["minutes"] // wish["slots"])]
        slots = [{"id": str(at), "start": at.isoformat(), "end": (at + length).isoformat()} for at in begins]
    return make.opening(
        world.providers[wish["provider"]],
        world.locations[wish["location"]],
        start=start,
        minutes=(end - start) // timedelta(minutes=1),
        slots=slots,
    )


def naive_top(opening: Opening, wanted: int) -> list[int]:
    """Everybody judged, sorted, each patient once: what the words of the rule say, whatever it costs."""
    facts = candidates.facts_for(opening, NOW)
    everybody = candidates.load(list(WaitlistEntry.objects.values_list("pk", flat=True)), facts)
    suited = sorted(
        (each for each in everybody if judge(facts, each).eligible), key=lambda each: ranking.rank_key(each, facts)
    )
    chosen: dict[int, int] = {}
    for each in suited:
        chosen.setdefault(each.patient_id, each.entry_id)
    return list(chosen.values())[:wanted]


@contextmanager
def undone():
    """Everything inside is rolled back, so that no example sees another one's rows."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@settings(max_examples=60)
@given(some.lists(some_entries, min_size=1, max_size=12), some_openings, some.integers(1, 5), some.integers(0, 6))
def test_the_line_names_whom_the_oracle_names(wishes, opening_wish, wanted, following) -> None:
    with undone():
        world = World.build()
        for wish in wishes:
            add(world, wish)
        opening = an_opening(world, opening_wish)

        found = ranking.top(opening, wanted, NOW, following=following)

        suited = [ranked.entry_id for ranked in found if ranked.verdict.eligible]
        assert suited[:wanted] == naive_top(opening, wanted)
        ranks = [ranked.rank for ranked in found]
        assert ranks == sorted(set(ranks))


@settings(max_examples=30)
@given(some.lists(some_entries, min_size=1, max_size=10), some_openings, some.integers(1, 3))
def test_paging_changes_nothing(wishes, opening_wish, page) -> None:
    with undone():
        world = World.build()
        for wish in wishes:
            add(world, wish)
        facts = candidates.facts_for(an_opening(world, opening_wish), NOW)

        whole = [place.entry_id for place in ranking.line(facts)]
        after, paged = None, []
        while places := list(ranking.line(facts, page, after)):
            paged += [place.entry_id for place in places]
            after = places[-1]

        assert paged == whole
        assert len(set(whole)) == len(whole)
        loaded = candidates.load(whole, facts)
        assert whole == [c.entry_id for c in sorted(loaded, key=lambda c: ranking.rank_key(c, facts))]
