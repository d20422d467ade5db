"""Each state that Twilio documents for a message, and each kind of error number, with what follows from it.

States: "Messages resource", status values. Numbers: "Error and warning dictionary".
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from integrations.messaging import delivery
from integrations.messaging.twilio import codes
from scheduling.models import ContactPoint, Patient, WorkItem
from scheduling.worklist import actions_for, run_action
from tests import factories
from tests.integrations.messaging.conftest import TOKEN, CarrierClient
from tests.integrations.messaging.test_delivery_once import message_to
from tests.integrations.messaging.test_sms_webhooks import call
from waitlist import consent, why_not_sent
from waitlist.models import Channel, Message

pytestmark = pytest.mark.django_db

Status = Message.Status
FIRST, SECOND, MAIL = "+12125550111", "+12125550112", "robin@example.org"


@pytest.fixture
def patient(settings: Any) -> Patient:
    settings.EMAIL_CHANNEL = "console"
    settings.SMS_CHANNEL, settings.SMS_TOKEN = "twilio", TOKEN
    settings.PUBLIC_BASE_URL = "https://waitlist.example.org"
    row = factories.patient(phone=FIRST, email=MAIL)
    factories.contact(row, SECOND, rank=2)
    return row


def taken(patient: Patient, kind: str = Message.Kind.CONFIRMED) -> Message:
    """A text that Twilio has taken for the patient's first number."""
    phone = patient.contact_points.get(value__isnull=False, system="phone", rank=1)
    return message_to(phone, kind=kind, status=Status.SENT, carrier_id="SM1", attempts=1)


def report(message: Message, state: str, number: int | None = None) -> None:
    form = {"MessageSid": message.carrier_id, "MessageStatus": state, "To": FIRST, "From": "+12125550199"}
    if number is not None:
        form["ErrorCode"] = str(number)
    path = f"/webhooks/sms/twilio/status/?ref={delivery.reference_of(message)}"
    assert call(Client(), path, form).status_code == 200
    message.refresh_from_db()


def told_instead(patient: Patient, message: Message) -> list[str]:
    return list(Message.objects.filter(patient=patient).exclude(pk=message.pk).values_list("address", flat=True))


@pytest.mark.parametrize(
    ("state", "becomes"),
    [
        ("accepted", Status.SENT),
        ("scheduled", Status.SENT),
        ("queued", Status.SENT),
        ("sending", Status.SENT),
        ("sent", Status.SENT),
        ("receiving", Status.SENT),
        ("received", Status.SENT),
        ("partially_delivered", Status.SENT),
        ("delivered", Status.DELIVERED),
        ("read", Status.DELIVERED),
        ("undelivered", Status.FAILED),
        ("failed", Status.FAILED),
        ("canceled", Status.FAILED),
        ("a_state_of_next_year", Status.SENT),
    ],
)
def test_each_state(patient: Patient, state: str, becomes: str) -> None:
    message = taken(patient)
    report(message, state)
    assert message.status == becomes
    assert told_instead(patient, message) == ([SECOND] if becomes == Status.FAILED else [])
    assert not patient.contact_points.exclude(state=ContactPoint.State.USABLE).exists()
    assert not consent.is_revoked(Channel.SMS, message.address_index)
    assert WorkItem.objects.count() == 0


#: Number, whether the patient's number is spent, whether it is a STOP, whether it is for IT, and who is tried next.
NUMBERS = [
    (21211, True, False, False, SECOND),
    (21217, True, False, False, SECOND),
    (21265, True, False, False, SECOND),
    (21614, True, False, False, SECOND),
    (21635, True, False, False, SECOND),
    (30005, True, False, False, SECOND),
    (30006, True, False, False, SECOND),
    (63003, True, False, False, SECOND),
    (63024, True, False, False, SECOND),
    (21610, False, True, False, SECOND),
    (30001, False, False, False, SECOND),
    (30002, False, False, True, MAIL),
    (30003, False, False, False, SECOND),
    (30004, False, False, False, SECOND),
    (30007, False, False, False, SECOND),
    (30008, False, False, False, SECOND),
    (30010, False, False, False, SECOND),
    (30022, False, False, False, SECOND),
    (30023, False, False, False, SECOND),
    (30032, False, False, True, MAIL),
    (30033, False, False, True, MAIL),
    (30034, False, False, True, MAIL),
    (30036, False, False, False, SECOND),
    (30037, False, False, True, MAIL),
    (30410, False, False, False, SECOND),
    (63016, False, False, False, SECOND),
    (63018, False, False, False, SECOND),
    (21408, False, False, False, SECOND),
    (21612, False, False, False, SECOND),
    (39999, False, False, False, SECOND),
]


@pytest.mark.parametrize(("number", "is_spent", "is_stop", "is_for_it", "instead"), NUMBERS)
def test_each_number_of_a_report(
    patient: Patient, number: int, is_spent: bool, is_stop: bool, is_for_it: bool, instead: str
) -> None:
    message = taken(patient)
    contact = message.contact_point
    assert contact is not None
    report(message, "undelivered", number)
    contact.refresh_from_db()
    assert (message.status, message.error_code) == (Status.FAILED, f"twilio_{number}")
    assert contact.state == (ContactPoint.State.INVALID if is_spent else ContactPoint.State.USABLE)
    assert consent.is_revoked(Channel.SMS, contact.address_index) is is_stop
    assert told_instead(patient, message) == [instead]
    assert list(WorkItem.objects.values_list("kind", flat=True)) == (["message.sender"] if is_for_it else [])
    assert f"(Twilio {number})" in why_not_sent.say(message.error_code)


def test_what_it_is_said_with_is_no_number_of_theirs(patient: Patient) -> None:
    message = taken(patient)
    report(message, "undelivered")
    assert (message.status, message.error_code) == (Status.FAILED, "undelivered")
    for given in ("", "ä", "-1", "9" * 30):
        form = {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": given}
        assert call(Client(), "/webhooks/sms/twilio/status/", form).status_code == 200
    for reference in (f"{message.pk + 99}-0123456789abcdef", f"{'9' * 19}-0", f"{'9' * 30}-0"):  # none of ours
        path = f"/webhooks/sms/twilio/status/?ref={reference}"
        assert call(Client(), path, {"MessageSid": "SM404", "MessageStatus": "delivered"}).status_code == 200


def test_a_sender_that_phone_companies_refuse_is_told_once(patient: Patient) -> None:
    """Every text fails alike: one item, told again only after somebody says that it is mended."""
    message = taken(patient)
    report(message, "undelivered", 30034)
    other = taken(factories.patient(phone="+12125550113", email=None))
    report(other, "undelivered", 30034)
    item = WorkItem.objects.get(kind="message.sender")
    assert (item.times_seen, item.urgency, item.patient) == (2, WorkItem.Urgency.RED, None)
    assert FIRST not in item.title + item.advice
    assert WorkItem.objects.filter(kind="message.call").count() == 1, "nothing is left of them but a call"
    assert [action.label for action in actions_for(item)] == ["It is mended"]
    run_action(item, "mended", get_user_model().objects.create_user("it"))
    item.refresh_from_db()
    assert item.status == WorkItem.Status.DONE


@pytest.mark.parametrize("number", sorted(codes.REFUSES_US - {30002, 30032, 30033, 30034, 30037}))
def test_a_sender_that_is_set_wrongly_costs_no_patients_number(
    carrier: CarrierClient, patient: Patient, settings: Any, number: int
) -> None:
    settings.SMS_BASE_URL = carrier.url
    carrier.fail(str(number))
    phone = patient.contact_points.get(system="phone", rank=1)
    message = message_to(phone)
    delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.error_code) == (Status.FAILED, f"twilio_{number}")
    assert not patient.contact_points.exclude(state=ContactPoint.State.USABLE).exists()
    assert told_instead(patient, message) == [MAIL], "at once, and no other number is tried meanwhile"
    item = WorkItem.objects.get()
    assert (item.kind, item.urgency, item.patient) == ("health.carrier", WorkItem.Urgency.RED, None)


@pytest.mark.parametrize("number", [21408, 21612, 21999])
def test_a_refusal_of_one_text_holds_up_no_other(
    carrier: CarrierClient, patient: Patient, settings: Any, number: int
) -> None:
    settings.SMS_BASE_URL = carrier.url
    carrier.fail(str(number))
    message = message_to(patient.contact_points.get(system="phone", rank=1))
    delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.error_code) == (Status.FAILED, f"twilio_{number}")
    assert not patient.contact_points.exclude(state=ContactPoint.State.USABLE).exists()
    assert told_instead(patient, message) == [SECOND]
    assert len(delivery.due()) == 1


def test_no_number_has_two_meanings() -> None:
    classes = (codes.ADDRESS_UNUSABLE, codes.OPTED_OUT, codes.BUSY, codes.REFUSES_US, frozenset(codes.OF_ONE_MESSAGE))
    assert sum(map(len, classes)) == len(frozenset().union(*classes))
