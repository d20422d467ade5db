"""A calendar file names a moment, on both sides of each clock change; its note says it on the practice's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from icalendar import Calendar

from scheduling.models import Appointment, Location
from waitlist.calendar_file import calendar_file

PLACE = Location(name="Downtown", time_zone="America/New_York", phone="+12125550101", address="12 Elm Street")


@pytest.mark.parametrize(
    ("start", "english", "spanish"),
    [
        ("2026-03-07T19:00", "Saturday, March 7 at 2:00", "sábado 7 de marzo, a las 2:00"),
        ("2026-03-09T18:00", "Monday, March 9 at 2:00", "lunes 9 de marzo, a las 2:00"),
        ("2026-10-31T18:00", "Saturday, October 31 at 2:00", "sábado 31 de octubre, a las 2:00"),
        ("2026-11-02T19:00", "Monday, November 2 at 2:00", "lunes 2 de noviembre, a las 2:00"),
    ],
)
def test_the_same_hour_on_the_wall_is_another_moment_after_a_clock_change(
    start: str, english: str, spanish: str
) -> None:
    begins = datetime.fromisoformat(start).replace(tzinfo=UTC)
    visit = Appointment(location=PLACE, start=begins, end=begins + timedelta(minutes=30), reference="ACDEFG")
    written = {"en": f"{english} in the afternoon (Eastern time). ", "es": f"{spanish} de la tarde (hora del Este). "}
    for language, note in written.items():
        text = calendar_file(visit, "Elm Street Clinic", language, begins - timedelta(days=2))
        [event] = Calendar.from_ical(text).walk("VEVENT")
        assert (event.start, event.end) == (begins, begins + timedelta(minutes=30))
        assert event["DESCRIPTION"].startswith(note)


def test_the_hour_that_comes_twice_is_two_moments_and_a_visit_over_it_keeps_its_length() -> None:
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    visit = Appointment(location=PLACE, start=first, end=first + timedelta(hours=1), reference="ACDEFG")
    lines = calendar_file(visit, "Elm Street Clinic", "en", first).split("\r\n")
    assert ("DTSTART:20261101T053000Z" in lines, "DTEND:20261101T063000Z" in lines) == (True, True)


BEGINS = datetime(2026, 3, 9, 18, tzinfo=UTC)


def event_of(place: Location | None, language: str = "en") -> Any:
    visit = Appointment(location=place, start=BEGINS, end=BEGINS + timedelta(minutes=30), reference="ACDEFG")
    [event] = Calendar.from_ical(calendar_file(visit, "Elm Street Clinic", language, BEGINS)).walk("VEVENT")
    return event


def test_it_says_who_sees_them_where_and_that_it_is_certain() -> None:
    event = event_of(PLACE)
    assert (event["SUMMARY"], event["LOCATION"]) == ("Appointment: Elm Street Clinic", "12 Elm Street")
    assert (event["STATUS"], event["DTSTAMP"].dt) == ("CONFIRMED", BEGINS)
    # One name for one visit: a file that is opened twice is one entry of the calendar.
    assert event["UID"] == "ACDEFG@appointments.invalid"
    assert event["DESCRIPTION"].endswith("Reference: ACDEFG. If you cannot come, call (212) 555-0101.")
    assert event_of(PLACE, "es")["SUMMARY"] == "Cita: Elm Street Clinic"


@pytest.mark.parametrize(
    ("place", "left_out"),
    [
        (None, {"LOCATION", "DESCRIPTION"}),
        (Location(time_zone="America/New_York", phone="+12125550101"), {"LOCATION"}),
        (Location(time_zone="America/New_York", address="12 Elm Street"), {"DESCRIPTION"}),
    ],
)
def test_what_is_not_known_is_left_out(place: Location | None, left_out: set[str]) -> None:
    assert {"LOCATION", "DESCRIPTION"} - set(event_of(place)) == left_out


def test_a_calendar_takes_it_as_one_that_is_told_and_asks_nothing() -> None:
    visit = Appointment(location=PLACE, start=BEGINS, end=BEGINS, reference="ACDEFG")
    lines = calendar_file(visit, "Elm Street Clinic", "en", BEGINS).split("\r\n")
    assert {"VERSION:2.0", "METHOD:PUBLISH", "PRODID:-//Sooner//Waitlist//EN"} <= set(lines)


@pytest.mark.parametrize("times", [{}, {"start": BEGINS}, {"end": BEGINS}])
def test_an_appointment_without_a_time_has_none(times: dict[str, datetime]) -> None:
    with pytest.raises(ValueError, match="without a time"):
        calendar_file(Appointment(location=PLACE, **times), "Elm Street Clinic", "en", BEGINS)
