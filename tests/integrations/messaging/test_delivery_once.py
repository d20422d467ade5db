"""A message reaches its carrier once, whatever happens to answers and workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import time_machine
from django.utils import timezone

from config.desk import lines
from integrations.messaging import delivery, reports
from integrations.messaging.email.transport import EmailCarrier
from integrations.messaging.gateway import CarrierBusy, CarrierDown, DeliveryReport, MessagingError
from integrations.messaging.twilio.transport import TwilioCarrier
from integrations.models import ApiCall, CarrierState
from scheduling.models import ContactPoint, TimelineEntry, WorkItem
from tests import factories
from tests.integrations.messaging.conftest import CarrierClient
from tests.race import right_after, right_before
from waitlist import consent
from waitlist.models import Channel, ConsentRecord, Message

pytestmark = pytest.mark.django_db

Status = Message.Status


def message_to(contact: ContactPoint, **fields: Any) -> Message:
    """An answer to the patient, so that no hour of the day holds it up."""
    now = timezone.now()
    return Message.objects.create(
        **{
            "kind": Message.Kind.CONFIRMED,
            "channel": consent.channel_of(contact),
            "initiated": False,
            "patient": contact.patient,
            "contact_point": contact,
            "address": contact.value,
            "address_index": contact.address_index,
            "body": "Elm Street Clinic: confirmed: Tue Mar 3, 2:30 PM. Reference 4711.",
            "dedupe_key": f"test:{contact.pk}",
            "due_at": now,
            **fields,
        }
    )


@pytest.fixture
def phone() -> ContactPoint:
    return factories.patient(email=None).contact_points.get()


def lapse(message: Message, seconds: float = 60) -> None:
    """Let time pass for the message: what falls due within ``seconds`` is due now."""
    past = timedelta(seconds=seconds)
    message.refresh_from_db()
    Message.objects.filter(pk=message.pk).update(
        due_at=message.due_at - past, lease_until=message.lease_until - past if message.lease_until else None
    )


def test_handed_over_once(carrier: CarrierClient, phone: ContactPoint) -> None:
    message = message_to(phone)
    assert delivery.due() == [message.pk]
    assert delivery.send(message.pk)
    assert not delivery.send(message.pk)
    message.refresh_from_db()
    [taken] = carrier.messages()
    assert (message.status, message.carrier_id, message.attempts) == (Status.SENT, taken["sid"], 1)
    assert taken["body"] == message.body
    assert delivery.due() == []
    call = ApiCall.objects.get()
    assert (call.system, call.method, call.resource, call.result) == ("sms", "SEND", f"message/{message.pk}", "ok")


def test_what_was_tried_as_often_as_it_may_be_is_given_up_and_not_sent_once_more(
    carrier: CarrierClient, phone: ContactPoint, settings: Any
) -> None:
    message = message_to(phone, attempts=len(settings.MESSAGE_RETRY_SECONDS) + 1)
    assert delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.error_code, carrier.messages()) == (Status.FAILED, "tries_used_up", [])


def test_another_worker_has_it(carrier: CarrierClient, phone: ContactPoint) -> None:
    message = message_to(phone, status=Status.SENDING, lease_until=timezone.now() + timedelta(seconds=5), attempts=1)
    assert not delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.SENDING
    assert carrier.messages() == []


@pytest.mark.parametrize("fault", ["lost", "lost_500", "garbled"])
def test_taken_and_the_answer_lost_is_asked_not_sent_again(
    carrier: CarrierClient, phone: ContactPoint, fault: str
) -> None:
    carrier.fail(fault)
    message = message_to(phone)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.UNKNOWN
    lapse(message, 2)
    delivery.send(message.pk)
    message.refresh_from_db()
    [taken] = carrier.messages()
    assert (message.status, message.carrier_id) == (Status.SENT, taken["sid"])


def test_not_taken_is_sent_again_only_when_absence_is_proven(carrier: CarrierClient, phone: ContactPoint) -> None:
    carrier.fail("500")
    message = message_to(phone)
    delivery.send(message.pk)
    lapse(message, 2)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.UNKNOWN, "the carrier may still be at it"
    assert message.due_at > timezone.now()
    lapse(message, 60)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.WAITING
    assert carrier.messages() == []
    delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.SENT
    assert len(carrier.messages()) == 1


def test_a_carrier_that_cannot_say_what_it_has_proves_no_absence(carrier: CarrierClient, phone: ContactPoint) -> None:
    carrier.fail("lost")
    message = message_to(phone)
    delivery.send(message.pk)
    lapse(message, 60)  # long enough to believe an answer that it does not have it
    with mock.patch.object(TwilioCarrier, "find", side_effect=CarrierDown) as asked:
        assert delivery.send(message.pk)
    message.refresh_from_db()
    assert message.lease_until is not None
    assert asked.call_args.kwargs["sent_after"] == message.lease_until - delivery.LEASE
    assert (message.status, len(carrier.messages())) == (Status.UNKNOWN, 1)
    lapse(message, 60)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, len(carrier.messages())) == (Status.SENT, 1)


def test_two_workers_at_once_ask_once(carrier: CarrierClient, phone: ContactPoint) -> None:
    carrier.fail("lost")
    message = message_to(phone)
    delivery.send(message.pk)
    lapse(message, 2)
    with right_before("integrations.messaging.delivery.carrier_for", lambda: delivery.send(message.pk)):
        assert not delivery.send(message.pk)
    assert ApiCall.objects.filter(method="FIND").count() == 1


def test_another_text_in_the_same_words_is_not_taken_for_the_one_that_was_lost(
    carrier: CarrierClient, phone: ContactPoint
) -> None:
    delivery.send(message_to(phone, dedupe_key="one").pk)
    carrier.fail("500")
    lost = message_to(phone, dedupe_key="two")
    delivery.send(lost.pk)
    lapse(lost, 2)
    delivery.send(lost.pk)
    lost.refresh_from_db()
    assert (lost.status, lost.carrier_id, len(carrier.messages())) == (Status.UNKNOWN, "", 1)


def test_an_error_that_says_nothing_of_its_effect_leaves_it_unknown(phone: ContactPoint, settings: Any) -> None:
    settings.SMS_CHANNEL, settings.INSTALLATION = "twilio", "live"
    message = message_to(phone)
    with mock.patch.object(TwilioCarrier, "send", side_effect=MessagingError("new_here")):
        delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.error_code) == (Status.UNKNOWN, "new_here")


def test_a_hand_over_over_which_our_own_code_stumbled_is_asked_about_and_not_repeated(
    carrier: CarrierClient, phone: ContactPoint
) -> None:
    message = message_to(phone)
    with mock.patch.object(TwilioCarrier, "send", side_effect=ValueError):
        delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.UNKNOWN, "it may have been taken"
    Message.objects.update(due_at=timezone.now())
    assert delivery.send(message.pk)
    assert [call.method for call in ApiCall.objects.order_by("pk")] == ["SEND", "FIND"]


def test_worker_died_after_the_carrier_took_it(carrier: CarrierClient, phone: ContactPoint) -> None:
    message = message_to(phone)
    delivery.send(message.pk)
    lease = timezone.now() - timedelta(seconds=1)
    Message.objects.filter(pk=message.pk).update(
        status=Status.SENDING, carrier_id="", sent_at=None, lease_until=lease, due_at=lease
    )
    assert delivery.due() == [message.pk]
    delivery.send(message.pk)
    message.refresh_from_db()
    [taken] = carrier.messages()
    assert (message.status, message.carrier_id) == (Status.SENT, taken["sid"])


def test_what_was_put_off_at_the_last_moment_is_not_handed_over(carrier: CarrierClient, phone: ContactPoint) -> None:
    message = message_to(phone)

    def put_off() -> None:
        Message.objects.update(due_at=timezone.now() + timedelta(hours=1))

    with right_after("integrations.messaging.pace.address_free_at", put_off):
        assert not delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.attempts) == (Status.WAITING, 0)
    assert carrier.messages() == []


def test_report_before_the_answer_settles_it(carrier: CarrierClient, phone: ContactPoint) -> None:
    carrier.fail("lost")
    message_to(factories.patient(email=None).contact_points.get())  # another one, not sent yet
    message = message_to(phone)
    delivery.send(message.pk)
    [taken] = carrier.messages()
    report = DeliveryReport(delivery.reference_of(message), taken["sid"], "delivered")
    assert reports.take_report(report)
    message.refresh_from_db()
    assert (message.status, message.carrier_id) == (Status.DELIVERED, taken["sid"])
    assert not reports.take_report(report)


@pytest.mark.parametrize(
    ("outcome", "becomes"), [("under_way", Status.SENT), ("delivered", Status.DELIVERED), ("failed", Status.FAILED)]
)
def test_a_report_about_what_is_to_be_tried_again_keeps_it_from_being_sent_twice(
    carrier: CarrierClient, phone: ContactPoint, outcome: Any, becomes: str
) -> None:
    """The carrier's list did not show it in time, and it was taken all the same."""
    message = message_to(phone, attempts=1, error_code="twilio_500")
    assert reports.take_report(DeliveryReport(delivery.reference_of(message), "SM9", outcome, code="twilio_30003"))
    message.refresh_from_db()
    assert message.status == becomes
    assert not delivery.send(message.pk)
    assert carrier.messages() == []


def test_a_strangers_reference_settles_nothing(carrier: CarrierClient, phone: ContactPoint) -> None:
    message = message_to(phone, status=Status.SENT, carrier_id="SM1")
    assert not reports.take_report(DeliveryReport(f"{message.pk}-0123456789abcdef", "SM2", "delivered"))
    message.refresh_from_db()
    assert (message.status, message.carrier_id) == (Status.SENT, "SM1")


def test_busy_carrier_is_obeyed_by_all(carrier: CarrierClient, phone: ContactPoint) -> None:
    carrier.fail("429")
    first = message_to(phone)
    second = message_to(factories.patient(email=None).contact_points.get())
    delivery.send(first.pk)
    first.refresh_from_db()
    assert (first.status, first.attempts) == (Status.WAITING, 0)
    assert delivery.due() == [], "the carrier asked for patience: the other waits too"
    assert delivery.due(timezone.now() + timedelta(seconds=4)) == [second.pk, first.pk]


def test_a_mail_server_that_wants_nothing_of_ours_for_now_is_asked_less_and_less_and_shown(settings: Any) -> None:
    settings.EMAIL_CHANNEL, settings.INSTALLATION = "email", "live"
    message = message_to(factories.patient(phone=None).contact_points.get())
    waits = []
    with (
        time_machine.travel(timezone.now(), tick=False),
        mock.patch.object(EmailCarrier, "send", side_effect=CarrierBusy("smtp_451")),
    ):
        for minutes in (0, 0.5, 5, 10):
            now = timezone.now()
            CarrierState.objects.update(quiet_until=None, failing_since=now - timedelta(minutes=minutes))
            Message.objects.update(due_at=now)
            delivery.send(message.pk)
            state = CarrierState.objects.get()
            assert state.quiet_until is not None
            waits.append(round((state.quiet_until - now).total_seconds()))
    assert waits == [2, 30, 60, 60]
    assert (state.failing_since, state.last_error) == (now - timedelta(minutes=10), "smtp_451")
    assert lines.carrier_line(state, now).word == "not going out"
    lapse(message)
    CarrierState.objects.update(quiet_until=None)
    with mock.patch.object(EmailCarrier, "send", return_value="taken"):
        assert delivery.send(message.pk)
    assert CarrierState.objects.get().failing_since is None


def test_a_moment_of_patience_is_no_trouble_to_show(carrier: CarrierClient, phone: ContactPoint) -> None:
    carrier.fail("429")
    delivery.send(message_to(phone).pk)
    assert not lines.carrier_line(CarrierState.objects.get(), timezone.now()).is_trouble


def test_email_whose_answer_was_lost_goes_to_staff_and_is_not_repeated(settings: Any) -> None:
    settings.EMAIL_CHANNEL, settings.INSTALLATION = "email", "live"
    contact = factories.patient(phone=None).contact_points.get()
    message = message_to(contact, status=Status.SENDING, lease_until=timezone.now() - timedelta(seconds=1), attempts=1)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert message.status == Status.DEAD
    item = WorkItem.objects.get()
    assert (item.kind, item.patient_id, item.urgency) == ("message.dead", contact.patient_id, WorkItem.Urgency.RED)
    assert not delivery.send(message.pk)


def test_kept_here_in_a_trial(phone: ContactPoint) -> None:
    message = message_to(phone)
    assert delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.carrier_id) == (Status.SENT, f"console-{delivery.reference_of(message)}")
    assert ApiCall.objects.count() == 0


def test_stop_between_queueing_and_sending(carrier: CarrierClient) -> None:
    contact = factories.patient(email=None).contact_points.get()
    message = message_to(contact, kind=Message.Kind.FILLED, initiated=True)
    consent.revoke_address(Channel.SMS, contact.address_index, source=ConsentRecord.Source.REPLY)
    Message.objects.filter(pk=message.pk).update(status=Status.WAITING)  # queued in the same moment
    delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.error_code) == (Status.SUPPRESSED, "no_consent")
    assert carrier.messages() == []
    told = TimelineEntry.objects.get(kind="message.suppressed").summary
    assert told == "A message was not sent: nobody agreed to messages at this address."


def test_paused_keeps_what_we_start_and_lets_answers_go(carrier: CarrierClient, phone: ContactPoint) -> None:
    from scheduling import practice

    started = message_to(phone, kind=Message.Kind.FILLED, initiated=True, dedupe_key="started")
    answer = message_to(phone, kind=Message.Kind.ANSWER, dedupe_key="answer")
    practice.pause("clerk", "power cut")
    assert delivery.due() == [answer.pk]
    practice.resume("clerk")
    assert delivery.due() == [answer.pk, started.pk]


def test_a_test_installation_writes_to_its_own_list_only(
    carrier: CarrierClient, phone: ContactPoint, settings: Any
) -> None:
    settings.INSTALLATION = "test"
    staff_phone = factories.contact(phone.patient, "+12125550188")
    settings.TEST_RECIPIENTS = ["(212) 555-0188"]
    outside = message_to(phone)
    inside = message_to(staff_phone)
    delivery.send(outside.pk)
    delivery.send(inside.pk)
    outside.refresh_from_db()
    assert (outside.status, outside.error_code) == (Status.SUPPRESSED, "test_installation")
    assert [taken["to"] for taken in carrier.messages()] == ["+12125550188"]


def test_carrier_that_refuses_us_is_noted(carrier: CarrierClient, phone: ContactPoint) -> None:
    carrier.fail("20003")
    message = message_to(phone)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.error_code, message.attempts) == (Status.WAITING, "twilio_20003", 1)
    assert CarrierState.objects.get().failing_since is not None
    assert delivery.due() == []


def test_the_story_has_no_address(carrier: CarrierClient, phone: ContactPoint) -> None:
    provider, location = factories.provider(), factories.location()
    message = message_to(phone, opening=factories.opening(provider, location))
    delivery.send(message.pk)
    entry = TimelineEntry.objects.get(kind="message.sent")
    assert entry.summary == "Text sent: confirmed."
    assert phone.value not in str(entry.data)


def test_a_fault_of_ours_comes_to_rest_and_leaves_the_others_alone(
    carrier: CarrierClient, phone: ContactPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, sound = message_to(phone, dedupe_key="poison"), message_to(phone, dedupe_key="sound")
    may_send = delivery.messages.may_send

    def failing(message: Message, now: Any) -> Any:
        if message.pk == poison.pk:
            raise ZeroDivisionError
        return may_send(message, now)

    monkeypatch.setattr(delivery.messages, "may_send", failing)
    for _ in range(10):
        for message_id in delivery.due():
            delivery.send(message_id)
        lapse(poison, 60)
    poison.refresh_from_db()
    sound.refresh_from_db()
    assert sound.status == Status.SENT
    assert (poison.status, poison.attempts) == (Status.DEAD, 5)
    assert WorkItem.objects.get().kind == "message.dead"
    assert len(carrier.messages()) == 1
