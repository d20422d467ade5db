"""Many workers on one row at the same instant: one of them acts, the others find nothing to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from integrations import outbox
from integrations.ehr import availability
from integrations.messaging import delivery
from integrations.models import ApiCall
from scheduling import openings
from tests import factories
from tests.integrations.conftest import Booking, Clinic
from tests.integrations.messaging.conftest import CarrierClient, carrier, carrier_process
from tests.integrations.messaging.test_delivery_once import message_to
from tests.integrations.test_outbox_books_once import assert_booked_once
from waitlist.models import Message, Offer

__all__ = ["carrier", "carrier_process"]
pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 8


def all_at_once(work: Callable[[], Any]) -> list[Any]:
    """What ``work`` returned to each of the workers, who began together."""
    gate, answers = threading.Barrier(WORKERS), []

    def run() -> None:
        try:
            gate.wait(10)
            answers.append(work())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


def test_one_write(booking: Booking) -> None:
    answers = all_at_once(lambda: outbox.process(booking.writeback.pk))
    assert sorted(answers) == [False] * (WORKERS - 1) + [True]
    assert booking.clinic.ehr.calls == ["availability", "appointments_of", "create", "fetch"]
    assert_booked_once(booking)


def test_one_message(carrier: CarrierClient) -> None:
    message = message_to(factories.patient(email=None).contact_points.get())
    answers = all_at_once(lambda: delivery.send(message.pk))
    assert sorted(answers) == [False] * (WORKERS - 1) + [True]
    assert len(carrier.messages()) == 1
    message.refresh_from_db()
    assert (message.status, message.attempts) == (Message.Status.SENT, 1)
    assert ApiCall.objects.count() == 1


def test_one_look(clinic: Clinic) -> None:
    factories.policy(start_delay_seconds=0, quiet_from="00:00", quiet_until="00:00")
    factories.entry(clinic.patient(), clinic.type)
    opening = clinic.opening(checked_at=None)
    openings.request_check(opening.pk, timezone.now())
    answers = all_at_once(lambda: availability.look(opening.pk))
    assert sorted(answers) == [False] * (WORKERS - 1) + [True]
    assert clinic.ehr.calls == ["availability"]
    assert Offer.objects.count() == 1
