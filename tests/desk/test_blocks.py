"""Blocked times: the front desk enters a time that is not to be offered, reads what came of it, and takes it out."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from scheduling.models import Block, Opening, WorkItem
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of

ADD, LIST = "/admin/scheduling/block/add/", "/admin/scheduling/block/"
NEW_YORK = ZoneInfo("America/New_York")


def tomorrow(hour: int, minute: int = 0) -> datetime:
    day = timezone.localtime(timezone.now(), NEW_YORK).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)


def form(practice: Practice, **fields: str | int) -> dict[str, str | int]:
    """The form as it is filled in for tomorrow from nine to noon."""
    plain: dict[str, str | int] = {
        "provider": practice.chen.pk,
        "location": practice.riverside.pk,
        "first_day": f"{tomorrow(9):%m/%d/%Y}",
        "begins": "9:00 AM",
        "last_day": "",
        "ends": "12:00",
        "reason": "Staff meeting",
        "hold_day": "on",
    }
    return {name: value for name, value in {**plain, **fields}.items() if value != "-"}


def all_said(client: Client) -> str:
    """Return everything the list's page says on top, and what it shows."""
    return text_of(client.get(LIST))


def test_the_front_desk_blocks_a_time_and_is_told_what_came_of_it(dana: Client, practice: Practice) -> None:
    under = practice.opening(start=tomorrow(9), status="offering", waves_sent=1)
    later = practice.opening(start=tomorrow(15))
    factories.appointment(practice.patient, practice.chen, practice.riverside, start=tomorrow(10), status="booked")
    factories.offer(under, practice.entry())
    page = dana.get(ADD).content.decode()
    assert ("Whose time" in page, 'value="08:00"' in page, "Save and" in page) == (True, True, False)
    assert dana.post(ADD, form(practice)).status_code == 302
    words = all_said(dana)
    assert "9:00 AM" in words
    for sentence in (
        "Nobody is offered this time.",
        "1 open time was closed; who holds an offer of it is told so.",
        "1 more open time of that day is held: answer the question in Needs you.",
        "1 visit is booked in this time and stays as it is: see to that in the EHR.",
    ):
        assert sentence in words, words
    row = Block.objects.get()
    assert (row.provider, row.location, row.reason) == (practice.chen, practice.riverside, "Staff meeting")
    assert (row.start, row.end) == (tomorrow(9), tomorrow(12))
    under.refresh_from_db()
    later.refresh_from_db()
    assert (under.status, under.closed_reason, later.held) == ("closed", "blocked", "blocked")
    assert WorkItem.objects.get().kind == "opening.provider_day"


def test_a_meeting_holds_nothing_else(dana: Client, practice: Practice) -> None:
    later = practice.opening(start=tomorrow(15))
    dana.post(ADD, form(practice, hold_day="-", location=""))
    assert "wherever they work" in all_said(dana)
    later.refresh_from_db()
    assert (later.held, WorkItem.objects.count(), Block.objects.get().location) == ("", 0, None)


def test_a_booking_under_way_goes_on_and_the_page_says_so(dana: Client, practice: Practice) -> None:
    opening = practice.opening(start=tomorrow(9), status="claimed")
    dana.post(ADD, form(practice))
    assert "1 booking in this time is on its way to the EHR and goes on: press Release" in all_said(dana)
    opening.refresh_from_db()
    assert opening.status == "claimed"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ends": "08:30"}, "It must end after it begins."),
        ({"first_day": "1/5/2024"}, "This time has passed. Nobody is offered it any more."),
        ({"last_day": "1/1/2099"}, "That is longer than a year. Check the year."),
        ({"begins": "nine"}, "Enter a valid time."),
        ({"first_day": ""}, "This field is required."),
        ({"provider": ""}, "This field is required."),
    ],
)
def test_a_time_that_cannot_be_is_refused_in_words(
    dana: Client, practice: Practice, fields: dict[str, str], says: str
) -> None:
    opening = practice.opening(start=tomorrow(9))
    words = text_of(dana.post(ADD, form(practice, **fields)))
    assert says in words
    opening.refresh_from_db()
    assert (opening.status, Block.objects.count()) == ("open", 0)


def test_it_is_deleted_and_what_it_closed_can_be_opened_again(dana: Client, practice: Practice) -> None:
    opening = practice.opening(start=tomorrow(9))
    dana.post(ADD, form(practice))
    row = Block.objects.get()
    page = dana.get(f"{LIST}{row.pk}/change/").content.decode()
    assert f"{LIST}{row.pk}/delete/" in page
    answer = dana.post(f"/admin/openings/{opening.pk}/do/reopen/")
    assert said(dana, answer).startswith("Nothing changed")
    assert dana.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert "1 opening stays closed: press Open again on the page of one that is to be offered." in all_said(dana)
    assert not Block.objects.exists()
    assert said(dana, dana.post(f"/admin/openings/{opening.pk}/do/reopen/")).startswith("Open again")
    assert Opening.objects.get().status == "open"


def test_it_is_changed_by_nobody_and_another_location_s_is_not_seen(
    dana: Client, ira: Client, practice: Practice
) -> None:
    times = {"start": tomorrow(9), "end": tomorrow(10)}
    theirs = Block.objects.create(provider=practice.chen, location=practice.lakeview, reason="Theirs", **times)
    ours = Block.objects.create(provider=practice.chen, location=practice.riverside, reason="Ours", **times)
    words = all_said(dana)
    assert ("Ours" in words, "Theirs" in words) == (True, False)
    assert dana.post(f"{LIST}{theirs.pk}/delete/", {"post": "yes"}).status_code == 404
    assert dana.post(ADD, form(practice, location=practice.lakeview.pk)).status_code == 404
    assert dana.post(f"{LIST}{ours.pk}/change/", {"reason": "Other"}).status_code == 403
    assert ira.get(ADD).status_code == 403
    assert ira.post(f"{LIST}{ours.pk}/delete/", {"post": "yes"}).status_code in (403, 404)
    assert Block.objects.count() == 2
