"""From the patient's yes on, an EHR that answers badly: booked once or not at all, and never told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.http import http_date

from integrations import tasks
from integrations.attempt import CALL_SECONDS
from scheduling.models import Appointment, Opening, WorkItem, Writeback
from tests.faults.people import asked_of_staff, offer_of, tap, told
from tests.flows.clinic import Clinic
from tests.race import right_before
from waitlist.models import Claim, Offer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]


def answers_to_creates(clinic: Clinic) -> list[int]:
    """The status of each answer to a booking that was asked of the EHR so far."""
    log = clinic.control.get("log", limit=2000)["requests"]
    return [each["status"] for each in log if each["method"] == "POST" and each["path"].endswith("/Appointment")]


def creates(clinic: Clinic) -> int:
    """How many bookings were asked of the EHR so far."""
    return len(answers_to_creates(clinic))


def assert_booked_once(clinic: Clinic) -> None:
    (booked,) = clinic.bookings_at(0)
    assert clinic.patient_of(booked) == "waiting-1"
    assert Claim.objects.get().state == "confirmed"
    assert Writeback.objects.get().status == "done"
    assert Appointment.objects.filter(origin="waitlist").count() == 1
    assert told(clinic, 1) == ["offer", "received", "confirmed"]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset-after-commit"},
        {"kind": "500", "processed": True},
        {"kind": "503-html", "processed": True},
        {"kind": "html-200", "processed": True},
        {"kind": "empty-201"},
        {"kind": "cut-json"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_booked_but_the_answer_was_lost_is_found_and_adopted(
    offering: Clinic, pump: Callable[[], None], clock: Any, fault: dict[str, Any]
) -> None:
    offering.fault(**fault, method="POST", path="Appointment")
    tap(offer_of(offering, 1))
    pump()
    for _ in range(3):  # what was unknown is looked up when a late effect has had its time
        clock.shift(30)
        pump()
    assert_booked_once(offering)
    assert creates(offering) == 1


def test_booked_and_moved_while_the_answer_was_lost_is_found_by_our_identifier(
    offering: Clinic, pump: Callable[[], None], clock: Any
) -> None:
    """At the time we asked for there is nothing: only the identifier tells that the first call had its effect."""
    offering.fault("reset-after-commit", method="POST", path="Appointment")
    tap(offer_of(offering, 1))
    pump()
    (booked,) = offering.bookings_at(0)
    offering.control.post(f"appointments/{booked['id']}/move", {"start": offering.start_of(5).isoformat()})
    for _ in range(4):
        clock.shift(30)
        pump()
    assert creates(offering) == 1
    claim = Claim.objects.get()
    assert (claim.state, claim.refused_because) == ("refused", "mismatch")
    assert told(offering, 1) == ["offer", "received", "refused"]
    assert asked_of_staff() == ["writeback.mismatch"]


@pytest.mark.parametrize(
    "fault",
    [{"kind": "reset-before"}, {"kind": "500"}, {"kind": "html-200"}, {"kind": "503-html"}],
    ids=lambda fault: fault["kind"],
)
def test_not_booked_and_no_answer_is_sent_again_after_its_absence_is_proven(
    offering: Clinic, pump: Callable[[], None], clock: Any, fault: dict[str, Any]
) -> None:
    offering.fault(**fault, method="POST", path="Appointment")
    tap(offer_of(offering, 1))
    pump()
    assert Claim.objects.get().state == "pending"
    assert told(offering, 1) == ["offer", "received"]
    first = Writeback.objects.get().sent_at
    for seconds in (3, 30, 30, 30):
        clock.shift(seconds)
        pump()
    assert_booked_once(offering)
    assert creates(offering) == 2
    second = Writeback.objects.get().sent_at
    assert first is not None
    assert second is not None
    # Not found is no proof while the first call may still be on its way.
    assert second - first >= timedelta(seconds=CALL_SECONDS + offering.connection.settle_seconds)


def staff_book(clinic: Clinic) -> None:
    clinic.control.post(
        "appointments",
        {
            "patient": "holder-4",
            "practitioner": "ana",
            "location": "elm",
            "start": clinic.start_of(0).isoformat(),
            "minutes": 30,
        },
    )


@pytest.mark.parametrize("when", ["before we look", "between our look and our call"])
def test_taken_meanwhile_the_winner_hears_it_and_the_time_is_offered_to_nobody(
    offering: Clinic, pump: Callable[[], None], when: str
) -> None:
    if when == "before we look":
        staff_book(offering)
        tap(offer_of(offering, 1))
        pump()
        assert answers_to_creates(offering) == []
    else:
        tap(offer_of(offering, 1))
        with right_before("integrations.booking.with_current_slots", lambda: staff_book(offering)):
            pump()
        assert answers_to_creates(offering) == [409]

    claim, opening = Claim.objects.get(), Opening.objects.get()
    assert (claim.state, claim.refused_because) == ("refused", "taken")
    assert (opening.status, opening.closed_reason) == ("closed", "taken")
    assert told(offering, 1) == ["offer", "received", "refused"]
    assert told(offering, 2) == ["offer", "filled"]
    assert told(offering, 3) == []
    (booked,) = offering.bookings_at(0)
    assert offering.patient_of(booked) == "holder-4"


def test_a_conflict_that_is_none_loses_no_time_and_is_shown_to_staff(
    offering: Clinic, pump: Callable[[], None]
) -> None:
    """The EHR says 409 although nothing else is there: its patient hears the truth, the next one may have the time."""
    offering.fault("taken-409", method="POST", path="Appointment")
    tap(offer_of(offering, 1))
    pump()
    claim, opening = Claim.objects.get(), Opening.objects.get()
    assert (claim.state, claim.refused_because) == ("refused", "rejected")
    assert (opening.status, opening.closed_reason) == ("offering", "")
    assert told(offering, 1) == ["offer", "received", "refused"]
    assert asked_of_staff() == ["writeback.refused"]
    assert offering.bookings_at(0) == []

    tap(offer_of(offering, 2))
    pump()
    (booked,) = offering.bookings_at(0)
    assert offering.patient_of(booked) == "waiting-2"
    assert told(offering, 2) == ["offer", "received", "confirmed"]


def test_a_duplicate_that_is_ours_is_success(offering: Clinic, pump: Callable[[], None], clock: Any) -> None:
    """The first call booked and its answer was lost; to the second the EHR says that it has done this already."""
    offering.fault("reset-after-commit", method="POST", path="Appointment")
    offering.fault("503-html", method="GET", path="Appointment", count=1)
    tap(offer_of(offering, 1))
    pump()
    for _ in range(4):
        clock.shift(30)
        pump()
    assert_booked_once(offering)


@pytest.mark.parametrize("as_a_date", [False, True])
def test_patience_the_ehr_asks_for_is_kept_by_every_worker(
    offering: Clinic, pump: Callable[[], None], clock: Any, as_a_date: bool
) -> None:
    until = timezone.now() + timedelta(seconds=120)
    wish = http_date(until.timestamp()) if as_a_date else "120"
    offering.fault("429", method="POST", path="Appointment", retry_after=wish)
    tap(offer_of(offering, 1))
    pump()
    assert creates(offering) == 1
    asked_before = len(offering.control.get("log", limit=2000)["requests"])
    offering.cancel(2)
    type(offering.connection).objects.update(poll_due_at=timezone.now())
    for _ in range(3):
        clock.shift(30)
        tasks.poll_connections()
        pump()
    assert len(offering.control.get("log", limit=2000)["requests"]) == asked_before
    assert Claim.objects.get().state == "pending"

    clock.shift(60)
    pump()
    assert_booked_once(offering)
    assert creates(offering) == 2


@pytest.mark.parametrize("field", ["start", "practitioner", "patient"])
def test_a_read_back_that_differs_is_undone_and_not_confirmed(
    offering: Clinic, pump: Callable[[], None], field: str
) -> None:
    offering.fault("wrong-readback", field=field)
    tap(offer_of(offering, 1))
    pump()

    claim = Claim.objects.get()
    assert (claim.state, claim.refused_because) == ("refused", "mismatch")
    assert told(offering, 1) == ["offer", "received", "refused"]
    assert asked_of_staff().count("writeback.mismatch") == 1
    assert WorkItem.objects.get(kind="writeback.mismatch").urgency == WorkItem.Urgency.RED
    assert offering.bookings_at(0) == []


def test_the_losers_offer_is_not_confirmed_by_anothers_booking(offering: Clinic, pump: Callable[[], None]) -> None:
    tap(offer_of(offering, 1))
    pump()
    assert_booked_once(offering)
    assert Offer.objects.get(patient=offering.patient("waiting-2")).status == "withdrawn"
    assert told(offering, 2) == ["offer", "filled"]
