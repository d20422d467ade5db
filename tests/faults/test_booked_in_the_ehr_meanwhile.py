"""Staff book the time in the EHR while our offers are out, or while our own booking waits for the EHR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from integrations import tasks
from scheduling.models import Appointment, Opening, Writeback
from tests.faults.people import look, offer_of, tap, told
from tests.flows.clinic import TYPE_SYSTEM, Clinic
from waitlist.models import Claim, Message, Offer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]


def staff_book(clinic: Clinic, who: str, provider: str = "ana") -> None:
    """Past the faults: the front desk stands at the EHR itself."""
    clinic.control.post(
        "appointments",
        {
            "patient": who,
            "practitioner": provider,
            "location": "elm",
            "start": clinic.start_of(0).isoformat(),
            "minutes": 30,
            "slots": [f"{provider}-0"],
            "type": "FOLLOWUP",
        },
    )


def test_offers_are_withdrawn_and_nobody_can_claim(offering: Clinic, poll_and_pump: Callable[[], None]) -> None:
    staff_book(offering, "holder-4")
    poll_and_pump()
    opening = Opening.objects.get()
    assert (opening.status, opening.closed_reason) == ("closed", "taken")
    assert told(offering, 1) == told(offering, 2) == ["offer", "filled"]

    page = tap(offer_of(offering, 1)).content.decode()
    assert "Someone else has this time" in page
    assert not Claim.objects.exists()
    assert set(Offer.objects.values_list("status", flat=True)) == {"withdrawn"}


def test_the_next_wave_is_not_sent_for_time_that_a_fresh_look_finds_taken(
    offering: Clinic, pump: Callable[[], None], clock: Any
) -> None:
    """No notification and no poll have told us: the look before the wave does."""
    staff_book(offering, "holder-4")
    for number in (1, 2):
        tap(offer_of(offering, number), "no")
    pump()
    clock.shift(7200)
    pump()
    assert Opening.objects.get().closed_reason == "taken"
    assert told(offering, 3) == told(offering, 4) == []


def held_while_down(clinic: Clinic, pump: Callable[[], None]) -> None:
    clinic.fault("down")
    tap(offer_of(clinic, 1))
    pump()
    assert Writeback.objects.get().status == "waiting"


def back_again(clinic: Clinic, pump: Callable[[], None], clock: Any) -> None:
    clinic.heal()
    clock.shift(120)
    type(clinic.connection).objects.update(poll_due_at=timezone.now())
    tasks.poll_connections()
    pump()
    clock.shift(120)
    pump()


@pytest.mark.parametrize("told_first", ["poll", "write"])
def test_held_and_booked_by_staff_for_the_same_patient_is_adopted(
    offering: Clinic, pump: Callable[[], None], clock: Any, told_first: str
) -> None:
    held_while_down(offering, pump)
    staff_book(offering, "waiting-1")
    if told_first == "poll":
        back_again(offering, pump, clock)
    else:
        offering.heal()
        clock.shift(120)
        pump()

    assert Claim.objects.get().state == "confirmed"
    (booked,) = offering.bookings_at(0)
    assert offering.patient_of(booked) == "waiting-1"
    live = Appointment.objects.filter(patient=offering.patient("waiting-1"), status__in=Appointment.OCCUPYING)
    assert live.count() == 1
    assert told(offering, 1) == ["offer", "received", "confirmed"]


@pytest.mark.parametrize("told_first", ["poll", "write"])
def test_held_and_booked_by_staff_for_somebody_else_is_theirs(
    offering: Clinic, pump: Callable[[], None], clock: Any, told_first: str
) -> None:
    held_while_down(offering, pump)
    staff_book(offering, "holder-4")
    if told_first == "poll":
        back_again(offering, pump, clock)
    else:
        offering.heal()
        clock.shift(120)
        pump()

    claim = Claim.objects.get()
    assert (claim.state, claim.refused_because) == ("refused", "taken")
    assert told(offering, 1) == ["offer", "received", "refused"]
    (booked,) = offering.bookings_at(0)
    assert offering.patient_of(booked) == "holder-4"
    assert Opening.objects.get().status == "closed"


@pytest.mark.parametrize("when", ["first try", "held"])
def test_booked_with_another_provider_at_that_time_is_not_booked_twice(
    offering: Clinic, pump: Callable[[], None], clock: Any, when: str
) -> None:
    """Nobody told us of it: the EHR is asked for the patient's own appointments before anything is written."""
    if when == "held":
        held_while_down(offering, pump)
    staff_book(offering, "waiting-1", provider="ben")
    offering.heal()
    if when == "first try":
        tap(offer_of(offering, 1))
    else:
        clock.shift(120)
    pump()

    claim = Claim.objects.get()
    assert (claim.state, claim.refused_because) == ("refused", "patient_busy")
    assert offering.bookings_at(0, "ana") == []
    assert len(offering.bookings_at(0, "ben")) == 1
    assert told(offering, 1) == ["offer", "received", "refused"]
    assert "You already have an appointment at this time" in look(offer_of(offering, 1))
    assert "you have an appointment at that time" in Message.objects.get(kind="refused", channel="sms").body
    mine = Appointment.objects.get(patient=offering.patient("waiting-1"), status="booked")
    assert mine.provider == offering.appointment(offering.bookings_at(0, "ben")[0]["id"]).provider

    assert Opening.objects.get().status == "offering"
    tap(offer_of(offering, 2))
    pump()
    (booked,) = offering.bookings_at(0, "ana")
    assert offering.patient_of(booked) == "waiting-2"


@pytest.mark.parametrize("who", ["waiting-1", "holder-4"])
def test_not_sent_again_when_staff_have_booked_after_a_lost_answer(
    offering: Clinic, pump: Callable[[], None], clock: Any, who: str
) -> None:
    offering.fault("500", method="POST", path="Appointment")  # nothing was stored, which we do not know
    tap(offer_of(offering, 1))
    pump()
    staff_book(offering, who)
    for _ in range(4):
        clock.shift(30)
        pump()
    (booked,) = offering.bookings_at(0)
    assert offering.patient_of(booked) == who
    assert Claim.objects.get().state == ("confirmed" if who == "waiting-1" else "refused")
    # TYPE_SYSTEM is what both sides call the visit by; ours must be the one staff booked.
    assert booked["appointmentType"]["coding"][0]["system"] == TYPE_SYSTEM
