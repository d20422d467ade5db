"""Twenty patients say yes in the same moment, by link and by text: one is booked, nineteen hear that it is filled."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
import requests

from config.sandbox import SandboxProcess
from scheduling.models import Appointment, Opening, Writeback
from tests.flows.answering import tap, text
from tests.flows.clinic import Clinic
from tests.flows.phones import all_at_once
from tests.flows.stack import Stack, wait_for
from waitlist.models import Claim, Message, Offer, OutreachPolicy, Reply
from waitlist.times import say_short

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.process]

TWENTY = 20
NEW_YORK = ZoneInfo("America/New_York")
FILLED = "Elm Street Clinic: {when} has been filled. Nothing is booked for you. You keep your place on the list."


@pytest.fixture
def clinic(transactional_db: None, sandbox: SandboxProcess) -> Clinic:
    made = Clinic(sandbox, waiting=TWENTY)
    OutreachPolicy.objects.update(waves=[{"lead_hours": 1, "size": TWENTY, "gap_minutes": 30}])
    return made


def test_one_is_booked_and_nineteen_hear_filled(clinic: Clinic, stack: Stack) -> None:
    stack.start()
    clinic.subscribe(stack.url)
    clinic.cancel(1)
    sent = Message.objects.filter(kind="offer", channel="sms", status="sent")
    wait_for(lambda: sent.count() == TWENTY, "twenty offers")
    offers = list(Offer.objects.order_by("pk"))

    statuses = all_at_once(
        stack.url,
        [tap(offer) if number % 2 else text(offer, f"YES {offer.code}") for number, offer in enumerate(offers)],
    )
    assert max(statuses) < 400

    wait_for(lambda: Claim.objects.filter(state="confirmed").exists(), "the confirmation")
    winner = Claim.objects.get().patient
    wait_for(lambda: not Offer.objects.filter(status="sent").exists(), "nineteen who were too late")
    wait_for(lambda: not Reply.objects.filter(outcome="new").exists(), "the last text to be read")

    (booked,) = clinic.bookings_at(0)
    assert clinic.patient(clinic.patient_of(booked)) == winner
    assert Opening.objects.get().status == "filled"
    assert Appointment.objects.filter(origin="waitlist").count() == 1
    assert Writeback.objects.get().status == "done"
    assert list(Offer.objects.filter(status="yes").values_list("patient", flat=True)) == [winner.pk]
    losers = [(number, offer) for number, offer in enumerate(offers) if offer.patient != winner]
    filled = Message.objects.filter(kind="filled", channel="sms")
    wait_for(lambda: filled.filter(status="sent").count() == TWENTY - 1, "nineteen texts that it is filled")
    wait_for(lambda: not Message.objects.filter(status__in=("waiting", "sending")).exists(), "the last message")
    for number, offer in losers:
        (said,) = filled.filter(patient=offer.patient)
        assert said.body == FILLED.format(when=say_short(offer.start.astimezone(NEW_YORK), "en"))
        if number % 2:
            page = requests.get(f"{stack.url}{tap(offer)[0]}", timeout=10)
            assert page.text.count("<h1>Someone else has this time</h1>") == 1
    assert filled.count() == len(losers) == TWENTY - 1
