"""Several cancellations of one provider's day look like an absence: nobody is offered it until staff say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from scheduling import guards, openings, worklist
from scheduling.blocks import add_block
from scheduling.models import Opening, WorkItem
from scheduling.records import Interval
from tests import factories
from tests.queries import asked
from tests.scheduling.conftest import Clinic

pytestmark = pytest.mark.django_db


def _cancel_apart(clinic: Clinic, count: int) -> None:
    for number in range(count):
        first = clinic.record()
        assert first.start
        assert first.end
        apart = timedelta(hours=number)
        record = clinic.record(f"a{number}", start=first.start + apart, end=first.end + apart)
        clinic.apply(record)
        clinic.cancel(record)


def test_two_cancellations_are_offered(clinic: Clinic) -> None:
    _cancel_apart(clinic, 2)
    assert set(Opening.objects.values_list("held", flat=True)) == {""}
    assert not WorkItem.objects.exists()


def test_a_cancellation_by_itself_asks_nothing_of_the_worklist(clinic: Clinic) -> None:
    record = clinic.record()
    clinic.apply(record)
    factories.practice()
    with asked() as found:
        clinic.cancel(record)
    assert Opening.objects.count() == 1
    assert (found["scheduling_practice"], found["scheduling_workitem"]) == (1, 0)


def test_three_within_minutes_hold_the_whole_day(clinic: Clinic) -> None:
    _cancel_apart(clinic, 3)
    assert list(Opening.objects.values_list("held", flat=True)) == ["provider_day"] * 3
    item = WorkItem.objects.get()
    assert (item.kind, item.urgency, item.location) == ("opening.provider_day", WorkItem.Urgency.RED, clinic.location)


def test_how_many_within_how_long_is_the_practice_s_to_say(clinic: Clinic) -> None:
    factories.practice(absence_cancellations=2, absence_minutes=20)
    _cancel_apart(clinic, 1)
    Opening.objects.update(freed_at=timezone.now() - timedelta(minutes=15))
    _cancel_apart(clinic, 2)
    assert Opening.objects.get(status="open").held == "provider_day"


def test_three_over_a_longer_time_are_offered(clinic: Clinic) -> None:
    _cancel_apart(clinic, 2)
    for opening in Opening.objects.all():
        Opening.objects.filter(pk=opening.pk).update(freed_at=opening.freed_at - timedelta(minutes=11))
    _cancel_apart(clinic, 3)  # the first two are known versions
    assert set(Opening.objects.values_list("held", flat=True)) == {""}


def test_staff_say_she_is_in(clinic: Clinic) -> None:
    _cancel_apart(clinic, 3)
    user = get_user_model().objects.create_user("clerk")
    said = worklist.run_action(WorkItem.objects.get(), "in", user)
    assert said == "3 openings are offered again."
    assert set(Opening.objects.values_list("held", flat=True)) == {""}
    assert (WorkItem.objects.get().status, WorkItem.objects.get().done_by) == ("done", "clerk")
    _cancel_apart(clinic, 4)  # one more cancellation does not ask again
    assert set(Opening.objects.values_list("held", flat=True)) == {""}


def test_a_question_that_nobody_answered_is_asked_again(clinic: Clinic) -> None:
    _cancel_apart(clinic, 3)
    for opening in Opening.objects.all():
        openings.close(opening, Opening.Closed.TAKEN)
        guards.settle_ended(opening)
    item = WorkItem.objects.get()
    assert (item.status, item.done_by) == ("done", "system")
    _cancel_apart(clinic, 4)
    assert Opening.objects.get(status="open").held == "provider_day"


def test_staff_say_she_is_out(clinic: Clinic) -> None:
    _cancel_apart(clinic, 3)
    user = get_user_model().objects.create_user("clerk")
    worklist.run_action(WorkItem.objects.get(), "out", user)
    assert set(Opening.objects.values_list("status", "closed_reason")) == {("closed", "blocked")}


def test_a_block_closes_what_lies_under_it_and_holds_the_day(clinic: Clinic) -> None:
    _cancel_apart(clinic, 2)
    first, second = Opening.objects.order_by("start")
    add_block(clinic.provider, Interval(first.start, first.end))
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, first.closed_reason) == ("closed", "blocked")
    assert (second.status, second.held) == ("open", "blocked")


def test_what_was_filled_while_the_block_came_leaves_no_rest_to_offer(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cancel_apart(clinic, 1)
    opening = Opening.objects.get()

    def fill_first(row: Opening, reason: str) -> bool:
        Opening.objects.filter(pk=row.pk).update(status="filled")
        return close(row, reason)

    close = openings.close
    monkeypatch.setattr(openings, "close", fill_first)
    add_block(clinic.provider, Interval(opening.start, opening.start + (opening.end - opening.start) / 2))
    assert Opening.objects.get().status == "filled"


def test_freed_time_under_a_block_is_not_opened(clinic: Clinic) -> None:
    record = clinic.record()
    assert record.start
    assert record.end
    clinic.apply(record)
    add_block(clinic.provider, Interval(record.start, record.end))
    assert clinic.cancel(record).opened == ()
