"""The EHR tells of our own booking or cancellation before it has answered the call: it is ours, and nothing new."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from integrations import tasks
from integrations.models import InboundEvent
from scheduling.models import Appointment, Opening, Writeback
from tests.faults.people import asked_of_staff, offer_of, tap, told
from tests.flows.clinic import Clinic
from tests.race import right_after, right_before
from waitlist.models import Claim, Offer, OutreachPolicy, WaitlistEntry

pytestmark = pytest.mark.django_db(transaction=True)


def hears_of_it() -> None:
    """What a webhook in that moment would do: the change is stored, and a worker fetches it at once."""
    from integrations.models import Connection

    Connection.objects.update(poll_due_at=timezone.now())
    tasks.poll_connections()
    tasks.drain_inbox()


def assert_it_is_one(clinic: Clinic) -> None:
    (booked,) = clinic.bookings_at(0)
    assert clinic.patient_of(booked) == "waiting-1"
    assert Claim.objects.get().state == "confirmed"
    assert Writeback.objects.get().status == "done"
    assert Opening.objects.get().status == "filled"
    mine = Appointment.objects.get(patient=clinic.patient("waiting-1"))  # never a second one, not even to be merged
    assert (mine.start, mine.status, mine.origin) == (clinic.start_of(0), "booked", "waitlist")
    assert clinic.appointment(booked["id"]) == mine
    assert told(clinic, 1) == ["offer", "received", "confirmed"]
    assert told(clinic, 2) == ["offer", "filled"]


@pytest.mark.parametrize("answer_is_lost", [False, True])
def test_our_booking_is_adopted(offering: Clinic, pump: Callable[[], None], clock: Any, answer_is_lost: bool) -> None:
    if answer_is_lost:
        offering.fault("reset-after-commit", method="POST", path="Appointment")
        tap(offer_of(offering, 1))
        pump()
        hears_of_it()
        for _ in range(3):
            clock.shift(30)
            pump()
    else:
        tap(offer_of(offering, 1))
        with right_after("integrations.ehr.fhir.adapter.stored", hears_of_it):
            pump()
    assert_it_is_one(offering)
    assert Opening.objects.count() == 1
    assert not Offer.objects.exclude(status__in=("yes", "withdrawn")).exists()


@pytest.fixture
def moving_up(clinic: Clinic, poll_and_pump: Callable[[], None]) -> Clinic:
    """``waiting-1`` has a later appointment and is offered an earlier one; so is ``waiting-2``, who has none."""
    later = {"patient": "waiting-1", "practitioner": "ben", "location": "elm", "type": "FOLLOWUP", "slots": ["ben-6"]}
    clinic.control.post("appointments", later | {"start": clinic.start_of(6).isoformat(), "minutes": 30})
    poll_and_pump()
    old = Appointment.objects.get(patient=clinic.patient("waiting-1"))
    WaitlistEntry.objects.filter(pk=clinic.entry(1).pk).update(move_up=old)
    OutreachPolicy.objects.update(waves=[{"lead_hours": 1, "size": 4, "gap_minutes": 30}])
    clinic.cancel(1)
    poll_and_pump()
    return clinic


@pytest.mark.parametrize("answer_is_lost", [False, True])
def test_our_cancel_is_adopted(
    moving_up: Clinic, pump: Callable[[], None], clock: object, answer_is_lost: bool
) -> None:
    tap(offer_of(moving_up, 1))
    if answer_is_lost:
        moving_up.fault("reset-after-commit", method="PATCH", path="Appointment")
        tasks.drain_writebacks()
        hears_of_it()
        for _ in range(3):
            clock.shift(30)
            pump()
    else:
        with right_before("integrations.cancelling._read_back", hears_of_it):
            tasks.drain_writebacks()
        pump()

    assert [(row.kind, row.status) for row in Writeback.objects.order_by("pk")] == [
        ("create", "done"),
        ("cancel", "done"),
    ]
    (booked,) = moving_up.bookings_at(0)
    assert moving_up.patient_of(booked) == "waiting-1"
    assert moving_up.bookings_at(6, "ben") == []
    cancelled = Appointment.objects.get(start=moving_up.start_of(6))
    assert (cancelled.status, cancelled.patient) == ("cancelled", moving_up.patient("waiting-1"))

    first, second = Opening.objects.order_by("pk")
    assert (first.status, first.start) == ("filled", moving_up.start_of(0))
    assert (second.freed_by, second.start, second.depth) == (cancelled, moving_up.start_of(6), 1)
    assert (second.status, second.closed_reason, second.held) == ("offering", "", "")
    assert set(Offer.objects.filter(opening=second).values_list("status", flat=True)) == {"sent"}
    assert told(moving_up, 1) == ["offer", "received", "confirmed"]
    assert asked_of_staff() == []


def test_a_booking_of_ours_that_is_cancelled_before_its_answer_is_found_frees_its_time_once(
    offering: Clinic, pump: Callable[[], None], clock: Any
) -> None:
    """The opening is still claimed: it runs again, and no other one is made of the same time."""

    def booked_and_cancelled() -> None:
        (booked,) = offering.bookings_at(0)
        hears_of_it()
        offering.control.post(f"appointments/{booked['id']}/cancel", {"reason_code": "pat"})
        hears_of_it()

    offering.fault("reset-after-commit", method="POST", path="Appointment")
    tap(offer_of(offering, 1))
    with right_before("integrations.booking.look_up", booked_and_cancelled):
        for _ in range(3):
            pump()
            clock.shift(30)

    assert Claim.objects.get().state == "refused"
    assert told(offering, 1) == ["offer", "received", "refused"]
    assert (Opening.objects.get().status, Opening.objects.count()) == ("offering", 1)
    assert Appointment.objects.get(patient=offering.patient("waiting-1")).status == "cancelled"
    assert offering.bookings_at(0) == []


def test_a_booking_of_ours_that_is_moved_before_its_answer_is_found_is_not_confirmed(
    offering: Clinic, pump: Callable[[], None], clock: Any
) -> None:
    """What was asked for is still known when the answer is found, so that the other time is seen to be another."""
    asked_for = offering.start_of(0)

    def booked_and_moved() -> None:
        (booked,) = offering.bookings_at(0)
        hears_of_it()
        offering.control.post(f"appointments/{booked['id']}/move", {"start": offering.start_of(5).isoformat()})
        hears_of_it()
        assert Appointment.objects.get(patient=offering.patient("waiting-1")).start == asked_for

    offering.fault("reset-after-commit", method="POST", path="Appointment")
    tap(offer_of(offering, 1))
    with right_before("integrations.booking.look_up", booked_and_moved):
        for _ in range(3):
            pump()
            clock.shift(30)

    claim = Claim.objects.get()
    assert (claim.state, claim.refused_because) == ("refused", "mismatch")
    assert told(offering, 1) == ["offer", "received", "refused"]
    assert asked_of_staff() == ["writeback.mismatch"]


def test_news_after_the_answer_changes_nothing(offering: Clinic, pump: Callable[[], None]) -> None:
    tap(offer_of(offering, 1))
    pump()
    hears_of_it()
    pump()
    assert_it_is_one(offering)
    assert not InboundEvent.objects.filter(status__in=("dead", "quarantined")).exists()
