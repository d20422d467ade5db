"""Freezing a contact that reached somebody else, seeing what was disclosed, and taking it back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from scheduling.models import Location, WorkItem
from scheduling.models import Practice as PracticeRow
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import plain, records, text_of
from tests.desk.test_replies import reply
from tests.desk.test_thread import write
from waitlist.models import Message, WrongPersonReport
from waitlist.times import say_phone

REPORTS = "/admin/waitlist/wrongpersonreport/"


def test_one_press_freezes_and_lists_what_had_gone_there(dana: Client, practice: Practice) -> None:
    phone = practice.patient.contact_points.get(system="phone")
    write(practice, "A time is free. YES 47?", timezone.now())
    write(practice, "Lakeview words", timezone.now(), practice.lakeview)
    ask = f"{REPORTS}ask/{practice.patient.pk}/"
    assert ask in dana.get(f"/admin/scheduling/patient/{practice.patient.pk}/change/").content.decode()
    row = reply(practice, "who is this")
    assert ask in dana.get(f"/admin/waitlist/reply/{row.pk}/change/").content.decode()
    assert say_phone(phone.value) in text_of(dana.get(ask))
    shown = text_of(dana.post(ask, {"contact": phone.pk}, follow=True))
    assert "Frozen: nothing more is sent or called there." in shown
    assert "A time is free. YES 47?" in shown
    assert "Lakeview words" not in shown
    assert "1 more stands with another location" in shown
    report = WrongPersonReport.objects.get()
    assert records("view", subject_kind="waitlist.wrongpersonreport") == [
        ("waitlist.wrongpersonreport", str(report.pk))
    ]
    item = WorkItem.objects.get(kind="contact.wrong_person")
    assert f"{REPORTS}{report.pk}/change/" in dana.get(f"/admin/scheduling/workitem/{item.pk}/change/").content.decode()
    paper = dana.get(f"{REPORTS}{report.pk}/print/")
    assert "A time is free. YES 47?" in text_of(paper)
    assert records("export") == [("waitlist.wrongpersonreport", str(report.pk))]
    assert "frozen already" in text_of(dana.post(ask, {"contact": phone.pk}, follow=True))


def test_a_report_tells_all_times_on_one_clock_named_once(dana: Client, maria: Client, practice: Practice) -> None:
    # The patient's own place is not where the messages came from.
    Location.objects.filter(pk=practice.riverside.pk).update(time_zone="America/Chicago")
    Location.objects.filter(pk=practice.lakeview.pk).update(time_zone="America/New_York")
    PracticeRow.objects.update(time_zone="America/Denver")
    practice.patient.locations.add(practice.lakeview)
    noon = datetime(2026, 1, 12, 17, tzinfo=UTC)
    write(practice, "A time is free. YES 47?", noon, practice.lakeview)
    phone = practice.patient.contact_points.get(system="phone")
    maria.post(f"{REPORTS}ask/{practice.patient.pk}/", {"contact": phone.pk})
    report = WrongPersonReport.objects.get()
    WrongPersonReport.objects.update(reported_at=noon + timedelta(hours=1))
    paper = text_of(maria.get(f"{REPORTS}{report.pk}/print/"))
    assert "Jan 12, 1:00 PM by" in paper
    assert "Jan 12, 12:00 PM" in paper
    assert paper.count("All times are Eastern time.") == 1
    assert not re.search(r"\b[CE][SD]T\b", paper)
    page = text_of(maria.get(f"{REPORTS}{report.pk}/change/"))
    assert "on top. All times are Eastern time." in page
    assert "Jan 12, 12:00 PM" in page
    # With messages of two places the practice's clock counts, and for whoever sees none of them.
    assert "11:00 AM by" in text_of(dana.get(f"{REPORTS}{report.pk}/print/"))
    nowhere = write(practice, "Nowhere", noon)
    Message.objects.filter(pk=nowhere.pk).update(location=None)
    report.disclosed.add(nowhere)
    assert "All times are Eastern time." in text_of(maria.get(f"{REPORTS}{report.pk}/print/"))
    report.disclosed.add(write(practice, "Another one", noon))
    assert "All times are Mountain time." in text_of(maria.get(f"{REPORTS}{report.pk}/print/"))


def test_it_is_taken_back_with_a_reason(dana: Client, practice: Practice) -> None:
    phone = practice.patient.contact_points.get(system="phone")
    dana.post(f"{REPORTS}ask/{practice.patient.pk}/", {"contact": phone.pk})
    report = WrongPersonReport.objects.get()
    undo = f"{REPORTS}{report.pk}/undo/"
    assert "say in a few words how you know" in text_of(dana.post(undo, {"because": " "}, follow=True))
    assert "may be used again" in text_of(dana.post(undo, {"because": "They called."}, follow=True))
    phone.refresh_from_db()
    report.refresh_from_db()
    assert (phone.state, report.undone_by, report.undone_because) == ("usable", "dana", "They called.")
    freed = dana.get(f"{REPORTS}{report.pk}/change/")
    assert "&lt;span" not in freed.content.decode()
    assert "by dana" in text_of(freed)


def test_another_locations_patient_or_contact_is_not_reached(dana: Client, ira: Client, practice: Practice) -> None:
    theirs = practice.their_patient.contact_points.get(system="phone")
    assert dana.post(f"{REPORTS}ask/{practice.their_patient.pk}/", {"contact": theirs.pk}).status_code == 404
    assert dana.post(f"{REPORTS}ask/{practice.patient.pk}/", {"contact": theirs.pk}).status_code == 404
    assert ira.post(f"{REPORTS}ask/{practice.patient.pk}/", {"contact": theirs.pk}).status_code == 403
    theirs.refresh_from_db()
    assert theirs.state == "usable"


def test_the_page_that_asks_shows_how_each_contact_stands_and_is_a_look_at_the_patient(
    dana: Client, practice: Practice
) -> None:
    phone, email = (practice.patient.contact_points.get(system=system) for system in ("phone", "email"))
    twin = factories.patient(phone=phone.value, email=None, locations=[practice.riverside])
    ask = f"{REPORTS}ask/{practice.patient.pk}/"

    def lines() -> list[list[str]]:
        rows = re.findall(r"<tr><td data-label.*?</tr>", dana.get(ask).content.decode(), re.DOTALL)
        return [[plain(cell) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] for row in rows]

    number, address = say_phone(phone.value), email.value
    free = [address, "the patient’s", "0", "usable", f"Freeze it : {address}"]
    assert lines() == [[number, "the patient’s", "1", "usable", f"Freeze it : {number}"], free]
    assert records("view") == [("scheduling.patient", str(practice.patient.pk))]
    title = re.search("<title>(.*?)</title>", dana.get(ask).content.decode())
    assert title is not None
    assert title[1].startswith("Reached the wrong person |")
    dana.post(ask, {"contact": phone.pk})
    frozen, still = lines()
    assert (frozen[0], frozen[2], frozen[4]) == (number, "1", f"What was disclosed at {number}")
    assert frozen[3] != "usable"
    assert still == free
    # Each of the two has a report and an item of their own; whose page it was is led to theirs.
    reports = dict(WrongPersonReport.objects.values_list("patient", "pk"))
    assert set(reports) == {practice.patient.pk, twin.pk}
    assert WorkItem.objects.filter(kind="contact.wrong_person").count() == 2
    for person, pk in reports.items():
        page = dana.get(f"{REPORTS}ask/{person}/").content.decode()
        assert f"{REPORTS}{pk}/change/" in page
    WrongPersonReport.objects.filter(patient=practice.patient).update(undone_at=timezone.now())
    assert lines()[0][4] == f"Freeze it : {number}"


def test_whose_page_it_was_is_led_to_their_own_report(dana: Client, practice: Practice) -> None:
    phone = practice.patient.contact_points.get(system="phone")
    twin = factories.patient(phone=phone.value, email=None, locations=[practice.riverside])
    answer = dana.post(f"{REPORTS}ask/{twin.pk}/", {"contact": twin.contact_points.get().pk})
    mine = WrongPersonReport.objects.get(patient=twin)
    assert answer.headers["Location"] == f"{REPORTS}{mine.pk}/change/"


@pytest.mark.parametrize("given", ["", "x", "-1", "²", "٣", "9" * 17, "9" * 18, "9" * 400])
def test_what_is_no_contact_of_the_patient_freezes_nothing(dana: Client, practice: Practice, given: str) -> None:
    assert dana.post(f"{REPORTS}ask/{practice.patient.pk}/", {"contact": given}).status_code == 404
    assert not WrongPersonReport.objects.exists()


def test_paper_is_on_record_as_an_export_and_a_look_at_the_patient_for_the_disclosures(
    dana: Client, ira: Client, people: dict[str, User], practice: Practice
) -> None:
    phone = practice.patient.contact_points.get(system="phone")
    dana.post(f"{REPORTS}ask/{practice.patient.pk}/", {"contact": phone.pk})
    report = WrongPersonReport.objects.get()
    paper = f"{REPORTS}{report.pk}/print/"
    assert ira.get(paper).status_code in (403, 404)
    assert records("export") == []
    assert "Harbor Family Practice" in text_of(dana.get(paper))
    assert records("view", reason="disclosures") == [("scheduling.patient", str(practice.patient.pk))]
    assert "The contact is frozen." in text_of(dana.get(paper))
    group = people["dana"].groups.get()
    group.permissions.remove(*group.permissions.filter(codename__endswith="_wrongpersonreport"))
    assert dana.get(paper).status_code == 403
    assert len(records("export")) == 2


def test_only_what_had_gone_there_is_listed_in_the_order_it_was_written(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    for words, minutes in (("Second", 4), ("First", 9)):
        row = write(practice, words, now)
        Message.objects.filter(pk=row.pk).update(created_at=now - timedelta(minutes=minutes))
    phone = practice.patient.contact_points.get(system="phone")
    dana.post(f"{REPORTS}ask/{practice.patient.pk}/", {"contact": phone.pk})
    write(practice, "Never went there", now)
    answer = dana.get(f"{REPORTS}{WrongPersonReport.objects.get().pk}/change/")
    assert [row.body for row in answer.context["disclosed"]] == ["First", "Second"]
    assert "<title>Reached the wrong person |" in answer.content.decode()


def test_only_who_may_free_a_contact_is_asked_to_and_can(
    dana: Client, people: dict[str, User], practice: Practice
) -> None:
    phone = practice.patient.contact_points.get(system="phone")
    dana.post(f"{REPORTS}ask/{practice.patient.pk}/", {"contact": phone.pk})
    page, undo = (f"{REPORTS}{WrongPersonReport.objects.get().pk}/{step}/" for step in ("change", "undo"))
    shown = text_of(dana.get(page))
    assert "It was the right person" in shown
    assert "Freed" not in shown
    assert dana.get(undo).status_code == 405
    group = people["dana"].groups.get()
    right = group.permissions.get(codename="change_wrongpersonreport")
    group.permissions.remove(right)
    assert dana.post(undo, {"because": "They called."}).status_code == 403
    assert "It was the right person" not in text_of(dana.get(page))
    # Without the right to see messages a report says only that there were some.
    hidden = group.permissions.get(codename="view_message")
    group.permissions.remove(hidden)
    write(practice, "A time is free. YES 47?", timezone.now())
    WrongPersonReport.objects.get().disclosed.add(Message.objects.get())
    assert "A time is free" not in text_of(dana.get(page))
    group.permissions.add(right, hidden)
    assert "A time is free" in text_of(dana.get(page))
    dana.post(undo, {"because": " They called. "})
    report = WrongPersonReport.objects.get()
    assert report.undone_because == "They called."
    assert "freed already" in text_of(dana.post(undo, {"because": "Again."}, follow=True))
    freed = text_of(dana.get(page))
    assert "It was the right person" not in freed
    assert "Freed" in freed
    assert "They called." in text_of(dana.get(page.replace("change", "print")))
