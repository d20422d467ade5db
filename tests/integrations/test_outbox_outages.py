"""The EHR is down, slow, or asks for patience: the queue holds, staff see it, and it resumes by itself."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.utils import timezone

from integrations import health, outbox
from integrations.ehr import pulse
from integrations.ehr.gateway import LoginRefused, Malformed, OutcomeUnknown, Rejected, Throttled, Unavailable
from integrations.models import Connection
from scheduling import practice, writebacks
from scheduling.contention import DEADLOCK
from scheduling.models import Appointment, TimelineEntry, WorkItem, Writeback
from tests import race
from tests.integrations.conftest import Booking, Clinic, open_items, say_yes
from tests.integrations.test_outbox_books_once import assert_booked_once
from waitlist.models import Claim

pytestmark = pytest.mark.django_db


def go_down(clinic: Clinic, since_minutes: int = 0) -> None:
    """What the transport notes when a call finds the EHR down."""
    pulse.note_trouble(clinic.connection.pk, "unavailable")
    if since_minutes:
        since = timezone.now() - timedelta(minutes=since_minutes)
        Connection.objects.filter(pk=clinic.connection.pk).update(failing_since=since)


@pytest.mark.parametrize("method", ["availability", "create"])
@pytest.mark.parametrize("error", [Unavailable(status=503), Throttled(status=429), LoginRefused(status=401)])
def test_down_holds_and_resumes(booking: Booking, method: str, error: Exception) -> None:
    booking.clinic.ehr.fail(method, error, times=8)  # type: ignore[arg-type]
    for _ in range(8):
        booking.process()
        row = Writeback.objects.get(pk=booking.writeback.pk)
        assert (row.status, row.attempts, row.sent_at) == (Writeback.Status.WAITING, 0, None)
        assert row.due_at > timezone.now()
        booking.pass_time(400)
    assert booking.state == Claim.State.PENDING
    assert booking.story.count("writeback.held") == 1, "told once, not at each try"
    booking.process()
    assert_booked_once(booking)


def test_a_worker_that_leaves_the_ehr_in_peace_tells_nothing_new(booking: Booking) -> None:
    """Others find it down meanwhile, so a write meets now the one, now the other."""
    for error in (Unavailable(status=503), Throttled("left in peace"), Unavailable(), Throttled(), Unavailable()):
        booking.clinic.ehr.fail("availability", error, times=1)
        booking.process()
        booking.pass_time(400)
    assert booking.story.count("writeback.held") == 1


def test_no_call_while_the_ehr_is_quiet(booking: Booking) -> None:
    go_down(booking.clinic)
    quiet_until = Connection.objects.get().quiet_until
    booking.process()
    assert booking.clinic.ehr.calls == []
    row = Writeback.objects.get(pk=booking.writeback.pk)
    assert quiet_until is not None
    assert quiet_until <= row.due_at <= quiet_until + timedelta(seconds=1)


def test_what_the_ehr_asks_for_is_obeyed_by_all(clinic: Clinic) -> None:
    until = timezone.now() + timedelta(seconds=90)
    first, second = say_yes(clinic), say_yes(clinic, start=timezone.now() + timedelta(days=4))
    clinic.ehr.fail("availability", Throttled(retry_at=until))
    pulse.note_trouble(clinic.connection.pk, "throttled", until)
    first.process()
    second.process()
    assert clinic.ehr.calls == []
    due = Writeback.objects.values_list("due_at", flat=True)
    assert all(until <= each <= until + timedelta(seconds=1) for each in due)


def test_held_for_five_minutes_is_seen_by_staff_once_and_goes_when_it_is_over(booking: Booking) -> None:
    go_down(booking.clinic)
    booking.process()
    health.watch()
    assert open_items() == []
    go_down(booking.clinic, since_minutes=6)
    health.watch()
    health.watch()
    [item] = WorkItem.objects.filter(kind="health.failing")
    assert (item.urgency, item.times_seen) == (WorkItem.Urgency.RED, 2)
    assert "bookings held: 1" in item.title
    Connection.objects.update(failing_since=None, quiet_until=None)
    health.watch()
    assert open_items() == []


def test_never_written_after_the_start(booking: Booking) -> None:
    booking.clinic.ehr.fail("availability", Unavailable(status=503), times=2)
    booking.process()
    Writeback.objects.update(deadline_at=timezone.now() - timedelta(seconds=1), due_at=timezone.now())
    Connection.objects.update(quiet_until=None, failing_since=None)
    booking.clinic.ehr._failures.clear()
    booking.process()
    row = Writeback.objects.get(pk=booking.writeback.pk)
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "too_late")
    assert booking.state == Claim.State.REFUSED
    assert booking.clinic.ehr.creates == []


def test_the_wait_ends_at_the_start(booking: Booking) -> None:
    deadline = timezone.now() + timedelta(seconds=3)
    Writeback.objects.update(deadline_at=deadline)
    pulse.note_trouble(booking.clinic.connection.pk, "throttled", timezone.now() + timedelta(minutes=30))
    booking.process()
    assert Writeback.objects.get().due_at == deadline


def test_whoever_was_held_until_the_start_is_told_although_the_ehr_is_still_silent(booking: Booking) -> None:
    """Not taken up again and again either, each time with a line in the audit trail."""
    pulse.note_trouble(booking.clinic.connection.pk, "throttled", timezone.now() + timedelta(minutes=30))
    booking.process()
    Writeback.objects.update(deadline_at=timezone.now() - timedelta(seconds=1), due_at=timezone.now())
    booking.process()
    row = Writeback.objects.get()
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "too_late")
    assert (booking.state, booking.clinic.ehr.calls, outbox.due()) == (Claim.State.REFUSED, [], [])


def test_what_may_be_in_the_ehr_is_looked_up_even_after_the_start(booking: Booking) -> None:
    booking.clinic.ehr.fail("create", OutcomeUnknown(), after=True)
    booking.process()
    go_down(booking.clinic)
    Writeback.objects.update(deadline_at=timezone.now() - timedelta(seconds=1), due_at=timezone.now())
    booking.process()
    assert booking.status == Writeback.Status.UNKNOWN
    booking.pass_time(400)
    booking.process()
    assert_booked_once(booking)


def test_down_while_an_answer_is_unknown_keeps_asking(booking: Booking) -> None:
    ehr = booking.clinic.ehr
    ehr.fail("create", OutcomeUnknown(), after=True)
    booking.process()
    ehr.fail("find_by_identifier", Unavailable(status=503), times=20)
    for _ in range(20):
        booking.pass_time(400)
        booking.process()
        assert booking.status == Writeback.Status.UNKNOWN
    booking.pass_time(400)
    booking.process()
    assert ehr.calls.count("create") == 1
    assert_booked_once(booking)


def test_an_answer_that_makes_no_sense_is_tried_by_the_schedule_then_dead(booking: Booking) -> None:
    tries = len(settings.WRITE_RETRY_SECONDS) + 1
    booking.clinic.ehr.fail("availability", Malformed(), times=tries + 3)
    for attempt in range(1, tries + 1):
        booking.process()
        row = Writeback.objects.get(pk=booking.writeback.pk)
        assert row.attempts == attempt
        booking.pass_time(400)
    assert row.status == Writeback.Status.DEAD
    assert booking.state == Claim.State.PENDING, "the booking may still come by hand"
    assert open_items() == ["writeback.dead"]
    assert outbox.due() == []


def test_schedule_is_followed_with_jitter(booking: Booking) -> None:
    booking.clinic.ehr.fail("availability", Malformed(), times=3)
    for wait in settings.WRITE_RETRY_SECONDS[:3]:
        before = timezone.now()
        booking.process()
        due_in = (Writeback.objects.get().due_at - before).total_seconds()
        assert wait * 0.8 <= due_in <= wait * 1.2 + 1
        booking.pass_time(400)


def test_dead_letter_is_retried_by_staff(booking: Booking) -> None:
    tries = len(settings.WRITE_RETRY_SECONDS) + 1
    booking.clinic.ehr.fail("availability", Malformed(), times=tries)
    booking.finish(tries + 1)
    assert booking.status == Writeback.Status.DEAD
    assert writebacks.retry(Writeback.objects.get(), "clerk")
    booking.process()
    assert_booked_once(booking)
    assert open_items() == []


def test_rejected_is_final_and_shown(booking: Booking) -> None:
    booking.clinic.ehr.fail("create", Rejected(status=422))
    booking.process()
    assert booking.status == Writeback.Status.REFUSED
    assert booking.state == Claim.State.REFUSED
    assert booking.appointment.status == Appointment.Status.CANCELLED
    assert open_items() == ["writeback.refused"]
    assert outbox.due() == []


def test_paused_writes_nothing_and_resumes(booking: Booking) -> None:
    practice.pause("clerk", "power cut")
    assert outbox.due() == []
    booking.process()
    assert booking.clinic.ehr.calls == []
    practice.resume("clerk")
    booking.process()
    assert_booked_once(booking)


def test_paused_still_looks_up_what_was_sent(booking: Booking) -> None:
    booking.clinic.ehr.fail("create", OutcomeUnknown(), after=True)
    booking.process()
    booking.pass_time(2)
    practice.pause("clerk", "power cut")
    assert outbox.due() == [booking.writeback.pk]
    booking.process()
    assert_booked_once(booking)


def test_a_row_that_kills_its_workers_comes_to_rest(booking: Booking) -> None:
    for _ in range(20):
        if writebacks.lease(booking.writeback.pk) is None:
            break
        booking.pass_time(400)
        if Writeback.objects.get().attempts > len(settings.WRITE_RETRY_SECONDS) + 2:
            break
    booking.process()
    assert booking.status == Writeback.Status.DEAD
    assert open_items() == ["writeback.dead"]
    assert booking.clinic.ehr.creates == []


def test_a_fault_of_ours_counts_and_leaves_the_others_alone(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    from integrations import booking as verb
    from integrations.draining import drain

    poison, sound = say_yes(clinic), say_yes(clinic, start=timezone.now() + timedelta(days=4))
    original = verb.book

    def book(attempt: object) -> None:
        if attempt.row.pk == poison.writeback.pk:  # type: ignore[attr-defined]
            raise ZeroDivisionError
        original(attempt)  # type: ignore[arg-type]

    monkeypatch.setattr(verb, "book", book)
    drain("writebacks", outbox.due, outbox.process)
    assert_booked_once(sound)
    for _ in range(len(settings.WRITE_RETRY_SECONDS) + 2):
        poison.pass_time(400)
        poison.process()
    assert poison.status == Writeback.Status.DEAD
    assert open_items() == ["writeback.dead"]


def test_the_story_names_no_patient(booking: Booking) -> None:
    booking.clinic.ehr.fail("create", OutcomeUnknown("Sample1 in a body"), after=True)
    booking.process()
    for entry in TimelineEntry.objects.all():
        assert booking.patient.family_name not in entry.summary + str(entry.data)
    assert "Sample1" not in Writeback.objects.get().error_detail


def gives_way(booking: Booking, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    with monkeypatch.context() as ended:
        ended.setattr(target, Mock(side_effect=race.ended_by_the_database(DEADLOCK)))
        for _ in range(len(settings.WRITE_RETRY_SECONDS) + 2):
            booking.process()
            booking.pass_time(30)


def test_a_confirmation_that_gave_way_to_another_worker_is_found_and_uses_up_no_try(
    booking: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    gives_way(booking, monkeypatch, "integrations.outcomes.claims.settle")
    row = Writeback.objects.get()
    assert (row.status, row.attempts, row.error_code) == (Writeback.Status.UNKNOWN, 0, "gave_way")
    assert booking.state == Claim.State.PENDING
    assert open_items() == []
    booking.process()
    assert_booked_once(booking)


def test_what_gave_way_before_anything_was_sent_is_sent_a_second_later(
    booking: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    gives_way(booking, monkeypatch, "integrations.booking.is_free")
    row = Writeback.objects.get()
    assert (row.status, row.attempts, row.sent_at) == (Writeback.Status.WAITING, 0, None)
    assert (open_items(), booking.clinic.ehr.creates) == ([], [])
    booking.process()
    assert_booked_once(booking)


@pytest.mark.parametrize("error", [ZeroDivisionError(), race.ended_by_the_database(DEADLOCK)])
def test_a_worker_that_lost_its_lease_leaves_the_next_one_s_try_alone(booking: Booking, error: Exception) -> None:
    """Else the row would wait to be sent once more while the other worker's call is on its way."""
    theirs: list[Writeback] = []

    def stalls(*_: object) -> bool:
        lease = writebacks.lease(booking.writeback.pk, timezone.now() + writebacks.LEASE)
        assert lease is not None
        assert writebacks.mark_sent(lease.row)
        theirs.append(lease.row)
        raise error

    with mock.patch("integrations.booking.is_free", stalls):
        booking.process()
    row = Writeback.objects.get()
    assert (row.status, row.sent_at) == (Writeback.Status.SENDING, theirs[0].sent_at)
    assert row.lease_until == theirs[0].lease_until
