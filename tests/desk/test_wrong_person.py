"""Freezing a contact that reached somebody else, seeing what was disclosed, and taking it back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from django.test import Client
from django.utils import timezone

from scheduling.models import Location, WorkItem
from scheduling.models import Practice as PracticeRow
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from tests.desk.test_replies import reply
from tests.desk.test_thread import write
from waitlist.models import WrongPersonReport
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
    PracticeRow.objects.update(time_zone="America/Denver")
    assert "11:00 AM by" in text_of(dana.get(f"{REPORTS}{report.pk}/print/"))
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
