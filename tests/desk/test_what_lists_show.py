"""What the lists and pages of outreach say in each column, read as a person reads them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from scheduling.admin.display import exact, slot
from scheduling.matching import Reason
from scheduling.models import Location, PatientMerge, PatientReview
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import plain, text_of
from tests.desk.test_dead_letters import message
from tests.desk.test_replies import reply
from waitlist.models import (
    CandidateVerdict,
    Claim,
    LaunchStatement,
    Message,
    MessageTemplate,
    Offer,
    OutreachPolicy,
    WrongPersonReport,
)

BASE = "/admin/waitlist"
#: The clock of the practice in these tests.
NEW_YORK = ZoneInfo("America/New_York")


def columns(client: Client, name: str, query: str = "") -> list[dict[str, str]]:
    """Return the rows of a list as what stands under each heading."""
    page = client.get(f"/admin/{name}/{query}").content.decode()
    head, _, body = page.partition("<tbody>")
    headings = [
        plain(each.rpartition('<div class="text">')[2])
        for each in re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", head, re.DOTALL)
    ]
    rows = re.findall(r"<tr>(.*?)</tr>", body.partition("</tbody>")[0], re.DOTALL)
    found = []
    for row in rows:
        cells = [plain(cell) for cell in re.findall(r"<t[dh][ >].*?</t[dh]>", row, re.DOTALL)]
        found.append(dict(zip(headings, cells, strict=True)))
    return found


def ago(moment: datetime, distance: str, place: Location | None = None, *, seconds: bool = False) -> str:
    """Return how a moment reads: the distance, then the exact time on the place's clock."""
    return f"{distance} {exact(moment, place.zone if place else NEW_YORK, seconds=seconds)}"


@pytest.fixture
def zoned(practice: Practice) -> Practice:
    """The practice, its Riverside on another clock than the practice's own."""
    practice.riverside.time_zone = "America/Phoenix"
    practice.riverside.save()
    return practice


def test_offers(dana: Client, zoned: Practice) -> None:
    opening = zoned.opening(status="offering")
    now = timezone.now()
    row = factories.offer(
        opening,
        zoned.entry(),
        status="withdrawn",
        withdrawn_reason="cut_off",
        rank=3,
        wave=2,
        code="47",
        answered_at=now - timedelta(hours=2),
        expires_at=now + timedelta(hours=5, seconds=30),
    )
    Offer.objects.update(created_at=now - timedelta(hours=3))
    row.refresh_from_db()
    time = plain(slot(row.start, row.end, zoned.riverside.zone))
    sent = ago(row.created_at, "3 h ago", zoned.riverside)
    answered = ago(now - timedelta(hours=2), "2 h ago", zoned.riverside)
    [line] = columns(dana, "waitlist/offer")
    shown = line.pop("Opening")
    assert shown.startswith("Dr. Mei Chen")
    assert line == {
        "Time offered": time,
        "Patient": "Robin Alvarez",
        "State": "withdrawn",
        "Rank": "3",
        "Wave": "2",
        "Code": "47",
        "Sent": sent,
        "Answered": answered,
    }
    page = text_of(dana.get(f"{BASE}/offer/{row.pk}/change/"))
    for words in (
        f"Time offered: {time} Patient: Robin Alvarez State: withdrawn Opening: {shown} Appointment type: Follow-up",
        f"Good until: {ago(row.expires_at, 'in 5 h', zoned.riverside)} Sent: {sent} Answered: {answered}",
        "Withdrawn because: it was too late to book",
    ):
        assert words in page
    Offer.objects.update(withdrawn_reason="")
    assert "Withdrawn because: –" in text_of(dana.get(f"{BASE}/offer/{row.pk}/change/"))


def test_claims(dana: Client, zoned: Practice) -> None:
    appointment = factories.appointment(zoned.patient, zoned.chen, zoned.riverside, reference="R47KX")
    now = timezone.now()
    row = Claim.objects.create(
        opening=zoned.opening(),
        patient=zoned.patient,
        appointment=appointment,
        channel="sms",
        actor="patient:1",
        state="refused",
        refused_because="The EHR gave the time away.",
        settled_at=now - timedelta(hours=2),
    )
    Claim.objects.update(created_at=now - timedelta(hours=3))
    row.refresh_from_db()
    [line] = columns(dana, "waitlist/claim")
    shown = line.pop("Opening")
    assert line == {
        "Patient": "Robin Alvarez",
        "State": row.get_state_display(),
        "By": "text",
        "Actor": "patient:1",
        "Booking reference": "R47KX",
        "Said yes": ago(row.created_at, "3 h ago", zoned.riverside),
        "Settled": ago(row.settled_at, "2 h ago", zoned.riverside),  # type: ignore[arg-type]
    }
    page = text_of(dana.get(f"{BASE}/claim/{row.pk}/change/"))
    assert f"Opening: {shown} Booking reference: R47KX" in page
    assert "The EHR gave the time away." in page
    appointment.reference = ""
    appointment.save()
    assert columns(dana, "waitlist/claim")[0]["Booking reference"] == "–"


def test_verdicts(dana: Client, zoned: Practice) -> None:
    opening, entry = zoned.opening(), zoned.entry()
    now = timezone.now()
    row = CandidateVerdict.objects.create(
        opening=opening, entry=entry, rank=2, eligible=False, reasons=["paused"], wave=4, computed_at=now
    )
    CandidateVerdict.objects.update(computed_at=now - timedelta(hours=3))
    row.refresh_from_db()
    [line] = columns(dana, "waitlist/candidateverdict")
    assert line.pop("Opening").startswith("Dr. Mei Chen")
    assert line == {
        "Rank": "2",
        "Patient": "Robin Alvarez",
        "Suits": "does not suit",
        "Why, or why not": "The entry is paused.",
        "Wave": "4",
        "Judged": ago(row.computed_at, "3 h ago", zoned.riverside),
    }
    CandidateVerdict.objects.update(eligible=True, reasons=["suits"])
    [line] = columns(dana, "waitlist/candidateverdict")
    assert (line["Suits"], line["Why, or why not"]) == ("suits", "This time suits.")
    assert columns(dana, "waitlist/candidateverdict", "?eligible__exact=0") == []


def test_messages(dana: Client, zoned: Practice) -> None:
    now = timezone.now()
    row = message(zoned, due_at=now - timedelta(hours=2), sent_at=now - timedelta(hours=4), language="es")
    Message.objects.update(created_at=now - timedelta(hours=3))
    row.refresh_from_db()
    created, due, sent = (
        ago(at, said, seconds=True)
        for at, said in ((row.created_at, "3 h ago"), (row.due_at, "2 h ago"), (row.sent_at, "4 h ago"))  # type: ignore[arg-type]
    )
    [line] = columns(dana, "waitlist/message")
    shown = line.pop("Opening")
    assert shown.startswith("Dr. Mei Chen")
    line.pop("")  # the box that chooses the row
    assert line == {
        "Message": "Offer",
        "Patient": "Robin Alvarez",
        "By": "text",
        "State": "dead letter",
        "Why": "carrier down",
        "Written": created,
        "Sent": sent,
    }
    address = f"{BASE}/message/{row.pk}/change/"
    answer = dana.get(address)
    page = text_of(answer)
    assert "<title>Message: offer |" in answer.content.decode()
    for words in (
        "Patient: Robin Alvarez By: text",
        f"State: dead letter Why: carrier down Opening: {shown}",
        "Words: Time with us is free. Reply YES 47. Calendar file: none",
        f"Due: {due} Written: {created} Sent: {sent}",
    ):
        assert words in page
    assert 'lang="es">Time with us is free' in answer.content.decode()
    # A trial of words is about nobody and says whose it was.
    Message.objects.update(patient=None, test_by="maria", status="sent", error_code="", attachment="BEGIN:VCALENDAR")
    page = text_of(dana.get(address))
    assert "Patient: –" in page
    assert "Calendar file: attached" in page
    [line] = columns(dana, "waitlist/message")
    assert (line["Message"], line["Patient"], line["Why"]) == ("Offer (test by maria)", "–", "–")
    listed = dana.get(f"{BASE}/message/").content.decode()
    assert re.search(r'<span class="state state-ok">.{0,200}sent</span>', listed, re.DOTALL)


def test_a_text_has_a_phone_beside_its_word_and_an_e_mail_an_envelope(dana: Client, practice: Practice) -> None:
    text, mail = message(practice), message(practice, channel="email")
    looks = [dana.get(f"{BASE}/message/{row.pk}/change/").content.decode() for row in (text, mail)]
    found = [re.search(r'<span class="nowrap"><svg.*?#(\w+)"', page) for page in looks]
    assert [each and each[1] for each in found] == ["phone", "mail"]


def test_only_who_may_send_again_is_offered_that(dana: Client, maria: Client, people: Any, practice: Practice) -> None:
    row = message(practice)
    group = people["dana"].groups.get()
    right = group.permissions.get(codename="change_message")
    group.permissions.remove(right)
    retry = f"{BASE}/message/{row.pk}/retry/"
    assert "Send again" not in text_of(dana.get(f"{BASE}/message/{row.pk}/change/"))
    assert "send_selected_again" not in dana.get(f"{BASE}/message/").content.decode()
    assert dana.post(retry).status_code == 403
    dana.post(f"{BASE}/message/", {"action": "send_selected_again", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert row.status == "dead"
    assert maria.get(retry).status_code == 405
    assert "Send again" in text_of(maria.get(f"{BASE}/message/{row.pk}/change/"))
    assert "send_selected_again" in maria.get(f"{BASE}/message/").content.decode()


def test_several_messages_at_once_say_how_many_were_and_how_many_were_not(dana: Client, practice: Practice) -> None:
    dead, sent = message(practice), message(practice, status="sent")
    more = "Consent and quiet hours are checked once more."
    left = "left alone: only dead letters can be sent again."

    def press(*rows: Message) -> str:
        form = {"action": "send_selected_again", "_selected_action": [row.pk for row in rows]}
        return text_of(dana.post(f"{BASE}/message/", form, follow=True))

    page = press(dead, sent)
    assert f"1 sent again. {more}" in page
    assert f"1 left {left.removeprefix('left ')}" in page
    page = press(sent)
    assert more not in page
    assert f"1 {left}" in page
    Message.objects.filter(pk=dead.pk).update(status="dead")
    page = press(dead)
    assert "1 sent again." in page
    assert left not in page


def test_versions_of_words(maria: Client, practice: Practice) -> None:
    now = timezone.now()
    for number, active in ((1, False), (2, True)):
        MessageTemplate.objects.create(
            event="filled",
            language="en",
            channel="sms",
            edition=number,
            text="Gone.",
            active=active,
            edited_by="maria",
            edited_at=now - timedelta(hours=3),
        )
    MessageTemplate.objects.create(
        event="of_old", language="en", channel="sms", edition=1, text="-", edited_by="maria", edited_at=now
    )
    lines = columns(maria, "waitlist/messagetemplate")
    found = {(line["Message"], line["Edition"]): line for line in lines}
    assert len(found) == 3
    assert any(title == "of_old" for title, _ in found)
    [title] = {title for title, _ in found} - {"of_old"}
    assert (found[title, "1"]["State"], found[title, "2"]["State"]) == ("earlier", "in use")
    assert found[title, "2"]["Written"] == ago(now - timedelta(hours=3), "3 h ago")


def test_statements(maria: Client, practice: Practice) -> None:
    now = timezone.now()
    row = LaunchStatement.objects.create(
        topic=LaunchStatement._meta.get_field("topic").choices[0][0],  # type: ignore[index]
        answer="yes",
        reference="B47",
        about="+12015550142",
        done_on=date(2026, 1, 12),
        stated_by="maria",
        stated_at=now - timedelta(hours=3),
    )
    [line] = columns(maria, "waitlist/launchstatement")
    assert line["What"] == row.get_topic_display()
    assert line["Stated"] == ago(now - timedelta(hours=3), "3 h ago")


def test_numbers_of_other_locations_are_not_listed_and_who_looks_reads_the_waves(
    dana: Client, maria: Client, practice: Practice
) -> None:
    everybody, ours, theirs = (
        OutreachPolicy.objects.create(location=place) for place in (None, practice.riverside, practice.lakeview)
    )
    assert {line["For"] for line in columns(dana, "waitlist/outreachpolicy")} == {str(everybody), str(ours)}
    assert {line["For"] for line in columns(maria, "waitlist/outreachpolicy")} >= {str(theirs)}
    looking = text_of(dana.get(f"{BASE}/outreachpolicy/{ours.pk}/change/"))
    assert "Waves: fewer than 2 hours left: 5 every 3 min" in looking
    changing = maria.get(f"{BASE}/outreachpolicy/{ours.pk}/change/").content.decode()
    assert 'name="waves-0-size"' in changing
    assert "5 every 3 min;" not in changing


def test_replies(dana: Client, zoned: Practice) -> None:
    now = timezone.now()
    row = reply(zoned, "words", received_at=now - timedelta(hours=3), handled_at=now - timedelta(hours=2))
    answer = dana.get(f"{BASE}/reply/")
    assert {"body", "address"} <= answer.context["cl"].result_list[0].get_deferred_fields()
    assert columns(dana, "waitlist/reply") == [
        {
            "Received": ago(row.received_at, "3 h ago", zoned.riverside),
            "Patient": "Robin Alvarez",
            "Understood as": "for staff",
            "Channel": "text",
            "Read by the machine": ago(now - timedelta(hours=2), "2 h ago"),
        }
    ]
    row.location = None
    row.save()
    assert columns(dana, "waitlist/reply")[0]["Received"] == ago(row.received_at, "3 h ago")


def test_contacts_that_reached_somebody_else(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    row = WrongPersonReport.objects.create(
        patient=practice.patient,
        system="phone",
        address="555",
        reported_by="maria",
        reported_at=now - timedelta(hours=3),
    )
    shown = {
        "Reported": ago(row.reported_at, "3 h ago", seconds=True),
        "Patient": "Robin Alvarez",
        "System": "phone",
        "State": "frozen",
        "Reported by": "maria",
    }
    assert columns(dana, "waitlist/wrongpersonreport") == [shown]
    page = f"{BASE}/wrongpersonreport/{row.pk}/change/"
    assert "Freed" not in text_of(dana.get(page))
    WrongPersonReport.objects.update(
        undone_at=now - timedelta(hours=2), undone_by="dana", undone_because="They called."
    )
    assert columns(dana, "waitlist/wrongpersonreport") == [{**shown, "State": "freed again"}]
    assert f"Freed: {ago(now - timedelta(hours=2), '2 h ago')} by dana" in text_of(dana.get(page))


def test_pairs_of_records_and_what_became_of_them(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    double = factories.patient(given_name="Robyn", family_name="Alvares", locations=[practice.riverside])
    pair = PatientReview.objects.create(
        patient=practice.patient, other=double, reasons=[Reason.NUMBER], dedupe_key="pair"
    )
    listed, described = (
        PatientReview.objects.create(
            patient=practice.patient, described={"given_name": "R"}, origin=origin, reasons=[], dedupe_key=origin or "-"
        )
        for origin in ("Row 12 of a list", "")
    )
    PatientReview.objects.update(created_at=now - timedelta(hours=3))
    PatientReview.objects.filter(pk=listed.pk).update(state="later", remind_at=now)
    assert columns(dana, "scheduling/patientreview") == [
        {
            "Asked": ago(now - timedelta(hours=3), "3 h ago"),
            "State": row.get_state_display(),
            "One record": "Robin Alvarez",
            "The other": other,
            "Why asked": why,
        }
        for row, other, why in sorted(
            (
                (pair, "Robyn Alvares", "The same medical record number."),
                (PatientReview.objects.get(pk=listed.pk), "Row 12 of a list", "–"),
                (described, "somebody described elsewhere", "–"),
            ),
            key=lambda each: (each[0].state, -each[0].pk),
        )
    ]
    answer = dana.get("/admin/scheduling/patientreview/")
    assert all("described" in row.get_deferred_fields() for row in answer.context["cl"].result_list)


def test_merges(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    double = factories.patient(given_name="Robyn", family_name="Alvares", locations=[practice.riverside])
    row = PatientMerge.objects.create(
        retired=double, kept=practice.patient, told_by="staff", by="dana", at=now - timedelta(hours=3)
    )
    shown = {
        "Merged": ago(row.at, "3 h ago"),
        "State": "one record",
        "Replaced": "Robyn Alvares",
        "Kept": "Robin Alvarez",
        "Told by": row.get_told_by_display(),
    }
    assert columns(dana, "scheduling/patientmerge") == [shown]
    page = f"/admin/scheduling/patientmerge/{row.pk}/change/"
    words = text_of(dana.get(page))
    assert "State: one record Replaced: Robyn Alvares Kept: Robin Alvarez" in words
    assert "Entries taken over: none Undone: no" in words
    moved = {"taken_over_at": now - timedelta(hours=2), "undone_at": now - timedelta(hours=1)}
    for entries, says in (([{"entry": 1}, {"other": 2}], "1 entry"), ([{"entry": 1}, {"entry": 2}], "2 entries")):
        PatientMerge.objects.update(moved=entries, **moved)
        words = text_of(dana.get(page))
        assert f"Entries taken over: {says}, {ago(moved['taken_over_at'], '2 h ago')}" in words
        assert f"Undone: {ago(moved['undone_at'], '1 h ago')}" in words
    assert columns(dana, "scheduling/patientmerge") == [{**shown, "State": "undone"}]
