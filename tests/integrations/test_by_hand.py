"""Where we may not write, staff book by hand, and the patient is confirmed when the EHR shows it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from integrations import by_hand as hands
from integrations import outbox
from integrations.ehr.gateway import Unavailable
from integrations.models import Connection
from scheduling import appointments
from scheduling.models import Appointment, Source, WorkItem, Writeback
from tests import factories, race
from tests.integrations.conftest import Booking, Clinic, open_items, say_yes
from tests.integrations.test_outbox_books_once import assert_booked_once
from waitlist.models import Claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def by_hand(clinic: Clinic) -> Booking:
    Source.objects.filter(pk=clinic.connection.source_id).update(writable=False)
    return say_yes(clinic)


def enter_in_ehr(booking: Booking) -> None:
    booking.clinic.ehr.put(
        patient_id=f"pat-{booking.patient.pk}",
        provider_id="prov-1",
        location_id="loc-1",
        start=booking.opening.start,
        end=booking.opening.end,
    )


def test_staff_are_asked_once(by_hand: Booking) -> None:
    assert by_hand.status == Writeback.Status.BY_HAND
    assert outbox.due() == [by_hand.writeback.pk]
    by_hand.process()
    assert outbox.due() == []
    by_hand.pass_time(61)
    by_hand.process()
    [item] = WorkItem.objects.all()
    assert (item.kind, item.times_seen, item.patient) == ("writeback.by_hand", 1, by_hand.patient)
    assert by_hand.clinic.ehr.creates == []
    assert by_hand.state == Claim.State.PENDING


def test_staff_are_asked_about_each_and_what_it_is(by_hand: Booking) -> None:
    other = say_yes(by_hand.clinic, factories.in_days(5))
    source, now = by_hand.clinic.connection.source, timezone.now()
    visit = factories.appointment(by_hand.clinic.patient(), source=source)
    later_one = Writeback.objects.create(
        kind="cancel", appointment=visit, source=source, status="by_hand", due_at=now, deadline_at=visit.start
    )
    for row in (by_hand.writeback, other.writeback, later_one):
        assert outbox.process(row.pk)
    asked = {item.patient: (item.title, item.advice) for item in WorkItem.objects.filter(status="open")}
    assert asked.keys() == {by_hand.patient, other.patient, visit.patient}
    for each in (by_hand, other):
        title, advice = asked[each.patient]
        assert title == "Book this appointment in the EHR"
        assert "said yes and waits for a confirmation" in advice
        assert "writeback.by_hand" in each.story
    title, advice = asked[visit.patient]
    assert title == "Cancel this appointment in the EHR"
    assert "has an earlier appointment now" in advice


def test_confirmed_when_the_ehr_shows_it(by_hand: Booking) -> None:
    by_hand.process()
    enter_in_ehr(by_hand)
    by_hand.pass_time(61)
    by_hand.process()
    assert_booked_once(by_hand)
    assert open_items() == []


@pytest.mark.parametrize("entered", [{"provider_id": "prov-9"}, {"location_id": "loc-9"}, {"longer": 15}])
def test_what_staff_entered_otherwise_confirms_nobody(by_hand: Booking, entered: dict[str, Any]) -> None:
    by_hand.process()
    end = by_hand.opening.end + timedelta(minutes=entered.get("longer", 0))
    by_hand.clinic.ehr.put(
        **{
            "patient_id": f"pat-{by_hand.patient.pk}",
            "provider_id": "prov-1",
            "location_id": "loc-1",
            "start": by_hand.opening.start,
            "end": end,
            **{name: value for name, value in entered.items() if name != "longer"},
        }
    )
    by_hand.pass_time(61)
    by_hand.process()
    assert (by_hand.status, by_hand.state) == (Writeback.Status.BY_HAND, Claim.State.PENDING)
    assert open_items() == ["writeback.by_hand"]


def test_each_is_looked_for_once_when_its_time_has_come_and_leaves_the_others(by_hand: Booking) -> None:
    other = say_yes(by_hand.clinic, factories.in_days(5))
    at = timezone.now()
    Writeback.objects.update(due_at=at)
    row = Writeback.objects.get(pk=by_hand.writeback.pk)
    assert hands.look(row)
    assert not hands.look(row), "another worker has looked"
    assert not hands.look(Writeback.objects.get(pk=row.pk)), "its time has not come"
    assert Writeback.objects.get(pk=other.writeback.pk).due_at == at
    by_hand.pass_time(61)
    Writeback.objects.filter(pk=row.pk).update(status=Writeback.Status.REFUSED)
    assert hands.due() == [other.writeback.pk]
    assert not hands.look(Writeback.objects.get(pk=row.pk)), "it ended"


def test_the_webhook_about_it_shortens_the_wait(by_hand: Booking) -> None:
    by_hand.process()
    enter_in_ehr(by_hand)
    [record] = by_hand.booked
    applied = appointments.apply_appointment(by_hand.clinic.connection.source, record, timezone.now())
    assert applied.change == "own"
    assert outbox.due() == [by_hand.writeback.pk]
    by_hand.process()
    assert_booked_once(by_hand)


def test_not_entered_in_time_is_told(by_hand: Booking) -> None:
    by_hand.process()
    its_last_word_is_due()
    by_hand.process()
    row = Writeback.objects.get()
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "too_late")
    assert by_hand.state == Claim.State.REFUSED


def its_last_word_is_due() -> None:
    Writeback.objects.update(deadline_at=timezone.now() - timedelta(seconds=1), due_at=timezone.now())


@pytest.mark.parametrize("why", ["it does not answer", "it is left in peace"])
def test_what_staff_may_have_entered_is_not_given_up_while_the_ehr_cannot_be_asked(by_hand: Booking, why: str) -> None:
    by_hand.process()
    enter_in_ehr(by_hand)
    if why == "it does not answer":
        by_hand.clinic.ehr.fail("find_booking", Unavailable())
    else:
        Connection.objects.update(quiet_until=timezone.now() + timedelta(minutes=1))
    its_last_word_is_due()
    by_hand.process()
    assert (by_hand.status, by_hand.state) == (Writeback.Status.BY_HAND, Claim.State.PENDING)
    by_hand.pass_time(61)
    by_hand.process()
    assert_booked_once(by_hand)


def test_what_could_not_be_looked_for_until_the_visit_begins_is_given_up(by_hand: Booking) -> None:
    by_hand.process()
    Connection.objects.update(quiet_until=timezone.now() + timedelta(minutes=1))
    its_last_word_is_due()
    Appointment.objects.filter(pk=by_hand.claim.appointment_id).update(start=timezone.now() - timedelta(seconds=1))
    by_hand.process()
    assert (by_hand.status, by_hand.state) == (Writeback.Status.REFUSED, Claim.State.REFUSED)


def test_writing_was_switched_off_after_the_yes(booking: Booking) -> None:
    Source.objects.update(writable=False)
    booking.process()
    assert booking.status == Writeback.Status.BY_HAND
    booking.process()
    assert open_items() == ["writeback.by_hand"]
    assert booking.clinic.ehr.calls in ([], ["find_booking"])


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_its_news_comes_in_at_the_moment_staff_say_that_they_have_entered_it(by_hand: Booking) -> None:
    """The one holds the write and waits for the name, the other holds the name: neither may wait for the other."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite writes one transaction after the other: nothing there can wait for each other")
    by_hand.process()
    enter_in_ehr(by_hand)
    [record] = by_hand.clinic.ehr.appointments.values()
    source, ended = by_hand.clinic.connection.source, threading.Event()

    def news_comes_in() -> None:
        try:
            appointments.apply_appointment(source, record, timezone.now())
        finally:
            ended.set()
            connections.close_all()

    def in_a_transaction_of_its_own() -> None:
        threading.Thread(target=news_comes_in).start()
        assert ended.wait(10), "the news waits for whoever settles the write"

    with race.right_after("scheduling.writebacks.mark_done", in_a_transaction_of_its_own):
        Writeback.objects.update(due_at=timezone.now())
        hands.look(Writeback.objects.get())
    assert_booked_once(by_hand)
