"""The broker delivers every task three times, and three workers run it at the same moment: one effect."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from integrations import sweep, tasks
from integrations.ehr import inbox
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, Opening, Writeback
from tests.faults.people import offer_of, tap, told
from tests.flows.clinic import Clinic
from tests.race import together
from waitlist import tasks as waitlist_tasks
from waitlist.models import Claim, Offer

pytestmark = pytest.mark.django_db(transaction=True)

TASKS: tuple[Callable[[], None], ...] = (
    tasks.drain_inbox,
    waitlist_tasks.drain_attention,
    tasks.drain_checks,
    tasks.drain_writebacks,
    tasks.drain_messages,
)


def pump_threefold() -> None:
    for _ in range(30):
        if not sweep.sweep():
            return
        for task in TASKS:
            together(3, lambda _, run=task: run())
    raise AssertionError("the loop does not come to rest")


def test_each_step_of_the_loop_has_one_effect(clinic: Clinic) -> None:
    clinic.cancel(1)
    Connection.objects.update(poll_due_at=timezone.now())
    together(3, lambda _: tasks.poll_connections())
    pump_threefold()
    assert Opening.objects.count() == 1
    assert Offer.objects.count() == 2

    tap(offer_of(clinic, 1))
    pump_threefold()

    assert Claim.objects.get().state == "confirmed"
    assert Writeback.objects.get().status == "done"
    assert Appointment.objects.filter(origin="waitlist").count() == 1
    (booked,) = clinic.bookings_at(0)
    assert clinic.patient_of(booked) == "waiting-1"
    assert told(clinic, 1) == ["offer", "received", "confirmed"]
    assert told(clinic, 2) == ["offer", "filled"]
    assert told(clinic, 1, "email") == ["offer", "confirmed"]
    sent = [each for each in clinic.control.get("log", limit=2000)["requests"] if each["method"] == "POST"]
    assert len([each for each in sent if each["path"].endswith("/Appointment")]) == 1


def test_one_worker_deals_with_an_event(clinic: Clinic) -> None:
    body = b'{"resourceType": "Appointment", "id": "booking-1"}'
    inbox.receive(clinic.connection, via="webhook", body=body)
    (event,) = InboundEvent.objects.filter(subject_key="Appointment/booking-1", via="webhook")
    before = len(reads(clinic))
    outcomes = together(3, lambda _: inbox.process(event.pk))
    assert len([each for each in outcomes if each is not None]) == 1
    assert len(reads(clinic)) == before + 1
    event.refresh_from_db()
    assert (event.status, event.attempts) == ("done", 1)


def reads(clinic: Clinic) -> list[str]:
    """How the EHR was asked for the appointment so far."""
    log = clinic.control.get("log", limit=2000)["requests"]
    return [each["path"] for each in log if each["path"].endswith("/Appointment/booking-1")]
