"""Whether a message may leave is decided from what is true when it leaves."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling import openings, practice, writebacks
from scheduling.models import Appointment, ContactPoint, Opening, Patient
from tests import factories
from tests.waitlist.conftest import Scene
from waitlist import claims, entries, given_up, messages, replies, sending
from waitlist.messages import Decision
from waitlist.models import ConsentRecord, Message, Offer

pytestmark = pytest.mark.django_db


@pytest.fixture
def text(scene: Scene) -> Message:
    """An offer's text that waits to be sent, now."""
    scene.waiting(1, patient_email=None)
    scene.look(scene.opening(hours=30))
    return Message.objects.get()


def decide(message: Message, **delta: float) -> Decision:
    row = Message.objects.select_related("opening", "contact_point", "patient", "offer").get(pk=message.pk)
    return messages.may_send(row, timezone.now() + timedelta(**delta))


def test_it_may(text: Message) -> None:
    assert decide(text) == Decision("send")


def test_quiet_hours_begin_while_a_wave_is_going_out(text: Message) -> None:
    """50: the rest waits, in the patient's zone."""
    assert decide(text, hours=9, minutes=59).action == "send"
    evening = decide(text, hours=10)
    assert (evening.action, evening.until) == ("wait", timezone.now() + timedelta(hours=22))
    Patient.objects.update(time_zone=factories.LOS_ANGELES)
    assert decide(text, hours=10).action == "send"


def test_quiet_hours_are_those_of_the_kind_of_visit(text: Message) -> None:
    assert text.offer is not None
    factories.policy(appointment_type=text.offer.appointment_type, quiet_from=time(22))
    assert decide(text, hours=11).action == "send"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"deceased": True}, "deceased"),
        ({"active": False}, "inactive"),
        ({"restricted": True}, "restricted"),
    ],
)
def test_the_patient_changed(text: Message, change: dict[str, Any], reason: str) -> None:
    Patient.objects.update(**change)
    assert decide(text) == Decision("suppress", reason=reason)


def test_the_record_was_replaced(text: Message) -> None:
    Patient.objects.filter(pk=text.patient_id).update(replaced_by=factories.patient())
    assert decide(text) == Decision("suppress", reason="replaced")


@pytest.mark.parametrize("state", ["invalid", "frozen"])
def test_the_address_is_known_to_be_wrong(text: Message, state: str) -> None:
    ContactPoint.objects.update(state=state)
    assert decide(text) == Decision("suppress", reason=state)


def test_the_ehr_has_given_the_number_up(text: Message) -> None:
    ContactPoint.objects.update(use="old")
    assert decide(text) == Decision("suppress", reason="gone")


@pytest.mark.parametrize(
    ("born", "guardian", "decision"),
    [
        (date(2008, 3, 4), False, Decision("suppress", reason="age")),
        (date(2008, 3, 3), False, Decision("send")),
        (date(2016, 1, 1), False, Decision("suppress", reason="age")),
        (date(2016, 1, 1), True, Decision("send")),
        (date(2014, 3, 3), True, Decision("suppress", reason="age")),
        (date(1980, 1, 1), True, Decision("suppress", reason="age")),
        (None, False, Decision("send")),
    ],
    ids=["17", "18 today", "a child", "a child's guardian", "12 today", "a grown patient's parent", "not known"],
)
def test_a_birth_date_was_set_right_or_a_birthday_passed(
    text: Message, born: date | None, guardian: bool, decision: Decision
) -> None:
    patient = Patient.objects.get()
    patient.birth_date = born
    patient.save()
    ContactPoint.objects.update(guardian=guardian)
    assert decide(text) == decision


def test_they_did_not_agree_or_take_it_back(text: Message) -> None:
    ConsentRecord.objects.filter(address_index=text.address_index).delete()
    # That somebody else agreed there says nothing of them.
    factories.contact(factories.patient(phone=None), text.address)
    assert decide(text) == Decision("suppress", reason="no_consent")


def test_what_goes_to_a_bare_number_is_judged_by_no_age(text: Message) -> None:
    patient = Patient.objects.get()
    patient.birth_date = date(2010, 1, 1)
    patient.save()
    assert decide(text) == Decision("suppress", reason="age")
    Message.objects.update(contact_point=None)
    assert decide(text) == Decision("send")


def test_a_code_that_somebody_asked_for_goes_whatever_their_age(text: Message) -> None:
    patient = Patient.objects.get()
    patient.birth_date = date(2010, 1, 1)
    patient.save()
    Message.objects.update(kind="help", initiated=False, offer=None, opening=None)
    assert decide(text) == Decision("send")


@pytest.mark.parametrize("status", ["withdrawn", "expired", "no", "yes", "too_late"])
def test_the_offer_is_over(text: Message, status: str) -> None:
    Offer.objects.update(status=status)
    assert decide(text) == Decision("suppress", reason="offer_over")


def test_the_offer_ran_out(text: Message) -> None:
    Offer.objects.update(expires_at=timezone.now())
    assert decide(text) == Decision("suppress", reason="offer_over")


def test_its_time_is_over(text: Message) -> None:
    assert decide(text, hours=24) == Decision("suppress", reason="expired")


def test_the_opening_is_closed(text: Message) -> None:
    Opening.objects.update(status="closed")
    assert decide(text) == Decision("suppress", reason="opening_over")


def test_it_waits_while_a_booking_is_tried_or_a_person_decides(text: Message) -> None:
    in_a_minute = Decision("wait", until=timezone.now() + timedelta(seconds=60))
    Opening.objects.update(status="claimed")
    assert decide(text) == in_a_minute
    Opening.objects.update(status="offering")
    openings.hold(Opening.objects.get(), Opening.Held.PROVIDER_DAY)
    assert decide(text) == in_a_minute


def test_pause_keeps_what_we_start_and_lets_answers_go(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    scene.yes(offer)
    received = Message.objects.get(kind="received")
    filled = messages.queue(
        "filled",
        messages.Address.of(offer.patient.contact_points.get(system="phone")),
        messages.Subject.of(offer),
        {},
        dedupe_key="x",
    )
    assert filled is not None
    practice.pause("ana")
    assert decide(received).action == "send"
    assert decide(filled) == Decision("wait", until=timezone.now() + timedelta(seconds=60))


def test_a_late_answer_is_not_stopped_by_the_night(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    scene.yes(offer)
    assert decide(Message.objects.get(kind="received"), hours=12).action == "suppress"  # the visit has begun
    assert decide(Message.objects.get(kind="received"), hours=9, minutes=59).action == "send"


def test_what_answers_a_patient_is_owed_to_them_though_their_record_became_inactive(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    scene.yes(offer)
    Patient.objects.update(active=False)
    assert decide(Message.objects.get(kind="received")).action == "send"


def test_the_receipt_of_an_opt_out_always_goes(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    scene.text(offer.patient, "STOP")
    receipt = Message.objects.get(kind="stop_receipt")
    Patient.objects.update(restricted=True)
    assert decide(receipt, hours=12) == Decision("send")


@pytest.mark.parametrize("closed", ["restricted", "deceased"])
def test_urgent_words_are_answered_whatever_the_record_says(scene: Scene, closed: str) -> None:
    person = factories.patient(**{closed: True})
    reply = scene.text(person, "chest pain")
    assert decide(Message.objects.get(dedupe_key=f"reply:{reply.pk}:urgent")) == Decision("send")
    helped = scene.text(person, "HELP")
    assert decide(Message.objects.get(dedupe_key=f"reply:{helped.pk}:help")) == Decision("suppress", reason=closed)


@pytest.mark.parametrize("shared", [False, True])
def test_a_number_that_reaches_the_wrong_person_hears_no_answer_but_911(scene: Scene, shared: bool) -> None:
    phone = "+12125550177"
    one, *_ = scene.waiting(2 if shared else 1, patient_phone=phone, patient_email=None)
    opening = scene.opening(hours=10)
    scene.look(opening)
    scene.deliver()
    helped = scene.text(one.patient, "HELP")
    assert decide(Message.objects.get(dedupe_key=f"reply:{helped.pk}:help")) == Decision("send")
    scene.text(one.patient, "wrong number")
    late = scene.text(one.patient, f"yes {opening.offers.order_by('rank')[0].code}")
    answer = Message.objects.get(dedupe_key=f"reply:{late.pk}:answer")
    assert decide(answer) == Decision("suppress", reason="frozen")
    urgent = scene.text(one.patient, "chest pain")
    assert decide(Message.objects.get(dedupe_key=f"reply:{urgent.pk}:urgent")) == Decision("send")
    stranger = replies.receive("sms", "in-stranger", "+12125550199", "HELP")
    assert replies.handle(stranger.pk)
    assert decide(Message.objects.get(dedupe_key=f"reply:{stranger.pk}:help")) == Decision("send"), "another number"


@pytest.mark.parametrize(
    ("kind", "asked_for_it", "status", "disturbs"),
    [
        *(("offer", True, "sent", True), ("filled", True, "sent", True), ("withdrawn", True, "withdrawn", True)),
        *(("refused", True, "sent", False), ("offer", False, "sent", False), ("filled", False, "sent", False)),
        *(("filled", False, "too_late", True), ("offer", False, "too_late", False)),
    ],
)
def test_the_night_is_disturbed_by_an_offer_its_end_and_what_is_owed_to_a_yes(
    scene: Scene, kind: str, asked_for_it: bool, status: str, disturbs: bool
) -> None:
    entry = scene.waiting(1, texts_by_night=asked_for_it)[0]
    offer = factories.offer(scene.opening(), entry, status=status)
    assert sending.may_come_by_night(Message(kind=kind, offer=offer)) is disturbs
    assert sending.may_come_by_night(Message(kind=kind)) is False


def test_a_stop_does_not_take_back_the_answer_to_urgent_words(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    scene.text(offer.patient, "chest pain")
    scene.text(offer.patient, "STOP")
    assert Message.objects.get(kind="urgent").status == "waiting"


def test_an_answer_to_who_wrote_needs_no_opt_in_and_no_answer_goes_after_stop(scene: Scene) -> None:
    person = factories.patient(consent=())
    help_reply = scene.text(person, "HELP")
    message = Message.objects.get(dedupe_key=f"reply:{help_reply.pk}:help")
    assert decide(message) == Decision("send")
    scene.text(person, "STOP")
    assert decide(message) == Decision("suppress", reason="opted_out")


# --- what waited is sent only while it is true ---


OVERTAKEN = Decision("suppress", reason="overtaken")


def test_a_receipt_does_not_follow_the_confirmation(scene: Scene) -> None:
    (offer,) = scene.offered(1, patient_email=None)
    claim = scene.yes(offer).claim
    assert claim is not None
    receipt = Message.objects.get(kind="received")
    assert decide(receipt) == Decision("send")
    scene.answer(claim)
    confirmation = Message.objects.get(kind="confirmed")
    assert decide(receipt) == decide(confirmation) == Decision("send"), "both wait: they leave in this order"
    Message.objects.filter(pk=confirmation.pk).update(status="sent")
    assert decide(receipt) == OVERTAKEN
    Appointment.objects.filter(pk=claim.appointment_id).update(status="cancelled")
    assert decide(confirmation) == OVERTAKEN


def test_a_refusal_does_not_follow_another_yes(scene: Scene) -> None:
    (offer,) = scene.offered(1, patient_email=None)
    claim = scene.yes(offer).claim
    assert claim is not None
    scene.answer(claim, "refused", code="rejected")
    refusal = Message.objects.get(kind="refused")
    assert decide(refusal) == Decision("send")
    claim.opening.refresh_from_db()
    assert claims.staff_confirm(claim.opening, offer.patient, offer=offer).is_win
    assert decide(refusal) == OVERTAKEN


def test_a_refusal_is_told_whoever_else_said_yes_and_whatever_else_they_have(scene: Scene) -> None:
    first, second = scene.offered(2, hours=40, patient_email=None)
    claim = scene.yes(first).claim
    assert claim is not None
    scene.answer(claim, "refused", code="rejected")
    refusal = Message.objects.get(kind="refused")
    assert scene.yes(second).is_win
    other = scene.opening(hours=60)
    wanted = {"appointment_type": scene.type, "start": other.start, "end": other.end}
    assert claims.staff_confirm(other, first.patient, **wanted).is_win
    assert decide(refusal) == Decision("send")


def test_filled_is_not_said_of_a_time_that_is_offered_again(scene: Scene) -> None:
    first, second = scene.offered(2, hours=40, patient_email=None)
    scene.pass_time(hours=11)  # nine in the evening
    claim = scene.yes(first).claim
    assert claim is not None
    scene.answer(claim)
    filled = Message.objects.get(patient=second.patient, kind="filled")
    assert decide(filled, hours=11) == Decision("send")
    Opening.objects.update(held=Opening.Held.REASON)  # a person's question is about offers
    assert decide(filled, hours=11) == Decision("send")
    Offer.objects.filter(pk=second.pk).update(status="sent")
    assert decide(filled, hours=11) == OVERTAKEN


def test_who_answered_or_left_meanwhile_is_not_asked_whether_they_still_wait(scene: Scene) -> None:
    entry, other = scene.waiting(2, patient_email=None)
    entries.ask(entry)
    entries.ask(other)
    message = messages.queue(
        Message.Kind.STILL_WANTED,
        messages.Address.of(entry.patient.contact_points.get()),
        messages.Subject(entry.patient, scene.location),
        {},
        dedupe_key="still_wanted:1",
    )
    assert message is not None
    assert decide(message) == Decision("send")
    entries.resume(entry)
    assert decide(message) == OVERTAKEN


def test_not_yet_cancelled_is_not_said_after_cancelled(scene: Scene) -> None:
    booked = scene.booked(factories.patient(email=None), hours=30)
    row = writebacks.request_cancel(booked, by_patient=True)
    for kind in ("cancelling", "not_cancelled"):
        given_up.say(row, kind)
    receipt, failed = Message.objects.order_by("pk")
    given_up.say(writebacks.request_cancel(scene.booked(booked.patient, hours=60), by_patient=True), "cancelled")
    assert (decide(receipt), decide(failed)) == (OVERTAKEN, Decision("send"))
    given_up.say(row, "cancelled")
    assert (decide(failed), decide(Message.objects.latest("pk"))) == (OVERTAKEN, Decision("send"))


def test_queued_once(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    address = messages.Address.of(offer.patient.contact_points.get(system="phone"))
    first = messages.queue("filled", address, messages.Subject.of(offer), {}, dedupe_key="once")
    assert first is not None
    assert messages.queue("filled", address, messages.Subject.of(offer), {}, dedupe_key="once") is None
    assert Message.objects.filter(dedupe_key="once").count() == 1
