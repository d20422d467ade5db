"""A carrier that is down: known after a minute, then past it, and nothing twice where it may have arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from config.desk.lines import carrier_line
from integrations.messaging import catch_up, delivery
from integrations.messaging.gateway import (
    AddressBusy,
    AddressUnusable,
    CarrierBusy,
    CarrierDown,
    CarrierRefusesUs,
    HandoverUnknown,
    Incoming,
    MessagingError,
    Outgoing,
)
from integrations.messaging.twilio.transport import TwilioCarrier
from integrations.models import CarrierState
from scheduling.models import Patient, WorkItem
from scheduling.worklist import ask_staff
from tests import factories
from tests.integrations.conftest import open_items
from tests.integrations.messaging.test_delivery_fallback import offered, told
from tests.integrations.messaging.test_delivery_once import message_to
from tests.waitlist.conftest import MORNING
from waitlist.models import Message, Offer

pytestmark = pytest.mark.django_db

Status, Kind = Message.Status, Message.Kind
REFUSED_CONNECTION, ANSWERED_500 = CarrierDown("no_connection"), HandoverUnknown("twilio_500")


class Carrier:
    """What a carrier does that fails as a test says, and how often it was called."""

    def __init__(self) -> None:
        self.on_send: MessagingError | None = None
        self.on_list: MessagingError | None = None
        self.taken: list[str] = []
        self.sends = self.asked = 0

    def send(self, message: Outgoing) -> str:
        self.sends += 1
        if self.on_send is not None:
            raise self.on_send
        self.taken.append(message.reference)
        return f"SM{message.reference}"

    def find(self, message: Outgoing, *, sent_after: datetime, known: frozenset[str]) -> str | None:
        self.asked += 1
        if self.on_list is not None:
            raise self.on_list
        return f"SM{message.reference}" if message.reference in self.taken else None

    def incoming_since(self, since: datetime) -> Iterator[Incoming]:
        if self.on_list is not None:
            raise self.on_list
        return iter(())

    def goes_down(self, on_send: MessagingError) -> None:
        self.on_send, self.on_list = on_send, REFUSED_CONNECTION

    def works_again(self) -> None:
        self.on_send = self.on_list = None


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(MORNING, tick=False) as traveller:
        yield traveller


@pytest.fixture
def carrier(clock: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Carrier:
    """The carrier in Twilio's place, without a rate; e-mail stays here."""
    settings.SMS_CHANNEL, settings.EMAIL_CHANNEL, settings.SMS_BASE_URL = "twilio", "console", "http://localhost:1"
    settings.INSTALLATION = "live"
    fake = Carrier()
    for name in ("send", "find", "incoming_since"):
        monkeypatch.setattr(TwilioCarrier, name, lambda self, *a, __name=name, **k: getattr(fake, __name)(*a, **k))
    return fake


def seconds_until(clock: Any, is_so: Callable[[], bool], most: int = 900) -> float:
    """Let the worker and the sweep run, from one due moment to the next, and return after how many seconds it is so."""
    began = timezone.now()
    while timezone.now() < began + timedelta(seconds=most):
        for message_id in delivery.due():
            delivery.send(message_id)
        if is_so():
            return (timezone.now() - began).total_seconds()
        clock.shift(max(next_moment() - timezone.now(), timedelta(seconds=1)))
    raise AssertionError("it never was")


def next_moment() -> datetime:
    """When something falls due, as far as the carrier may be called by then."""
    rows = Message.objects.filter(status__in=(Status.WAITING, Status.UNKNOWN))
    due = rows.order_by("due_at").values_list("due_at", flat=True).first() or timezone.now()
    quiet = CarrierState.objects.get(channel="sms").quiet_until
    return max(due, quiet or due)


def only_phone(number: int = 0) -> Patient:
    return factories.patient(phone=f"+121255501{number:02}", email=None)


def called() -> int:
    return WorkItem.objects.filter(kind="offer.call").count()


@pytest.mark.parametrize("fault", [REFUSED_CONNECTION, ANSWERED_500])
def test_an_offer_that_only_a_text_could_tell_is_a_call_within_two_minutes(
    carrier: Carrier, clock: Any, fault: MessagingError
) -> None:
    carrier.goes_down(fault)
    offer = offered(only_phone())
    assert seconds_until(clock, lambda: called() == 1) <= 65
    call = WorkItem.objects.get(kind="offer.call")
    assert (call.subject_id, call.due_at) == (offer.pk, offer.expires_at)
    assert ("may have arrived" in call.advice) == (fault is ANSWERED_500)
    offer.refresh_from_db()
    assert offer.status == Offer.Status.SENT


def test_a_whole_wave_goes_past_it_and_the_carrier_is_left_alone(carrier: Carrier, clock: Any) -> None:
    carrier.goes_down(REFUSED_CONNECTION)
    patients = [only_phone(number) for number in range(5)]
    for patient in patients:
        offered(patient)
    assert seconds_until(clock, lambda: called() == len(patients)) <= 100
    assert carrier.sends == 3 * 5 + 1, "from the call on that shows it, none is tried"
    assert {status for patient in patients for _, _, status in told(patient)} == {Status.FAILED}


def test_news_goes_by_e_mail_then_and_an_answer_waits_for_the_carrier(carrier: Carrier, clock: Any) -> None:
    patient = factories.patient(phone="+12125550150", email="robin@example.org")
    phone = patient.contact_points.get(system="phone")
    carrier.goes_down(REFUSED_CONNECTION)
    news, answer = message_to(phone), message_to(phone, kind=Kind.ANSWER, dedupe_key="answer")

    def went() -> bool:
        return ("email", "robin@example.org", Status.SENT) in told(patient)

    assert seconds_until(clock, went) <= 90
    news.refresh_from_db()
    answer.refresh_from_db()
    assert (news.status, answer.status) == (Status.FAILED, Status.WAITING)
    clock.shift(timedelta(minutes=20))
    carrier.works_again()
    assert seconds_until(clock, lambda: len(carrier.taken) == 1) <= 25
    answer.refresh_from_db()
    assert answer.status == Status.SENT
    state = CarrierState.objects.get(channel="sms")
    assert (state.failures, state.down_since, state.probe_at, state.failing_since) == (0, None, None, None)
    assert open_items() == []


def test_an_offer_in_doubt_is_a_call_where_the_carrier_then_refuses_us(carrier: Carrier, clock: Any) -> None:
    carrier.on_send, carrier.on_list = ANSWERED_500, CarrierRefusesUs("twilio_20003")
    offered(only_phone())
    assert seconds_until(clock, lambda: called() == 1) <= 10
    assert (Message.objects.get().status, CarrierState.objects.get(channel="sms").down_since) == (Status.UNKNOWN, None)


def test_what_may_have_arrived_is_found_and_not_sent_again_when_the_carrier_answers(
    carrier: Carrier, clock: Any
) -> None:
    carrier.goes_down(ANSWERED_500)
    offered(only_phone())
    message = Message.objects.get()
    seconds_until(clock, lambda: called() == 1)
    carrier.taken.append(delivery.reference_of(message))  # it had arrived
    carrier.works_again()
    seconds_until(clock, lambda: Message.objects.get().status == Status.SENT)
    assert (carrier.sends, called()) == (1, 1)


def test_what_had_not_arrived_is_not_sent_beside_the_call(carrier: Carrier, clock: Any) -> None:
    carrier.goes_down(ANSWERED_500)
    offered(only_phone())
    seconds_until(clock, lambda: called() == 1)
    carrier.works_again()
    seconds_until(clock, lambda: Message.objects.get().status == Status.FAILED)
    assert (carrier.sends, called()) == (1, 1)


def test_what_may_have_arrived_while_the_carrier_was_known_to_be_down_is_asked_about_and_not_sent_again(
    carrier: Carrier, clock: Any
) -> None:
    carrier.goes_down(REFUSED_CONNECTION)
    message = message_to(only_phone().contact_points.get(), kind=Kind.ANSWER)
    seconds_until(clock, lambda: CarrierState.objects.filter(down_since__isnull=False).exists())
    carrier.on_send = ANSWERED_500
    sends = carrier.sends
    seconds_until(clock, lambda: carrier.sends > sends)
    message.refresh_from_db()
    assert message.status == Status.UNKNOWN


def test_an_answer_to_an_address_that_stays_busy_does_not_wait_as_for_a_carrier(carrier: Carrier, clock: Any) -> None:
    carrier.on_send = AddressBusy("smtp_452")
    message = message_to(only_phone().contact_points.get(), kind=Kind.ANSWER, attempts=4)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.FAILED


def test_what_had_not_arrived_is_sent_where_nobody_was_asked_to_call(carrier: Carrier, clock: Any) -> None:
    carrier.goes_down(ANSWERED_500)
    offered(only_phone())
    clock.shift(timedelta(seconds=2))
    ask_staff("offer.other", "About somebody else", dedupe_key="offer.call:0")
    seconds_until(clock, lambda: carrier.sends == 1)
    carrier.works_again()
    seconds_until(clock, lambda: Message.objects.get().status == Status.SENT)
    assert (carrier.sends, called()) == (2, 0)


@pytest.mark.parametrize("fault", [REFUSED_CONNECTION, CarrierRefusesUs("twilio_20003")])
@pytest.mark.parametrize("is_well", [True, False])
def test_how_the_carrier_of_e_mails_fares_is_its_own_affair(
    carrier: Carrier, clock: Any, fault: MessagingError, is_well: bool
) -> None:
    """Neither does it end with the one of texts, nor begin again when that one works."""
    now, later = timezone.now(), timezone.now() + timedelta(hours=2)
    fields: dict[str, Any] = {"failing_since": now, "message_failed_at": now, "quiet_until": later, "probe_at": later}
    if isinstance(fault, CarrierRefusesUs):
        fields |= {"refused_since": now, "lists_refused": True}
    else:
        fields |= {"down_since": now, "failures": 5}
    if is_well:
        fields = {"last_success_at": now}
    CarrierState.objects.create(channel="email", **fields)
    mail = factories.patient(phone=None).contact_points.get()
    held = message_to(mail, due_at=later, error_code="smtp_451")
    before = CarrierState.objects.filter(channel="email").values().get()
    carrier.goes_down(fault)
    answer = message_to(only_phone().contact_points.get(), kind=Kind.ANSWER)
    delivery.send(answer.pk)
    answer.refresh_from_db()
    assert answer.attempts == (0 if isinstance(fault, CarrierRefusesUs) else 1), "the first lost call may be chance"
    texts = CarrierState.objects.filter(channel="sms")
    seconds_until(clock, lambda: texts.exclude(probe_at=None).exists())
    carrier.works_again()
    seconds_until(clock, lambda: len(carrier.taken) == 1)
    assert texts.values_list("refused_since", "down_since", "probe_at").get() == (None, None, None)
    assert CarrierState.objects.filter(channel="email").values().get() == before
    held.refresh_from_db()
    assert held.due_at == later


def test_an_offer_in_doubt_is_no_call_because_e_mails_do_not_leave(carrier: Carrier, clock: Any) -> None:
    now = timezone.now()
    CarrierState.objects.create(channel="email", failures=5, failing_since=now, down_since=now)
    carrier.goes_down(ANSWERED_500)
    offered(only_phone())
    message = Message.objects.get()
    for _ in range(2):  # handed over, then asked about once
        delivery.send(message.pk)
        clock.shift(timedelta(seconds=2))
    assert (carrier.sends, carrier.asked, called()) == (1, 1, 0)


def test_an_offer_that_went_by_e_mail_too_is_no_call(carrier: Carrier, clock: Any) -> None:
    carrier.goes_down(ANSWERED_500)
    patient = factories.patient(phone="+12125550150", email="robin@example.org")
    offered(patient)
    began = timezone.now()
    seconds_until(clock, lambda: timezone.now() > began + timedelta(seconds=120))
    assert CarrierState.objects.get(channel="sms").down_since is not None
    assert ([(channel, status) for channel, _, status in told(patient)], called()) == (
        [("sms", Status.UNKNOWN), ("email", Status.SENT)],
        0,
    )


def test_news_nobody_can_ask_about_is_a_call_after_as_long_as_all_tries_take(
    carrier: Carrier, clock: Any, settings: Any
) -> None:
    settings.MESSAGE_RETRY_SECONDS = [5, 30, 60]
    carrier.goes_down(ANSWERED_500)
    message_to(only_phone().contact_points.get())
    message_to(only_phone(1).contact_points.get(), kind=Kind.FILLED)

    def is_asked() -> bool:
        return WorkItem.objects.filter(kind="message.dead").count() == 1

    assert 95 <= seconds_until(clock, is_asked) <= 120
    assert sorted(Message.objects.values_list("kind", "status")) == [("confirmed", "dead"), ("filled", "unknown")]


def test_a_message_that_is_taken_in_between_begins_the_count_anew(carrier: Carrier, clock: Any) -> None:
    carrier.goes_down(REFUSED_CONNECTION)
    offered(only_phone())
    seconds_until(clock, lambda: carrier.sends == 3)
    carrier.works_again()
    seconds_until(clock, lambda: len(carrier.taken) == 1)
    state = CarrierState.objects.get(channel="sms")
    assert (state.failures, state.failing_since, state.message_failed_at) == (0, None, None)
    carrier.goes_down(REFUSED_CONNECTION)
    offered(only_phone(1))
    seconds_until(clock, lambda: carrier.sends == 5)
    assert called() == 0


@pytest.mark.parametrize("fault", [CarrierDown("twilio_503"), ANSWERED_500])
def test_lists_that_it_gives_us_do_not_hide_that_it_takes_no_message(
    carrier: Carrier, clock: Any, fault: MessagingError
) -> None:
    catch_up.fetch_missed()
    carrier.on_send = fault
    offered(only_phone())

    def are_called(number: int) -> bool:
        CarrierState.objects.update(inbound_due_at=timezone.now())
        catch_up.fetch_missed()
        return called() == number

    # Whether a text that was answered by an error is there is asked first, for as long as it may take to be listed.
    is_asked_about = fault is ANSWERED_500
    assert seconds_until(clock, lambda: are_called(1)) <= (110 if is_asked_about else 65)
    offered(only_phone(1))
    assert seconds_until(clock, lambda: are_called(2)) <= (30 if is_asked_about else 6)
    state = CarrierState.objects.get(channel="sms")
    assert (carrier_line(state, timezone.now()).word, state.down_since is not None) == ("not going out", True)


def test_a_message_found_with_it_shows_that_messages_leave(carrier: Carrier, clock: Any) -> None:
    carrier.on_send = ANSWERED_500
    offered(only_phone())
    seconds_until(clock, lambda: carrier.sends == 1)
    carrier.taken.append(delivery.reference_of(Message.objects.get()))
    seconds_until(clock, lambda: Message.objects.get().status == Status.SENT)
    state = CarrierState.objects.get(channel="sms")
    assert (state.failures, state.failing_since, state.message_failed_at) == (0, None, None)


def test_without_a_message_to_try_its_lists_are_taken_for_its_word_after_five_minutes(
    carrier: Carrier, clock: Any
) -> None:
    catch_up.fetch_missed()
    carrier.on_send = CarrierDown("twilio_503")
    offered(only_phone())
    seconds_until(clock, lambda: called() == 1)
    CarrierState.objects.update(inbound_due_at=timezone.now(), probe_at=timezone.now() + timedelta(seconds=20))
    catch_up.fetch_missed()
    assert CarrierState.objects.get().probe_at == timezone.now(), "it is there: the next message finds out at once"
    downs = []
    for minutes in (2, 2, 2):
        clock.shift(timedelta(minutes=minutes))
        assert catch_up.fetch_missed() == 0
        state = CarrierState.objects.get(channel="sms")
        downs.append((state.down_since is None, state.failing_since is None))
    assert downs == [(False, False), (False, False), (True, True)]


def test_lists_that_failed_are_over_with_one_that_it_gives_us(carrier: Carrier, clock: Any) -> None:
    catch_up.fetch_missed()
    for on_list, is_failing in ((REFUSED_CONNECTION, True), (None, False)):
        carrier.on_list = on_list
        CarrierState.objects.update(inbound_due_at=timezone.now())
        catch_up.fetch_missed()
        assert (CarrierState.objects.get().failing_since is not None) is is_failing


def test_two_calls_that_failed_are_no_outage_however_long_ago_the_first_was(carrier: Carrier, clock: Any) -> None:
    CarrierState.objects.create(channel="sms", failing_since=timezone.now() - timedelta(hours=1), failures=1)
    carrier.goes_down(REFUSED_CONNECTION)
    for number, is_down in ((0, False), (1, True)):
        delivery.send(message_to(only_phone(number).contact_points.get(), kind=Kind.ANSWER).pk)
        assert (CarrierState.objects.get().down_since is not None) is is_down


def test_what_it_held_up_leaves_at_once_when_it_works_again(carrier: Carrier, clock: Any) -> None:
    now = timezone.now()
    CarrierState.objects.create(channel="sms", failures=5, failing_since=now, down_since=now, probe_at=now)
    held = message_to(only_phone().contact_points.get(), due_at=now + timedelta(seconds=19), error_code="no_connection")
    message_to(only_phone(2).contact_points.get(), due_at=now + timedelta(hours=1))  # its time has not come
    delivery.send(message_to(only_phone(1).contact_points.get(), kind=Kind.ANSWER).pk)
    assert (len(carrier.taken), delivery.due()) == (1, [held.pk])


@pytest.mark.parametrize("answer", [AddressUnusable("twilio_21211"), CarrierBusy("twilio_20429")])
def test_whatever_it_answers_it_is_not_down(carrier: Carrier, clock: Any, answer: MessagingError) -> None:
    carrier.goes_down(REFUSED_CONNECTION)
    message_to(only_phone().contact_points.get(), kind=Kind.ANSWER)
    seconds_until(clock, lambda: CarrierState.objects.filter(down_since__isnull=False).exists())
    carrier.on_send = answer
    sends = carrier.sends
    seconds_until(clock, lambda: carrier.sends > sends)
    state = CarrierState.objects.get(channel="sms")
    # A carrier that goes on asking for patience fails us in its own way, which is counted from its beginning.
    assert (state.down_since, state.failing_since is None) == (None, isinstance(answer, AddressUnusable))


@pytest.mark.parametrize("fault", [REFUSED_CONNECTION, ANSWERED_500])
def test_one_call_in_twenty_seconds_finds_out(carrier: Carrier, clock: Any, fault: MessagingError) -> None:
    """Also where it is to be asked about what may have arrived."""
    carrier.goes_down(fault)
    for number in range(3):
        message_to(only_phone(number).contact_points.get(), kind=Kind.ANSWER)
    seconds_until(clock, lambda: CarrierState.objects.filter(down_since__isnull=False).exists())
    before, began = carrier.sends + carrier.asked, timezone.now()
    since = CarrierState.objects.get(channel="sms").down_since
    seconds_until(clock, lambda: timezone.now() >= began + timedelta(seconds=80))
    assert carrier.sends + carrier.asked - before == 4
    assert CarrierState.objects.get(channel="sms").down_since == since
