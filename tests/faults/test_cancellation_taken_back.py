"""The EHR cancels, we offer, and the EHR takes the cancellation back: nobody keeps an offer of a time that is gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduling.models import Opening, Writeback
from tests.faults.people import look, offer_of, tap, text, told
from tests.flows.clinic import Clinic
from waitlist.models import Claim, Message, Offer, Reply

pytestmark = pytest.mark.django_db(transaction=True)


def take_back(clinic: Clinic) -> None:
    clinic.control.post("appointments/booking-1/uncancel")


def test_offers_are_withdrawn_and_those_who_had_them_are_told(
    offering: Clinic, poll_and_pump: Callable[[], None]
) -> None:
    take_back(offering)
    poll_and_pump()

    opening = Opening.objects.get()
    assert (opening.status, opening.closed_reason) == ("closed", "restored")
    assert set(Offer.objects.values_list("status", flat=True)) == {"withdrawn"}
    assert told(offering, 1) == told(offering, 2) == ["offer", "withdrawn"]
    assert told(offering, 3) == []


@pytest.mark.parametrize("way", ["link", "text"])
def test_a_yes_afterwards_hears_the_truth_and_books_nothing(
    offering: Clinic, poll_and_pump: Callable[[], None], pump: Callable[[], None], way: str
) -> None:
    take_back(offering)
    poll_and_pump()
    if way == "link":
        assert "This time is no longer offered" in tap(offer_of(offering, 1)).content.decode()
    else:
        text(offering, 1, "YES")
    pump()

    assert not Claim.objects.exists()
    assert not Writeback.objects.exists()
    (booked,) = offering.bookings_at(0)
    assert offering.patient_of(booked) == "holder-1"
    if way == "text":
        assert Reply.objects.get().outcome == "too_late"
        answer = Message.objects.get(patient=offering.patient("waiting-1"), kind="answer")
        assert "no longer" in answer.body


def test_a_yes_before_we_know_of_it_is_refused_by_the_fresh_look(offering: Clinic, pump: Callable[[], None]) -> None:
    take_back(offering)
    tap(offer_of(offering, 1))
    pump()

    assert Claim.objects.get().state == "refused"
    assert told(offering, 1)[-1] == "refused"
    (booked,) = offering.bookings_at(0)
    assert offering.patient_of(booked) == "holder-1"
    assert "We could not book this time for you" in look(offer_of(offering, 1))
