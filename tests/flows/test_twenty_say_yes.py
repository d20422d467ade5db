"""Twenty patients say yes in the same moment, by link and by text: one is booked, nineteen hear that it is filled."""

from __future__ import annotations

import pytest
import requests

from config.sandbox import SandboxProcess
from scheduling.models import Appointment, Opening, Writeback
from tests.flows.answering import tap, text
from tests.flows.clinic import Clinic
from tests.flows.phones import all_at_once
from tests.flows.stack import Stack, wait_for
from waitlist.models import Claim, Message, Offer, OutreachPolicy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.process]

TWENTY = 20


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
    late = Offer.objects.filter(status="too_late")
    wait_for(lambda: late.count() == TWENTY - 1, "nineteen who were too late")
    wait_for(lambda: not Message.objects.filter(status__in=("waiting", "sending")).exists(), "the last message")

    (booked,) = clinic.bookings_at(0)
    assert clinic.patient(clinic.patient_of(booked)) == winner
    assert Opening.objects.get().status == "filled"
    assert Appointment.objects.filter(origin="waitlist").count() == 1
    assert Writeback.objects.get().status == "done"
    assert list(Offer.objects.filter(status="yes").values_list("patient", flat=True)) == [winner.pk]
    for number, offer in enumerate(offers):
        if offer.patient == winner:
            continue
        if number % 2:
            page = requests.get(f"{stack.url}{tap(offer)[0]}", timeout=10)
            assert "Someone else has this time" in page.text
        else:
            answer = Message.objects.get(patient=offer.patient, channel="sms", kind__in=("answer", "filled"))
            assert "someone answered first" in answer.body or "filled" in answer.body
