"""Public holidays and other closed days: nobody is at the office, whatever weekday it is."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from scheduling import closed_days, office_hours
from scheduling.models import ClosedDay
from scheduling.office_hours import Closed, OfficeHours
from tests import factories

ZONE = ZoneInfo("America/New_York")
THANKSGIVING = date(2026, 11, 26)
JULY_4 = Closed(yearly=frozenset({(7, 4)}))
HOURS = OfficeHours(ZONE, frozenset({1, 2, 3, 4, 5}), time(8), time(18), Closed(frozenset({THANKSGIVING})))


def at(day: int, hour: int, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=ZONE)


def test_on_a_closed_day_nobody_is_there_and_the_phone_is_answered_after_it() -> None:
    assert not office_hours.is_open(HOURS, at(26, 12))
    assert office_hours.is_open(HOURS, at(27, 12))
    assert office_hours.next_open(HOURS, at(25, 19)) == at(27, 8)
    assert office_hours.open_time(HOURS, at(25, 17), at(27, 9)) == timedelta(hours=2)


def test_a_yearly_day_comes_back_and_another_one_does_not() -> None:
    assert date(2031, 7, 4) in JULY_4
    assert date(2027, 11, 26) not in HOURS.closed


def test_after_a_closure_of_weeks_it_still_opens() -> None:
    closed = Closed(frozenset(date(2026, 12, 21) + timedelta(days=each) for each in range(14)))
    hours = OfficeHours(ZONE, HOURS.days, HOURS.opens, HOURS.closes, closed)
    assert office_hours.next_open(hours, at(20, 12, month=12)) == datetime(2027, 1, 4, 8, tzinfo=ZONE)


def test_a_locations_day_is_its_own_and_the_practice_is_closed_when_all_are(db: None) -> None:
    factories.practice()
    elm, oak = factories.location(name="Elm"), factories.location(name="Oak")
    factories.location(name="Given up", active=False)
    closed_days.add(elm, [(THANKSGIVING, "Thanksgiving"), (date(2026, 12, 24), "")])
    closed_days.add(oak, [(THANKSGIVING, "Thanksgiving")])
    closed_days.add(None, [(date(2026, 12, 25), "Christmas Day")], yearly=True)
    days = (THANKSGIVING, date(2026, 12, 24), date(2026, 12, 25), date(2027, 12, 25))

    def closed(location_id: int | None) -> list[bool]:
        return [day in office_hours.of_practice(location_id).closed for day in days]

    assert closed(elm.pk) == [True, True, True, True]
    assert closed(oak.pk) == [True, False, True, True]
    assert closed(None) == [True, False, True, True]


def test_a_pasted_list_is_read_line_by_line_and_entered_once(db: None) -> None:
    text = "12/25/2026 Christmas Day\n\n2026-11-26, Thanksgiving\n7/4/2027\n"
    days = closed_days.read(text)
    assert days == [
        (THANKSGIVING, "Thanksgiving"),
        (date(2026, 12, 25), "Christmas Day"),
        (date(2027, 7, 4), ""),
    ]
    closed_days.add(None, days)
    closed_days.add(None, [(THANKSGIVING, "Thanksgiving Day")])
    assert list(ClosedDay.objects.values_list("day", "name")) == [
        (THANKSGIVING, "Thanksgiving Day"),
        (date(2026, 12, 25), "Christmas Day"),
        (date(2027, 7, 4), ""),
    ]


def test_each_line_that_is_no_date_is_named() -> None:
    with pytest.raises(ValidationError) as refused:
        closed_days.read("12/25/2026 Christmas\nEaster\n2/30/2027 Nothing")
    assert [text.split(" does")[0] for text in refused.value.messages] == ["Line 2", "Line 3"]
    with pytest.raises(ValidationError, match="Write a date in each line"):
        closed_days.read(" \n")


def test_a_day_one_place_closes_once_and_another_every_year_closes_the_practice(db: None) -> None:
    factories.practice()
    elm, oak = factories.location(name="Elm"), factories.location(name="Oak")
    closed_days.add(elm, [(date(2026, 12, 24), "")])
    closed_days.add(oak, [(date(2025, 12, 24), "Christmas Eve")], yearly=True)
    closed = office_hours.of_practice().closed
    assert date(2026, 12, 24) in closed
    assert date(2027, 12, 24) not in closed


def test_a_list_pasted_again_leaves_a_yearly_day_yearly(db: None) -> None:
    closed_days.add(None, [(date(2026, 12, 25), "Christmas Day")], yearly=True)
    closed_days.add(None, [(THANKSGIVING, "Thanksgiving"), (date(2026, 12, 25), "")])
    assert list(ClosedDay.objects.values_list("name", "yearly")) == [("Thanksgiving", False), ("Christmas Day", True)]
