"""Answering a patient from the inbox: what needs a person stands there, is looked at, answered and gone."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.test import Client

from config.desk.groups import FRONT_DESK
from scheduling.models import ContactPoint, WorkItem
from scheduling.worklist import ask_staff
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from tests.desk.test_replies import LIST, reply
from waitlist import consent
from waitlist.models import Message, Reply
from waitlist.times import say_phone

WORDS = "It was Thursday at 2:30."


def waits(row: Reply, kind: str = "reply.unclear") -> WorkItem:
    return ask_staff(kind, "Read this", dedupe_key=f"{kind}:{row.pk}", subject=row, location=row.location)


def test_an_answer_is_looked_at_and_then_sent_once(dana: Client, practice: Practice) -> None:
    row = reply(practice, "what time was that?")
    waits(row)
    page = f"{LIST}{row.pk}/answer/"
    for place in (f"{LIST}{row.pk}/change/", f"/admin/patients/{practice.patient.pk}/thread/"):
        shown = dana.get(place)
        assert page in shown.content.decode()
        assert f"It goes to {say_phone(row.address)}" in text_of(shown)
    looked = text_of(dana.post(page, {"do": "look", "words": WORDS}))
    assert f"{say_phone(row.address)} 1 segment" in looked
    assert f"Harbor Family Practice: {WORDS}" in looked
    assert not Message.objects.exists()
    pressed = {"do": "send", "words": WORDS, "number": "0"}
    assert "Your answer is on its way" in text_of(dana.post(page, pressed, follow=True))
    after = text_of(dana.post(page, pressed, follow=True))
    message = Message.objects.get()
    assert (message.kind, message.written_by, message.patient) == ("staff", "dana", practice.patient)
    assert "dana ·" in after
    assert "needs you" not in after
    assert records("send") == [("waitlist.message", str(message.pk))]
    assert f"{WORDS} dana, text" in text_of(dana.get(f"/admin/patients/{practice.patient.pk}/thread/"))


def test_what_must_be_mended_is_not_sent(dana: Client, practice: Practice) -> None:
    row = reply(practice, "what time was that?")
    posted = {"do": "send", "words": "Your follow-up is at 2:30", "number": "0"}
    assert "“Follow-up” is a kind of visit here" in text_of(dana.post(f"{LIST}{row.pk}/answer/", posted))
    assert not Message.objects.exists()


def test_a_placeholder_is_no_word_of_an_answer(dana: Client, practice: Practice) -> None:
    row = reply(practice, "what time was that?")
    posted = {"do": "send", "words": "It is at {time}, {time} sharp. See {Wing B}.", "number": "0"}
    words = text_of(dana.post(f"{LIST}{row.pk}/answer/", posted))
    assert words.count("{time} would arrive as it stands") == 1
    assert "{Wing B} would arrive as it stands" in words
    assert "Nothing to mend" not in words
    assert "Send this answer" not in words
    assert not Message.objects.exists()


def test_characters_that_cost_a_segment_are_something_to_look_at(dana: Client, practice: Practice) -> None:
    page = f"{LIST}{reply(practice, 'what time was that?').pk}/answer/"
    words = text_of(dana.post(page, {"do": "look", "words": f"{WORDS} 😀"}))
    assert "hold 70 instead of 160: 😀." in words
    assert "Nothing to mend" not in words
    assert "Send this answer" in words
    assert "Nothing to mend." in text_of(dana.post(page, {"do": "look", "words": WORDS}))


def test_who_was_quicker_is_shown_before_a_second_answer_goes(dana: Client, maria: Client, practice: Practice) -> None:
    row = reply(practice, "what time was that?")
    page = f"{LIST}{row.pk}/answer/"
    dana.post(page, {"do": "send", "words": WORDS, "number": "0"})
    words = text_of(maria.post(page, {"do": "send", "words": "Friday.", "number": "0"}))
    assert "somebody else answered meanwhile" in words
    assert WORDS in words
    assert Message.objects.count() == 1


def test_only_those_of_the_place_with_the_right_answer(dana: Client, ira: Client, practice: Practice) -> None:
    theirs = reply(practice, "hello", location=practice.lakeview)
    posted = {"do": "send", "words": WORDS, "number": "0"}
    assert dana.post(f"{LIST}{theirs.pk}/answer/", posted).status_code == 404
    assert ira.post(f"{LIST}{reply(practice, 'hi').pk}/answer/", posted).status_code in (403, 404)
    assert not Message.objects.exists()


def test_the_inbox_holds_what_needs_a_person_urgent_words_first(dana: Client, practice: Practice) -> None:
    old, new = reply(practice, "a", 60), reply(practice, "b", 5)
    urgent = reply(practice, "chest pain", 1, outcome="urgent")
    reply(practice, "dealt with", 90)
    for row in (old, new, urgent):
        waits(row)
    page = dana.get(f"{LIST}?waits=yes")
    assert [row.pk for row in page.context["cl"].result_list] == [urgent.pk, old.pk, new.pk]
    today = dana.get("/admin/").content.decode()
    assert f'href="{LIST}?waits=yes"' in today
    figure = next(each for each in dana.get("/admin/").context["figures"] if each.label == "replies for staff")
    assert (figure.number, figure.tone) == (3, "danger")
    WorkItem.objects.update(status="done")
    assert "No patient waits for an answer from a person." in text_of(dana.get(f"{LIST}?waits=yes"))


def test_after_stop_the_page_says_to_call(dana: Client, practice: Practice) -> None:
    row = reply(practice, "what time was that?")
    consent.revoke_address("sms", row.address_index, source="reply")
    words = text_of(dana.get(f"{LIST}{row.pk}/change/"))
    assert "They wrote STOP: nothing may be sent there. Call them instead." in words
    assert "Look at it first" not in words


def test_who_may_only_read_replies_answers_none(dana: Client, practice: Practice) -> None:
    row = reply(practice, "what time was that?")
    group = Group.objects.get(name=FRONT_DESK)
    group.permissions.remove(Permission.objects.get(codename="change_reply"))
    shown = dana.get(f"{LIST}{row.pk}/change/")
    assert "what time was that?" in text_of(shown)
    assert "/answer/" not in shown.content.decode()
    posted = {"do": "send", "words": WORDS, "number": "0"}
    assert dana.get(f"{LIST}{row.pk}/answer/").status_code == 403
    assert dana.post(f"{LIST}{row.pk}/answer/", posted).status_code == 403
    assert not Message.objects.exists()


def test_the_answers_page_says_who_reads_it_and_leaves_a_record_of_the_look(dana: Client, practice: Practice) -> None:
    shared = "Whoever holds the phone reads it"
    row = reply(practice, "what time was that?")
    page = dana.post(f"{LIST}{row.pk}/answer/", {"do": "look", "words": WORDS})
    words = text_of(page)
    assert shared not in words
    assert "Answer" in page.content.decode().partition("</title>")[0]
    assert "Answer by text" in words
    assert "English" in words
    assert records("view", reason="answer") == [("scheduling.patient", str(practice.patient.pk))]

    sibling = factories.patient(locations=[practice.riverside])
    ContactPoint.objects.filter(patient=sibling).update(value=row.address, address_index=row.address_index)
    assert shared in text_of(dana.get(f"{LIST}{row.pk}/answer/"))
    nobodys = reply(practice, "who is this?", address="+12125550188", address_index="f" * 64, patient=None)
    assert "A number that no patient has" in text_of(dana.get(f"{LIST}{nobodys.pk}/answer/"))


def test_an_answer_of_two_segments_shows_where_it_is_cut(dana: Client, practice: Practice) -> None:
    row = reply(practice, "what time was that?")
    words = text_of(dana.post(f"{LIST}{row.pk}/answer/", {"do": "look", "words": "We are open. " * 14}))
    assert "2 segments" in words
    assert "segment 2" in words


def test_an_answer_to_another_reply_is_not_shown_on_this_ones_page(dana: Client, practice: Practice) -> None:
    first, second = reply(practice, "what time was that?", 9), reply(practice, "and where?", 5)
    dana.post(f"{LIST}{first.pk}/answer/", {"do": "send", "words": WORDS, "number": "0"})
    assert WORDS in text_of(dana.get(f"{LIST}{first.pk}/answer/"))
    assert WORDS not in text_of(dana.get(f"{LIST}{second.pk}/answer/"))


def test_a_second_answer_to_the_same_words_may_follow_the_first(dana: Client, practice: Practice) -> None:
    page = f"{LIST}{reply(practice, 'what time was that?').pk}/answer/"
    dana.post(page, {"do": "send", "words": WORDS, "number": "0"})
    looked = dana.post(page, {"do": "look", "words": "Bring your card."})
    number = looked.context["draft"].number
    for typed in ("٣", "x", "99999"):
        dana.post(page, {"do": "send", "words": "Bring your card.", "number": typed})
        assert Message.objects.count() == 1, "no number that the page gave"
    said = text_of(dana.post(page, {"do": "send", "words": "Bring your card.", "number": str(number)}, follow=True))
    assert "Your answer is on its way" in said
    assert sorted(Message.objects.values_list("written_by", flat=True)) == ["dana", "dana"]
    Message.objects.update(status="sent")
    again = text_of(dana.post(page, {"do": "send", "words": "Bring your card.", "number": str(number)}, follow=True))
    assert "Your answer was sent already." in again
