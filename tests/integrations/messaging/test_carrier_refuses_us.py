"""An account that the carrier does not accept: known at once, another way at once, and over by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from config.desk import lines
from integrations import health
from integrations.messaging import catch_up, delivery, failures, refusal
from integrations.models import CarrierState
from scheduling.models import ContactPoint, WorkItem
from tests import factories
from tests.integrations.conftest import open_items
from tests.integrations.messaging.conftest import TOKEN, CarrierClient
from tests.integrations.messaging.test_delivery_fallback import FIRST, offered, send_all, told
from tests.integrations.messaging.test_delivery_once import lapse, message_to
from waitlist.models import Message

pytestmark = pytest.mark.django_db

Status, Kind = Message.Status, Message.Kind
MAIL = "robin@example.org"


@pytest.fixture(autouse=True)
def _mail_here(settings: Any) -> None:
    settings.EMAIL_CHANNEL = "console"


def only_phone(number: str = FIRST) -> ContactPoint:
    return factories.patient(phone=number, email=None).contact_points.get()


def refused() -> CarrierState:
    return CarrierState.objects.get(channel="sms")


def minute_passes() -> None:
    CarrierState.objects.update(probe_at=timezone.now() - timedelta(seconds=1))
    for message in Message.objects.filter(status=Status.WAITING):
        lapse(message)


def test_what_is_refused_and_what_is_queued_behind_it_goes_by_e_mail_at_once(carrier: CarrierClient) -> None:
    patients = [factories.patient(phone=f"+121255501{each}", email=f"p{each}@example.org") for each in (21, 22, 23)]
    phones = [patient.contact_points.get(system="phone") for patient in patients]
    carrier.fail(20003, count=9)
    for phone in phones:
        message_to(phone)
    send_all()
    for patient in patients:
        assert [(channel, status) for channel, _, status in told(patient)] == [
            ("sms", Status.FAILED),
            ("email", Status.SENT),
        ]
    assert set(Message.objects.filter(channel="sms").values_list("error_code", flat=True)) == {"twilio_20003"}
    assert list(Message.objects.filter(channel="sms").order_by("pk").values_list("attempts", flat=True)) == [1, 0, 0]
    [item] = WorkItem.objects.all()
    assert (item.kind, item.urgency, item.patient) == ("health.carrier", WorkItem.Urgency.RED, None)
    assert "our texts" in item.title
    assert "our e-mails" in refusal.trouble("email").title
    assert lines.carrier_line(refused(), timezone.now()).word == "refused"
    assert "health.carrier:sms" in health.watch()
    assert open_items() == ["health.carrier"], "until it is over"


def test_an_offer_without_another_way_is_made_on_the_phone_in_the_same_wave(carrier: CarrierClient) -> None:
    patient = only_phone().patient
    carrier.fail(20003)
    offer = offered(patient)
    send_all()
    assert told(patient) == [("sms", FIRST, Status.FAILED)]
    call = WorkItem.objects.get(kind="offer.call")
    assert (call.subject_id, call.due_at) == (offer.pk, offer.expires_at)
    assert call.advice.startswith("The carrier takes no messages of ours just now")


def test_what_only_a_text_can_say_waits_and_leaves_when_the_account_works_again(carrier: CarrierClient) -> None:
    phone = only_phone()
    carrier.fail(20005, count=2)
    answer = message_to(phone, kind=Kind.ANSWER, dedupe_key="answer")
    help_ = message_to(phone, kind=Kind.HELP, dedupe_key="help")
    send_all()
    for _ in range(9):  # more often than tries are allowed
        minute_passes()
        Message.objects.filter(pk=answer.pk).update(due_at=timezone.now())
        CarrierState.objects.update(probe_at=timezone.now() + timedelta(seconds=30))
        delivery.send(answer.pk)
    answer.refresh_from_db()
    assert (answer.status, answer.error_code) == (Status.WAITING, "twilio_20005")
    minute_passes()
    since = refused().refused_since
    delivery.send(answer.pk)
    state = refused()
    assert state.refused_since == since is not None, "refused a second time"
    assert WorkItem.objects.get().times_seen == 1
    assert state.probe_at is not None
    assert timedelta(seconds=55) < state.probe_at - timezone.now() <= timedelta(seconds=60)
    minute_passes()
    Message.objects.filter(pk=help_.pk).update(due_at=timezone.now() + timedelta(seconds=50))
    delivery.send(answer.pk)
    assert delivery.due() == [help_.pk], "the others need not wait for their minute"
    send_all()
    assert [text["to"] for text in carrier.messages()] == [FIRST, FIRST]
    assert (refused().refused_since, refused().probe_at) == (None, None)
    health.watch()
    assert open_items() == []


def test_one_message_a_minute_is_tried_all_the_same(carrier: CarrierClient) -> None:
    first, second = message_to(only_phone()), message_to(only_phone("+12125550113"))
    carrier.fail(20003)
    delivery.send(first.pk)
    delivery.send(second.pk)
    assert carrier.messages() == [], "the account works, but nobody has asked yet"
    minute_passes()
    delivery.send(second.pk)
    assert [text["to"] for text in carrier.messages()] == ["+12125550113"]


def test_what_was_not_tried_is_taken_up_when_the_carrier_is_tried_again_and_not_before(carrier: CarrierClient) -> None:
    CarrierState.objects.create(channel="sms", failing_since=timezone.now() - timedelta(seconds=30))
    message = message_to(only_phone(), kind=Kind.CONFIRMED)
    carrier.fail(20003)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert timedelta(seconds=3) < message.due_at - timezone.now() <= timedelta(seconds=5), "it was tried: as ever"
    now = timezone.now()
    other = message_to(only_phone("+12125550113"), due_at=now)
    Message.objects.update(due_at=now)
    delivery.send(message.pk)
    message.refresh_from_db()
    other.refresh_from_db()
    assert (message.attempts, message.due_at) == (2, refused().probe_at)
    assert (other.attempts, other.due_at) == (0, now)


def test_news_that_must_be_heard_and_has_no_other_way_is_a_call_after_all_tries(carrier: CarrierClient) -> None:
    message = message_to(only_phone(), kind=Kind.CONFIRMED)
    carrier.fail(20003, count=9)
    for _ in range(5):
        delivery.send(message.pk)
        lapse(message, 700)
    message.refresh_from_db()
    assert message.status == Status.FAILED
    assert sorted(open_items()) == ["health.carrier", "message.call"]


def test_what_another_worker_has_sent_meanwhile_is_not_sent_round_as_well(carrier: CarrierClient) -> None:
    patient = factories.patient(phone=FIRST, email=MAIL)
    message = message_to(patient.contact_points.get(system="phone"))
    Message.objects.update(status=Status.SENT)  # by the one that was tried
    assert failures.go_round(message, "twilio_20003")
    assert told(patient) == [("sms", FIRST, Status.SENT)]


def test_an_answer_of_staff_is_theirs_to_give_on_the_phone_at_once(carrier: CarrierClient) -> None:
    message = message_to(only_phone(), kind=Kind.STAFF)
    carrier.fail(20003)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.FAILED
    assert sorted(open_items()) == ["health.carrier", "message.call"]


@pytest.mark.parametrize(("kind", "minutes"), [(Kind.STOP_RECEIPT, 6), (Kind.ANSWER, 24 * 60 + 1)])
def test_an_answer_that_came_too_late_is_not_kept(carrier: CarrierClient, kind: str, minutes: int) -> None:
    message = message_to(only_phone(), kind=kind, attempts=4)
    Message.objects.update(created_at=timezone.now() - timedelta(minutes=minutes))
    carrier.fail("503")
    delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.FAILED


def test_an_answer_waits_for_a_carrier_that_is_down_too(carrier: CarrierClient) -> None:
    message = message_to(only_phone(), kind=Kind.ANSWER, attempts=4)
    carrier.fail("503")
    delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.attempts) == (Status.WAITING, 4)


def test_a_carrier_that_is_busy_for_as_long_as_all_tries_take_is_gone_round(carrier: CarrierClient) -> None:
    patient = factories.patient(phone=FIRST, email=MAIL)
    CarrierState.objects.create(channel="sms", failing_since=timezone.now() - timedelta(minutes=13))
    carrier.fail("429")
    message_to(patient.contact_points.get(system="phone"))
    send_all()
    assert told(patient) == [("sms", FIRST, Status.FAILED), ("email", MAIL, Status.SENT)]


def test_the_list_that_is_refused_is_known_before_any_message_and_its_return_ends_it(
    carrier: CarrierClient, settings: Any
) -> None:
    """With a changed password nobody waits for the first offer to find out."""
    catch_up.fetch_missed()
    CarrierState.objects.update(inbound_due_at=None)
    settings.SMS_TOKEN = "of yesterday"
    catch_up.fetch_missed()
    assert refused().refused_since is not None
    assert open_items() == ["health.carrier"]
    settings.SMS_TOKEN = TOKEN
    CarrierState.objects.update(inbound_due_at=None)
    catch_up.fetch_missed()
    assert (refused().refused_since, refused().lists_refused) == (None, False)


def test_a_list_says_nothing_of_a_number_that_is_refused_until_nothing_was_tried_for_long(
    carrier: CarrierClient,
) -> None:
    catch_up.fetch_missed()
    carrier.fail(21606)
    delivery.send(message_to(only_phone()).pk)
    CarrierState.objects.update(inbound_due_at=None)
    catch_up.fetch_missed()
    assert refused().refused_since is not None
    assert refused().last_error == "twilio_21606"
    CarrierState.objects.update(inbound_due_at=None, probe_at=timezone.now() - timedelta(minutes=31))
    catch_up.fetch_missed()
    assert refused().refused_since is None
