"""A person's own answer to a patient: to who wrote, at once, by night too, once, and never against a STOP."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from audit.models import AccessRecord
from integrations.messaging import delivery
from scheduling.models import WorkItem
from tests import factories
from tests.waitlist.conftest import Scene
from waitlist import messages, staff_answers
from waitlist.models import Message, Reply

pytestmark = pytest.mark.django_db
NIGHT = datetime(2026, 3, 3, 23, 30, tzinfo=ZoneInfo("America/New_York"))
WORDS = "It was Thursday at 2:30."


def asked(scene: Scene, words: str = "what time was that?") -> Reply:
    (offer,) = scene.offered(1)
    return scene.text(offer.patient, words)


def test_an_answer_goes_at_once_by_night_to_who_wrote_and_closes_what_asked_for_it(scene: Scene) -> None:
    first = asked(scene)
    assert first.patient is not None
    scene.clock.move_to(NIGHT)
    again = scene.text(first.patient, "hello??")
    assert WorkItem.objects.filter(kind="reply.unclear", status="open").count() == 2
    message = staff_answers.send(again, WORDS, by="dana", number=0)
    assert message is not None
    assert (message.body, message.address, message.initiated) == (f"Elm Street Clinic: {WORDS}", again.address, False)
    assert messages.may_send(message).action == "send"
    items = WorkItem.objects.filter(kind="reply.unclear")
    assert {(item.status, item.done_by, item.resolution) for item in items} == {
        ("done", "dana", "Answered by text by dana.")
    }
    assert AccessRecord.objects.filter(action="send", subject_id=str(message.pk)).count() == 1


def test_an_answer_closes_nothing_that_was_written_after_what_it_answers_or_by_somebody_else(scene: Scene) -> None:
    first = asked(scene)
    assert first.patient is not None
    scene.pass_time(minutes=1)
    later = scene.text(first.patient, "and where do I park?")
    (other,) = scene.offered(1)
    scene.clock.move_to(timezone.now() - timedelta(minutes=5))
    others = scene.text(other.patient, "what should I bring?")
    scene.pass_time(minutes=5)
    assert staff_answers.send(first, WORDS, by="dana", number=0) is not None
    left = WorkItem.objects.filter(kind="reply.unclear", status="open")
    assert [item.subject_id for item in left.order_by("pk")] == [later.pk, others.pk]


def test_the_same_press_twice_is_one_message_and_of_two_people_the_second_hears_it(scene: Scene) -> None:
    reply = asked(scene)
    first = staff_answers.send(reply, WORDS, by="dana", number=0)
    assert staff_answers.send(reply, WORDS, by="dana", number=0) == first
    assert staff_answers.send(reply, "Friday.", by="maria", number=0) is None
    assert Message.objects.filter(kind="staff").count() == 1
    assert staff_answers.draft(reply, "Friday.").number == 1
    assert staff_answers.send(reply, "Friday.", by="maria", number=1) is not None


def test_after_stop_there_is_no_answer_and_one_that_waits_becomes_a_call(scene: Scene) -> None:
    reply = asked(scene)
    message = staff_answers.send(reply, WORDS, by="dana", number=0)
    assert message is not None
    assert reply.patient is not None
    scene.text(reply.patient, "STOP")
    message.refresh_from_db()
    assert (message.status, message.error_code) == ("suppressed", "opted_out")
    item = WorkItem.objects.get(kind="message.call")
    assert (item.patient, item.subject_id) == (reply.patient, message.pk)
    assert staff_answers.why_not(reply) == "They wrote STOP: nothing may be sent there. Call them instead."
    with pytest.raises(ValueError, match="may not be sent"):
        staff_answers.send(reply, WORDS, by="dana", number=1)


def test_an_answer_that_cannot_leave_becomes_a_call(scene: Scene) -> None:
    message = staff_answers.send(asked(scene), WORDS, by="dana", number=0)
    assert message is not None
    scene.clock.shift(timedelta(hours=25))
    delivery.send(message.pk)
    message.refresh_from_db()
    assert (message.status, message.error_code) == ("suppressed", "expired")
    assert WorkItem.objects.filter(kind="message.call", subject_id=message.pk).count() == 1


def test_who_is_restricted_frozen_or_wrote_long_ago_is_not_answered(scene: Scene) -> None:
    reply = asked(scene)
    patient = reply.patient
    assert patient is not None
    assert staff_answers.why_not(reply) == ""
    patient.restricted = True
    patient.save()
    assert "no message of any kind" in staff_answers.why_not(Reply.objects.get(pk=reply.pk))
    patient.restricted = False
    patient.save()
    patient.contact_points.update(state="frozen")
    assert "wrong person" in staff_answers.why_not(Reply.objects.get(pk=reply.pk))
    patient.contact_points.update(state="usable")
    scene.clock.shift(timedelta(days=8))
    assert "a message that we start" in staff_answers.why_not(Reply.objects.get(pk=reply.pk))


def test_a_shared_number_is_answered_without_names_and_not_past_a_restriction(scene: Scene) -> None:
    one = factories.patient(given_name="Robin", family_name="Shared", phone="+12125550177")
    other = factories.patient(given_name="Kim", family_name="Shared", phone="+12125550177")
    reply = scene.text(one, "what time was that?")
    assert reply.patient is None
    made = staff_answers.draft(reply, "Kim comes at 2:30")
    assert [(each.blocks, each.says.split()[0]) for each in made.findings] == [(True, "“Kim”")]
    assert staff_answers.why_not(reply) == ""
    other.restricted = True
    other.save()
    assert "restricted" in staff_answers.why_not(reply)


def test_no_childs_name_and_no_kind_of_visit_stands_in_an_answer(scene: Scene) -> None:
    reply = asked(scene)
    assert reply.patient is not None
    type(reply.patient).objects.filter(pk=reply.patient.pk).update(given_name="Ana")
    assert not staff_answers.draft(reply, "Hi Ana, 2:30").is_blocked
    for born in (date(2019, 1, 1), date(2026, 1, 1)):
        type(reply.patient).objects.filter(pk=reply.patient.pk).update(birth_date=born)
        assert staff_answers.draft(Reply.objects.get(pk=reply.pk), "Hi Ana, 2:30").is_blocked
    factories.appointment_type(30, name="Skin check")
    assert staff_answers.draft(reply, "Your skin check is at 2:30").is_blocked
    with pytest.raises(ValueError, match="may not be sent"):
        staff_answers.send(reply, "Your skin check is at 2:30", by="dana", number=0)
    assert staff_answers.draft(reply, "").is_blocked
    assert staff_answers.draft(reply, "x" * 401).is_blocked


def test_who_never_agreed_is_answered_and_urgent_words_stay_on_the_list(scene: Scene) -> None:
    person = factories.patient(consent=())
    reply = scene.text(person, "chest pain since this morning")
    message = staff_answers.send(reply, "We are calling you now.", by="dana", number=0)
    assert message is not None
    assert messages.may_send(message).action == "send"
    assert WorkItem.objects.get(kind="reply.urgent").status == "open"


def test_an_answer_by_email_has_a_subject_that_says_nothing_and_keeps_its_lines(scene: Scene) -> None:
    person = factories.patient()
    contact = person.contact_points.get(system="email")
    reply = Reply.objects.create(
        channel="email",
        carrier_id="m1",
        address=contact.value,
        address_index=contact.address_index,
        body="what time?",
        outcome="staff",
        patient=person,
        received_at=timezone.now(),
    )
    made = staff_answers.draft(reply, "Thursday at 2:30.\nDoor B.")
    assert made.message.subject == "Elm Street Clinic: an answer to your message"
    assert "Thursday at 2:30.\nDoor B." in made.message.body
    assert made.length is None
