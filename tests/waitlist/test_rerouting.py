"""News that cannot arrive at one address goes to the next, once, in the form its channel needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling.models import ContactPoint, Patient
from tests import factories
from waitlist import consent, links, rerouting
from waitlist.models import Channel, ConsentRecord, Message, Offer

pytestmark = pytest.mark.django_db


@pytest.fixture
def patient() -> Patient:
    return factories.patient(phone="+12125550111", email="robin@example.org")


def contact(patient: Patient, system: str) -> ContactPoint:
    return patient.contact_points.get(system=system, rank__lt=3)


def news(patient: Patient, **fields: Any) -> Message:
    phone = contact(patient, "phone")
    return Message.objects.create(
        **{
            "kind": Message.Kind.CONFIRMED,
            "channel": Channel.SMS,
            "initiated": False,
            "patient": patient,
            "contact_point": phone,
            "address": phone.value,
            "address_index": phone.address_index,
            "body": "Elm Street Clinic: confirmed.",
            "status": Message.Status.FAILED,
            "dedupe_key": "confirmed:1",
            "due_at": timezone.now(),
            "expires_at": timezone.now() + timedelta(hours=3),
            **fields,
        }
    )


@pytest.fixture
def offer(patient: Patient) -> tuple[Offer, links.Tokens]:
    tokens = links.make_token()
    opening = factories.opening(factories.provider(), factories.location())
    entry = factories.entry(patient, factories.appointment_type())
    return factories.offer(opening, entry, token_hash=tokens.hash), tokens


def test_the_same_words_by_email_with_a_subject(patient: Patient) -> None:
    first = news(patient)
    sent_on = rerouting.send_elsewhere(first)
    assert sent_on is not None
    assert (sent_on.channel, sent_on.address) == (Channel.EMAIL, "robin@example.org")
    assert (sent_on.body, sent_on.expires_at, sent_on.initiated) == (first.body, first.expires_at, False)
    assert sent_on.subject.endswith("your appointment is confirmed")
    assert rerouting.send_elsewhere(first) == sent_on, "asked again, it is on its way already"
    assert Message.objects.count() == 2


def test_an_offers_link_is_the_one_for_email(patient: Patient, offer: tuple[Offer, links.Tokens]) -> None:
    row, tokens = offer
    body = f"A time is free. Reply YES 47. {links.address_of(tokens.text)}"
    sent_on = rerouting.send_elsewhere(news(patient, kind=Message.Kind.OFFER, offer=row, body=body))
    assert sent_on is not None
    assert sent_on.body == f"A time is free. Reply YES 47. {links.address_of(tokens.email)}"
    found = links.find_offer(tokens.email)
    assert found is not None
    assert found.asks_birth_year


def test_on_its_way_by_email_already(patient: Patient, offer: tuple[Offer, links.Tokens]) -> None:
    row, _ = offer
    email = contact(patient, "email")
    by_email = news(
        patient,
        kind=Message.Kind.OFFER,
        offer=row,
        channel=Channel.EMAIL,
        address=email.value,
        address_index=email.address_index,
        contact_point=email,
        status=Message.Status.WAITING,
        dedupe_key="offer:1:email",
    )
    assert rerouting.send_elsewhere(news(patient, kind=Message.Kind.OFFER, offer=row)) == by_email
    assert Message.objects.count() == 2


@pytest.mark.parametrize("closed", ["revoked", "invalid", "old", "expired"])
def test_nothing_left(patient: Patient, closed: str) -> None:
    email = contact(patient, "email")
    if closed == "revoked":
        consent.revoke_address(Channel.EMAIL, email.address_index, source=ConsentRecord.Source.REPLY)
    elif closed == "invalid":
        ContactPoint.objects.filter(pk=email.pk).update(state=ContactPoint.State.INVALID)
    elif closed == "old":
        ContactPoint.objects.filter(pk=email.pk).update(use="old")
    else:
        ContactPoint.objects.filter(pk=email.pk).update(valid_until=timezone.now().date() - timedelta(days=1))
    assert rerouting.send_elsewhere(news(patient)) is None
    assert Message.objects.count() == 1


def test_next_number_before_email_and_none_twice(patient: Patient) -> None:
    factories.contact(patient, "+12125550112", rank=3)
    first = news(patient)
    second = rerouting.send_elsewhere(first)
    assert second is not None
    assert second.address == "+12125550112"
    Message.objects.filter(pk=second.pk).update(status=Message.Status.FAILED)
    third = rerouting.send_elsewhere(Message.objects.get(pk=second.pk))
    assert third is not None
    assert third.channel == Channel.EMAIL
    Message.objects.filter(pk=third.pk).update(status=Message.Status.FAILED)
    assert rerouting.send_elsewhere(Message.objects.get(pk=third.pk)) is None


def test_a_carrier_that_is_down_is_left_out(patient: Patient) -> None:
    factories.contact(patient, "+12125550112", rank=3)
    sent_on = rerouting.send_elsewhere(news(patient), skip_channel=Channel.SMS)
    assert sent_on is not None
    assert sent_on.channel == Channel.EMAIL
