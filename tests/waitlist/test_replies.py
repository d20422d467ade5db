"""Texts from patients: each ends with a stated outcome, and none is a guess."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.utils import timezone

from integrations.messaging import delivery
from scheduling import openings
from scheduling.contention import DEADLOCK
from scheduling.models import ContactPoint, Location, Opening, WorkItem
from tests import factories, race
from tests.waitlist.conftest import Scene, told
from waitlist import attention, consent, entries, messages, replies, withdrawal, wrong_person
from waitlist.models import Claim, ConsentRecord, Message, Offer, Reply, WaitlistEntry, WrongPersonReport

pytestmark = pytest.mark.django_db


def answers(reply: Reply) -> list[str]:
    """What the reply was answered with, by kind."""
    return list(Message.objects.filter(dedupe_key__startswith=f"reply:{reply.pk}:").values_list("kind", flat=True))


def spoken(reply: Reply) -> str:
    return Message.objects.get(dedupe_key__startswith=f"reply:{reply.pk}:").body


# --- yes and no ---
@pytest.mark.parametrize(
    "words", ["YES", "yes!!", "Yes please", "sí", "y", "👍", "SI {code}", "yes{code}", "YES {code}"]
)
def test_a_yes_claims(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, words.format(code=offer.code))
    claim = Claim.objects.get()
    assert (reply.outcome, reply.offer_id, reply.patient_id) == ("claimed", offer.pk, offer.patient_id)
    assert (claim.channel, claim.actor) == ("sms", f"patient {offer.patient_id}")
    assert told(offer.patient)[2:] == ["received by sms"]  # one answer, not two
    assert reply.handled_at == timezone.now()


@pytest.mark.parametrize("words", ["no", "No thanks", "no gracias", "NO {code}"])
def test_a_no_declines(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, words.format(code=offer.code))
    offer.refresh_from_db()
    assert (reply.outcome, offer.status, Claim.objects.count()) == ("declined", "no", 0)
    assert answers(reply) == ["answer"]


def test_a_wrong_code_is_asked_back(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, "YES 7")
    assert (reply.outcome, answers(reply), Claim.objects.count()) == ("asked", ["question"], 0)
    assert f"YES {offer.code}" in spoken(reply)


@pytest.mark.parametrize("words", ["", "   ", "what is this?", "yes but later", "x" * 1600])
def test_what_nobody_understands_goes_to_staff(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, words)
    offer.refresh_from_db()
    item = WorkItem.objects.get()
    assert (reply.outcome, item.kind, item.subject_id, reply.offer) == ("staff", "reply.unclear", reply.pk, offer)
    assert (item.patient_id, item.opening_id) == (offer.patient_id, offer.opening_id)
    assert (offer.status, answers(reply), Claim.objects.count()) == ("sent", [], 0)
    assert Reply.objects.get().body == words


def test_a_photo_goes_to_staff(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, "", media_count=1)
    assert (reply.outcome, reply.media_count, WorkItem.objects.get().kind) == ("staff", 1, "reply.unclear")


def test_thanks_is_no_yes(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    asked = scene.text(offer.patient, "OK thanks")
    assert (asked.outcome, answers(asked), Claim.objects.count()) == ("asked", ["question"], 0)
    scene.yes(offer)
    noted = scene.text(offer.patient, "OK thanks")
    assert (noted.outcome, answers(noted), WorkItem.objects.count()) == ("noted", [], 0)


def test_one_phone_two_patients_a_bare_yes_is_asked_back(scene: Scene) -> None:
    """46: never guessed; the code decides, and so do bare digits after the question."""
    phone = "+12125550177"
    scene.waiting(2, patient_phone=phone, patient_email=None)
    opening = scene.opening(hours=10)
    scene.look(opening)
    scene.deliver()
    mother, child = opening.offers.order_by("rank")
    reply = scene.text(mother.patient, "YES")
    assert (reply.outcome, reply.patient_id, Claim.objects.count()) == ("asked", None, 0)
    assert f"YES {mother.code}" in spoken(reply)
    assert f"YES {child.code}" in spoken(reply)
    assert scene.text(mother.patient, child.code).outcome == "claimed"
    assert Claim.objects.get().patient_id == child.patient_id


@pytest.mark.parametrize(("words", "outcome"), [("no", "declined"), ("yes", "too_late")])
def test_of_two_at_a_number_who_names_a_code_is_answered_as_the_one_it_was_given_to(
    scene: Scene, words: str, outcome: str
) -> None:
    """In that one's language and from where that one was to come, though the other was written to since."""
    phone, here = "+12125550177", scene.location
    (mother,) = scene.waiting(1, patient_phone=phone, patient_email=None, patient_language="es")
    scene.look(scene.opening(hours=10))
    scene.deliver()
    scene.location = factories.location(name="Lakeview")
    factories.bookable(scene.provider, scene.location, scene.type)
    scene.waiting(1, patient_phone=phone, patient_email=None)
    scene.look(scene.opening(hours=30))
    scene.deliver()
    offer = mother.offers.get()
    if outcome == "too_late":
        withdrawal.withdraw(offer.opening, "held")
    reply = scene.text(mother.patient, f"{words} {offer.code}")
    message = Message.objects.get(dedupe_key__startswith=f"reply:{reply.pk}:")
    assert (reply.outcome, reply.offer, reply.patient, reply.location) == (outcome, offer, mother.patient, here)
    assert (message.patient, message.location, message.language) == (mother.patient, here, "es")


def test_bare_digits_without_a_question_are_asked_back(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    assert scene.text(offer.patient, offer.code).outcome == "asked"
    assert Claim.objects.count() == 0
    assert scene.text(offer.patient, offer.code).outcome == "claimed"


def test_bare_digits_answer_no_question_that_somebody_else_was_asked(scene: Scene) -> None:
    one, other = scene.offered(2)
    assert scene.text(other.patient, "YES 7").outcome == "asked"
    assert scene.text(one.patient, one.code).outcome == "asked"
    assert Claim.objects.count() == 0


def test_bare_digits_answer_no_question_of_hours_ago(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=30)
    assert scene.text(offer.patient, offer.code).outcome == "asked"
    scene.pass_time(minutes=121)
    assert scene.text(offer.patient, offer.code).outcome == "asked"
    assert Claim.objects.count() == 0


def test_who_shares_a_number_is_asked_in_the_language_of_the_latest_offer(scene: Scene) -> None:
    one, _ = scene.waiting(2, patient_phone="+12125550177", patient_email=None, patient_language="es")
    scene.look(scene.opening(hours=10))
    scene.deliver()
    assert "¿de qué cita se trata?" in spoken(scene.text(one.patient, "sí"))


def test_another_patients_offer_that_just_ended_makes_a_bare_yes_doubtful(scene: Scene) -> None:
    phone = "+12125550177"
    first, second = scene.waiting(2, patient_phone=phone, patient_email=None)
    early, later = scene.opening(hours=1.5), scene.opening(hours=30)
    factories.policy(offers_per_day=1)
    Offer.objects.all().delete()
    entries.pause(second)
    scene.look(early)
    scene.deliver()
    scene.pass_time(minutes=45)
    attention.drain()
    entries.resume(second)
    scene.look(later)
    scene.deliver()
    assert list(Offer.objects.order_by("pk").values_list("patient_id", "status")) == [
        (first.patient_id, "expired"),
        (second.patient_id, "sent"),
    ]
    assert scene.text(second.patient, "yes").outcome == "asked"
    live = Offer.objects.get(status="sent")
    assert scene.text(second.patient, f"yes {live.code}").outcome == "claimed"


def test_a_bare_yes_when_the_offers_of_two_at_the_number_are_over_is_read_by_a_person(scene: Scene) -> None:
    phone = "+12125550177"
    scene.waiting(2, patient_phone=phone, patient_email=None)
    opening = scene.opening(hours=10)
    scene.look(opening)
    scene.deliver()
    scene.pass_time(hours=9)
    attention.drain()
    late = scene.text(scene.people[0], "yes")
    assert (late.outcome, late.patient, answers(late), Claim.objects.count()) == ("staff", None, [], 0)
    coded = scene.text(scene.people[0], f"yes {opening.offers.order_by('rank')[0].code}")
    assert (coded.outcome, coded.patient) == ("too_late", scene.people[0])


def test_two_patients_of_whom_one_was_asked_is_no_doubt(scene: Scene) -> None:
    phone = "+12125550177"
    (offer,) = scene.offered(1, patient_phone=phone)
    factories.patient(phone=phone)
    assert scene.text(offer.patient, "yes").outcome == "claimed"


def asked_to_stay(scene: Scene, **fields: object) -> WaitlistEntry:
    """Somebody who was asked by text whether they still wait."""
    (entry,) = scene.waiting(1, patient_email=None, **fields)
    entries.ask(entry)
    contact = entry.patient.contact_points.get()
    messages.queue(
        Message.Kind.STILL_WANTED,
        messages.Address.of(contact),
        messages.Subject(entry.patient, scene.location),
        {},
        dedupe_key=f"still_wanted:{entry.pk}",
    )
    scene.deliver()
    return entry


@pytest.mark.parametrize("words", ["no", "yes"])
def test_a_bare_answer_that_may_be_about_the_list_or_an_offer_is_asked_back_then_read(scene: Scene, words: str) -> None:
    """46: one of them was asked "still want this?", the other was offered a time; both read YES or NO."""
    phone = "+12125550177"
    (offer,) = scene.offered(1, patient_phone=phone, patient_email=None)
    entry = asked_to_stay(scene, patient_phone=phone)
    reply = scene.text(offer.patient, words)
    assert (reply.outcome, answers(reply)) == ("asked", ["question"])
    assert f"YES {offer.code}" in spoken(reply)
    again = scene.text(offer.patient, words)
    assert (again.outcome, answers(again)) == ("staff", [])
    offer.refresh_from_db()
    entry.refresh_from_db()
    assert (offer.status, entry.status, Claim.objects.count()) == ("sent", "asked", 0)
    assert scene.text(offer.patient, f"yes {offer.code}").outcome == "claimed"
    scene.pass_time(hours=3)
    assert scene.text(offer.patient, words).outcome in ("claimed", "declined"), "nothing else is open by then"
    entry.refresh_from_db()
    assert entry.status == {"yes": "waiting", "no": "left"}[words]


def test_who_was_asked_about_the_list_long_ago_means_the_offer(scene: Scene) -> None:
    phone = "+12125550177"
    asked_to_stay(scene, patient_phone=phone)
    scene.pass_time(hours=24 * 8)
    (offer,) = scene.offered(1, patient_phone=phone, patient_email=None)
    assert scene.text(offer.patient, "yes").outcome == "claimed"


def test_a_yes_means_no_offer_whose_text_has_not_left(scene: Scene) -> None:
    """It answers something else: an offer of before, or a text of another sender's."""
    scene.waiting(1, patient_email=None)
    opening = scene.opening(hours=30)
    scene.look(opening)
    offer = opening.offers.get()
    assert scene.text(offer.patient, "yes").outcome == "staff"
    assert scene.text(offer.patient, "no").outcome == "staff"
    offer.refresh_from_db()
    assert (offer.status, Claim.objects.count()) == ("sent", 0)
    scene.deliver()
    assert scene.text(offer.patient, "yes").outcome == "claimed"


def test_a_yes_to_an_offer_that_is_made_again_waits_for_its_new_text(scene: Scene) -> None:
    (offer,) = scene.offered(1, patient_email=None)
    withdrawal.withdraw(offer.opening, "held")
    scene.pass_time(minutes=1)
    scene.look(offer.opening)
    offer.refresh_from_db()
    assert offer.status == "sent"
    assert scene.text(offer.patient, "yes").outcome == "staff"
    assert Claim.objects.count() == 0
    scene.deliver()
    assert scene.text(offer.patient, "yes").outcome == "claimed"


def test_a_yes_by_text_after_it_is_over(scene: Scene) -> None:
    first, second = scene.offered(2)
    claim = scene.yes(first).claim
    assert claim is not None
    late = scene.text(second.patient, f"YES {second.code}")
    assert (late.outcome, answers(late)) == ("too_late", ["answer"])
    assert "first" in spoken(late)
    scene.answer(claim)
    after = scene.text(second.patient, f"YES {second.code}")
    assert (after.outcome, Claim.objects.count()) == ("too_late", 1)
    assert "filled" in spoken(after)
    again = scene.text(first.patient, "YES")
    assert again.outcome == "claimed"
    assert claim.appointment.reference in spoken(again)


def test_a_yes_after_expiry(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=10)
    scene.pass_time(hours=9)
    reply = scene.text(offer.patient, "yes")
    assert (reply.outcome, Claim.objects.count()) == ("too_late", 0)


def test_a_yes_from_a_record_that_was_closed(scene: Scene) -> None:
    """51: nothing is sent, a person looks."""
    (offer,) = scene.offered(1)
    type(offer.patient).objects.filter(pk=offer.patient_id).update(deceased=True)
    reply = scene.text(offer.patient, "yes")
    assert (reply.outcome, answers(reply), Claim.objects.count()) == ("staff", [], 0)
    assert WorkItem.objects.get().kind == "patient.frozen"


def test_nothing_was_offered(scene: Scene) -> None:
    person = factories.patient()
    (somebody_else,) = scene.waiting(1)
    entries.ask(somebody_else)
    assert scene.text(person, "YES").outcome == "staff"
    somebody_else.refresh_from_db()
    assert somebody_else.status == "asked"
    coded = scene.text(person, "YES 47")
    assert (coded.outcome, answers(coded)) == ("too_late", ["answer"])


def test_silence_three_times_asks_and_yes_stays(scene: Scene) -> None:
    (entry,) = scene.waiting(1)
    for _ in range(3):
        opening = scene.opening(hours=2)
        assert scene.look(opening) == 1
        scene.deliver()
        scene.pass_time(hours=30)
        attention.drain()
    entry.refresh_from_db()
    assert (entry.silences, entry.status) == (3, "asked")
    assert Message.objects.filter(kind="still_wanted").count() == 2
    assert scene.look(scene.opening(hours=30)) == 0
    reply = scene.text(entry.patient, "yes")
    entry.refresh_from_db()
    assert (reply.outcome, entry.status, entry.silences) == ("claimed", "waiting", 0)
    assert "stay" in spoken(reply)


def test_no_to_still_wanted_leaves_the_list(scene: Scene) -> None:
    (entry,) = scene.waiting(1)
    entries.ask(entry)
    reply = scene.text(entry.patient, "no")
    entry.refresh_from_db()
    assert (reply.outcome, entry.status) == ("declined", "left")


@pytest.mark.parametrize("words", ["yes", "no"])
def test_of_two_at_a_number_who_were_both_asked_a_bare_answer_decides_for_neither(scene: Scene, words: str) -> None:
    phone = "+12125550177"
    both = [asked_to_stay(scene, patient_phone=phone) for _ in range(2)]
    reply = scene.text(both[0].patient, words)
    assert (reply.outcome, reply.patient, answers(reply)) == ("staff", None, [])
    assert set(WaitlistEntry.objects.values_list("status", flat=True)) == {"asked"}


# --- consent ---
@pytest.mark.parametrize("words", ["STOP", "stop texting me", "CANCEL", "no más mensajes", "Unsubscribe", "opt out"])
def test_stop_binds_the_number_at_once_with_one_receipt(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, words)
    assert (reply.outcome, answers(reply)) == ("opted_out", ["stop_receipt"])
    phone = offer.patient.contact_points.get(system="phone")
    assert not consent.allowed(offer.patient, phone, "sms")
    assert consent.allowed(offer.patient, offer.patient.contact_points.get(system="email"), "email")
    again = scene.text(offer.patient, "STOP")
    assert (again.outcome, answers(again)) == ("opted_out", [])
    assert Message.objects.get(kind="stop_receipt").status == "waiting"
    assert ConsentRecord.objects.get(action="revoked").patient == offer.patient, "nobody else has the number"


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        ("take me off the list", True),
        ("Unsubscribe me from your waiting list", True),
        ("quiten mi número de la lista de espera", True),
        ("STOP", False),
        ("stop texting me", False),
    ],
)
def test_who_asks_to_be_taken_off_the_list_keeps_their_place_until_a_person_has_asked(
    scene: Scene, words: str, asks: bool
) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, words)
    offer.entry.refresh_from_db()
    assert (reply.outcome, answers(reply), offer.entry.status) == ("opted_out", ["stop_receipt"], "waiting")
    assert WorkItem.objects.filter(kind="reply.unclear", subject_id=reply.pk).exists() == asks


def test_who_waits_for_nothing_and_asks_to_be_taken_off_leaves_nothing_to_ask(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    scene.waiting(1)  # somebody else
    entries.leave(offer.entry)
    assert scene.text(offer.patient, "take me off the list").outcome == "opted_out"
    assert not WorkItem.objects.filter(kind="reply.unclear").exists()


def test_stop_is_for_everybody_at_the_number_and_stops_what_is_queued(scene: Scene) -> None:
    """44: nothing more is sent."""
    phone = "+12125550177"
    one, other = scene.waiting(2, patient_phone=phone, patient_email=None)
    opening = scene.opening(hours=10)
    scene.look(opening)
    assert Message.objects.filter(status="waiting").count() == 2
    scene.text(one.patient, "STOP")
    assert Message.objects.filter(status="suppressed", error_code="opted_out").count() == 2
    assert not consent.ways(other.patient, timezone.now().date())
    assert [each.kind for each in Message.objects.filter(status="waiting")] == ["stop_receipt"]
    assert ConsentRecord.objects.get(action="revoked").patient is None, "which of the two wrote is not known"


@pytest.mark.parametrize(("email", "status", "then"), [(None, "expired", 1), ("robin@example.org", "sent", 0)])
def test_an_offer_that_a_stop_kept_from_leaving_is_over_and_the_next_in_line_is_asked(
    scene: Scene, django_capture_on_commit_callbacks: Any, email: str | None, status: str, then: int
) -> None:
    """Not where it is out by e-mail; and whoever said STOP is not called about the same time instead."""
    factories.policy(waves=[{"size": 1, "gap_minutes": 30}])
    first, second = (scene.waiting(1, patient_email=each)[0] for each in (email, None))
    opening = scene.opening(hours=72)
    assert scene.look(opening) == 1
    with django_capture_on_commit_callbacks(execute=True):
        scene.text(first.patient, "STOP")
    attention.drain()
    offer = opening.offers.get()
    assert (offer.patient, offer.status, offer.entry.silences) == (first.patient, status, 0)
    opening.refresh_from_db()
    assert opening.check_due_at == timezone.now()
    assert scene.look(opening) == then
    assert opening.offers.filter(patient=second.patient).count() == then
    assert not WorkItem.objects.exists()


def test_an_offer_that_its_sender_finds_may_not_leave_is_over_too(
    scene: Scene, django_capture_on_commit_callbacks: Any
) -> None:
    (entry,) = scene.waiting(1, patient_email=None)
    scene.look(scene.opening(hours=10))
    factories.consents(entry.patient.contact_points.get(), "revoked")
    with django_capture_on_commit_callbacks(execute=True):
        assert delivery.send(Message.objects.get().pk)
    attention.drain()
    assert Offer.objects.get().status == "expired"


def test_an_offer_that_only_a_test_installation_kept_here_stands(scene: Scene) -> None:
    """Else a trial would go through the whole list at once."""
    scene.waiting(1, patient_email=None)
    opening = scene.opening(hours=10)
    scene.look(opening)
    Message.objects.update(status="suppressed", error_code="test_installation")
    openings.request_attention(opening.pk)
    attention.drain()
    assert Offer.objects.get().status == "sent"


def test_stop_between_match_and_send(scene: Scene) -> None:
    """44: decided again at the moment of sending."""
    (entry,) = scene.waiting(1, patient_email=None)
    scene.look(scene.opening(hours=10))
    message = Message.objects.get()
    assert messages.may_send(message).action == "send"
    phone = entry.patient.contact_points.get()
    factories.consents(phone, "revoked")
    assert messages.may_send(message) == messages.Decision("suppress", reason="no_consent")


def test_start_takes_it_back_for_those_who_had_agreed(scene: Scene) -> None:
    phone = "+12125550177"
    agreed = factories.patient(phone=phone)
    never = factories.patient(phone=phone, consent=())
    scene.text(agreed, "STOP")
    reply = scene.text(agreed, "START")
    assert (reply.outcome, answers(reply)) == ("opted_in", ["answer"])
    day = timezone.now().date()
    assert [each.system for each in consent.ways(agreed, day)] == ["phone", "email"]
    assert consent.ways(never, day) == []


@pytest.mark.parametrize(("theirs", "words", "stopped"), [(1, "STOP", True), (0, "STOP", False), (1, "HELP", False)])
def test_a_start_that_is_read_after_a_later_stop_from_there_takes_nothing_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, theirs: int, words: str, stopped: bool
) -> None:
    person, other = factories.patient(), factories.patient()
    with monkeypatch.context() as broken:
        broken.setattr(consent, "restore_address", lambda *_, **__: 1 / 0)
        start = scene.text(person, "START")
    assert start.outcome == "new"
    scene.text(person if theirs else other, words)
    scene.pass_time(seconds=30)
    replies.drain()
    start.refresh_from_db()
    assert (start.outcome, answers(start)) == ("opted_in", [] if stopped else ["answer"])
    ways = [each.system for each in consent.ways(person, timezone.now().date())]
    assert ways == (["email"] if stopped else ["phone", "email"])


def test_a_start_of_somebody_who_never_agreed_promises_no_texts(scene: Scene) -> None:
    person = factories.patient(consent=())
    reply = scene.text(person, "START")
    assert (reply.outcome, answers(reply), WorkItem.objects.get().kind) == ("staff", [], "reply.unclear")
    assert not ConsentRecord.objects.exists()


def test_help_names_the_practice_and_its_phone(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, "HELP")
    assert (reply.outcome, answers(reply)) == ("helped", ["help"])
    assert "Elm Street Clinic" in spoken(reply)
    assert "555-0101" in spoken(reply)


def test_a_stranger_may_opt_out_too(scene: Scene) -> None:
    reply = replies.receive("sms", "in-x", "(212) 555-0188", "stop")
    replies.handle(reply.pk)
    reply.refresh_from_db()
    assert (reply.outcome, reply.patient_id, answers(reply)) == ("opted_out", None, ["stop_receipt"])
    assert Message.objects.get().address == "+12125550188"


# --- for people ---
@pytest.mark.parametrize("words", ["Wrong number", "número equivocado"])
def test_a_wrong_number_is_frozen(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, words)
    offer.refresh_from_db()
    assert (reply.outcome, offer.status, offer.withdrawn_reason) == ("wrong_person", "withdrawn", "wrong_person")
    assert offer.patient.contact_points.get(system="phone").state == ContactPoint.State.FROZEN
    assert (answers(reply), WorkItem.objects.get().kind) == ([], "reply.wrong_person")
    assert not ConsentRecord.objects.filter(action="revoked").exists(), "nobody ended anything"
    offer.entry.refresh_from_db()
    assert offer.entry.status == "waiting"  # reached by another way, they still wait
    assert not Message.objects.filter(kind__in=("withdrawn", "filled")).exists()


def test_an_opt_out_of_the_wrong_person_outlives_the_freeze(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    scene.text(offer.patient, "wrong number, stop texting")
    phone = offer.patient.contact_points.get(system="phone")
    assert wrong_person.undo(WrongPersonReport.objects.get(), "Said by phone.", by="dana")
    assert not consent.allowed(offer.patient, phone, "sms")


def test_stop_with_one_name_binds_everybody_at_the_number(scene: Scene) -> None:
    phone = "+12125550177"
    one = factories.patient(given_name="Robin", phone=phone, email=None)
    other = factories.patient(given_name="Maria", phone=phone, email=None)
    reply = scene.text(one, "STOP Maria")
    assert (reply.outcome, reply.patient, answers(reply)) == ("opted_out", None, ["stop_receipt"])
    day = timezone.now().date()
    assert (consent.ways(one, day), consent.ways(other, day)) == ([], [])


def test_urgent_words_are_answered_by_night_in_the_patients_language(scene: Scene) -> None:
    (offer,) = scene.offered(1, patient_language="es")
    scene.pass_time(hours=13)  # 11 at night
    reply = scene.text(offer.patient, "no puedo respirar")
    message = Message.objects.get(dedupe_key__startswith=f"reply:{reply.pk}:")
    assert (message.language, message.due_at) == ("es", timezone.now())
    assert messages.may_send(message).action == "send"


def test_who_is_said_to_have_died_is_offered_nothing_by_any_way(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    (other,) = scene.waiting(1)
    reply = scene.text(offer.patient, "She died last month")
    offer.entry.refresh_from_db()
    assert (reply.outcome, offer.entry.status, answers(reply)) == ("wrong_person", "paused", [])
    opening = scene.opening(hours=30)
    assert scene.look(opening) == 1
    assert opening.offers.get().patient == other.patient


@pytest.mark.parametrize("words", ["I have chest pain", "no puedo respirar", "yes, but chest pain"])
def test_urgent_words_are_answered_and_top_the_list(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, words)
    item = WorkItem.objects.get()
    assert (reply.outcome, item.kind, item.urgency) == ("urgent", "reply.urgent", 0)
    assert "no more texts" not in item.advice
    assert "911" in spoken(reply)
    assert Claim.objects.count() == 0


@pytest.mark.parametrize(("words", "receipt"), [("Chest pain, STOP", "START"), ("me duele el pecho. Alto", "START")])
def test_an_opt_out_beside_urgent_words_is_recorded_and_911_is_still_said(
    scene: Scene, words: str, receipt: str
) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, words)
    phone = offer.patient.contact_points.get(system="phone")
    item = WorkItem.objects.get()
    assert (reply.outcome, item.urgency, "no more texts" in item.advice) == ("urgent", 0, True)
    assert not consent.allowed(offer.patient, phone, "sms")
    line = ConsentRecord.objects.get(action="revoked")
    assert (line.address_index, line.source) == (phone.address_index, "reply")
    said = Message.objects.get(dedupe_key__startswith=f"reply:{reply.pk}:")
    assert messages.may_send(said).action == "send"
    assert "911" in said.body
    assert receipt in said.body
    again = scene.text(offer.patient, "chest pain")  # after a STOP, too
    answer = Message.objects.get(dedupe_key__startswith=f"reply:{again.pk}:")
    assert ("911" in answer.body, messages.may_send(answer).action) == (True, "send")


def test_a_phone_that_answers_by_itself_is_told_once_in_a_while(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    for minutes, said in ((0, ["urgent"]), (4, []), (2, ["urgent"])):
        scene.pass_time(minutes=minutes)
        reply = scene.text(offer.patient, "I am driving. In an emergency call 911.")
        assert (reply.outcome, answers(reply)) == ("urgent", said)
    assert WorkItem.objects.filter(kind="reply.urgent").count() == 3
    assert answers(scene.text(factories.patient(), "chest pain")) == ["urgent"], "another phone"


@pytest.mark.parametrize("words", ["Who is this?", "¿Quién es?"])
def test_who_asks_who_we_are_is_told_and_nothing_is_frozen(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1, patient_given_name="Robin", patient_family_name="Elm")
    reply = scene.text(offer.patient, words)
    offer.refresh_from_db()
    item = WorkItem.objects.get()
    assert (reply.outcome, item.kind, item.subject_id, reply.offer) == ("staff", "reply.who", reply.pk, offer)
    assert "They were told the practice's name" in item.advice
    assert (offer.status, offer.patient.contact_points.get(system="phone").state) == ("sent", "usable")
    assert "Elm Street Clinic" in spoken(reply)
    assert "555-0101" in spoken(reply)
    assert "Robin" not in spoken(reply)
    assert not WrongPersonReport.objects.exists()
    assert scene.text(offer.patient, "yes").outcome == "claimed"


@pytest.mark.parametrize("words", ["im not robin", "not me", "no soy Robin"])
def test_who_says_they_are_somebody_else_is_written_to_no_more(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1, patient_given_name="Robin")
    assert scene.text(offer.patient, words).outcome == "wrong_person"
    assert offer.patient.contact_points.get(system="phone").state == ContactPoint.State.FROZEN


@pytest.mark.parametrize("words", ["I'm not Medicare", "No es Robin, soy su hija", "who is Robin?"])
def test_what_only_may_be_a_wrong_number_is_read_by_staff_and_freezes_nothing(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1, patient_given_name="Robin")
    reply = scene.text(offer.patient, words)
    offer.refresh_from_db()
    item = WorkItem.objects.get()
    assert (reply.outcome, answers(reply), item.kind, item.subject_id) == ("staff", [], "reply.unclear", reply.pk)
    assert reply.offer == offer
    assert "somebody else" in item.title
    assert "Reached the wrong person" in item.advice
    assert (offer.status, offer.patient.contact_points.get(system="phone").state) == ("sent", "usable")
    assert not WrongPersonReport.objects.exists()
    assert scene.text(offer.patient, "yes").outcome == "claimed"


@pytest.mark.parametrize("words", ["please don't stop texting me", "no paren de escribirme", "is it the bus stop?"])
def test_who_says_do_not_stop_is_still_written_to(scene: Scene, words: str) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, words)
    assert (reply.outcome, answers(reply), WorkItem.objects.get().kind) == ("staff", [], "reply.unclear")
    assert not ConsentRecord.objects.filter(action="revoked").exists()
    assert scene.text(offer.patient, "yes").outcome == "claimed"


def test_a_sign_on_our_own_text_is_no_answer_and_no_stop(scene: Scene) -> None:
    """Phones quote our words to say it, and STOP is among them."""
    (offer,) = scene.offered(1)
    ours = Message.objects.get(offer=offer, channel="sms").body
    assert "STOP" in ours
    liked = scene.text(offer.patient, f"Liked “{ours}”")
    assert (liked.outcome, answers(liked), Claim.objects.count()) == ("asked", ["question"], 0)
    assert scene.text(offer.patient, f"Disliked “{ours}”").outcome == "staff"
    assert not ConsentRecord.objects.filter(action="revoked").exists()
    assert scene.text(offer.patient, f"OK {offer.code}").outcome == "claimed"


# --- stored first, read once ---
def test_the_same_text_delivered_again_is_one_row(scene: Scene) -> None:
    first = replies.receive("sms", "in-1", "+12125550188", "yes")
    second = replies.receive("sms", "in-1", "+12125550188", "yes")
    assert (first.pk, Reply.objects.count()) == (second.pk, 1)


def test_answers_go_at_night_and_in_the_patients_language(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=40, patient_language="es-MX")
    scene.pass_time(hours=12)
    reply = scene.text(offer.patient, "no")
    message = Message.objects.get(dedupe_key__startswith=f"reply:{reply.pk}:")
    assert (message.initiated, message.due_at, message.language) == (False, timezone.now(), "es")
    assert messages.may_send(message).action == "send"


def test_a_reply_that_fails_is_tried_again_and_then_read_by_a_person(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (offer,) = scene.offered(1)
    phone = offer.patient.contact_points.get(system="phone").value
    reply = replies.receive("sms", "in-1", phone, "yes")
    other = replies.receive("sms", "in-2", phone, "help")

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("waitlist.claims.claim", fail)
    for _ in range(6):
        attention.drain()
        scene.pass_time(seconds=31)
    for row in (reply, other):
        row.refresh_from_db()
    assert (reply.outcome, reply.attempts, other.outcome) == ("staff", 6, "helped")
    assert WorkItem.objects.get().kind == "reply.unclear"


def test_a_reply_whose_reading_gave_way_to_another_worker_is_read_a_second_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (offer,) = scene.offered(1)
    reply = replies.receive("sms", "in-1", offer.patient.contact_points.get(system="phone").value, "no")
    with monkeypatch.context() as ended:
        ended.setattr("waitlist.claims.decline", Mock(side_effect=race.ended_by_the_database(DEADLOCK)))
        for _ in range(replies.MOST_ATTEMPTS + 1):
            attention.drain()
            scene.pass_time(seconds=1)
    reply.refresh_from_db()
    assert (reply.outcome, reply.attempts) == ("new", 1)
    attention.drain()
    reply.refresh_from_db()
    assert (reply.outcome, WorkItem.objects.count()) == ("declined", 0)


@pytest.mark.parametrize("ending", [SystemExit(), race.ended_by_the_database(DEADLOCK)], ids=["death", "deadlock"])
def test_a_worker_that_ends_between_the_claim_and_its_reply_is_replaced_and_nothing_is_said_twice(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    (offer,) = scene.offered(1)
    reply = replies.receive("sms", "in-1", offer.patient.contact_points.get(system="phone").value, "yes")

    with monkeypatch.context() as patched, suppress(SystemExit):
        patched.setattr("waitlist.answering.end", Mock(side_effect=ending))
        attention.drain()
    assert (Claim.objects.count(), Reply.objects.get().outcome) == (1, "new")
    scene.pass_time(seconds=21)
    attention.drain()
    reply.refresh_from_db()
    assert (reply.outcome, reply.attempts, reply.offer) == ("claimed", 2, offer)
    texts = Message.objects.filter(patient=offer.patient, channel="sms").order_by("pk")
    assert [text.kind for text in texts] == ["offer", "received"]


@pytest.mark.django_db(transaction=True)
def test_many_workers_read_a_reply_once() -> None:
    person = factories.patient()
    phone = person.contact_points.get(system="phone").value
    reply = replies.receive("sms", "in-1", phone, "HELP")
    handled = race.together(5, lambda _: replies.handle(reply.pk))
    assert handled.count(True) == 1
    assert Message.objects.filter(kind="help").count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_text_at_the_same_moment_is_one_row() -> None:
    rows = race.together(5, lambda _: replies.receive("sms", "in-1", "+12125550188", "yes").pk)
    assert set(rows) == {Reply.objects.get().pk}


def test_an_opening_is_untouched_by_all_this(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    for words in ("HELP", "what?", "OK", "START"):
        scene.text(offer.patient, words)
    opening = Opening.objects.get()
    assert (opening.status, opening.held, opening.start - timezone.now()) == ("offering", "", timedelta(hours=10))


def test_who_is_not_of_age_here_is_written_to_at_a_guardian_s_contact_only(scene: Scene) -> None:
    (entry,) = scene.waiting(1, patient_birth_date=date(2007, 6, 1))  # 18
    day = timezone.now().date()
    assert consent.ways(entry.patient, day)
    factories.practice(adult_at_age=19)
    assert consent.ways(entry.patient, day) == []


# --- where a reply without an offer belongs ---
def elsewhere(scene: Scene, entry: WaitlistEntry) -> Location:
    other = factories.location(name="Lakeview")
    entry.patient.locations.add(other)
    return other


def test_a_reply_without_an_offer_belongs_where_the_patient_waits(scene: Scene) -> None:
    (entry,) = scene.waiting(1)
    other = elsewhere(scene, entry)
    entries.change(entry, locations=[other])
    # Somebody else waits anywhere and was written to from here.
    (somebody_else,) = scene.waiting(1)
    address = messages.Address.of(somebody_else.patient.contact_points.get(system="phone"))
    messages.queue("help", address, messages.Subject(somebody_else.patient, scene.location), {}, dedupe_key="else")
    reply = scene.text(entry.patient, "what should I bring?")
    assert (reply.outcome, reply.offer, reply.location) == ("staff", None, other)
    assert WorkItem.objects.get(kind="reply.unclear").location == other


def test_a_reply_that_could_belong_to_several_is_everybodys(scene: Scene) -> None:
    (entry,) = scene.waiting(1)
    here = Location.objects.get()
    other = elsewhere(scene, entry)
    entries.change(entry, locations=[here, other])
    assert scene.text(entry.patient, "what should I bring?").location is None
    entries.change(entry, locations=[other])
    thread = {"channel": "sms", "location": here, "due_at": timezone.now(), "kind": "answer", "body": "Hello"}
    contact = entry.patient.contact_points.get(system="phone")
    Message.objects.create(address=contact.value, address_index=contact.address_index, dedupe_key="t", **thread)
    assert scene.text(entry.patient, "and when?").location is None, "the thread is the one's, the wish the other's"
    entries.leave(entry)
    assert scene.text(entry.patient, "hello?").location == here, "only the thread is left"


def test_a_reply_of_somebody_nobody_knows_is_everybodys(scene: Scene) -> None:
    reply = replies.receive("sms", "stranger", "+12125550199", "hello?")
    assert replies.handle(reply.pk)
    reply.refresh_from_db()
    assert (reply.outcome, reply.location, reply.patient) == ("staff", None, None)


@pytest.mark.parametrize("words", ["Who is this?", "I'm not Medicare", "xyzzy"])
def test_what_is_for_a_person_is_about_no_offer_where_none_is_open(scene: Scene, words: str) -> None:
    reply = scene.text(factories.patient(), words)
    assert (reply.outcome, reply.offer) == ("staff", None)


def test_an_e_mail_that_reached_the_wrong_person_freezes_the_address_and_no_number(scene: Scene) -> None:
    (offer,) = scene.offered(1, patient_email="robin@example.org")
    reply = replies.receive("email", "in-mail", "robin@example.org", "wrong person")
    assert replies.handle(reply.pk)
    states = dict(offer.patient.contact_points.values_list("system", "state"))
    assert states == {"email": ContactPoint.State.FROZEN, "phone": ContactPoint.State.USABLE}


def test_who_asks_after_a_stop_is_told_nothing_and_staff_know_that(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    scene.text(offer.patient, "STOP")
    scene.text(offer.patient, "Who is this?")
    assert "They were told nothing" in WorkItem.objects.get(kind="reply.who").advice
