"""Closed days are pasted in, and each may be changed or taken out again."""

from __future__ import annotations

from datetime import date

from django.test import Client

from scheduling.models import ClosedDay
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of

ADD = "/admin/scheduling/closedday/add/"


def test_a_list_of_days_is_pasted_for_a_location(maria: Client, practice: Practice) -> None:
    assert "A list can be pasted." in text_of(maria.get(ADD))
    days = {"location": practice.riverside.pk, "days": "12/25/2026 Christmas Day\n1/1/2027 New Year", "yearly": "on"}
    assert said(maria, maria.post(ADD, days)).startswith("The days are entered")
    rows = ClosedDay.objects.values_list("location", "day", "name", "yearly")
    here = practice.riverside.pk
    assert list(rows) == [
        (here, date(2026, 12, 25), "Christmas Day", True),
        (here, date(2027, 1, 1), "New Year", True),
    ]
    words = text_of(maria.get("/admin/scheduling/closedday/"))
    assert "Christmas Day Riverside" in words
    row = ClosedDay.objects.earliest("day")
    change = f"/admin/scheduling/closedday/{row.pk}/change/"
    assert maria.post(change, {"location": "", "day": "12/24/2026", "name": "Closed early"}).status_code == 302
    row.refresh_from_db()
    assert (row.location, row.day, row.name, row.yearly) == (None, date(2026, 12, 24), "Closed early", False)


def test_a_line_that_is_no_date_is_named_and_nothing_is_entered(maria: Client, practice: Practice) -> None:
    words = text_of(maria.post(ADD, {"location": "", "days": "12/25/2026\nEaster"}))
    assert "Line 2 does not begin with a date." in words
    assert not ClosedDay.objects.exists()


def test_the_front_desk_reads_them(dana: Client, practice: Practice) -> None:
    ClosedDay.objects.create(location=practice.lakeview, day=date(2026, 12, 24), name="Theirs")
    ClosedDay.objects.create(day=date(2026, 12, 25), name="Christmas Day")
    words = text_of(dana.get("/admin/scheduling/closedday/"))
    assert ("Christmas Day" in words, "Theirs" in words) == (True, False)
    assert dana.get(ADD).status_code == 403
