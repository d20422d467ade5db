"""A message that cannot arrive goes to the next number, then by e-mail, then staff call."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from integrations.messaging import delivery, failures, reports
from integrations.messaging.email.transport import EmailCarrier
from integrations.messaging.gateway import AddressBusy, DeliveryReport, Outgoing
from scheduling.models import ContactPoint, Opening, Patient, WorkItem
from scheduling.openings import record_check
from scheduling.records import Freshness, Interval, SlotRecord
from scheduling.worklist import actions_for, run_action
from tests import factories
from tests.integrations.messaging.conftest import CarrierClient
from tests.integrations.messaging.test_delivery_once import message_to
from waitlist import consent, offers
from waitlist.models import Channel, Claim, Message, Offer

pytestmark = pytest.mark.django_db

Status = Message.Status
FIRST, SECOND = "+12125550111", "+12125550112"


@pytest.fixture
def patient(settings: Any) -> Patient:
    settings.EMAIL_CHANNEL = "console"
    row = factories.patient(phone=FIRST, email="robin@example.org")
    factories.contact(row, SECOND, rank=2)
    return row


def first_phone(patient: Patient) -> ContactPoint:
    return patient.contact_points.get(value__isnull=False, rank=1)


def send_all() -> None:
    """Send until nothing is due."""
    while ids := delivery.due():
        for message_id in ids:
            delivery.send(message_id)


def told(patient: Patient) -> list[tuple[str, str, str]]:
    """Where the patient's messages went and what came of them, in order."""
    rows = Message.objects.filter(patient=patient).order_by("pk")
    return [(row.channel, row.address, row.status) for row in rows]


def test_invalid_number_then_landline_then_email(carrier: CarrierClient, patient: Patient) -> None:
    carrier.fail(21211, to=FIRST)
    carrier.fail(21614, to=SECOND)
    message_to(first_phone(patient))
    send_all()
    assert told(patient) == [
        ("sms", FIRST, Status.FAILED),
        ("sms", SECOND, Status.FAILED),
        ("email", "robin@example.org", Status.SENT),
    ]
    states = dict(patient.contact_points.values_list("system", "state"))
    assert states["phone"] == ContactPoint.State.INVALID
    assert states["email"] == ContactPoint.State.USABLE
    assert patient.contact_points.filter(state=ContactPoint.State.INVALID).count() == 2
    assert WorkItem.objects.count() == 0


def test_nothing_left_is_a_call_for_staff(carrier: CarrierClient) -> None:
    patient = factories.patient(phone=FIRST, email=None)
    carrier.fail(21211)
    message_to(first_phone(patient))
    send_all()
    item = WorkItem.objects.get()
    assert (item.kind, item.patient, item.urgency) == ("message.call", patient, WorkItem.Urgency.RED)
    assert FIRST not in item.title + item.advice


def test_an_offer_that_reaches_nobody_is_made_on_the_phone(carrier: CarrierClient) -> None:
    """With the same buttons as an offer to a patient who cannot be written to."""
    patient = factories.patient(phone=FIRST, email=None)
    provider, location, kind = factories.provider(), factories.location(), factories.appointment_type()
    offer = factories.offer(factories.opening(provider, location), factories.entry(patient, kind))
    carrier.fail(21211)
    message_to(first_phone(patient), kind=Message.Kind.OFFER, offer=offer, opening=offer.opening)
    send_all()
    item = WorkItem.objects.get()
    assert (item.kind, item.patient, item.opening, item.due_at) == (
        "offer.call",
        patient,
        offer.opening,
        offer.expires_at,
    )
    assert item.advice.startswith("No text or e-mail arrives at any address we have. Nothing is booked until")
    assert [action.label for action in actions_for(item)] == ["They said yes", "They said no", "Not reached"]

    said = run_action(item, "yes", get_user_model().objects.create_user("clerk"))
    assert said.startswith("Received: the booking is on its way to the EHR.")
    assert Claim.objects.get().patient == patient


def test_what_is_not_for_this_contact_at_the_patients_age_is_for_a_person_or_for_the_guardian(
    carrier: CarrierClient,
) -> None:
    """The EHR set the birth date right while the texts waited: a child, of whom a guardian decides."""
    patient = factories.patient(phone=FIRST, email=None)
    factories.contact(patient, SECOND, rank=2, guardian=True)
    provider, location, kind = factories.provider(), factories.location(), factories.appointment_type()
    offer = factories.offer(factories.opening(provider, location), factories.entry(patient, kind))
    message_to(first_phone(patient), kind=Message.Kind.OFFER, offer=offer, opening=offer.opening, dedupe_key="offer")
    message_to(first_phone(patient))
    patient.birth_date = date(2016, 1, 1)
    patient.save()
    send_all()
    assert told(patient) == [
        ("sms", FIRST, Status.SUPPRESSED),
        ("sms", FIRST, Status.SUPPRESSED),
        ("sms", SECOND, Status.SENT),
    ]
    assert [each["to"] for each in carrier.messages()] == [SECOND]
    item = WorkItem.objects.get()
    assert (item.kind, item.patient, item.opening) == ("offer.call", patient, offer.opening)
    assert item.advice.startswith("This visit needs a word with the patient first.")


def offered(person: Patient) -> Offer:
    """A time offered by a wave, to be texted and mailed at once."""
    provider, location, kind = factories.provider(), factories.location(), factories.appointment_type()
    factories.bookable(provider, location, kind)
    factories.practice()
    factories.policy(quiet_from=time(0, 0), quiet_until=time(0, 0))
    factories.entry(person, kind)
    opening = factories.opening(provider, location, start=timezone.now() + timedelta(hours=30))
    Opening.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    opening.refresh_from_db()
    whole = Interval(opening.start, opening.end)
    slot = SlotRecord("s-1", opening.start, opening.end, free=True)
    with transaction.atomic():
        assert record_check(opening, Freshness(timezone.now(), (whole,), (slot,)))
        assert offers.send_wave(opening, timezone.now()) == 1
    return opening.offers.get()


def test_a_text_of_a_wave_falls_to_the_second_number_although_its_e_mail_is_out(
    carrier: CarrierClient, patient: Patient
) -> None:
    carrier.fail(21211, to=FIRST)
    offer = offered(patient)
    send_all()
    assert sorted(told(patient)) == [
        ("email", "robin@example.org", Status.SENT),
        ("sms", FIRST, Status.FAILED),
        ("sms", SECOND, Status.SENT),
    ]
    first, second = Message.objects.filter(channel="sms").order_by("pk")
    assert (second.offer, second.body, second.expires_at) == (offer, first.body, first.expires_at)
    assert [each["to"] for each in carrier.messages()] == [SECOND]
    assert WorkItem.objects.count() == 0


def test_when_every_number_and_the_e_mail_fail_staff_call_in_the_same_wave(
    carrier: CarrierClient, patient: Patient
) -> None:
    carrier.fail(21211, to=FIRST)
    carrier.fail(21614, to=SECOND)
    offer = offered(patient)
    send_all()
    assert WorkItem.objects.count() == 0, "the e-mail is out"
    mail = Message.objects.get(channel="email")
    assert failures.address_unusable(mail, "bounced")
    item = WorkItem.objects.get()
    assert (item.kind, item.subject_id, item.due_at) == ("offer.call", offer.pk, offer.expires_at)
    assert Message.objects.count() == 3
    offer.refresh_from_db()
    assert (offer.status, offer.wave) == ("sent", 1)


@pytest.mark.parametrize("fields", [{"state": "invalid"}, {"use": "old"}])
def test_a_number_that_went_dead_between_match_and_send_falls_to_the_next(
    carrier: CarrierClient, patient: Patient, fields: dict[str, str]
) -> None:
    offered(patient)
    ContactPoint.objects.filter(pk=first_phone(patient).pk).update(**fields)
    send_all()
    assert [each["to"] for each in carrier.messages()] == [SECOND]
    assert ("sms", FIRST, Status.SUPPRESSED) in told(patient)


def test_an_offer_that_is_over_is_not_made_on_the_phone(carrier: CarrierClient) -> None:
    patient = factories.patient(phone=FIRST, email=None)
    provider, location, kind = factories.provider(), factories.location(), factories.appointment_type()
    offer = factories.offer(factories.opening(provider, location), factories.entry(patient, kind))
    message = message_to(first_phone(patient), kind=Message.Kind.OFFER, offer=offer, opening=offer.opening)
    delivery.send(message.pk)
    message.refresh_from_db()
    Offer.objects.update(status=Offer.Status.NO)
    reports.take_report(
        DeliveryReport(delivery.reference_of(message), message.carrier_id, "failed", "address", "30006")
    )
    assert WorkItem.objects.count() == 0


def test_only_where_the_patient_agreed(carrier: CarrierClient) -> None:
    patient = factories.patient(phone=FIRST, email="robin@example.org", consent=(Channel.SMS,))
    carrier.fail(21211)
    message_to(first_phone(patient))
    send_all()
    assert told(patient) == [("sms", FIRST, Status.FAILED)]
    assert WorkItem.objects.get().kind == "message.call"


def test_opt_out_known_to_the_carrier_becomes_ours(carrier: CarrierClient, patient: Patient) -> None:
    contact = first_phone(patient)
    carrier.fail(21610, to=FIRST)
    message_to(contact)
    send_all()
    assert consent.is_revoked(Channel.SMS, contact.address_index)
    assert told(patient) == [("sms", FIRST, Status.FAILED), ("sms", SECOND, Status.SENT)]


def test_carrier_down_to_the_end_of_the_schedule_goes_by_email(
    carrier: CarrierClient, patient: Patient, settings: Any
) -> None:
    settings.MESSAGE_RETRY_SECONDS = [5, 30]
    carrier.fail("503", count=10)
    message = message_to(first_phone(patient))
    for attempt in (1, 2):
        delivery.send(message.pk)
        message.refresh_from_db()
        assert (message.status, message.attempts) == (Status.WAITING, attempt)
        Message.objects.filter(pk=message.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    delivery.send(message.pk)
    assert carrier.messages() == []
    assert told(patient) == [
        ("sms", FIRST, Status.FAILED),
        ("email", "robin@example.org", Status.WAITING),
    ]


def test_undelivered_report_of_a_landline(carrier: CarrierClient, patient: Patient) -> None:
    contact = first_phone(patient)
    message = message_to(contact)
    delivery.send(message.pk)
    message.refresh_from_db()
    report = DeliveryReport(delivery.reference_of(message), message.carrier_id, "failed", "address", "twilio_30006")
    assert reports.take_report(report)
    assert not reports.take_report(report), "the same report again changes nothing"
    assert [(channel, status) for channel, _, status in told(patient)] == [
        ("sms", Status.FAILED),
        ("sms", Status.WAITING),
    ]
    contact.refresh_from_db()
    assert contact.state == ContactPoint.State.INVALID


def test_a_report_about_a_number_that_was_frozen_meanwhile_leaves_it_frozen(
    carrier: CarrierClient, patient: Patient
) -> None:
    contact = first_phone(patient)
    message = message_to(contact)
    delivery.send(message.pk)
    ContactPoint.objects.filter(pk=contact.pk).update(state=ContactPoint.State.FROZEN)
    message.refresh_from_db()
    report = DeliveryReport(delivery.reference_of(message), message.carrier_id, "failed", "address", "twilio_30006")
    assert reports.take_report(report)
    contact.refresh_from_db()
    assert contact.state == ContactPoint.State.FROZEN


def test_unreachable_phone_is_tried_elsewhere_and_stays_usable(carrier: CarrierClient, patient: Patient) -> None:
    contact = first_phone(patient)
    message = message_to(contact)
    delivery.send(message.pk)
    message.refresh_from_db()
    reports.take_report(DeliveryReport(delivery.reference_of(message), message.carrier_id, "failed", "other", "30003"))
    contact.refresh_from_db()
    assert contact.state == ContactPoint.State.USABLE
    assert told(patient)[1:] == [("sms", SECOND, Status.WAITING)]


def test_other_news_is_not_worth_a_call(carrier: CarrierClient) -> None:
    patient = factories.patient(phone=FIRST, email=None)
    carrier.fail(21211)
    message_to(first_phone(patient), kind=Message.Kind.FILLED)
    send_all()
    assert told(patient) == [("sms", FIRST, Status.FAILED)]
    assert WorkItem.objects.count() == 0


def test_a_mailbox_that_stays_full_is_tried_as_often_as_set_and_keeps_nobody_waiting(
    patient: Patient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_CHANNEL, settings.INSTALLATION, settings.MESSAGE_RETRY_SECONDS = "email", "live", [5, 300]

    def full(self: EmailCarrier, message: Outgoing) -> str:
        raise AddressBusy("smtp_452")

    monkeypatch.setattr(EmailCarrier, "send", full)
    message = message_to(patient.contact_points.get(system="email"))
    other = message_to(factories.patient(phone=None).contact_points.get())
    for attempt, wait in ((1, 5), (2, 300)):
        delivery.send(message.pk)
        message.refresh_from_db()
        assert (message.status, message.attempts, message.error_code) == (Status.WAITING, attempt, "smtp_452")
        assert timedelta(seconds=wait - 2) < message.due_at - timezone.now() <= timedelta(seconds=wait)
        assert delivery.due() == [other.pk], "the mail server is well"
        Message.objects.filter(pk=message.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    delivery.send(message.pk)
    assert told(patient) == [("email", "robin@example.org", Status.FAILED), ("sms", FIRST, Status.WAITING)]
    assert patient.contact_points.get(system="email").state == ContactPoint.State.USABLE
