"""Two who are at one opening in the same moment: what the second one read is no longer so, and nothing goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.utils import timezone

from scheduling import blocks, guards, openings
from scheduling.blocks import add_block, remove_block
from scheduling.models import Block, Opening, WorkItem
from scheduling.records import Freshness, Interval
from scheduling.worklist import ask_staff, run_action
from tests import factories, race
from tests.scheduling.conftest import Clinic

pytestmark = pytest.mark.django_db


def opening_of(clinic: Clinic, **fields: object) -> Opening:
    return factories.opening(clinic.provider, clinic.location, source=clinic.source, **fields)  # type: ignore[arg-type]


def a_wave_goes_out(opening: Opening) -> Callable[[], object]:
    return lambda: Opening.objects.filter(pk=opening.pk).update(status="offering", waves_sent=1)


def booked_over(clinic: Clinic, opening: Opening, minutes: int = 30) -> None:
    end = opening.start + timedelta(minutes=minutes)
    clinic.apply(clinic.record("theirs", start=opening.start, end=end))


# --- the EHR books the time while its offers go out ------------------------------------------------------------------


def test_time_booked_in_the_ehr_while_its_first_wave_went_out_is_not_left_on_offer(clinic: Clinic) -> None:
    opening = opening_of(clinic, minutes=60)
    with race.right_before("scheduling.openings.close", a_wave_goes_out(opening)):
        booked_over(clinic, opening)
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == ("closed", "taken")
    rest = Opening.objects.get(parent=opening)
    assert (rest.status, rest.start, rest.end) == ("open", opening.start + timedelta(minutes=30), opening.end)


def test_what_was_taken_off_an_opening_meanwhile_is_not_opened_with_its_rest(clinic: Clinic) -> None:
    opening = opening_of(clinic, minutes=90)
    until = opening.start + timedelta(minutes=60)
    shrink = lambda: Opening.objects.filter(pk=opening.pk).update(status="checking", end=until)  # noqa: E731
    with race.right_before("scheduling.openings.close", shrink):
        booked_over(clinic, opening)
    rest = Opening.objects.get(parent=opening)
    assert (rest.start, rest.end) == (opening.start + timedelta(minutes=30), until)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_news_of_a_booking_wait_for_the_wave_and_take_it_back(clinic: Clinic) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite writes one transaction after the other: nothing there can wait for each other")
    opening = opening_of(clinic)

    def hear() -> None:
        try:
            booked_over(clinic, opening)
        finally:
            connections.close_all()

    inbox = threading.Thread(target=hear)
    with transaction.atomic():
        a_wave_goes_out(opening)()
        inbox.start()
        race.wait_until(race.somebody_waits_for_us)
    inbox.join(timeout=30)
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == ("closed", "taken")


def test_an_opening_that_is_offered_meanwhile_is_not_joined_with_its_neighbour(clinic: Clinic) -> None:
    record = clinic.record()
    clinic.apply(record)
    assert record.end
    neighbour = opening_of(clinic, start=record.end)
    with race.right_before("scheduling.openings.close", a_wave_goes_out(neighbour)):
        (freed,) = clinic.cancel(record).opened
    neighbour.refresh_from_db()
    assert (neighbour.status, freed.end) == ("offering", record.end)


# --- staff, the machine and other staff ------------------------------------------------------------------------------


def test_what_is_claimed_is_closed_by_nobody_but_the_end_of_its_claim(clinic: Clinic) -> None:
    opening = opening_of(clinic)
    stale = Opening.objects.get()
    assert openings.take(opening.pk)
    assert not openings.close(stale, Opening.Closed.STAFF)
    assert Opening.objects.get().status == "claimed"
    assert openings.close_claimed(stale, Opening.Closed.TAKEN)
    assert (stale.status, Opening.objects.get().closed_reason) == ("closed", "taken")
    assert not openings.close_claimed(stale, Opening.Closed.TAKEN)


@pytest.mark.parametrize(
    "meanwhile",
    [{"status": "closed"}, {"status": "filled"}, {"held": "refused"}, {"held": ""}],
)
def test_going_on_is_for_the_hold_that_was_seen(clinic: Clinic, meanwhile: dict[str, str]) -> None:
    opening = opening_of(clinic, held="reason")
    Opening.objects.update(**meanwhile)
    assert not openings.unhold(opening)
    assert not guards.go_on(opening, "ana")
    opening.refresh_from_db()
    assert {name: getattr(opening, name) for name in meanwhile} == meanwhile
    assert opening.attention_due_at is None


def test_mine_is_no_clerk_s_once_somebody_said_yes_and_is_given_back_by_its_own(clinic: Clinic) -> None:
    opening, other = opening_of(clinic), opening_of(clinic, start=factories.in_days(5))
    stale = Opening.objects.get(pk=opening.pk)
    assert openings.take(opening.pk)
    assert not openings.make_mine(stale, "ana")
    assert openings.make_mine(other, "ben")
    assert not openings.give_back(other, "ana")
    assert Opening.objects.get(pk=other.pk).mine_by == "ben"
    assert openings.give_back(other, "ben")


def test_a_day_that_goes_on_counts_what_can_be_offered(clinic: Clinic) -> None:
    start = factories.in_days(3)
    live, claimed, closed = (
        opening_of(clinic, start=start + timedelta(hours=hour), held="provider_day", status=status)
        for hour, status in enumerate(("open", "claimed", "closed"))
    )
    assert guards.release_day(live) == 1
    held = dict(Opening.objects.values_list("pk", "held"))
    assert held == {live.pk: "", claimed.pk: "", closed.pk: "provider_day"}


def test_who_goes_on_has_answered_the_question_about_it(clinic: Clinic) -> None:
    start = factories.in_days(3)
    first, second = (opening_of(clinic, start=start + timedelta(hours=hour), held="blocked") for hour in range(2))
    guards.ask_about_day(first, "Is the provider out?")
    doubtful = opening_of(clinic, start=factories.in_days(6))
    guards.hold_and_ask(doubtful, Opening.Held.TYPE)
    assert guards.go_on(doubtful, "ana")
    assert guards.go_on(first, "ana")
    assert set(WorkItem.objects.values_list("kind", "status", "done_by")) == {
        ("opening.type", "done", "ana"),
        ("opening.provider_day", "open", ""),
    }
    assert guards.go_on(second, "ana")
    assert not WorkItem.objects.filter(status="open").exists()


@pytest.mark.parametrize(
    ("slug", "meanwhile", "said"),
    [
        ("offer", {}, "The time is offered after a fresh look at the EHR."),
        ("close", {}, "The time is not offered."),
        ("offer", {"status": "closed"}, "Nothing changed: this opening is closed now."),
        ("offer", {"held": ""}, "Nothing changed: this opening is open now."),
        (
            "offer",
            {"held": "refused"},
            "Nothing changed: this opening is held now (the EHR keeps refusing to book it).",
        ),
        ("close", {"status": "claimed"}, "Nothing changed: this opening is claimed now."),
        ("close", {"status": "filled"}, "Nothing changed: this opening is filled now."),
    ],
)
def test_a_button_says_what_it_did(clinic: Clinic, slug: str, meanwhile: dict[str, str], said: str) -> None:
    opening = opening_of(clinic, held="reason")
    item = ask_staff("opening.reason", "May it be offered?", dedupe_key="x", subject=opening, opening=opening)
    Opening.objects.update(**meanwhile)
    before = Opening.objects.values("status", "held").get()
    assert run_action(item, slug, User.objects.create_user("clerk")) == said
    now = Opening.objects.values("status", "held").get()
    assert (now == before) == said.startswith("Nothing changed")


# --- blocked time ----------------------------------------------------------------------------------------------------


def test_a_block_that_came_while_a_wave_went_out_takes_it_back(clinic: Clinic) -> None:
    opening = opening_of(clinic)
    with race.right_before("scheduling.openings.close", a_wave_goes_out(opening)):
        blocked = add_block(clinic.provider, openings.interval_of(opening))
    opening.refresh_from_db()
    assert (blocked.closed, opening.status, opening.closed_reason) == (1, "closed", "blocked")


@pytest.mark.parametrize(("minutes", "left"), [(60, ("closed", "blocked", 0)), (20, ("checking", "", 20))])
def test_time_that_was_blocked_while_it_was_opened_is_not_offered(
    clinic: Clinic, minutes: int, left: tuple[str, str, int]
) -> None:
    opening = opening_of(clinic, minutes=60)
    end = opening.start + timedelta(minutes=minutes)
    Block.objects.create(provider=clinic.provider, start=opening.start, end=end)
    freshness = Freshness(timezone.now(), (openings.interval_of(opening),))
    start = opening.start
    assert openings.record_check(opening, freshness) == (left[0] == "checking")
    cut = (opening.start - start) // timedelta(minutes=1)
    assert (opening.status, opening.closed_reason, cut) == left


def test_a_block_at_one_location_leaves_the_others_alone(clinic: Clinic) -> None:
    elsewhere = factories.opening(clinic.provider, factories.location(name="Lakeview"), source=clinic.source)
    here = opening_of(clinic, start=elsewhere.start)
    blocked = add_block(clinic.provider, openings.interval_of(here), location=clinic.location)
    assert blocked.closed == 1
    assert dict(Opening.objects.values_list("pk", "status")) == {here.pk: "closed", elsewhere.pk: "open"}
    assert Opening.objects.get(pk=elsewhere.pk).held == ""
    record = clinic.record()
    clinic.apply(record)
    assert clinic.cancel(record).opened == ()


def test_a_meeting_asks_nothing_about_the_rest_of_the_day(clinic: Clinic) -> None:
    start = factories.in_days(3)
    under, later = opening_of(clinic, start=start), opening_of(clinic, start=start + timedelta(hours=2))
    blocked = add_block(clinic.provider, openings.interval_of(under), hold_day=False)
    assert (blocked.closed, blocked.held) == (1, 0)
    later.refresh_from_db()
    assert (later.held, WorkItem.objects.count()) == ("", 0)


def test_a_block_until_midnight_asks_nothing_about_the_next_day(clinic: Clinic) -> None:
    day = timezone.localtime(factories.in_days(3), clinic.location.zone)
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    opening_of(clinic, start=midnight + timedelta(hours=10))
    blocked = add_block(clinic.provider, Interval(midnight - timedelta(hours=16), midnight))
    assert (blocked.held, Opening.objects.get().held, WorkItem.objects.count()) == (0, "", 0)


def test_a_block_counts_what_it_leaves_alone(clinic: Clinic) -> None:
    opening = opening_of(clinic, status="claimed")
    for status in ("booked", "pending", "cancelled"):
        factories.appointment(
            provider=clinic.provider, location=clinic.location, start=opening.start, minutes=30, status=status
        )
    blocked = add_block(clinic.provider, openings.interval_of(opening))
    assert (blocked.closed, blocked.under_way, blocked.booked) == (0, 1, 1)
    opening.refresh_from_db()
    assert opening.status == "claimed"


def test_blocked_time_is_not_opened_again_until_the_block_is_gone(clinic: Clinic) -> None:
    opening = opening_of(clinic)
    block = add_block(clinic.provider, openings.interval_of(opening)).block
    opening.refresh_from_db()
    assert not openings.reopen(opening)
    assert remove_block(block) == 1
    assert not Block.objects.exists()
    assert openings.reopen(opening)
    assert blocks.add_block(clinic.provider, Interval(opening.end, opening.end + timedelta(hours=1))).closed == 0
