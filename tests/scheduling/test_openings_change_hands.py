"""Checked, taken, reserved, released: each step is decided by the row's own state."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling import openings
from scheduling.exceptions import IllegalTransition
from scheduling.models import Appointment, Opening
from scheduling.records import Freshness, Interval, SlotRecord
from scheduling.transitions import move
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def opening() -> Opening:
    return factories.opening(factories.provider(), factories.location(), minutes=60)


def test_a_fresh_look_finds_it_free(opening: Opening) -> None:
    now = timezone.now()
    slot = SlotRecord("s1", opening.start, opening.start + timedelta(minutes=30), free=True)
    assert openings.record_check(opening, Freshness(now, (openings.interval_of(opening),), (slot,)))
    opening.refresh_from_db()
    assert (opening.status, opening.checked_at) == ("checking", now)
    assert opening.slots == [{"id": "s1", "start": slot.start.isoformat(), "end": slot.end.isoformat()}]


def test_a_fresh_look_finds_it_taken(opening: Opening) -> None:
    assert not openings.record_check(opening, Freshness(timezone.now(), ()))
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == ("closed", "taken")


def test_only_the_free_part_stays(opening: Opening) -> None:
    middle = opening.start + timedelta(minutes=30)
    end = opening.end
    assert openings.record_check(opening, Freshness(timezone.now(), (Interval(middle, end + timedelta(hours=1)),)))
    assert (opening.start, opening.end) == (middle, end)


def test_our_own_booking_under_way_counts_as_taken(opening: Opening) -> None:
    factories.appointment(
        provider=opening.provider,
        location=opening.location,
        start=opening.start,
        minutes=30,
        status=Appointment.Status.PENDING,
        origin=Appointment.Origin.WAITLIST,
    )
    assert openings.record_check(opening, Freshness(timezone.now(), (openings.interval_of(opening),)))
    assert opening.start == opening.end - timedelta(minutes=30)


def test_what_is_another_clinicians_takes_nothing(opening: Opening) -> None:
    """Neither our own booking of it that is under way, nor what the EHR books."""
    beside = factories.opening(factories.provider(), opening.location, start=opening.start, minutes=60)
    under_way = {"status": Appointment.Status.PENDING, "origin": Appointment.Origin.WAITLIST}
    theirs = factories.appointment(
        provider=beside.provider, location=opening.location, start=opening.start, **under_way
    )
    whole = openings.interval_of(opening)
    assert openings.record_check(opening, Freshness(timezone.now(), (whole,)))
    assert openings.interval_of(opening) == whole
    for start in (whole.start - timedelta(minutes=30), whole.end):
        factories.opening(beside.provider, opening.location, start=start)
    openings.give_way(beside.provider_id, whole, theirs)
    assert list(Opening.objects.filter(status="closed")) == [beside], "nor what they have before and after"


def test_what_was_closed_is_opened_again_unless_its_own_time_is_on_offer(opening: Opening) -> None:
    assert openings.close(opening, Opening.Closed.STAFF)
    factories.opening(factories.provider(), opening.location, start=opening.start)
    for start in (opening.start - timedelta(minutes=30), opening.end):
        factories.opening(opening.provider, opening.location, start=start)
    over = factories.opening(opening.provider, opening.location, start=opening.start + timedelta(minutes=15))
    assert not openings.reopen(opening)
    assert openings.close(over, Opening.Closed.STAFF)
    assert openings.reopen(opening)
    assert not openings.reopen(opening)


def test_one_taker(opening: Opening) -> None:
    winner = openings.take(opening.pk)
    assert winner is not None
    assert winner.status == "claimed"
    assert openings.take(opening.pk) is None


def test_a_held_opening_is_staffs_to_take(opening: Opening) -> None:
    openings.hold(opening, Opening.Held.PROVIDER_DAY)
    assert openings.take(opening.pk) is None
    assert openings.take(opening.pk, by_staff=True) is not None


def test_time_that_has_begun_cannot_be_taken(opening: Opening) -> None:
    assert openings.take(opening.pk, now=opening.start) is None
    assert Opening.objects.get(pk=opening.pk).status == "open"


def test_a_short_booking_leaves_the_rest_open(opening: Opening) -> None:
    end = opening.end
    taken = openings.take(opening.pk)
    assert taken is not None
    (rest,) = openings.reserve(taken, taken.start, taken.start + timedelta(minutes=30))
    assert (rest.start, rest.end, rest.parent, rest.status) == (taken.end, end, taken, "open")
    assert Opening.objects.get(pk=taken.pk).end == taken.start + timedelta(minutes=30)


def test_release_and_fill(opening: Opening) -> None:
    taken = openings.take(opening.pk)
    assert taken is not None
    assert openings.release(taken)
    assert taken.status == "open"
    again = openings.take(opening.pk)
    assert again is not None
    assert openings.fill(again)
    assert not openings.close(again, Opening.Closed.STAFF)
    with pytest.raises(IllegalTransition, match=r"Opening.status may not go from filled to open\."):
        move(again, "open")


def test_two_loaded_rows_cannot_both_move(opening: Opening) -> None:
    other = Opening.objects.get(pk=opening.pk)
    assert openings.close(opening, Opening.Closed.STAFF)
    assert not openings.close(other, Opening.Closed.TAKEN)
    assert Opening.objects.get(pk=opening.pk).closed_reason == "staff"


def test_mine_is_one_clerks(opening: Opening) -> None:
    now = timezone.now()
    assert openings.make_mine(opening, "ana", now)
    assert not openings.make_mine(opening, "ben", now + timedelta(minutes=9))
    assert openings.make_mine(opening, "ana", now + timedelta(minutes=9))
    assert openings.make_mine(opening, "ben", now + timedelta(minutes=20))


def test_giving_one_time_back_keeps_the_clerks_others(opening: Opening) -> None:
    other = factories.opening(opening.provider, opening.location, start=opening.end)
    for each in (opening, other):
        assert openings.make_mine(each, "ana")
    assert openings.give_back(opening, "ana")
    assert list(Opening.objects.filter(mine_by="ana")) == [other]


def test_a_check_is_never_put_off(opening: Opening) -> None:
    other = factories.opening(opening.provider, opening.location, start=opening.end)
    now = timezone.now()
    openings.request_check(opening.pk, now + timedelta(minutes=5))
    openings.request_check(opening.pk, now + timedelta(minutes=1))
    openings.request_check(opening.pk, now + timedelta(minutes=9))
    assert Opening.objects.get(pk=opening.pk).check_due_at == now + timedelta(minutes=1)
    assert Opening.objects.get(pk=other.pk).check_due_at is None


def test_how_long_mine_lasts_is_the_practice_s_to_say(opening: Opening) -> None:
    factories.practice(mine_minutes=25)
    now = timezone.now()
    assert openings.make_mine(opening, "ana", now)
    assert opening.mine_until == now + timedelta(minutes=25)
