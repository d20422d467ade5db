"""A paused connection goes on at once: whatever waited for it is due the moment somebody resumes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from auditlog.models import LogEntry
from django.utils import timezone

from integrations import outbox, switches
from integrations.ehr import availability, inbox, poll
from integrations.models import Connection, InboundEvent
from scheduling.models import Opening, Writeback
from tests import factories
from tests.integrations.conftest import Booking, Clinic
from waitlist.models import Claim

pytestmark = pytest.mark.django_db


def event(connection: Connection, due_at: datetime) -> InboundEvent:
    return InboundEvent.objects.create(
        connection=connection, via="webhook", dedupe_key="1", body=b"{}", due_at=due_at, received_at=timezone.now()
    )


def test_a_write_that_met_the_pause_is_booked_on_resuming(booking: Booking) -> None:
    connection = booking.clinic.connection
    switches.pause(connection)
    booking.process()
    assert booking.status == Writeback.Status.WAITING
    assert Writeback.objects.get().due_at > timezone.now() + timedelta(seconds=30)
    assert outbox.due() == []

    assert switches.resume(connection)
    assert outbox.due() == [booking.writeback.pk]
    booking.process()
    assert booking.state == Claim.State.CONFIRMED


def test_an_opening_that_met_the_pause_is_looked_at_on_resuming(clinic: Clinic) -> None:
    opening = clinic.opening(check_due_at=timezone.now())
    held = clinic.opening(check_due_at=timezone.now() + timedelta(days=1), held=Opening.Held.REASON)
    switches.pause(clinic.connection)
    availability.look(opening.pk)
    assert availability.due() == []

    switches.resume(clinic.connection)
    assert availability.due() == [opening.pk]
    held.refresh_from_db()
    assert held.check_due_at is not None
    assert held.check_due_at > timezone.now(), "it waits for a person"


def test_events_and_the_poll_are_due_on_resuming(clinic: Clinic) -> None:
    connection = clinic.connection
    Connection.objects.update(loaded_at=timezone.now(), poll_due_at=timezone.now() + timedelta(minutes=5))
    waiting = event(connection, timezone.now() + timedelta(seconds=60))
    switches.pause(connection)
    assert (inbox.due(), poll.poll_due()) == ([], [])

    switches.resume(connection)
    assert (inbox.due(), poll.poll_due()) == ([waiting.pk], [connection.pk])


def test_another_connection_is_left_alone(clinic: Clinic, booking: Booking) -> None:
    later = timezone.now() + timedelta(seconds=50)
    Writeback.objects.update(due_at=later)
    other = factories.connection()
    switches.pause(other)
    switches.resume(other)
    assert Writeback.objects.get().due_at == later


def test_only_what_waited_for_this_connection_is_due_and_each_switch_is_on_record(clinic: Clinic) -> None:
    now = timezone.now()
    later = now + timedelta(hours=1)
    connection, other = clinic.connection, factories.connection(poll_due_at=later)
    over = event(connection, later)
    InboundEvent.objects.update(status="done")
    theirs = InboundEvent.objects.create(
        connection=other, via="webhook", dedupe_key="2", body=b"{}", due_at=later, received_at=now
    )
    visit = factories.appointment(clinic.patient(), clinic.provider, clinic.location, source=connection.source)
    ended = Writeback.objects.create(
        kind="cancel", appointment=visit, source=connection.source, status="dead", due_at=later, deadline_at=later
    )
    openings = [
        clinic.opening(check_due_at=later, status="closed"),
        factories.opening(clinic.provider, clinic.location, source=other.source, check_due_at=later),
    ]
    never = clinic.opening(check_due_at=None, start=factories.in_days(9))

    assert switches.pause(connection)
    assert not switches.sync_now(connection)
    assert switches.resume(connection)
    for row in (over, theirs, ended, other, never, *openings):
        row.refresh_from_db()
    assert [row.due_at for row in (over, theirs, ended)] == [later] * 3
    assert [row.check_due_at for row in (*openings, never)] == [later, later, None]
    assert (other.state, other.poll_due_at) == (Connection.State.ACTIVE, later)
    assert switches.sync_now(connection)
    other.refresh_from_db()
    assert (other.poll_due_at, connection.state) == (later, Connection.State.ACTIVE)
    states = [each.changes.get("state") for each in LogEntry.objects.get_for_object(connection).order_by("pk")]
    assert [each for each in states if each][-2:] == [["active", "paused"], ["paused", "active"]]


def test_resuming_what_was_not_paused_changes_nothing(booking: Booking) -> None:
    later = timezone.now() + timedelta(seconds=50)
    Writeback.objects.update(due_at=later)
    assert not switches.resume(booking.clinic.connection)
    assert Writeback.objects.get().due_at == later


@pytest.mark.parametrize("switch", [switches.sync_now, switches.resume])
def test_the_reader_is_called_and_not_left_for_its_next_round(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, switch: Callable[[Connection], bool]
) -> None:
    if switch is switches.resume:
        switches.pause(clinic.connection)
    called: list[str] = []
    monkeypatch.setattr(switches, "wake", called.append)
    assert switch(clinic.connection)
    assert "polls" in called
