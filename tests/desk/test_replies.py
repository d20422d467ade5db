"""What patients wrote, with the thread it stands in."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from scheduling.worklist import ask_staff
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from waitlist import replies
from waitlist.models import Message, Reply

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
