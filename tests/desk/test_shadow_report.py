"""The shadow report: what would have happened, what really did, for those whose locations they are."""

from __future__ import annotations

import csv
import html
import re
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from config.desk.shadow_lines import live_lines, past_lines
from integrations.models import CodeMapping, InboundEvent
from scheduling.models import Opening, PatientReview, Provider
from scheduling.story import tell
from scheduling.worklist import ask_staff
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from waitlist.models import PastCancellation


def report(client: Client, practice: Practice, query: str = "") -> str:
    return text_of(client.get(f"/admin/shadow/{practice.connection.pk}/{query}"))


def freed(practice: Practice, hours: float, offered: int = 0, **fields: Any) -> Opening:
    """Time that begins in so many hours, and so many patients who would have been offered it."""
    start = timezone.now() + timedelta(hours=hours)
    end = start + timedelta(minutes=30)
    row = practice.opening(**{"start": start, "end": end, "status": "closed", "closed_reason": "cut_off", **fields})
    Opening.objects.filter(pk=row.pk).update(created_at=start - timedelta(hours=6))
    for rank in range(1, offered + 1):
        person = factories.patient(locations=[row.location])
        factories.shadow_offer(row, practice.entry(person), rank=rank)
    return row


@pytest.fixture
def run(practice: Practice) -> Practice:
    """A shadow run of a day: one time filled by hand, two wasted, one of which would have been offered, one ahead."""
    practice.source.shadow_since = timezone.now() - timedelta(days=1)
    practice.source.save()
    filled = freed(practice, -2, 2, closed_reason="taken")
    factories.appointment(None, practice.chen, practice.riverside, start=filled.start, source=practice.source)
    freed(practice, -4, 3)
    freed(practice, -6, held="type", status="closed")
    freed(practice, 2, 1, status="checking", closed_reason="")
    freed(practice, -5, 1, location=practice.lakeview)
    return practice


def past(practice: Practice, external: str, **fields: Any) -> PastCancellation:
    values = {"provider": practice.chen, "location": practice.riverside, **fields}
    return factories.past_cancellation(practice.source, external, **values)


def test_it_says_in_a_sentence_what_would_have_been_saved(dana: Client, run: Practice) -> None:
    words = report(dana, run)
    assert "4 freed times: 1 booked again by hand, 2 went to waste." in words
    assert "1 of those 2 would have been offered, on average to 3.0 patients." in words
    assert "Still to come: 1, of which 1 would have been offered." in words
    assert "kind of visit not mapped: staff would have been asked" in words
    assert "still to come, free" in words
    assert "Dr. Mei Chen 4 1 2 1" in words


@pytest.mark.parametrize(
    ("booked", "fields", "became"),
    [
        ({}, {}, "booked again in the EHR"),
        ({"status": "noshow"}, {}, "booked again in the EHR"),
        ({"minutes": 15}, {}, "booked again in part"),
        ({"status": "cancelled"}, {}, "went to waste"),
        ({"after": 30}, {}, "went to waste"),
        ({"after": -30}, {}, "went to waste"),
        ({"by_another": True}, {}, "went to waste"),
        (None, {"closed_reason": "blocked"}, "blocked in the EHR"),
        (None, {"hours": 1}, "still to come, free"),
    ],
)
def test_what_became_of_a_freed_time(
    dana: Client, practice: Practice, booked: dict[str, Any] | None, fields: dict[str, Any], became: str
) -> None:
    practice.source.shadow_since = timezone.now() - timedelta(days=1)
    practice.source.save()
    values = {"hours": -2, **fields}
    row = freed(practice, values.pop("hours"), **values)
    if booked is not None:
        told: dict[str, Any] = dict(booked)
        provider = factories.provider() if told.pop("by_another", False) else practice.chen
        start = row.start + timedelta(minutes=told.pop("after", 0))
        factories.appointment(None, provider, practice.riverside, start=start, source=practice.source, **told)
    (line,) = live_lines(practice.source, User.objects.get(username="dana"))
    assert line.became_words == became


@pytest.mark.parametrize(
    ("fields", "offered", "verdict"),
    [
        ({}, 2, "would have been offered"),
        ({"held": "type"}, 1, "would have been offered"),  # after staff let it go on
        ({"held": "reason"}, 0, "reason not mapped: staff would have been asked"),
        ({"held": "refused"}, 0, "held for staff"),
        ({"status": "checking", "closed_reason": ""}, 0, "being looked at"),
        ({"status": "open", "closed_reason": "", "nobody": True}, 0, "nobody on the list fits"),
        ({"closed_reason": "cut_off"}, 0, "cancelled too shortly before"),
        ({"closed_reason": "unfillable"}, 0, "nobody on the list fits"),
    ],
)
def test_what_would_have_happened_to_a_freed_time(
    dana: Client, practice: Practice, fields: dict[str, Any], offered: int, verdict: str
) -> None:
    practice.source.shadow_since = timezone.now() - timedelta(days=1)
    practice.source.save()
    row = freed(practice, 2, offered, **{name: value for name, value in fields.items() if name != "nobody"})
    if "nobody" in fields:
        tell(row, "wave.shadow_nobody", "Nobody.")
    (line,) = live_lines(practice.source, User.objects.get(username="dana"))
    assert (line.verdict_words, line.offered, line.notice_words) == (verdict, offered, "6 h")


def test_what_is_told_of_one_freed_time_is_not_said_of_another(dana: Client, practice: Practice) -> None:
    practice.source.shadow_since = timezone.now() - timedelta(days=1)
    practice.source.save()
    one, other = (freed(practice, hours, status="open", closed_reason="") for hours in (2, 4))
    tell(one, "wave.shadow_nobody", "Nobody.")
    tell(other, "opening.checked", "It is free.")
    lines = live_lines(practice.source, User.objects.get(username="dana"))
    assert [line.verdict for line in lines] == ["waiting", "nobody"]


@pytest.mark.parametrize(
    ("visit", "kind"),
    [
        (None, ""),
        ({"type_code": "FU", "type_display": "follow up"}, "follow up"),
        ({"type_code": "FU"}, "FU"),
        ({"type_code": "FU", "type_display": "fu"}, "Follow-up"),
    ],
)
def test_a_freed_time_says_what_it_was_for(
    dana: Client, practice: Practice, visit: dict[str, Any] | None, kind: str
) -> None:
    practice.source.shadow_since = timezone.now() - timedelta(days=1)
    practice.source.save()
    freed_by = None
    if visit is not None:
        kind_of_visit = practice.followup if kind == "Follow-up" else None
        freed_by = factories.appointment(None, practice.chen, practice.riverside, kind_of_visit, **visit)
    freed(practice, 2, freed_by=freed_by)
    (line,) = live_lines(practice.source, User.objects.get(username="dana"))
    assert line.kind == kind


@pytest.mark.parametrize(
    ("hours_before", "words"), [(None, "not told"), (-1, "not told"), (5, "5 h"), (48, "2 days"), (80, "3 days")]
)
def test_how_long_before_its_start_a_past_time_was_freed(
    dana: Client, practice: Practice, hours_before: float | None, words: str
) -> None:
    start = factories.in_days(-40)
    at = None if hours_before is None else start - timedelta(hours=hours_before)
    past(practice, "a", start=start, cancelled_at=at)
    (line,) = past_lines(practice.source, User.objects.get(username="dana"))
    assert line.notice_words == words


def test_only_what_was_freed_there_during_the_run_is_reported(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    began, ended = now - timedelta(days=2), now - timedelta(days=1)
    rows: dict[str, Opening] = {}

    def put(name: str, at: datetime, **fields: Any) -> None:
        rows[name] = freed(practice, -len(rows) - 2, **fields)
        Opening.objects.filter(pk=rows[name].pk).update(created_at=at)

    put("before", began - timedelta(minutes=1))
    put("at its begin", began)
    put("at its end", ended)
    put("elsewhere", began, source=factories.source("elsewhere"))
    put("joined to another", began, closed_reason="merged")
    put("the rest of one", began, parent=rows["at its begin"])

    def reported() -> list[str]:
        lines = live_lines(practice.source, User.objects.get(username="dana"))
        return [name for name, row in rows.items() if row.start in {line.start for line in lines}]

    assert reported() == []
    practice.source.shadow_since = began
    assert reported() == ["at its begin", "at its end"]
    practice.source.shadow_until = ended
    assert reported() == ["at its begin"]


def test_who_sees_all_locations_sees_all_of_it(maria: Client, run: Practice) -> None:
    assert "5 freed times: 1 booked again by hand, 3 went to waste." in report(maria, run)


def test_the_numbers_lead_to_the_lines_they_count(dana: Client, run: Practice) -> None:
    words = report(dana, run, "?of=live&became=wasted&verdict=offered")
    assert words.count("6 h would have been offered") == 1
    assert "1 freed time: 0 booked again by hand, 1 went to waste." in words
    assert "No freed time matches. Show all" in report(dana, run, "?of=live&verdict=place")


def test_patients_to_be_matched_lead_to_just_these_items(dana: Client, run: Practice) -> None:
    here, other, third = (factories.patient(locations=[run.riverside]) for _ in range(3))
    PatientReview.objects.create(patient=here, other=other, dedupe_key="a")
    PatientReview.objects.create(patient=here, other=third, dedupe_key="b", state="different")
    for kind in ("patient.reviews", "patient.gone", "patient.merged"):
        ask_staff(kind, "Something else", dedupe_key=kind, location=run.riverside)
    page = dana.get(f"/admin/shadow/{run.connection.pk}/").content.decode()
    found = re.search(r'Patients to be matched: <a href="([^"]+)">1</a>', page)
    assert found
    there = text_of(dana.get(html.unescape(found[1])))
    assert "1 " in there
    assert "/admin/scheduling/patientreview/?state__exact=open" in html.unescape(found[1])


def test_changes_that_could_not_be_read_are_counted(dana: Client, run: Practice) -> None:
    at = timezone.now()
    for key, status in (("a", "quarantined"), ("b", "dead"), ("c", "done")):
        InboundEvent.objects.create(
            connection=run.connection, via="poll", dedupe_key=key, subject_key=f"Appointment/{key}", status=status,
            body=b"{}", due_at=at, received_at=at,
        )  # fmt: skip
    assert "Changes that could not be read or refer to nobody: 2." in report(dana, run)


def test_codes_nobody_mapped_are_counted_as_on_the_mapper(ira: Client, dana: Client, run: Practice) -> None:
    for number in range(3):
        visit = {"source": run.source, "external": f"x-{number}", "type_code": "LUNCH", "status": "booked"}
        factories.appointment(run.patient, run.chen, run.riverside, **visit)
    row = CodeMapping.objects.create(connection=run.connection, domain="type", code="LUNCH")
    CodeMapping.objects.create(connection=run.connection, domain="type", code="(free text)")
    item = ask_staff("mapping.type", "A code", dedupe_key=f"mapping:{row.pk}", subject=row)
    words = report(dana, run)
    assert "Appointment type LUNCH , 3 visits" in words
    assert "free text" not in words
    (line,) = ira.get(f"/admin/connections/{run.connection.pk}/codes/?domain=type").context["lines"]
    assert (line.seen.key.code, line.seen.count) == ("LUNCH", 3)
    assert "Times seen: 3 ×" in text_of(dana.get(f"/admin/scheduling/workitem/{item.pk}/change/"))


def test_a_clinicians_day_that_staff_are_asked_about_is_told_apart(dana: Client, practice: Practice) -> None:
    practice.source.shadow_since = timezone.now() - timedelta(days=1)
    practice.source.save()
    freed(practice, 3, status="open", closed_reason="", held="provider_day")
    assert "several of the clinician’s day at once: staff would have been asked" in report(dana, practice)


def test_an_uncancelled_time_is_neither_waste_nor_refilled(dana: Client, practice: Practice) -> None:
    practice.source.shadow_since = timezone.now() - timedelta(days=1)
    practice.source.save()
    row = freed(practice, -2, 1, closed_reason="restored")
    back = factories.appointment(None, practice.chen, practice.riverside, start=row.start, source=practice.source)
    Opening.objects.filter(pk=row.pk).update(freed_by=back)
    assert "0 booked again by hand, 0 went to waste" in report(dana, practice)


def test_before_any_run_it_says_how_to_begin(dana: Client, ira: Client, practice: Practice) -> None:
    assert "There was no shadow run yet. Whoever runs the connections begins one." in report(dana, practice)
    assert "Begin one on Connect." in report(ira, practice)
    assert "Whoever runs the connections has them read." in report(dana, practice, "?of=past")


def test_the_past_is_said_to_be_judged_by_todays_list_and_names_who(dana: Client, practice: Practice) -> None:
    entry = practice.entry()
    row = past(practice, "a", suited=1, entries=[entry.pk])
    past(practice, "b", location=practice.lakeview)
    past(practice, "c", provider=None, location=None, verdict="place")
    words = report(dana, practice, "?of=past")
    assert "Judged by today's waitlist" in words
    assert "1 freed time: 0 booked again by hand, 1 went to waste. 1 of those 1 would have been offered" in words
    words = text_of(dana.get(f"/admin/shadow/past/{row.pk}/"))
    assert "1 Robin Alvarez Follow-up" in words
    assert records("list") == [("scheduling.patient", str(practice.patient.pk))]
    theirs = PastCancellation.objects.get(external_id="b")
    assert dana.get(f"/admin/shadow/past/{theirs.pk}/").status_code == 404


def test_the_file_holds_the_filtered_lines_and_no_formula(dana: Client, run: Practice) -> None:
    Provider.objects.filter(pk=run.chen.pk).update(name="=HYPERLINK(1)")
    answer = dana.get(f"/admin/shadow/{run.connection.pk}/csv/?of=live&became=wasted")
    rows = list(csv.reader(StringIO(answer.content.decode())))
    assert len(rows) == 3
    assert {row[2] for row in rows[1:]} == {"'=HYPERLINK(1)"}
    assert [row[5:] for row in rows[1:] if row[7] != "0"] == [["6.0", "would have been offered", "3", "went to waste"]]
    assert records("export") == [("integrations.connection", str(run.connection.pk))]


def test_a_long_report_is_paged_with_the_file_for_all_of_it(dana: Client, practice: Practice) -> None:
    for number in range(60):
        past(practice, f"p-{number}")
    page = dana.get(f"/admin/shadow/{practice.connection.pk}/?of=past")
    assert "1 to 25 of 60, the latest time first. All of them as CSV" in text_of(page)
    assert page.content.decode().count('<td data-label="What became of it"') == 25
    assert "51 to 60 of 60" in report(dana, practice, "?of=past&p=3")
    lines = dana.get(f"/admin/shadow/{practice.connection.pk}/csv/?of=past").content.decode().splitlines()
    assert len(lines) == 61


def test_long_lists_are_folded(dana: Client, practice: Practice) -> None:
    for number in range(9):
        CodeMapping.objects.create(connection=practice.connection, domain="type", code=f"T-{number}")
        past(practice, f"p-{number}", provider=factories.provider())
    page = dana.get(f"/admin/shadow/{practice.connection.pk}/?of=past").content.decode()
    assert "<summary>9 codes</summary>" in page
    assert "<summary>9 clinicians</summary>" in page


def test_what_stands_in_the_way_is_said_before_any_time_was_freed(ira: Client, practice: Practice) -> None:
    practice.source.shadow_since = timezone.now() - timedelta(days=1)
    practice.source.save()
    CodeMapping.objects.create(connection=practice.connection, domain="type", code="LUNCH")
    at = timezone.now()
    for key, status in (("a", "quarantined"), ("b", "dead"), ("c", "done")):
        InboundEvent.objects.create(
            connection=practice.connection, via="poll", dedupe_key=key, subject_key=f"Appointment/{key}",
            status=status, body=b"{}", due_at=at, received_at=at,
        )  # fmt: skip
    page = ira.get(f"/admin/shadow/{practice.connection.pk}/")
    words = text_of(page)
    assert "No time was freed in the EHR since the shadow run began." in words
    assert "Appointment type LUNCH , 0 visits" in words
    found = re.search(r'refer to nobody: <a href="([^"]+)">2</a>', page.content.decode())
    assert found
    assert ira.get(html.unescape(found[1])).context["cl"].result_count == 2
    practice.source.shadow_until = timezone.now()
    practice.source.save()
    words = report(ira, practice)
    assert "No time was freed in the EHR during the shadow run." in words
    assert "There was no shadow run yet." not in words
