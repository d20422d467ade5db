"""What patients wrote, with the thread it stands in."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.utils import timezone

from scheduling.models import WorkItem
from scheduling.worklist import ask_staff, finish
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from tests.desk.test_thread import write
from waitlist import replies
from waitlist.admin.replies import thread_of
from waitlist.models import Message, Reply, WrongPersonReport

LIST = "/admin/waitlist/reply/"


def reply(practice: Practice, body: str, minutes_ago: int = 0, **fields: object) -> Reply:
    contact = practice.patient.contact_points.all()[0]
    return Reply.objects.create(
        **{
            "channel": "sms",
            "carrier_id": f"r{Reply.objects.count()}",
            "address": contact.value,
            "address_index": contact.address_index,
            "body": body,
            "outcome": "staff",
            "patient": practice.patient,
            "location": practice.riverside,
            "received_at": timezone.now() - timedelta(minutes=minutes_ago),
            **fields,
        }
    )


def test_a_reply_stands_in_its_thread(dana: Client, practice: Practice) -> None:
    contact = practice.patient.contact_points.all()[0]
    opening = practice.opening(status="offering")
    offer = factories.offer(opening, practice.entry())
    now = timezone.now()
    Message.objects.create(
        kind="offer",
        channel="sms",
        patient=practice.patient,
        location=practice.riverside,
        address=contact.value,
        address_index=contact.address_index,
        body="A time is free. YES 47?",
        dedupe_key="m",
        due_at=now,
        sent_at=now - timedelta(minutes=9),
        status="delivered",
    )
    row = reply(practice, "could you do thursday", 5, offer=offer)
    reply(practice, "", 3, media_count=2)
    ask_staff("reply.unclear", "Nobody understands this", dedupe_key="r", subject=row, location=practice.riverside)
    words = text_of(dana.get(f"{LIST}{row.pk}/change/"))
    assert words.index("A time is free. YES 47?") < words.index("could you do thursday")
    assert words.index("could you do thursday") < words.index("[2 pictures, not kept]")
    assert "needs you Nobody understands this" in words
    assert "The opening this is about" in words
    assert records("view") == [("scheduling.patient", str(practice.patient.pk)), ("waitlist.reply", str(row.pk))]


def test_the_inbox_shows_no_words_and_the_thread_none_of_other_locations(dana: Client, practice: Practice) -> None:
    row = reply(practice, "come to my house")
    reply(practice, "told in confidence", location=practice.lakeview)
    words = text_of(dana.get(LIST))
    assert "Robin Alvarez for staff text" in words
    assert "house" not in words
    words = text_of(dana.get(f"{LIST}{row.pk}/change/"))
    assert "come to my house" in words
    assert "told in confidence" not in words


def test_a_reply_about_no_offer_is_read_where_the_patient_waits(dana: Client, practice: Practice) -> None:
    """It is nobody else's; what could be anybody's stays everybody's."""
    for person, words in ((practice.patient, "ours"), (practice.their_patient, "theirs")):
        practice.entry(person)
        phone = person.contact_points.get(system="phone").value
        replies.handle(replies.receive("sms", words, phone, f"What should I bring, {words}?").pk)
    replies.handle(replies.receive("sms", "stranger", "+12125550199", "Who is this, anybody?").pk)
    seen = {row.carrier_id for row in dana.get(LIST).context["cl"].result_list}
    assert seen == {"ours", "stranger"}
    theirs = Reply.objects.get(carrier_id="theirs")
    assert (theirs.outcome, theirs.location) == ("staff", practice.lakeview)
    assert dana.get(f"{LIST}{theirs.pk}/change/").status_code == 404


def asked(row: Reply) -> WorkItem:
    return ask_staff("reply.unclear", "Unclear", dedupe_key=f"r{row.pk}", subject=row, location=row.location)


def test_what_needs_a_person_comes_urgent_first_then_by_how_long_it_waits(dana: Client, practice: Practice) -> None:
    short, urgent, long, done = (
        reply(practice, "a", 5),
        reply(practice, "chest pain", 1, outcome="urgent"),
        reply(practice, "b", 50),
        reply(practice, "c", 99),
    )
    inbox = f"{LIST}?waits=yes"
    assert "No patient waits for an answer from a person." in text_of(dana.get(inbox))
    for query in ("?waits=yes&outcome__exact=urgent", "?outcome__exact=yes"):
        assert "No patient waits for an answer" not in text_of(dana.get(LIST + query))
    for row in (short, urgent, long, done):
        item = asked(row)
    finish(item, "dana", "Called.")
    # Of what else there may be to do this page says nothing.
    other = ask_staff("x", "Another table", dedupe_key="x", subject=practice.entry(), location=practice.riverside)
    WorkItem.objects.filter(pk=other.pk).update(subject_id=done.pk)
    answer = dana.get(inbox)
    assert list(answer.context["cl"].result_list) == [urgent, long, short]
    assert "yes: urgent words first, then the longest waiting" in text_of(answer)
    everything = dana.get(LIST)
    assert list(everything.context["cl"].result_list) == [urgent, short, long, done]
    assert re.search(r'class="state[^"]*danger[^"]*"[^>]*>(<[^>]*>)*\s*urgent', everything.content.decode())


def test_the_page_leads_only_to_what_the_person_may_see(
    dana: Client, people: dict[str, User], practice: Practice
) -> None:
    row = reply(practice, "wrong number", outcome="wrong_person")
    entry = practice.entry()
    there = factories.offer(practice.opening(practice.lakeview), entry, status="withdrawn")
    here = factories.offer(practice.opening(), entry)
    page = f"{LIST}{row.pk}/change/"
    item = asked(row)
    WorkItem.objects.filter(pk=item.pk).update(location=practice.lakeview)
    Reply.objects.update(offer=there)
    report = WrongPersonReport.objects.create(
        patient=practice.patient, system="phone", address="555", reply=row, reported_at=timezone.now()
    )
    opened = dana.get(page)
    assert "<title>Reply |" in opened.content.decode()
    assert list(opened.context["work"]) == []
    assert opened.context["offer"] is None
    assert list(opened.context["wrong_person"]) == [report]
    # What is about another reply, or about something else of the same number, is not of this one.
    other = reply(practice, "another")
    asked(other)
    elsewhere = asked(reply(practice, "a third"))
    WorkItem.objects.filter(pk=elsewhere.pk).update(subject_kind="waitlist.offer", subject_id=row.pk)
    WrongPersonReport.objects.create(
        patient=practice.patient, system="email", address="555", reply=other, reported_at=timezone.now()
    )
    Reply.objects.filter(pk=row.pk).update(offer=here)
    WorkItem.objects.filter(pk=item.pk).update(location=practice.riverside)
    opened = dana.get(page)
    assert list(opened.context["work"]) == [item]
    assert opened.context["offer"] == here
    assert list(opened.context["wrong_person"]) == [report]
    finish(item, "dana", "Called.")
    assert list(dana.get(page).context["work"]) == []
    group = people["dana"].groups.get()
    group.permissions.remove(group.permissions.get(codename="view_wrongpersonreport"))
    assert f"/wrongpersonreport/{report.pk}/" not in dana.get(page).content.decode()


def test_a_thread_is_the_latest_of_both_sides_by_when_it_was_sent(
    rf: RequestFactory, people: dict[str, User], practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waitlist.admin.replies.MOST_IN_THREAD", 2)
    now = timezone.now()
    reply(practice, "three", 9)
    row = reply(practice, "", 1)
    reply(practice, " two ", 3, media_count=1)
    other = factories.patient(locations=[practice.riverside]).contact_points.all()[0]
    reply(practice, "another phone", 0, address=other.value, address_index=other.address_index)
    elsewhere = write(practice, "By mail", now)
    Message.objects.filter(pk=elsewhere.pk).update(address_index=other.address_index, created_at=now)
    for words, minutes in (("C", 8), ("A", 4), ("B", 2)):
        ours = write(practice, words, now - timedelta(minutes=minutes))
        # B had waited for the morning.
        sent_at = now - timedelta(seconds=30) if words == "B" else None
        Message.objects.filter(pk=ours.pk).update(created_at=ours.sent_at, sent_at=sent_at)
    request = rf.get("/")
    request.user = people["dana"]
    said = [(each.by_patient, each.text) for each in thread_of(row, request)]
    assert said == [(False, "A"), (True, "two  [1 picture, not kept]"), (True, "[empty message]"), (False, "B")]
