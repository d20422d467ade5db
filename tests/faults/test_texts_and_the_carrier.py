"""Texts in the whole loop: answers lost at the carrier, STOP at any moment, a phone of two, and texts we missed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import tasks
from integrations.messaging import delivery
from integrations.messaging.gateway import CALL_SECONDS
from integrations.models import CarrierState
from scheduling.models import ContactPoint
from tests import factories
from tests.faults.people import asked_of_staff, offer_of, phone_of, tap, text, told
from tests.flows.clinic import Clinic
from tests.integrations.messaging.conftest import CarrierClient, carrier, carrier_process
from tests.race import right_after, right_before
from waitlist import consent, replies
from waitlist.models import Claim, Message, Offer, Reply

__all__ = ["carrier", "carrier_process"]

pytestmark = pytest.mark.django_db(transaction=True)


def minutes_later(clock: Any, pump: Callable[[], None], minutes: int) -> None:
    for _ in range(minutes):
        clock.shift(60)
        pump()


@pytest.mark.parametrize("fault", ["lost", "lost_500", "garbled"])
def test_a_text_whose_answer_was_lost_is_not_sent_twice(
    clinic: Clinic,
    carrier: CarrierClient,
    poll_and_pump: Callable[[], None],
    pump: Callable[[], None],
    clock: Any,
    fault: str,
) -> None:
    number = phone_of(clinic, "waiting-1")
    carrier.fail(fault, to=number)
    clinic.cancel(1)
    poll_and_pump()
    minutes_later(clock, pump, 3)
    (taken,) = carrier.messages(number)
    message = Message.objects.get(patient=clinic.patient("waiting-1"), channel="sms")
    assert (message.status, message.carrier_id) == ("sent", taken["sid"])


def test_a_text_the_carrier_did_not_take_is_sent_once_its_absence_is_proven(
    clinic: Clinic, carrier: CarrierClient, poll_and_pump: Callable[[], None], pump: Callable[[], None], clock: Any
) -> None:
    number = phone_of(clinic, "waiting-1")
    carrier.fail("500", to=number)
    clinic.cancel(1)
    poll_and_pump()
    lease = Message.objects.get(patient=clinic.patient("waiting-1"), channel="sms").lease_until
    clock.shift(3)
    pump()
    minutes_later(clock, pump, 3)
    assert len(carrier.messages(number)) == 1
    sent_at = Message.objects.get(patient=clinic.patient("waiting-1"), channel="sms").sent_at
    assert lease is not None
    assert sent_at is not None
    # Not listed is no proof while the first hand-over may still be on its way.
    assert sent_at >= lease - delivery.LEASE + timedelta(seconds=CALL_SECONDS) + delivery.SETTLE
    assert told(clinic, 1) == ["offer"]


@pytest.mark.parametrize(
    ("race", "moment"),
    [
        (right_after, "waitlist.offers.send_wave"),
        (right_before, "waitlist.messages.may_send"),
        (right_after, "waitlist.messages.may_send"),
    ],
)
def test_stop_between_match_and_send_keeps_it_from_being_sent(
    clinic: Clinic, carrier: CarrierClient, poll_and_pump: Callable[[], None], race: Callable[..., Any], moment: str
) -> None:
    number = phone_of(clinic, "waiting-1")

    def stop() -> None:
        text(clinic, 1, "STOP")
        replies.drain()

    clinic.cancel(1)
    with race(moment, stop):
        poll_and_pump()
    bodies = [each["body"] for each in carrier.messages(number)]
    assert len(bodies) == 1, "the receipt of the opt-out, and no offer"
    assert told(clinic, 1) == ["stop_receipt"]
    assert len(carrier.messages(phone_of(clinic, "waiting-2"))) == 1


def test_after_stop_nothing_more_is_sent(
    offering: Clinic, poll_and_pump: Callable[[], None], pump: Callable[[], None]
) -> None:
    text(offering, 2, "STOP")
    pump()
    tap(offer_of(offering, 1))
    pump()
    assert told(offering, 2) == ["offer", "stop_receipt"]
    assert told(offering, 2, "email") == ["offer", "filled"]

    offering.cancel(2)
    poll_and_pump()
    assert told(offering, 2) == ["offer", "stop_receipt"]
    assert not Message.objects.filter(patient=offering.patient("waiting-2"), channel="sms", status="waiting").exists()


def test_a_winner_who_sent_stop_is_told_otherwise(offering: Clinic, pump: Callable[[], None]) -> None:
    tap(offer_of(offering, 1))
    text(offering, 1, "STOP")
    pump()
    assert Claim.objects.get().state == "confirmed"
    assert told(offering, 1) == ["offer", "stop_receipt"]
    assert told(offering, 1, "email") == ["offer", "confirmed"]


def test_a_winner_who_sent_stop_and_has_no_e_mail_is_called(offering: Clinic, pump: Callable[[], None]) -> None:
    mail = offering.patient("waiting-1").contact_points.get(system="email")
    ContactPoint.objects.filter(pk=mail.pk).update(valid_until=timezone.now().date().replace(year=2020))
    tap(offer_of(offering, 1))
    text(offering, 1, "STOP")
    pump()
    assert Claim.objects.get().state == "confirmed"
    assert told(offering, 1) == ["offer", "stop_receipt"]
    assert asked_of_staff().count("claim.tell") == 1


@pytest.mark.parametrize("works", ["the second number", "e-mail", "a call"])
def test_a_number_that_takes_no_text_is_passed_over_in_the_same_wave(
    clinic: Clinic, carrier: CarrierClient, poll_and_pump: Callable[[], None], works: str
) -> None:
    patient, number = clinic.patient("waiting-1"), phone_of(clinic, "waiting-1")
    other = factories.contact(patient, "+12125550177", rank=2).value
    carrier.fail(21211, to=number)
    if works != "the second number":
        carrier.fail(21614, to=other)
    if works != "e-mail":
        patient.contact_points.filter(system="email").delete()
    clinic.cancel(1)
    poll_and_pump()
    assert carrier.messages(number) == []
    assert len(carrier.messages(other)) == (works == "the second number")
    assert told(clinic, 1, "email") == (["offer"] if works == "e-mail" else [])
    assert asked_of_staff().count("offer.call") == (works == "a call")
    first = patient.contact_points.get(system="phone", rank=1)
    assert first.state == ContactPoint.State.INVALID
    assert len(carrier.messages(phone_of(clinic, "waiting-2"))) == 1, "the rest of the wave is as it was"


def test_a_yes_sent_while_we_were_down_is_fetched_and_booked(
    clinic: Clinic, carrier: CarrierClient, poll_and_pump: Callable[[], None], pump: Callable[[], None]
) -> None:
    clinic.cancel(1)
    poll_and_pump()
    number = phone_of(clinic, "waiting-1")
    sent = carrier.patient_texts(number, f"YES {offer_of(clinic, 1).code}", deliver=False)
    assert sent["answered"] is None
    pump()
    assert not Claim.objects.exists()

    CarrierState.objects.update(inbound_due_at=None)
    tasks.poll_connections()
    pump()
    assert Claim.objects.get().state == "confirmed"
    CarrierState.objects.update(inbound_due_at=None)
    tasks.poll_connections()
    pump()
    assert Reply.objects.count() == 1
    (booked,) = clinic.bookings_at(0)
    assert clinic.patient_of(booked) == "waiting-1"


@pytest.fixture
def family(clinic: Clinic) -> Clinic:
    """``waiting-1`` and ``waiting-2`` share the first one's phone."""
    one, two = clinic.patient("waiting-1"), clinic.patient("waiting-2")
    shared = one.contact_points.get(system="phone")
    mine = two.contact_points.get(system="phone")
    mine.value, mine.address_index = shared.value, shared.address_index
    mine.save()
    consent.grant(two, mine, source="form", wording_version="test")
    return clinic


def test_a_bare_yes_from_a_phone_of_two_patients_is_asked_back_and_never_guessed(
    family: Clinic, poll_and_pump: Callable[[], None], pump: Callable[[], None]
) -> None:
    family.cancel(1)
    poll_and_pump()
    first, second = offer_of(family, 1), offer_of(family, 2)
    assert first.code != second.code
    text(family, 1, "YES")
    pump()
    assert not Claim.objects.exists()
    question = Message.objects.get(kind="question")
    assert first.code in question.body
    assert second.code in question.body
    assert Offer.objects.filter(status="sent").count() == 2

    text(family, 1, f"yes {second.code}")
    pump()
    assert Claim.objects.get().patient == family.patient("waiting-2")
    (booked,) = family.bookings_at(0)
    assert family.patient_of(booked) == "waiting-2"
