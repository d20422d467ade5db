"""News that cannot arrive at one address goes to the next, once, in the form its channel needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling.models import Appointment, ContactPoint, Patient, WorkItem, Writeback
from scheduling.writebacks import Outcome
from tests import factories
from waitlist import claims, consent, gsm7, links, rerouting
from waitlist.models import Channel, Claim, ConsentRecord, Message, Offer, WaitlistEntry
from waitlist.times import say_short

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


def by_email(patient: Patient, **fields: Any) -> Message:
    email = contact(patient, "email")
    way = {"channel": Channel.EMAIL, "contact_point": email, "address": email.value}
    return news(patient, **way, address_index=email.address_index, **fields)


@pytest.fixture
def claim(patient: Patient, offer: tuple[Offer, links.Tokens]) -> Claim:
    """The patient's yes, which the EHR has confirmed."""
    row, _ = offer
    result = claims.claim(row.opening, patient, offer=row, channel="link").claim
    assert result is not None
    Message.objects.all().delete()
    claims.settle(Writeback.objects.get(), Outcome("done"))
    result.refresh_from_db()
    return result


def of_claim(claim: Claim, channel: str) -> Message:
    """The confirmation that the loop itself sent by this channel, which did not arrive."""
    Message.objects.filter(channel=channel).update(status=Message.Status.FAILED)
    return Message.objects.get(channel=channel)


def test_a_text_goes_on_as_an_email_with_its_words_subject_and_calendar_file(patient: Patient, claim: Claim) -> None:
    factories.contact(patient, "robin2@example.org", rank=3)
    of_claim(claim, "email")
    first = of_claim(claim, "sms")
    sent_on = rerouting.send_elsewhere(first)
    assert sent_on is not None
    assert (sent_on.channel, sent_on.address) == (Channel.EMAIL, "robin2@example.org")
    assert (sent_on.expires_at, sent_on.initiated) == (first.expires_at, False)
    assert sent_on.subject.endswith("your appointment is confirmed")
    assert sent_on.body.startswith("Hello,\n\nYou have this appointment:\n\n")
    assert f"Reference: {claim.appointment.reference}\n" in sent_on.body
    assert sent_on.attachment.startswith("BEGIN:VCALENDAR")
    assert f"UID:{claim.appointment.reference}@" in sent_on.attachment
    assert rerouting.send_elsewhere(first) == sent_on, "asked again, it is on its way already"
    assert Message.objects.count() == 3


def test_an_email_goes_on_as_a_text_of_one_segment(patient: Patient, claim: Claim) -> None:
    factories.contact(patient, "+12125550112", rank=3)
    in_words = of_claim(claim, "sms").body
    sent_on = rerouting.send_elsewhere(of_claim(claim, "email"))
    assert sent_on is not None
    assert (sent_on.channel, sent_on.address) == (Channel.SMS, "+12125550112")
    assert (sent_on.body, sent_on.subject, sent_on.attachment) == (in_words, "", "")
    assert gsm7.segments(sent_on.body) == 1


def test_it_says_what_has_become_true_meanwhile(patient: Patient, claim: Claim) -> None:
    factories.contact(patient, "+12125550112", rank=3)
    of_claim(claim, "sms")
    later = claim.opening.start + timedelta(minutes=5)
    Appointment.objects.filter(pk=claim.appointment_id).update(start=later)
    sent_on = rerouting.send_elsewhere(of_claim(claim, "email"))
    assert sent_on is not None
    assert say_short(later.astimezone(claim.opening.location.zone), "en") in sent_on.body


def test_it_speaks_of_the_patients_own_yes_though_somebody_else_had_the_time_after_them(
    patient: Patient, claim: Claim
) -> None:
    factories.contact(patient, "robin2@example.org", rank=3)
    of_claim(claim, "email")
    theirs = factories.appointment(factories.patient(), reference="QQQQQQ")
    Claim.objects.filter(pk=claim.pk).update(state=Claim.State.RELEASED)
    Claim.objects.create(
        opening=claim.opening, patient=theirs.patient, appointment=theirs, channel="link", actor="x", state="confirmed"
    )
    booked_elsewhere = factories.appointment(patient, reference="RRRRRR")
    other_time = factories.opening(claim.opening.provider, claim.opening.location)
    Claim.objects.create(
        opening=other_time,
        patient=patient,
        appointment=booked_elsewhere,
        channel="link",
        actor="x",
        state="confirmed",
    )
    sent_on = rerouting.send_elsewhere(of_claim(claim, "sms"))
    assert sent_on is not None
    assert claim.appointment.reference in sent_on.body
    Message.objects.update(status=Message.Status.FAILED)
    rerouting.tell_otherwise(Message.objects.get(channel="sms"))
    call = WorkItem.objects.get(kind="claim.tell")
    assert (call.patient, call.opening) == (patient, claim.opening)


def test_an_offer_by_text_becomes_an_offer_by_email(patient: Patient, offer: tuple[Offer, links.Tokens]) -> None:
    row, tokens = offer
    body = f"A time is free. Reply YES 47. {links.address_of(tokens.text)}"
    sent_on = rerouting.send_elsewhere(news(patient, kind=Message.Kind.OFFER, offer=row, body=body))
    assert sent_on is not None
    assert sent_on.subject.endswith("a time has opened up")
    assert f"Please say yes or no on this page:\n\n{links.address_of(tokens.email)}\n" in sent_on.body
    assert "Reply YES" not in sent_on.body
    assert tokens.text not in sent_on.body
    found = links.find_offer(tokens.email)
    assert found is not None
    assert found.asks_birth_year


def test_an_offer_by_email_becomes_an_offer_by_text(patient: Patient, offer: tuple[Offer, links.Tokens]) -> None:
    row, tokens = offer
    body = f"Hello,\n\nThis time has opened up.\n\n{links.address_of(tokens.email)}\n"
    sent_on = rerouting.send_elsewhere(by_email(patient, kind=Message.Kind.OFFER, offer=row, body=body))
    assert sent_on is not None
    assert (sent_on.channel, sent_on.subject) == (Channel.SMS, "")
    assert f"Reply YES {row.code} or NO {row.code}." in sent_on.body
    assert sent_on.body.endswith(links.address_of(tokens.email)), "the link of the text is not to be had from it"
    assert "Hello" not in sent_on.body


def test_a_question_names_the_open_times_again(patient: Patient, offer: tuple[Offer, links.Tokens]) -> None:
    row, _ = offer
    other = factories.offer(row.opening, factories.entry(factories.patient(), row.appointment_type), code="88")
    sent_on = rerouting.send_elsewhere(news(patient, kind=Message.Kind.QUESTION, body="Which one?"))
    assert sent_on is not None
    assert other.code not in sent_on.body, "another patient's"
    assert f": number {row.code}\n" in sent_on.body


def test_on_its_way_by_email_already(patient: Patient, offer: tuple[Offer, links.Tokens]) -> None:
    row, _ = offer
    waiting = {"status": Message.Status.WAITING, "dedupe_key": "offer:1:email"}
    sent_already = by_email(patient, kind=Message.Kind.OFFER, offer=row, **waiting)
    assert rerouting.send_elsewhere(news(patient, kind=Message.Kind.OFFER, offer=row)) == sent_already
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
        ContactPoint.objects.filter(pk=email.pk).update(valid_until=timezone.now().date() - timedelta(days=2))
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


@pytest.mark.parametrize("by_night", [True, False])
def test_a_text_that_may_come_by_night_goes_on_by_night(
    patient: Patient, offer: tuple[Offer, links.Tokens], by_night: bool
) -> None:
    evening = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)  # nine in New York
    WaitlistEntry.objects.update(texts_by_night=by_night)
    second = factories.contact(patient, "+12125550112", rank=3)
    text = news(
        patient,
        kind="offer",
        initiated=True,
        offer=offer[0],
        opening=offer[0].opening,
        location=offer[0].opening.location,
        body=f"Reply YES. {links.address_of(offer[1].text)}",
        expires_at=evening + timedelta(hours=8),
    )
    carried = rerouting.send_elsewhere(text, now=evening)
    assert carried is not None
    assert (carried.address, carried.due_at == evening) == (second.value, by_night)


def test_a_carrier_that_is_down_is_left_out(patient: Patient) -> None:
    factories.contact(patient, "+12125550112", rank=3)
    sent_on = rerouting.send_elsewhere(news(patient), skip_channel=Channel.SMS)
    assert sent_on is not None
    assert sent_on.channel == Channel.EMAIL
