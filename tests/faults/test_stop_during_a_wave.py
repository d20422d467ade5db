"""STOP while a wave is going out: what had not left by the time the STOP was taken in leaves no more."""

from __future__ import annotations

import threading
from datetime import time, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from integrations.draining import drain
from integrations.messaging import delivery
from scheduling.models import ContactPoint, Opening, Patient
from scheduling.openings import record_check
from scheduling.records import Freshness, Interval, SlotRecord
from tests import factories
from tests.integrations.messaging.conftest import CarrierClient, carrier, carrier_process
from tests.integrations.messaging.test_delivery_once import message_to
from tests.race import right_after, together
from waitlist import messages, offers, replies
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


def say_stop(patient: Patient) -> None:
    replies.receive("sms", f"SM-stop-{patient.pk}", patient.contact_points.get().value, "STOP", 0)
    replies.drain()


def test_a_stop_while_a_wave_is_made_or_goes_out_keeps_its_offer_from_being_texted(carrier: CarrierClient) -> None:
    """One STOP after the wave has read who agreed to texts, one when the text has its turn at the carrier."""
    factories.practice()
    factories.policy(quiet_from=time(0, 0), quiet_until=time(0, 0))
    provider, location, kind = factories.provider(), factories.location(), factories.appointment_type()
    factories.bookable(provider, location, kind)
    early, late, _ = people = [factories.patient(email=None) for _ in range(3)]
    for days, person in enumerate(people):
        factories.entry(person, kind, joined_at=timezone.now() - timedelta(days=9 - days))
    opening = factories.opening(provider, location, start=timezone.now() + timedelta(hours=30))
    Opening.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    opening.refresh_from_db()
    slot = SlotRecord("slot", opening.start, opening.end, free=True)
    found = Freshness(timezone.now(), (Interval(opening.start, opening.end),), (slot,))
    with right_after("waitlist.consent.every_way", lambda: say_stop(early)), transaction.atomic():
        assert record_check(opening, found)
        assert offers.send_wave(opening, timezone.now()) == len(people)

    texts = {row.patient_id: row.pk for row in Message.objects.filter(kind=Message.Kind.OFFER)}
    delivery.send(texts[early.pk])
    with right_after("integrations.messaging.pace.take_turn", lambda: say_stop(late)):
        delivery.send(texts[late.pk])
    drain("messages", delivery.due, delivery.send)

    sent = {person: [each["body"] for each in carrier.messages(person.contact_points.get().value)] for person in people}
    assert [["/o/" in body for body in sent[person]] for person in people] == [[False], [False], [True]]
    stopped = Message.objects.filter(kind=Message.Kind.OFFER, status=Message.Status.SUPPRESSED)
    assert set(stopped.values_list("patient", "error_code")) == {(early.pk, "no_consent"), (late.pk, "opted_out")}
