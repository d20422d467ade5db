"""What is not done while the calendar is older than the connection allows, and that it goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from config.desk.lines import connection_line
from integrations import health
from integrations.ehr import availability, freshness
from integrations.models import Connection
from scheduling.models import Opening, WorkItem
from tests.integrations.conftest import Booking, Clinic

pytestmark = pytest.mark.django_db

#: Ten in the morning in New York, on a Wednesday.
NOW = datetime(2031, 1, 15, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def read_to_its_end(clinic: Clinic, minutes_ago: int) -> None:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    later = timezone.now() + timedelta(minutes=30)
    Connection.objects.update(loaded_at=at, calendar_as_of=at, poll_due_at=later)


def opened(clinic: Clinic, *, hours: float) -> Opening:
    start = NOW + timedelta(hours=hours)
    return clinic.opening(start=start, end=start + timedelta(minutes=30), check_due_at=NOW)


def told(opening: Opening) -> list[str]:
    return list(opening.timeline.filter(kind="check.old_calendar").values_list("summary", flat=True))


@pytest.mark.parametrize(
    ("hours", "minutes", "why"),
    [
        (5, 60, ""),
        (
            5,
            61,
            "The calendar was last read 61 minutes ago; same-day times are not offered until it has been read again.",
        ),
        (
            13.9,
            150,
            "The calendar was last read 2 hours ago; same-day times are not offered until it has been read again.",
        ),
        (14, 150, ""),  # midnight in New York: tomorrow
        (30, 1441, "The calendar was last read 24 hours ago; this time is not offered until it has been read again."),
    ],
)
def test_which_times_are_not_offered(clinic: Clinic, hours: float, minutes: int, why: str) -> None:
    opening = opened(clinic, hours=hours)
    read_to_its_end(clinic, minutes)
    assert availability.look(opening.pk)
    assert (clinic.ehr.calls == []) is bool(why)
    assert told(opening) == ([why] if why else [])
    assert opening.offers.count() == 0


def test_the_calendar_is_read_at_once_and_the_offer_goes_on_by_itself(clinic: Clinic, clock: object) -> None:
    opening = opened(clinic, hours=5)
    read_to_its_end(clinic, 90)
    availability.look(opening.pk)
    connection = Connection.objects.get()
    assert connection.poll_due_at == NOW
    opening.refresh_from_db()
    assert opening.check_due_at == NOW + freshness.LOOKS_AGAIN
    assert not availability.look(opening.pk)

    Connection.objects.update(calendar_as_of=NOW)
    freshness.go_on(connection, NOW)
    assert availability.look(opening.pk)
    assert clinic.ehr.calls == ["availability"]
    assert len(told(opening)) == 1


def test_a_read_that_just_failed_is_not_asked_for_again(clinic: Clinic) -> None:
    opening = opened(clinic, hours=5)
    read_to_its_end(clinic, 90)
    soon = NOW + timedelta(seconds=50)
    Connection.objects.update(poll_due_at=soon)
    availability.look(opening.pk)
    assert Connection.objects.get().poll_due_at == soon


@pytest.mark.parametrize("limits", [{"same_day_minutes": None}, {"same_day_minutes": 120}])
def test_the_limit_is_the_connections(clinic: Clinic, limits: dict[str, int | None]) -> None:
    opening = opened(clinic, hours=5)
    read_to_its_end(clinic, 90)
    Connection.objects.update(**limits)
    availability.look(opening.pk)
    assert clinic.ehr.calls == ["availability"]


def test_a_booking_waits_where_the_connection_says_so(booking: Booking) -> None:
    read_to_its_end(booking.clinic, 31)
    Connection.objects.update(booking_minutes=30)
    booking.process()
    assert booking.clinic.ehr.calls == []
    assert (booking.status, booking.state) == ("waiting", "pending")
    held = booking.opening.timeline.get(kind="writeback.held")
    assert held.summary == (
        "The calendar was last read 31 minutes ago; the booking waits until it has been read again."
    )
    connection = Connection.objects.get()
    Connection.objects.update(calendar_as_of=timezone.now())
    freshness.go_on(connection, timezone.now())
    booking.process()
    assert (booking.status, booking.state) == ("done", "confirmed")


def test_staff_see_it_once_and_it_ends_with_the_next_complete_read(clinic: Clinic) -> None:
    read_to_its_end(clinic, 90)
    said = "The calendar was last read 90 minutes ago; same-day times are not offered until it has been read again."
    line = connection_line(Connection.objects.select_related("source").get(), NOW)
    assert (line.word, line.note, line.is_trouble) == ("behind", said, True)
    health.watch(NOW)
    health.watch(NOW)
    item = WorkItem.objects.get(kind="health.behind")
    assert (item.status, item.advice.startswith(said)) == ("open", True)
    Connection.objects.update(calendar_as_of=NOW)
    health.watch(NOW)
    item.refresh_from_db()
    assert item.status == "done"
    assert connection_line(Connection.objects.select_related("source").get(), NOW).word == "connected"
