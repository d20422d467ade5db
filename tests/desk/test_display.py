"""How times and states are written, everywhere the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduling.admin import display
from scheduling.models import Appointment, Opening, Writeback
from tests.desk.conftest import Practice
from waitlist.models import Claim, Message, Offer, Reply, WaitlistEntry

NOW = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=-12), "12 s ago"),
        (timedelta(minutes=42), "in 42 min"),
        (timedelta(hours=3, minutes=10), "in 3 h 10 min"),
        (timedelta(hours=-5), "5 h ago"),
        (timedelta(hours=20, minutes=20), "in 20 h"),
        (timedelta(days=1, hours=15), "in 39 h"),
        (timedelta(days=-2), "2 days ago"),
        (timedelta(days=-9), "9 days ago"),
    ],
)
def test_distances_are_said_as_people_say_them(distance: timedelta, words: str) -> None:
    assert display.relative(NOW + distance, NOW) == words


def test_the_exact_time_names_its_zone() -> None:
    assert display.exact(NOW, NEW_YORK) == "Tue Nov 24, 1:00 PM EST"
    assert display.exact(NOW, NEW_YORK, seconds=True) == "Tue Nov 24, 1:00:00 PM EST"
    assert display.exact(datetime(2031, 7, 4, 4, 5, tzinfo=UTC), NEW_YORK) == "Fri Jul 4 2031, 12:05 AM EDT"


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2031-07-04T18:00", "2031-07-04T18:30", "Fri Jul 4 2031 2:00–2:30 PM EDT"),
        ("2031-07-04T15:30", "2031-07-04T16:30", "Fri Jul 4 2031 11:30 AM–12:30 PM EDT"),
    ],
)
def test_a_slot_never_breaks_its_hours(start: str, end: str, words: str) -> None:
    shown = display.slot(datetime.fromisoformat(f"{start}+00:00"), datetime.fromisoformat(f"{end}+00:00"), NEW_YORK)
    assert shown.replace("\xa0", " ") == words
    assert shown.count(" ") == 4  # between the day's words and before the hours, nowhere in them


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.84, "0.8 s"), (42, "42 s"), (250, "4 min 10 s"), (1800, "30 min"), (7500, "2 h 5 min"), (165600, "46 h")],
)
def test_a_duration_names_no_part_that_is_nothing(seconds: float, words: str) -> None:
    assert display.span(timedelta(seconds=seconds)) == words


def test_a_moment_has_its_exact_time_for_the_pointer_and_for_the_keyboard() -> None:
    shown = display.when(NOW, NEW_YORK)
    assert 'tabindex="0"' in shown
    assert '<time datetime="2026-11-24T18:00:00+00:00">' in shown
    assert '<span class="exact">Tue Nov 24, 1:00 PM EST</span>' in shown
    assert display.when(None) == '<span class="quiet">–</span>'


@pytest.mark.parametrize(
    "states",
    [
        Opening.Status,
        Writeback.Status,
        Offer.Status,
        Claim.State,
        Message.Status,
        WaitlistEntry.Status,
        Appointment.Status,
        Reply.Outcome,
    ],
)
def test_a_state_is_a_word_with_an_icon_and_a_colour(states: type) -> None:
    for value, label in states.choices:  # type: ignore[attr-defined]
        shown = display.state(value, label)
        assert str(label).replace("'", "&#x27;") in shown
        assert '<svg class="icon" aria-hidden="true"' in shown
        assert 'class="state state-' in shown


def test_words_in_a_state_are_escaped() -> None:
    assert "<b>" not in display.state("x", "<b>")


def test_an_opening_is_named_by_whose_time_it_is_and_when(practice: Practice) -> None:
    opening = practice.opening(start=datetime(2031, 7, 4, 18, 0, tzinfo=UTC))
    link = display.opening_link(opening)
    assert link == (
        f'<a href="/admin/openings/{opening.pk}/">Dr. Mei Chen, Fri Jul 4 2031 2:00–2:30\u00a0PM\u00a0EDT</a>'
    )
    assert display.opening_link(None) == "–"


@pytest.mark.parametrize(("value", "word"), [("sms", "text"), ("email", "e-mail"), ("staff", "staff")])
def test_a_way_is_named_in_words(value: str, word: str) -> None:
    assert display.channel(value) == word
