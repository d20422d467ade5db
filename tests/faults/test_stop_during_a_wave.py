"""STOP while a wave is going out: what had not left by the time the STOP was taken in leaves no more."""

from __future__ import annotations

import threading

import pytest

from integrations.draining import drain
from integrations.messaging import delivery
from scheduling.models import ContactPoint
from tests import factories
from tests.integrations.messaging.conftest import CarrierClient, carrier, carrier_process
from tests.integrations.messaging.test_delivery_once import message_to
from tests.race import together
from waitlist import messages, replies
from waitlist.models import Message

__all__ = ["carrier", "carrier_process"]
pytestmark = pytest.mark.django_db(transaction=True)

PATIENTS, WORKERS = 24, 3
STOPPING = range(0, PATIENTS, 2)


def test_what_had_not_left_leaves_no_more(carrier: CarrierClient) -> None:
    phones = [factories.patient(email=None).contact_points.get() for _ in range(PATIENTS)]
    for phone in phones:
        message_to(phone, kind=Message.Kind.FILLED)
    has_begun = threading.Event()
    had_left: dict[str, bool] = {}

    def stop(phone: ContactPoint) -> None:
        replies.receive("sms", f"SM-stop-{phone.pk}", phone.value, "STOP", 0)
        replies.drain()
        theirs = Message.objects.filter(contact_point=phone, kind=Message.Kind.FILLED, status__in=messages.LEFT)
        had_left[phone.value] = theirs.exists()

    def act(index: int) -> None:
        if index == WORKERS:
            has_begun.wait(timeout=10)
            for each in STOPPING:
                stop(phones[PATIENTS - 1 - each])
        else:
            drain("messages", delivery.due, lambda pk: delivery.send(pk) and (has_begun.set() or True))

    together(WORKERS + 1, act)
    drain("messages", delivery.due, delivery.send)

    for phone in phones:
        bodies = [each["body"] for each in carrier.messages(phone.value)]
        news = sum("confirmed" in body for body in bodies)
        assert news == had_left.get(phone.value, True), "a STOP that was taken in is obeyed, and nobody else is kept"
        assert len(bodies) - news == (phone.value in had_left), "one receipt for each STOP"
    assert not all(had_left.values()), "some STOP came in time"
