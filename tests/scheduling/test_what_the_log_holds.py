"""The log of a new row holds its own columns only; what people and the EHR do to an opening is logged step by step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.context import Actor, acting_as
from scheduling import openings
from scheduling.models import Opening
from scheduling.records import Freshness, Interval
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_a_new_opening_is_logged_by_its_columns_in_one_query() -> None:
    provider, location, source = make.provider(), make.location(), make.source()
    ContentType.objects.get_for_model(Opening)  # asked for once per process, whichever test comes first
    with CaptureQueriesContext(connection) as captured:
        opening = make.opening(provider, location, source=source)

    entry = LogEntry.objects.get_for_object(opening).get()
    columns = {field.name for field in Opening._meta.concrete_fields}
    assert set(entry.changes_dict) <= columns
    assert entry.changes_dict["status"] == ["None", "open"]
    inserts = [query["sql"].split()[:3] for query in captured.captured_queries]
    assert [words[0] for words in inserts] == ["INSERT", "INSERT"]


def logged(opening: Opening) -> list[tuple[str, dict[str, Any]]]:
    """Who changed what of the opening, since it was made."""
    entries = LogEntry.objects.get_for_object(opening).filter(action=LogEntry.Action.UPDATE).order_by("pk")
    return [(entry.additional_data["actor"]["name"], entry.changes_dict) for entry in entries]


def test_who_held_it_and_who_let_it_go() -> None:
    opening = make.opening(make.provider(), make.location())
    with acting_as(Actor.for_service("worker: inbox")):
        assert openings.hold(opening, Opening.Held.PROVIDER_DAY)
        assert not openings.hold(opening, Opening.Held.PROVIDER_DAY)
    with acting_as(Actor.for_service("ana")):
        assert openings.unhold(opening)
        assert not openings.unhold(opening)
    assert logged(opening) == [
        ("worker: inbox", {"held": ["", "provider_day"]}),
        ("ana", {"held": ["provider_day", ""]}),
    ]


def test_which_clerk_filled_it_by_hand() -> None:
    opening, now = make.opening(make.provider(), make.location()), timezone.now()
    assert openings.make_mine(opening, "ana", now)
    assert not openings.make_mine(opening, "ben", now)
    openings.give_back(opening, "ana")
    until = str(now + timedelta(minutes=10))
    assert [changes for _, changes in logged(opening)] == [
        {"mine_by": ["", "ana"], "mine_until": ["None", until]},
        {"mine_by": ["ana", ""], "mine_until": [until, "None"]},
    ]


def test_what_was_cut_off_it() -> None:
    opening, now = make.opening(make.provider(), make.location(), minutes=60), timezone.now()
    start, end = opening.start, opening.end
    middle, later = start + timedelta(minutes=20), start + timedelta(minutes=40)
    assert openings.record_check(opening, Freshness(now, (Interval(middle, end),)))
    assert openings.record_check(opening, Freshness(now, (Interval(middle, end),)))  # as it is: nothing to log
    taken = openings.take(opening.pk)
    assert taken is not None
    openings.reserve(taken, middle, later)
    shrunk = [changes for _, changes in logged(opening) if "start" in changes]
    assert shrunk == [
        {"start": [str(start), str(middle)], "end": [str(end), str(end)]},
        {"start": [str(middle), str(middle)], "end": [str(end), str(later)]},
    ]
