"""Three cancellations of one provider's day within minutes are the provider's, not the patients': nobody is offered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduling.models import Opening
from tests.faults.people import asked_of_staff
from tests.flows.clinic import Clinic
from waitlist.models import Message, Offer

pytestmark = pytest.mark.django_db(transaction=True)


def test_three_at_once_hold_the_day_and_nobody_is_offered(clinic: Clinic, poll_and_pump: Callable[[], None]) -> None:
    for number in (1, 2, 3):
        clinic.cancel(number)
    poll_and_pump()

    assert set(Opening.objects.filter(status__in=Opening.LIVE).values_list("held", flat=True)) == {"provider_day"}
    assert not Message.objects.filter(kind="offer", status__in=("sent", "delivered")).exists()
    assert asked_of_staff().count("opening.provider_day") == 1


def test_the_third_one_takes_back_what_the_first_two_offered(clinic: Clinic, poll_and_pump: Callable[[], None]) -> None:
    for number in (1, 2):
        clinic.cancel(number)
        poll_and_pump()
    assert Offer.objects.filter(status="sent").exists()
    clinic.cancel(3)
    poll_and_pump()

    assert not Offer.objects.filter(status__in=("sent", "proposed")).exists()
    assert set(Opening.objects.filter(status__in=Opening.LIVE).values_list("held", flat=True)) == {"provider_day"}


def test_two_are_offered(clinic: Clinic, poll_and_pump: Callable[[], None]) -> None:
    for number in (1, 3):
        clinic.cancel(number)
    poll_and_pump()
    assert set(Opening.objects.values_list("held", flat=True)) == {""}
    assert Offer.objects.filter(status="sent").exists()
