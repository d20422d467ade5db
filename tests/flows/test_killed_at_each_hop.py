"""A worker is killed at a hop: what it did is taken up again within 30 seconds, and done once in effect.

Where the kill falls is no chance: the worker is held at the hop by an EHR, a carrier or a mail server that does not
answer, or by a lock on the row that it needs next. What counts is what those outside have: the EHR's own bookings and
log, the texts that the carrier took, the mailbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from integrations.models import ApiCall
from scheduling.models import Appointment, Opening, WorkItem, Writeback
from tests.flows.clinic import Clinic, unique
from tests.flows.outside import Outside, files_of, reached_by
from tests.flows.stack import Stack, wait_for
from tests.race import is_waiting_for_a_lock, locked
from waitlist import replies
from waitlist.models import Claim, Message, Offer, Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.process]

#: So soon another worker has what the killed one had in its hands.
PROMISE = timedelta(seconds=30)
UNDER_WAY = ("waiting", "sending", "unknown")
WINNER, OTHER = "waiting-1", "waiting-2"


@pytest.fixture
def outside(stack: Stack) -> Iterator[Outside]:
    """The carrier and the mail server of the stack."""
    with reached_by(stack) as places:
        yield places


@pytest.fixture
def running(clinic: Clinic, stack: Stack, outside: Outside) -> Stack:
    """The stack, started and told of whatever happens in the EHR."""
    stack.start()
    clinic.subscribe(stack.url)
    return stack


@pytest.fixture
def offer(clinic: Clinic, running: Stack) -> Offer:
    """The winner's offer, when the whole wave is out: a text and an e-mail to two patients."""
    clinic.cancel(1)
    return wait_for_the_wave(clinic)


def wait_for_the_wave(clinic: Clinic) -> Offer:
    wait_for(lambda: Message.objects.filter(kind="offer", status="sent").count() == 4, "the wave", 90)
    return Offer.objects.select_related("opening").get(patient=clinic.patient(WINNER))


def phone_of(clinic: Clinic, name: str) -> str:
    return str(clinic.patient(name).contact_points.get(system="phone").value)


def texts_yes(clinic: Clinic, outside: Outside, offer: Offer) -> None:
    """The winner's text comes by the carrier's webhook, which is answered once it is stored."""
    sent = outside.carrier.patient_texts(phone_of(clinic, WINNER), f"YES {offer.code}")
    assert sent["answered"] in (200, 204)


def kill_worker(stack: Stack) -> datetime:
    """Kill the worker and return when."""
    at = timezone.now()
    stack.kill("worker")
    return at


def assert_taken_up_in_time(stack: Stack, at: datetime | None) -> None:
    assert at is not None
    assert stack.killed_at < at <= stack.replaced_at + PROMISE


def first_call(killed_at: datetime, **which: object) -> ApiCall:
    """The first call to the outside after the kill."""
    calls = ApiCall.objects.filter(at__gt=killed_at, **which).order_by("at")
    return wait_for(calls.first, "a call of another worker", 60)


def wait_until_all_is_done() -> None:
    wait_for(Claim.objects.filter(state="confirmed").exists, "the confirmation", 90)
    wait_for(lambda: not Message.objects.filter(status__in=UNDER_WAY).exists(), "the last message", 90)


def wait_for_all_but(message: Message) -> None:
    """Wait until nothing else is under way that the kill could meet."""
    others = Message.objects.filter(status__in=UNDER_WAY).exclude(pk=message.pk)
    wait_for(lambda: not others.exists(), "the other messages")


def assert_done_once(clinic: Clinic, outside: Outside) -> None:
    (booked,) = clinic.bookings_at(0)
    assert clinic.patient_of(booked) == WINNER
    assert clinic.creates() == 1
    assert Opening.objects.get().status == "filled"
    assert Claim.objects.get().state == "confirmed"
    assert Writeback.objects.get().status == "done"
    assert Appointment.objects.filter(origin="waitlist").count() == 1
    assert texts_taken(clinic, outside, WINNER) == ["confirmed", "offer", "received"]
    assert texts_taken(clinic, outside, OTHER) == ["filled", "offer"]
    assert files_mailed(outside, WINNER) == [[], ["appointment.ics"]]
    assert files_mailed(outside, OTHER) == [[], []]


def texts_taken(clinic: Clinic, outside: Outside, name: str) -> list[str]:
    """Kinds of the texts that the carrier took for a patient, by its own record."""
    kinds = {row.body: row.kind for row in Message.objects.filter(patient=clinic.patient(name), channel="sms")}
    return sorted(kinds[body] for body in outside.texts(phone_of(clinic, name)))


def files_mailed(outside: Outside, name: str) -> list[list[str]]:
    """The files of each e-mail that the mail server took for a patient."""
    return [files_of(mail) for mail in outside.mailbox.mails(f"{name}@example.org")]


def test_with_the_event_being_looked_up(clinic: Clinic, running: Stack, outside: Outside) -> None:
    fetching = clinic.fault("slow", path="Appointment", count=None)
    clinic.cancel(1)
    wait_for(lambda: clinic.is_hit(fetching), "the fetch of the cancelled appointment")
    assert not Opening.objects.exists()
    killed_at = kill_worker(running)
    clinic.heal()
    running.restart("worker")
    assert_taken_up_in_time(running, first_call(killed_at, resource="Appointment/booking-1").at)
    texts_yes(clinic, outside, wait_for_the_wave(clinic))
    wait_until_all_is_done()
    assert_done_once(clinic, outside)


def test_with_the_opening_being_checked(clinic: Clinic, running: Stack, outside: Outside) -> None:
    looking = clinic.fault("slow", path="Slot", count=None)
    clinic.cancel(1)
    wait_for(lambda: clinic.is_hit(looking), "the fresh look")
    assert not Offer.objects.exists()
    killed_at = kill_worker(running)
    clinic.heal()
    running.restart("worker")
    assert_taken_up_in_time(running, first_call(killed_at, resource="Slot").at)
    texts_yes(clinic, outside, wait_for_the_wave(clinic))
    wait_until_all_is_done()
    assert_done_once(clinic, outside)


def test_with_the_offer_being_sent(clinic: Clinic, running: Stack, outside: Outside) -> None:
    phone = phone_of(clinic, WINNER)
    outside.carrier.fail("slow_taken", to=phone)
    clinic.cancel(1)
    kill_while_sending(running, outside, "offer", phone, taken=1)
    texts_yes(clinic, outside, wait_for_the_wave(clinic))
    wait_until_all_is_done()
    assert_done_once(clinic, outside)


def test_with_the_yes_stored_and_not_read(clinic: Clinic, stack: Stack, outside: Outside, offer: Offer) -> None:
    with transaction.atomic():
        replies.receive("sms", unique(), phone_of(clinic, WINNER), f"YES {offer.code}")
        kill_worker(stack)
    stack.restart("worker")
    claim = wait_for(Claim.objects.first, "the claim", 60)
    assert_taken_up_in_time(stack, claim.created_at)
    wait_until_all_is_done()
    assert_done_once(clinic, outside)


@pytest.mark.postgres
def test_with_the_yes_in_its_hands(clinic: Clinic, stack: Stack, outside: Outside, offer: Offer) -> None:
    with locked(offer.opening):
        texts_yes(clinic, outside, offer)
        wait_for(Reply.objects.filter(attempts=1).exists, "the reading of the reply")
        wait_for(is_waiting_for_a_lock, "the claim's first statement")
        kill_worker(stack)
    assert not Claim.objects.exists()
    stack.restart("worker")
    claim = wait_for(Claim.objects.first, "the claim", 60)
    assert_taken_up_in_time(stack, claim.created_at)
    wait_until_all_is_done()
    assert Reply.objects.get().attempts == 2
    assert_done_once(clinic, outside)


@pytest.mark.postgres
def test_with_the_claim_made_and_the_reply_not_ended(
    clinic: Clinic, stack: Stack, outside: Outside, offer: Offer
) -> None:
    with ExitStack() as second:
        with locked(offer.opening):
            texts_yes(clinic, outside, offer)
            wait_for(is_waiting_for_a_lock, "the claim's first statement")
            second.enter_context(locked(Reply.objects.get()))
        wait_for(Claim.objects.exists, "the claim")
        wait_for(is_waiting_for_a_lock, "the reply's last statement")
        kill_worker(stack)
    assert Reply.objects.get().outcome == "new"
    stack.restart("worker")
    reply = wait_for(Reply.objects.filter(outcome="claimed").first, "the reply's end", 60)
    assert_taken_up_in_time(stack, reply.handled_at)
    wait_until_all_is_done()
    assert_done_once(clinic, outside)


def test_with_the_claim_made_and_nothing_written(clinic: Clinic, stack: Stack, outside: Outside, offer: Offer) -> None:
    looking = clinic.fault("slow", path="Slot", count=None)
    texts_yes(clinic, outside, offer)
    wait_for(lambda: clinic.is_hit(looking), "the last look before the booking")
    row = Writeback.objects.get()
    assert (row.status, row.sent_at, Claim.objects.get().state) == ("sending", None, "pending")
    killed_at = kill_worker(stack)
    clinic.heal()
    stack.restart("worker")
    assert_taken_up_in_time(stack, first_call(killed_at, writeback=row).at)
    wait_until_all_is_done()
    assert_done_once(clinic, outside)


def test_with_the_booking_made_and_not_read_back(clinic: Clinic, stack: Stack, outside: Outside, offer: Offer) -> None:
    clinic.fault("notify-lost", count=None)  # nobody else of ours asks about the new booking
    booking = clinic.fault("slow", method="POST", path="Appointment")
    texts_yes(clinic, outside, offer)
    wait_for(lambda: clinic.is_hit(booking), "the booking")
    reading = clinic.fault("slow", method="GET", path="Appointment", count=None)
    clinic.heal(booking)
    wait_for(lambda: clinic.is_hit(reading), "the read-back")
    row = Writeback.objects.get()
    assert (row.status, Claim.objects.get().state) == ("sending", "pending")
    assert row.sent_at is not None
    assert len(clinic.bookings_at(0)) == 1
    killed_at = kill_worker(stack)
    clinic.heal()
    stack.restart("worker")
    assert_taken_up_in_time(stack, first_call(killed_at, writeback=row, method="GET").at)
    wait_until_all_is_done()
    assert_done_once(clinic, outside)


def test_with_the_winners_confirmation_being_sent(clinic: Clinic, stack: Stack, outside: Outside, offer: Offer) -> None:
    phone = phone_of(clinic, WINNER)
    clinic.fault("slow", path="Slot", count=None)  # until the text before it is out
    texts_yes(clinic, outside, offer)
    wait_for(Message.objects.filter(kind="received", status="sent").exists, "the receipt")
    outside.carrier.fail("slow_taken", to=phone)
    clinic.heal()
    kill_while_sending(stack, outside, "confirmed", phone, taken=3)
    wait_until_all_is_done()
    assert_done_once(clinic, outside)


def test_with_the_others_news_being_sent(clinic: Clinic, stack: Stack, outside: Outside, offer: Offer) -> None:
    """The carrier has not taken it this time: it is sent again, once its absence is proven."""
    phone = phone_of(clinic, OTHER)
    outside.carrier.fail("timeout", to=phone)
    texts_yes(clinic, outside, offer)
    kill_while_sending(stack, outside, "filled", phone, taken=1)
    wait_until_all_is_done()
    assert_done_once(clinic, outside)


def kill_while_sending(stack: Stack, outside: Outside, kind: str, phone: str, taken: int) -> None:
    """Kill the worker while the carrier, which has taken so many texts for the number, does not answer."""
    texts = Message.objects.filter(kind=kind, channel="sms", status="sending")
    text = wait_for(lambda: next((each for each in texts.all() if each.address == phone), None), f"the text {kind}", 90)
    wait_for(lambda: len(outside.texts(phone)) == taken, "what the carrier took")
    wait_for_all_but(text)
    killed_at = kill_worker(stack)
    stack.restart("worker")
    assert_taken_up_in_time(stack, first_call(killed_at, method="FIND", resource=f"message/{text.pk}").at)


def test_with_the_calendar_file_being_mailed(clinic: Clinic, stack: Stack, outside: Outside, offer: Offer) -> None:
    """A mail server cannot be asked: the mail is not sent twice, and staff are told that it may not have come."""
    address = f"{WINNER}@example.org"
    outside.mailbox.be_silent_to(address, about="appointment.ics")
    texts_yes(clinic, outside, offer)
    wait_for(lambda: len(outside.mailbox.mails(address)) == 2, "the calendar file", 90)
    mail = Message.objects.get(kind="confirmed", channel="email")
    wait_for_all_but(mail)
    assert (mail.status, Claim.objects.get().state) == ("sending", "confirmed")
    kill_worker(stack)
    stack.restart("worker")
    item = wait_for(WorkItem.objects.filter(kind="message.dead").first, "the staff's call", 60)
    assert_taken_up_in_time(stack, item.created_at)
    wait_until_all_is_done()
    assert_done_once(clinic, outside)
