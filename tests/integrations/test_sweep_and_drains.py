"""The sweep finds what a lost wake-up left behind, and the drains share it without doing it twice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from integrations import draining, heartbeat, outbox, sweep, tasks
from integrations.ehr import availability, event_leases
from integrations.messaging import delivery, gateway
from integrations.models import Heartbeat
from integrations.outcomes import SomebodyElseHasIt
from scheduling import openings, patient_writes, wake, writebacks
from scheduling.contention import DEADLOCK
from scheduling.exceptions import IllegalTransition
from scheduling.models import Writeback
from tests import factories, race
from tests.integrations.conftest import Booking, Clinic, open_items, say_yes
from tests.integrations.messaging.test_delivery_once import message_to
from tests.integrations.test_outbox_books_once import assert_booked_once
from waitlist.models import Claim, Message

pytestmark = pytest.mark.django_db


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The topics that were published, at once and outside the broker."""
    topics: list[str] = []
    monkeypatch.setattr(wake._publisher, "mark", topics.append)
    return topics


def test_nothing_due_wakes_nobody() -> None:
    assert sweep.sweep() == []


def test_each_kind_of_due_row_wakes_its_worker(booking: Booking) -> None:
    """The claim left a write and a message to its winner; the other rows are made here."""
    opening = booking.clinic.opening(start=factories.in_days(5))
    openings.request_check(opening.pk, timezone.now())
    openings.request_attention(opening.pk)
    assert set(sweep.sweep()) == {"checks", "attention", "messages", "writebacks"}


def test_a_row_whose_wake_up_was_lost_is_done(booking: Booking, woken: list[str]) -> None:
    sweep.sweep()
    tasks.drain_writebacks()
    assert_booked_once(booking)
    assert "writebacks" not in sweep.sweep()


@pytest.mark.parametrize("hours", [0, 1])
def test_expired_leases_are_found(booking: Booking, hours: int) -> None:
    lapsed = timezone.now() - timedelta(seconds=1, hours=hours)
    Writeback.objects.update(status=Writeback.Status.SENDING, lease_until=lapsed, sent_at=lapsed)
    Message.objects.all().delete()
    message_to(factories.patient(email=None).contact_points.get(), status=Message.Status.SENDING, lease_until=lapsed)
    assert {"writebacks", "messages"} <= set(sweep.sweep())


def test_a_task_delivered_three_times_has_one_effect(booking: Booking) -> None:
    for _ in range(3):
        tasks.drain_writebacks()
        tasks.drain_messages()
    assert booking.clinic.ehr.calls.count("create") == 1
    assert_booked_once(booking)
    sent = Message.objects.filter(kind=Message.Kind.CONFIRMED, channel="sms")
    assert list(sent.values_list("status", "attempts")) == [(Message.Status.SENT, 1)]


def test_a_poison_row_does_not_stop_the_others(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = say_yes(clinic), say_yes(clinic, start=factories.in_days(4))
    seen: list[int] = []

    def work(row_id: int) -> bool:
        seen.append(row_id)
        if row_id == first.writeback.pk:
            raise RuntimeError
        return outbox.process(row_id)

    assert draining.drain("writebacks", outbox.due, work) == 1
    assert seen == [first.writeback.pk, second.writeback.pk], "the poison row is tried once per drain"
    assert_booked_once(second)
    assert first.state == Claim.State.PENDING
    assert open_items() == ["worker.writebacks"]


@pytest.mark.parametrize(
    "error",
    [
        SomebodyElseHasIt(),
        IllegalTransition("Writeback", "status", "done", "waiting"),
        race.ended_by_the_database(DEADLOCK),
    ],
)
def test_a_row_that_another_worker_took_meanwhile_is_nobodys_trouble(error: Exception) -> None:
    def work(_: int) -> bool:
        raise error

    assert draining.drain("writebacks", lambda: [1], work) == 0
    assert open_items() == []


def test_a_database_that_fails_is_logged_and_the_next_row_is_tried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*args: Any, **values: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(draining, "ask_staff", gone)
    seen: list[int] = []

    def work(row_id: int) -> bool:
        seen.append(row_id)
        raise OperationalError

    assert draining.drain("writebacks", lambda: [1, 2], work) == 0
    assert seen == [1, 2]
    assert [record.getMessage() for record in caplog.records if record.name == draining.__name__] == [
        "writebacks: row 1 failed: OperationalError",
        "writebacks: row 2 failed: OperationalError",
    ]


def test_more_than_one_row_calls_another_worker(
    woken: list[str], django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    left = [1, 2, 3]

    def work(row_id: int) -> bool:
        left.remove(row_id)
        return True

    with django_capture_on_commit_callbacks(execute=True):
        assert draining.drain("writebacks", lambda: list(left), work) == 3
    assert woken == ["writebacks"]


def test_a_drain_that_looks_many_times_calls_another_worker_once(
    woken: list[str], django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    left = list(range(9))
    with django_capture_on_commit_callbacks(execute=True):
        assert draining.drain("messages", lambda: left[:3], lambda row_id: left.remove(row_id) or True) == 9
    assert woken == ["messages"]


def test_a_single_row_calls_nobody(woken: list[str], django_capture_on_commit_callbacks: Callable[..., Any]) -> None:
    left = [1]
    with django_capture_on_commit_callbacks(execute=True):
        assert draining.drain("writebacks", lambda: list(left), lambda _: bool(left.clear()) or True) == 1
    assert woken == []


def test_an_ehr_that_hangs_leaves_room_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    room = threading.BoundedSemaphore(1)
    monkeypatch.setattr(draining, "AT_THE_EHR", room)
    done: list[str] = []

    def while_one_waits(_: int) -> bool:
        done.append("writebacks")
        assert draining.drain("checks", lambda: [1], lambda _: bool(done.append("checks"))) == 0
        draining.drain("messages", lambda: [1], lambda _: bool(done.append("messages")))
        return True

    assert draining.drain("writebacks", lambda: [1], while_one_waits) == 1
    assert done == ["writebacks", "messages"]
    assert room.acquire(blocking=False), "the room is given back"


def test_what_a_killed_worker_had_waits_for_its_lease_a_sweep_and_a_turn_which_is_less_than_30_seconds(
    longest_turn: float,
) -> None:
    """Where every worker is busy, a burst keeps each for one turn; an EHR that hangs leaves room for others."""
    longest_lease = max(module.LEASE for module in (event_leases, availability, gateway, patient_writes, writebacks))
    in_line = timedelta(seconds=sweep.EVERY_SECONDS + 2 * longest_turn)
    assert longest_lease + in_line < timedelta(seconds=30)


def test_a_drain_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "LONGEST_SECONDS", 0.0)
    assert draining.drain("writebacks", lambda: [1], lambda _: True) == 0


def test_rows_that_keep_coming_do_not_keep_a_worker_from_other_work(
    longest_turn: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A YES needs a worker for its reading, its claim and its booking while thousands of offers are on their way."""
    monkeypatch.setattr(draining, "LONGEST_SECONDS", longest_turn)
    clock, numbers = itertools.count(step=0.5), itertools.count()
    monkeypatch.setattr(draining.time, "monotonic", lambda: next(clock))
    assert draining.drain("writebacks", lambda: [next(numbers)], lambda _: True) <= 4


def test_workers_act_under_a_name_and_the_openings_correlation(booking: Booking) -> None:
    tasks.drain_writebacks()
    step = booking.opening.timeline.get(kind="writeback.confirmed")
    assert step.actor == "worker: outbox"
    assert step.correlation_id == booking.opening.correlation_id


def test_sweeps_leave_their_time_and_their_lateness() -> None:
    start = timezone.now()
    sweep.sweep(start)
    sweep.sweep(start + timedelta(seconds=1))
    assert Heartbeat.objects.get(name="sweep").late_by_ms == 0
    sweep.sweep(start + timedelta(seconds=91))
    sweep.sweep(start + timedelta(seconds=92))
    assert heartbeat.take_lateness("sweep") == timedelta(seconds=89)
    assert heartbeat.take_lateness("sweep") == timedelta()


def test_messages_and_alerts_are_drained_together(settings: Any) -> None:
    contact = factories.patient(email=None).contact_points.get()
    message = message_to(contact)
    tasks.drain_messages()
    message.refresh_from_db()
    assert message.status == Message.Status.SENT
    assert delivery.due() == []
