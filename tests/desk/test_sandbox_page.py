"""The Sandbox page: the EHR's desk on the left through its control interface, the patients' phones on the right."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone
from pytest_httpserver import HTTPServer

from scheduling.models import ExternalId, TimelineEntry
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, said, text_of
from waitlist.models import Message, Reply

PAGE = "/admin/sandbox/"
DAY = {
    "date": "2031-03-04",
    "location": {"id": "riverside", "name": "Riverside", "zone": "America/New_York"},
    "appointments": [
        {
            "id": "a1",
            "version": "1",
            "status": "booked",
            "start": "2031-03-04T09:00:00-05:00",
            "end": "2031-03-04T09:30:00-05:00",
            "time": "09:00",
            "patient": {"id": "p1", "display": ""},
            "practitioner": {"id": "chen", "display": "Dr. Chen"},
            "type": "followup",
        },
        {
            "id": "a2",
            "version": "2",
            "status": "cancelled",
            "start": "2031-03-04T10:00:00-05:00",
            "end": "2031-03-04T10:30:00-05:00",
            "time": "10:00",
            "patient": {"id": "p2", "display": "Nia Next"},
            "practitioner": {"id": "chen", "display": "Dr. Chen"},
            "type": "followup",
        },
    ],
}


@pytest.fixture
def control(httpserver: HTTPServer, settings: Any) -> HTTPServer:
    settings.SANDBOX_CONTROL_URL = httpserver.url_for("/fhir")
    settings.SANDBOX_CONTROL_TOKEN = "control-token"
    key = {"X-Sandbox-Control": "control-token"}
    httpserver.expect_request("/_sandbox/calendar", headers=key).respond_with_json(DAY)
    fault = {"number": 3, "kind": "down", "count": None, "hits": 4}
    httpserver.expect_request("/_sandbox/faults", method="GET").respond_with_json({"faults": [fault], "kinds": []})
    return httpserver


def asked(control: HTTPServer, method: str) -> list[tuple[str, Any]]:
    """Return path and JSON body of the requests of a method, in order."""
    found: list[tuple[str, Any]] = []
    for request, _ in control.log:
        if request.method == method:
            found.append((request.path, request.get_json(silent=True)))
    return found


def message(practice: Practice, **fields: Any) -> Message:
    contact = practice.patient.contact_points.get(system="phone")
    return Message.objects.create(
        **{
            "kind": "offer",
            "channel": "sms",
            "patient": practice.patient,
            "location": practice.riverside,
            "address": contact.value,
            "address_index": contact.address_index,
            "body": "A time is free. YES 47? http://testserver/o/abc/",
            "dedupe_key": f"m{Message.objects.count()}",
            "due_at": timezone.now(),
            "status": "sent",
            **fields,
        }
    )


@pytest.mark.parametrize("path", ["", "ehr/", "people/", "reply/", "do/cancel/"])
def test_there_is_no_such_page_without_a_sandbox(maria: Client, settings: Any, path: str) -> None:
    settings.SANDBOX_CONTROL_URL = ""
    assert maria.get(PAGE + path).status_code in (404, 405)
    assert maria.post(PAGE + path).status_code in (404, 405)
    assert "Sandbox" not in text_of(maria.get("/admin/"))


def test_it_is_for_those_who_work_with_openings(ira: Client, control: HTTPServer) -> None:
    assert ira.get(PAGE).status_code == 403
    assert ira.post(PAGE + "do/cancel/", {"appointment": "a1"}).status_code == 403
    assert control.log == []


def test_both_sides_are_shown(dana: Client, practice: Practice, control: HTTPServer) -> None:
    ExternalId.objects.create(
        source=practice.source, kind="patient", value="p1", object_id=practice.patient.pk, seen_at=timezone.now()
    )
    message(practice)
    TimelineEntry.objects.create(at=timezone.now(), kind="wave.sent", summary="Wave 1: 1 offer.", actor="worker")
    page = dana.get(PAGE + "?date=2031-03-04&location=riverside")
    words = text_of(page)
    assert "9:00 AM Robin Alvarez followup Dr. Chen booked" in words
    assert "10:00 AM Nia Next followup Dr. Chen cancelled Un-cancel" in words
    assert "the EHR is down until switched off until switched off, met 4 so far Switch off" in words
    assert "Robin Alvarez +1" in words
    assert '<a href="http://testserver/o/abc/"' in page.content.decode()
    assert "Wave 1: 1 offer." in words
    assert control.log[0][0].args.to_dict() == {"date": "2031-03-04", "location": "riverside"}
    assert records("list") == [("scheduling.patient", str(practice.patient.pk))]


def test_it_says_whether_a_message_leaves_the_machine(dana: Client, control: HTTPServer, settings: Any) -> None:
    page = text_of(dana.get(PAGE))
    assert "Everybody here is made up, and no message leaves this machine." in page
    settings.TEST_RECIPIENTS = ["+12125550123"]
    page = text_of(dana.get(PAGE))
    assert "messages leave this machine for the addresses in TEST_RECIPIENTS only" in page


@pytest.mark.parametrize(
    ("step", "form", "path", "body", "says"),
    [
        (
            "cancel",
            {"appointment": "a1", "reason": "pat"},
            "/_sandbox/appointments/a1/cancel",
            {"reason_code": "pat"},
            "The EHR has cancelled it and says so to Sooner.",
        ),
        (
            "cancel",
            {"appointment": "a1", "reason": ""},
            "/_sandbox/appointments/a1/cancel",
            {"reason_code": None},
            "The EHR has cancelled it and says so to Sooner.",
        ),
        ("uncancel", {"appointment": "a2"}, "/_sandbox/appointments/a2/uncancel", {}, "The EHR has booked it again."),
        (
            "out",
            {"provider": "chen", "date": "2031-03-04"},
            "/_sandbox/providers/chen/out-today",
            {"date": "2031-03-04"},
            "The EHR has cancelled 2 appointments of that day.",
        ),
        (
            "book",
            {
                "patient": "p9",
                "provider": "chen",
                "location": "riverside",
                "date": "2031-07-04",
                "time": "09:00",
                "minutes": "20",
                "zone": "America/New_York",
            },
            "/_sandbox/appointments",
            {
                "patient": "p9",
                "practitioner": "chen",
                "location": "riverside",
                "start": "2031-07-04T09:00:00-04:00",
                "minutes": 20,
            },
            "The EHR has booked it.",
        ),
        (
            "fault",
            {"kind": "429", "count": "3"},
            "/_sandbox/faults",
            {"kind": "429", "count": 3},
            "Switched on: the EHR asks for patience.",
        ),
    ],
)
def test_the_ehrs_desk_can_be_played(
    dana: Client, control: HTTPServer, step: str, form: dict[str, str], path: str, body: dict[str, Any], says: str
) -> None:
    control.expect_request(path, method="POST").respond_with_json({"cancelled": ["a1", "a2"]})
    answer = dana.post(f"{PAGE}do/{step}/", form)
    assert said(dana, answer) == says
    assert asked(control, "POST") == [(path, body)]


def test_a_fault_is_switched_off(dana: Client, control: HTTPServer) -> None:
    control.expect_request("/_sandbox/faults/3", method="DELETE").respond_with_data("")
    assert said(dana, dana.post(PAGE + "do/heal/", {"number": "3"})) == "Switched off."
    assert asked(control, "DELETE") == [("/_sandbox/faults/3", None)]


def test_what_the_ehr_refuses_is_said_in_its_words(dana: Client, control: HTTPServer) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "The time is taken."}]}
    control.expect_request("/_sandbox/appointments/a2/uncancel").respond_with_json(outcome, status=409)
    answer = dana.post(PAGE + "do/uncancel/", {"appointment": "a2"})
    assert said(dana, answer) == "The sandbox EHR refused: The time is taken."


@pytest.mark.parametrize("form", [{}, {"kind": "down", "count": "many"}])
def test_an_incomplete_form_does_nothing(dana: Client, control: HTTPServer, form: dict[str, str]) -> None:
    answer = dana.post(PAGE + "do/fault/", form)
    assert said(dana, answer) == "Nothing was done: something in the form is missing or cannot be read."
    assert asked(control, "POST") == []


def test_a_sandbox_that_is_away_leaves_the_page_standing(dana: Client, practice: Practice, settings: Any) -> None:
    settings.SANDBOX_CONTROL_URL = "http://127.0.0.1:9"
    message(practice)
    words = text_of(dana.get(PAGE))
    assert "The sandbox EHR does not answer. Nothing was done. Is the demo still running?" in words
    assert "A time is free. YES 47?" in words


def test_an_answer_takes_the_way_every_text_takes(dana: Client, practice: Practice, control: HTTPServer) -> None:
    row = message(practice)
    answer = dana.post(PAGE + "reply/", {"message": row.pk, "body": "YES 47"})
    assert said(dana, answer) == "The patient’s answer is in."
    reply = Reply.objects.get()
    assert (reply.channel, reply.address, reply.body, reply.outcome) == ("sms", row.address, "YES 47", "new")
    assert "YES 47" in text_of(dana.get(PAGE + "people/"))


def test_nobody_answers_on_the_phone_of_another_location(dana: Client, practice: Practice, control: HTTPServer) -> None:
    row = message(practice, location=practice.lakeview)
    assert "A time is free" not in text_of(dana.get(PAGE + "people/"))
    assert dana.post(PAGE + "reply/", {"message": row.pk, "body": "YES"}).status_code == 404
    assert not Reply.objects.exists()


def test_a_family_shares_one_phone(dana: Client, practice: Practice, control: HTTPServer) -> None:
    message(practice)
    message(
        practice, patient=factories.patient(given_name="Kid", family_name="Alvarez", locations=[practice.riverside])
    )
    boxes = dana.get(PAGE).context["boxes"]
    assert [sorted(box.owners) for box in boxes] == [["Kid Alvarez", "Robin Alvarez"]]
    assert len(boxes[0].words) == 2


def day_with(date: date, start: datetime) -> dict[str, Any]:
    """Return a day of the EHR's calendar with one appointment."""
    line = {**DAY["appointments"][0], "start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat()}  # type: ignore[index]
    return {**DAY, "date": date.isoformat(), "appointments": [line]}


def test_without_a_day_it_opens_at_the_first_that_has_time_to_offer(
    dana: Client, practice: Practice, httpserver: HTTPServer, settings: Any
) -> None:
    settings.SANDBOX_CONTROL_URL = httpserver.url_for("")
    httpserver.expect_request("/_sandbox/faults").respond_with_json({"faults": []})
    now = timezone.now()
    today = timezone.localdate(now, ZoneInfo("America/New_York"))
    tomorrow = today + timedelta(days=1)
    for query, day, ahead in (
        ({}, today, timedelta(minutes=80)),
        ({"date": tomorrow.isoformat(), "location": "riverside"}, tomorrow, timedelta(minutes=100)),
    ):
        answer = day_with(day, now + ahead)
        httpserver.expect_request("/_sandbox/calendar", query_string=query).respond_with_json(answer)
    assert dana.get(PAGE).context["day"].date == tomorrow


def test_what_of_today_is_too_close_to_be_offered_is_not_shown(
    dana: Client, practice: Practice, httpserver: HTTPServer, settings: Any
) -> None:
    settings.SANDBOX_CONTROL_URL = httpserver.url_for("")
    httpserver.expect_request("/_sandbox/faults").respond_with_json({"faults": []})
    now = timezone.now()
    today = timezone.localdate(now, ZoneInfo("America/New_York"))
    answer = day_with(today, now + timedelta(minutes=80))
    httpserver.expect_request("/_sandbox/calendar").respond_with_json(answer)
    page = dana.get(f"{PAGE}?date={today.isoformat()}&location=riverside")
    assert page.context["lines"] == []
    assert "1 appointment of today not shown: over, or too close to be offered." in text_of(page)
