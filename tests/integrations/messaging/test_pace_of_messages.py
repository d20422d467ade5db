"""The carrier's rate is kept by all workers together, no address is written to too often, and answers go first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone

from integrations.draining import drain
from integrations.messaging import delivery, pace
from integrations.messaging.gateway import Outgoing
from integrations.messaging.twilio.transport import TwilioCarrier
from integrations.models import CarrierState, SendingLimit
from scheduling.models import ContactPoint, Patient
from tests import factories
from tests.integrations.messaging.conftest import CarrierClient
from tests.integrations.messaging.test_delivery_once import message_to
from tests.race import right_after, right_before, together
from waitlist import replies
from waitlist.models import Message, Reply

pytestmark = pytest.mark.django_db(transaction=True)

Status, Kind = Message.Status, Message.Kind


@pytest.fixture
def phone() -> ContactPoint:
    return factories.patient(email=None).contact_points.get()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A clock that stands still but for the sleeping of who waits for a turn."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        monkeypatch.setattr(delivery.time, "sleep", traveller.shift)
        yield traveller


def offers(phone: ContactPoint, number: int, **fields: Any) -> list[Message]:
    """Texts that we start, as many, each to a number of its own; the hour of the day does not hold them up."""
    return [
        message_to(
            phone,
            kind=Kind.OFFER,
            dedupe_key=f"offer:{each}",
            address=f"+1212555{each:04}",
            address_index=f"{each:064}",
            **fields,
        )
        for each in range(number)
    ]


@pytest.fixture
def agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody agreed to texts: what is tested is when they leave."""
    monkeypatch.setattr(delivery.messages, "may_send", lambda message, now: delivery.messages.Decision("send"))


def test_turns_lie_evenly_under_the_rate_and_are_taken_once(carrier: CarrierClient, phone: ContactPoint) -> None:
    SendingLimit.objects.create(channel="sms", per_second=10)
    with time_machine.travel(timezone.now(), tick=False):
        first, second, third, fourth, *_, last = offers(phone, 7)
        now, step = timezone.now(), timedelta(microseconds=111_112)
        turns = [pace.take_turn(each) for each in (first, second, third, fourth)]
        assert turns == [now, now + step, now + 2 * step, now + 3 * step]
        assert pace.take_turn(last) is None, "nearly half a second away: this worker does something else"
        assert delivery.due() == []
        assert delivery.due(now + timedelta(milliseconds=100)) == [4 + first.pk, 5 + first.pk, 6 + first.pk]
        # Another worker that had listed the same message finds it taken, and uses up no turn.
        CarrierState.objects.update(next_at=now)
        assert pace.take_turn(Message.objects.get(pk=last.pk)) == now
        assert pace.take_turn(Message(pk=last.pk, channel="sms", due_at=now)) is None
        assert CarrierState.objects.get().next_at == now + timedelta(microseconds=111_112)


@pytest.mark.parametrize(
    ("body", "segments"),
    [("x" * 160, 1), ("x" * 161, 2), ("x" * 307, 3), ("á" + "x" * 70, 2), ("€" * 80, 1)],
    ids=["one", "two", "three", "accent", "two units each"],
)
def test_a_long_text_takes_the_time_of_as_many_as_the_carrier_counts(
    carrier: CarrierClient, phone: ContactPoint, body: str, segments: int
) -> None:
    SendingLimit.objects.create(channel="sms", per_second=10)
    with time_machine.travel(timezone.now(), tick=False):
        long, short = offers(phone, 2, body=body)
        turns = [pace.take_turn(long), pace.take_turn(short)]
        assert turns == [timezone.now(), timezone.now() + segments * timedelta(microseconds=111_112)]
    TwilioCarrier().send(Outgoing(reference="1-a", channel="sms", address=phone.value, body=body))
    assert carrier.messages()[0]["num_segments"] == str(segments), "the carrier counts the same"


def test_an_e_mail_is_one_message_however_long(phone: ContactPoint) -> None:
    SendingLimit.objects.create(channel="email", per_second=10)
    CarrierState.objects.create(channel="sms", next_at=timezone.now() + timedelta(hours=1))
    with time_machine.travel(timezone.now(), tick=False):
        assert pace.out_of_turn(pace.limits(), timezone.now()) == []
        texts = CarrierState.objects.get(channel="sms").next_at
        first, second = offers(phone, 2, channel="email", body="x" * 1000)
        pace.take_turn(first)
        assert pace.take_turn(second) == timezone.now() + timedelta(microseconds=111_112)
        assert CarrierState.objects.get(channel="sms").next_at == texts, "texts have turns of their own"


@pytest.mark.parametrize(
    ("sender", "rate"), [("+12125550100", 1), ("+18885550100", 3), ("+18005550100", 3), ("55501", 100), ("555010", 100)]
)
def test_until_a_rate_is_entered_twilio_gets_what_it_is_known_to_take(
    settings: Any, db: None, sender: str, rate: int
) -> None:
    settings.SMS_CHANNEL, settings.SMS_FROM, settings.SMS_BASE_URL = "twilio", sender, "https://api.twilio.com"
    assert {channel: limit.per_second for channel, limit in pace.limits().items()} == {"sms": rate, "email": None}
    SendingLimit.objects.create(channel="sms", per_second=20)
    assert pace.limits()["sms"].per_second == 20
    SendingLimit.objects.update(per_second=None)
    assert pace.limits()["sms"].per_second is None


def test_the_rate_of_an_ordinary_number_is_kept_though_nobody_entered_it(
    settings: Any, phone: ContactPoint, agreed: None
) -> None:
    settings.SMS_CHANNEL, settings.SMS_FROM, settings.SMS_BASE_URL = "twilio", "+12125550100", "https://api.twilio.com"
    with time_machine.travel(timezone.now(), tick=False):
        first, second, *_ = offers(phone, 6)
        now = timezone.now()
        assert len(delivery.due()) == 4, "few at once, so that an answer need not wait for many"
        assert [pace.take_turn(first), pace.take_turn(second)] == [now, now + timedelta(microseconds=1_111_112)]


@pytest.mark.parametrize(
    ("channel", "address"), [("console", "https://api.twilio.com"), ("twilio", "http://127.0.0.1:9")]
)
def test_the_demo_and_a_stand_in_are_not_slowed(settings: Any, db: None, channel: str, address: str) -> None:
    settings.SMS_CHANNEL, settings.SMS_BASE_URL = channel, address
    assert [limit.per_second for limit in pace.limits().values()] == [None, None]


def test_what_a_patient_waits_for_goes_first_and_offers_in_the_order_of_their_rank(
    carrier: CarrierClient, phone: ContactPoint
) -> None:
    SendingLimit.objects.create(channel="sms", per_second=3)
    earlier = timezone.now() - timedelta(seconds=30)
    first, second, third, fourth, fifth = (each.pk for each in offers(phone, 5, initiated=True, due_at=earlier))
    over = message_to(phone, kind=Kind.FILLED, initiated=True, dedupe_key="over").pk
    confirmed = message_to(phone, kind=Kind.CONFIRMED, dedupe_key="confirmed").pk
    assert delivery.due() == [confirmed, over, first, second], "few at once, so that an answer need not wait for many"
    SendingLimit.objects.update(per_second=None)
    assert delivery.due() == [confirmed, over, first, second, third, fourth, fifth]


def test_e_mails_do_not_wait_for_the_turn_of_a_text(carrier: CarrierClient, phone: ContactPoint) -> None:
    SendingLimit.objects.create(channel="sms", per_second=1)
    CarrierState.objects.create(channel="sms", next_at=timezone.now() + timedelta(minutes=1))
    message_to(phone)
    mail = message_to(factories.patient(phone=None, email="").contact_points.get())
    assert delivery.due() == [mail.pk]


def test_one_number_gets_so_many_a_minute_and_an_hour(carrier: CarrierClient, phone: ContactPoint, clock: Any) -> None:
    SendingLimit.objects.create(channel="sms", per_address_minute=2, per_address_hour=4)
    began = timezone.now()
    rows = [message_to(phone, kind=Kind.ANSWER, dedupe_key=str(each)) for each in range(4)]
    receipt = message_to(phone, kind=Kind.STOP_RECEIPT, dedupe_key="receipt")
    urgent = message_to(phone, kind=Kind.URGENT, dedupe_key="urgent")
    other = message_to(factories.patient(email=None).contact_points.get())
    assert delivery.due()[0] == urgent.pk, "before all others"
    for message_id in [*delivery.due()[1:], urgent.pk]:
        delivery.send(message_id)
    sent = set(Message.objects.filter(status=Status.SENT).values_list("pk", flat=True))
    assert sent == {rows[0].pk, rows[1].pk, receipt.pk, urgent.pk, other.pk}
    rows[2].refresh_from_db()
    assert (rows[2].due_at, rows[2].attempts) == (began + timedelta(minutes=1), 0)
    clock.shift(61)
    for message_id in delivery.due():
        delivery.send(message_id)
    rows[3].refresh_from_db()
    assert rows[3].status == Status.WAITING
    assert rows[3].due_at == began + timedelta(hours=1)
    assert len(carrier.messages(phone.value)) == 4


def test_workers_together_do_not_exceed_what_one_number_gets(carrier: CarrierClient, phone: ContactPoint) -> None:
    SendingLimit.objects.create(channel="sms", per_address_minute=2)
    rows = [message_to(phone, kind=Kind.ANSWER, dedupe_key=str(each)) for each in range(6)]
    together(6, lambda index: delivery.send(rows[index].pk))
    assert len(carrier.messages(phone.value)) == 2


def test_stop_while_its_text_waits_for_a_turn_keeps_it_from_being_sent(
    carrier: CarrierClient, phone: ContactPoint, clock: Any
) -> None:
    SendingLimit.objects.create(channel="sms", per_second=10)
    message = message_to(phone, kind=Kind.FILLED)
    CarrierState.objects.create(channel="sms", next_at=timezone.now() + timedelta(milliseconds=100))

    def stop() -> None:
        replies.receive("sms", "SM-stop", phone.value, "STOP", 0)
        replies.drain()

    with right_after("integrations.messaging.pace.take_turn", stop):
        delivery.send(message.pk)
    message.refresh_from_db()
    assert Reply.objects.get().outcome == Reply.Outcome.OPTED_OUT
    assert (message.status, message.error_code) == (Status.SUPPRESSED, "opted_out")
    assert carrier.messages() == []


def test_what_became_true_while_its_text_waited_for_a_turn_counts(
    carrier: CarrierClient, phone: ContactPoint, clock: Any
) -> None:
    SendingLimit.objects.create(channel="sms", per_second=10)
    message = message_to(phone, kind=Kind.FILLED)
    CarrierState.objects.create(channel="sms", next_at=timezone.now() + timedelta(milliseconds=100))

    def die() -> None:
        Patient.objects.filter(pk=phone.patient_id).update(deceased=True)

    with right_after("integrations.messaging.pace.take_turn", die):
        delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.error_code) == (Status.SUPPRESSED, "deceased")
    assert carrier.messages() == []


@pytest.mark.parametrize(
    ("race", "moment"),
    [
        (right_after, "integrations.messaging.pace.take_turn"),
        (right_before, "integrations.messaging.pace.address_free_at"),
    ],
)
def test_a_text_that_is_put_off_at_the_last_moment_does_not_leave(
    carrier: CarrierClient, phone: ContactPoint, clock: Any, race: Any, moment: str
) -> None:
    SendingLimit.objects.create(channel="sms", per_second=10)
    message = message_to(phone, kind=Kind.FILLED)
    CarrierState.objects.create(channel="sms", next_at=timezone.now() + timedelta(milliseconds=100))
    later = timezone.now() + timedelta(hours=1)
    with race(moment, lambda: Message.objects.update(due_at=later)):
        assert not delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.due_at) == (Status.WAITING, later)
    assert carrier.messages() == []


def test_quiet_hours_that_begin_while_a_wave_is_going_out_keep_the_rest_in_each_patients_own_zone(
    carrier: CarrierClient, clock: Any
) -> None:
    clock.move_to(datetime(2026, 3, 3, 19, 59, 59, tzinfo=ZoneInfo(factories.NEW_YORK)))
    SendingLimit.objects.create(channel="sms", per_second=1)
    zones = (factories.NEW_YORK, factories.NEW_YORK, factories.LOS_ANGELES)
    phones = [factories.patient(email=None, time_zone=zone).contact_points.get() for zone in zones]
    wave = [message_to(each, kind=Kind.FILLED, initiated=True) for each in phones]
    for message in wave:
        delivery.send(message.pk)
    left, kept, west = Message.objects.order_by("pk")
    assert [each["to"] for each in carrier.messages()] == [left.address, west.address]
    morning = datetime(2026, 3, 4, 8, tzinfo=ZoneInfo(factories.NEW_YORK))
    assert (kept.status, kept.due_at) == (Status.WAITING, morning)
    assert delivery.due(morning - timedelta(seconds=1)) == []
    clock.move_to(morning)
    assert delivery.send(kept.pk)
    assert carrier.messages()[-1]["to"] == kept.address


TEXTS, RATE, WORKERS = 36, 30, 4


def test_many_offers_in_one_go_leave_under_the_carriers_rate(
    carrier: CarrierClient, phone: ContactPoint, agreed: None
) -> None:
    """None lost, none twice, none over the rate, while an answer that comes meanwhile overtakes them.

    Some are of two segments, as an accent or a long name makes them. A worker that the machine stops between its turn
    and its call may meet the next one's text; the carrier's refusal costs that text a try and nothing else.
    """
    SendingLimit.objects.create(channel="sms", per_second=RATE)
    carrier.allow(RATE)
    rows = offers(phone, TEXTS, initiated=True)
    Message.objects.filter(pk__in=[row.pk for row in rows[::3]]).update(body="x" * 200)
    pause = threading.Event()

    def work(index: int) -> None:
        if index == 0:
            while len(carrier.messages()) < TEXTS // 4:
                pause.wait(0.05)
            message_to(phone, kind=Kind.CONFIRMED, dedupe_key="confirmed")
            return
        while Message.objects.filter(status__in=(Status.WAITING, Status.SENDING)).exists():
            drain("messages", delivery.due, delivery.send)
            pause.wait(0.05)

    together(WORKERS + 1, work)
    taken = carrier.messages()
    assert carrier.too_fast() <= TEXTS // 12
    assert sorted(each["to"] for each in taken) == sorted([*(row.address for row in rows), phone.value])
    assert set(Message.objects.values_list("status", flat=True)) == {Status.SENT}
    assert taken.index(carrier.messages(phone.value)[0]) < TEXTS // 2
