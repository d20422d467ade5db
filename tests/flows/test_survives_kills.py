"""Workers killed, brokers wiped, EHRs away: the loop still ends, and once. Real processes, real signals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import redis
from django.conf import settings

from integrations.models import InboundEvent
from scheduling.models import Appointment, Opening, Writeback
from tests.flows.clinic import Clinic, unique
from tests.flows.stack import Stack, wait_for
from waitlist import replies
from waitlist.models import Claim, Message, Offer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.process]

#: So soon another worker has what the killed one had in its hands.
PROMISE = timedelta(seconds=30)


def offered(clinic: Clinic) -> Offer | None:
    """The first patient's offer, once its text is out."""
    return Offer.objects.filter(
        patient=clinic.patient("waiting-1"), messages__channel="sms", messages__status="sent"
    ).first()


def says_yes(clinic: Clinic, offer: Offer) -> None:
    phone = clinic.patient("waiting-1").contact_points.get(system="phone").value
    replies.receive("sms", unique(), phone, f"YES {offer.code}", 0)


def confirmed() -> Claim | None:
    return Claim.objects.filter(state=Claim.State.CONFIRMED).first()


def assert_booked_once(clinic: Clinic) -> None:
    (booked,) = clinic.bookings_at(0)
    assert clinic.patient_of(booked) == "waiting-1"
    assert Opening.objects.get().status == "filled"
    assert Claim.objects.count() == 1
    assert Writeback.objects.get().status == "done"
    assert Appointment.objects.filter(origin="waitlist").count() == 1
    told = Message.objects.filter(patient=clinic.patient("waiting-1"), channel="sms")
    assert sorted(told.values_list("kind", flat=True)) == ["confirmed", "offer", "received"]


def all_told(clinic: Clinic) -> bool:
    return not Message.objects.filter(status__in=("waiting", "sending", "unknown")).exists()


def assert_in_time(stack: Stack, at: datetime | None) -> None:
    assert at is not None
    assert at <= stack.replaced_at + PROMISE


def finish(clinic: Clinic) -> None:
    says_yes(clinic, wait_for(lambda: offered(clinic), "the offer"))
    wait_for(confirmed, "the confirmation")
    wait_for(lambda: all_told(clinic), "the last message")
    assert_booked_once(clinic)


def test_nothing_goes_wrong(clinic: Clinic, stack: Stack) -> None:
    stack.start()
    clinic.subscribe(stack.url)
    clinic.cancel(1)
    finish(clinic)
    assert Writeback.objects.get().attempts == 1
    assert not Message.objects.filter(attempts__gt=1).exists()


#: Hops that call nobody, so that nothing holds the worker there: the kill falls just behind them.
HOPS: dict[str, Callable[[], bool]] = {
    "event stored": InboundEvent.objects.exists,
    "opening made": Opening.objects.exists,
    "offer written": Offer.objects.exists,
}


@pytest.mark.parametrize("hop", list(HOPS))
def test_the_worker_is_killed_before_the_answer(clinic: Clinic, stack: Stack, hop: str) -> None:
    stack.start()
    clinic.subscribe(stack.url)
    clinic.cancel(1)
    wait_for(HOPS[hop], hop)
    stack.kill("worker")
    stack.restart("worker")
    finish(clinic)
    text = Message.objects.get(patient=clinic.patient("waiting-1"), kind="offer", channel="sms")
    assert_in_time(stack, text.sent_at)


@pytest.mark.parametrize("fault", [None, "slow"])
def test_the_worker_is_killed_while_it_books(clinic: Clinic, stack: Stack, fault: str | None) -> None:
    stack.start()
    clinic.subscribe(stack.url)
    clinic.cancel(1)
    offer = wait_for(lambda: offered(clinic), "the offer")
    if fault:
        clinic.fault(fault, method="POST", path="Appointment", seconds=3)
    says_yes(clinic, offer)
    wait_for(lambda: Writeback.objects.exclude(status="waiting").exists(), "the first call")
    stack.kill("worker")
    stack.restart("worker")
    wait_for(confirmed, "the confirmation", 60)
    assert_in_time(stack, Writeback.objects.get().finished_at)
    wait_for(lambda: all_told(clinic), "the last message")
    assert_booked_once(clinic)


def has_a_call(broker: redis.Redis, topic: str) -> bool:
    """Whether a call for a topic's worker lies in the broker."""
    queues = [key for key in broker.scan_iter() if broker.type(key) == b"list"]
    return any(settings.WAKE_TASKS[topic].encode() in call for key in queues for call in broker.lrange(key, 0, -1))


@pytest.mark.redis
def test_the_broker_is_wiped_in_the_middle(clinic: Clinic, stack: Stack) -> None:
    broker = redis.Redis.from_url(settings.CELERY_BROKER_URL)
    stack.start()
    clinic.subscribe(stack.url)
    stack.kill("worker")  # so that the call is still in the broker when that is wiped
    clinic.cancel(1)
    wait_for(lambda: has_a_call(broker, "inbox"), "the call for a worker")
    broker.flushdb()
    stack.restart("worker")
    offer = wait_for(lambda: offered(clinic), "the offer")
    says_yes(clinic, offer)
    broker.flushdb()
    wait_for(confirmed, "the confirmation")
    wait_for(lambda: all_told(clinic), "the last message")
    assert_booked_once(clinic)


def test_the_ehr_is_down_for_a_while(clinic: Clinic, stack: Stack) -> None:
    stack.start()
    clinic.subscribe(stack.url)
    clinic.cancel(1)
    offer = wait_for(lambda: offered(clinic), "the offer")
    clinic.fault("down", count=None)
    says_yes(clinic, offer)
    wait_for(lambda: Writeback.objects.filter(status="waiting", error_code__gt="").exists(), "the held write")
    assert Claim.objects.get().state == "pending"
    assert clinic.bookings_at(0) == []
    clinic.heal()
    wait_for(confirmed, "the confirmation", 90)
    wait_for(lambda: all_told(clinic), "the last message")
    assert_booked_once(clinic)


def test_the_answer_is_lost_after_the_commit(clinic: Clinic, stack: Stack) -> None:
    stack.start()
    clinic.subscribe(stack.url)
    clinic.cancel(1)
    offer = wait_for(lambda: offered(clinic), "the offer")
    clinic.fault("reset-after-commit", method="POST", path="Appointment")
    says_yes(clinic, offer)
    wait_for(confirmed, "the confirmation", 60)
    wait_for(lambda: all_told(clinic), "the last message")
    assert_booked_once(clinic)
