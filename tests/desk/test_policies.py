"""The numbers of outreach: one row for each pair of location and type, "all" being one of them."""

from __future__ import annotations

import re
from datetime import time
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry as DeskEntry
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import text_of
from waitlist import policies
from waitlist.models import OutreachPolicy, WaitlistEntry
from waitlist.pacing import Policy

ADD = "/admin/waitlist/outreachpolicy/add/"
NUMBERS = {
    "start_delay_seconds": 30,
    "cut_off_minutes": 60,
    "offers_per_day": 2,
    "offers_per_week": 5,
    "silences_before_asking": 3,
    "offer_open_hours": 24,
    "hear_by_hours": 24,
    "calls_per_clerk": 2,
    "quiet_from": "20:00",
    "quiet_until": "08:00",
    "fill_target_percent": 95,
    "largest_wave": 20,
    "most_waiting": 30,
}
TWICE = "There are numbers for this location and this type already. Change those instead."


@pytest.mark.parametrize("has_location", [True, False])
@pytest.mark.parametrize("has_type", [True, False])
def test_second_numbers_for_the_same_are_refused(
    maria: Client, practice: Practice, has_location: bool, has_type: bool
) -> None:
    form = {
        **NUMBERS,
        "location": practice.riverside.pk if has_location else "",
        "appointment_type": practice.followup.pk if has_type else "",
    }
    before = OutreachPolicy.objects.count()
    assert maria.post(ADD, form).status_code == 302
    assert TWICE in text_of(maria.post(ADD, form))
    assert OutreachPolicy.objects.count() == before + 1


def test_numbers_can_be_changed_where_they_are(maria: Client, practice: Practice) -> None:
    row = OutreachPolicy.objects.create(location=practice.riverside)
    other = factories.location(name="Hilltop")
    address = f"/admin/waitlist/outreachpolicy/{row.pk}/change/"
    assert maria.post(address, {**NUMBERS, "location": practice.riverside.pk, "offers_per_day": 4}).status_code == 302
    assert maria.post(address, {**NUMBERS, "location": other.pk, "offers_per_day": 4}).status_code == 302
    row.refresh_from_db()
    assert (row.location, row.offers_per_day) == (other, 4)


def waves(*rows: tuple[str, str, str]) -> dict[str, str]:
    names = ("lead_hours", "size", "gap_minutes")
    return {f"waves-{n}-{name}": text for n, row in enumerate(rows) for name, text in zip(names, row, strict=True)}


def test_waves_are_rows_that_show_the_usual_numbers_and_two_empty_ones(maria: Client) -> None:
    page = maria.get(ADD).content.decode()
    cells = re.findall(r'name="waves-(\d)-(\w+)" value="([^"]*)"', page)
    assert [text for _, _, text in cells] == [
        *("2", "5", "3"),
        *("24", "4", "5"),
        *("72", "3", "10"),
        *("", "2", "30"),
        *("", "", ""),
        *("", "", ""),
    ]
    assert "An emptied row is taken out" in page


def test_rows_are_added_changed_and_taken_out(maria: Client) -> None:
    assert (
        maria.post(ADD, {**NUMBERS, **waves(("2", "5", "3"), ("", "2", "30"), ("12", "6", "7.5"))}).status_code == 302
    )
    row = OutreachPolicy.objects.get()
    assert row.waves == [
        {"lead_hours": 2, "size": 5, "gap_minutes": 3},
        {"size": 2, "gap_minutes": 30},
        {"lead_hours": 12, "size": 6, "gap_minutes": 7.5},
    ]
    assert [rule.lead_hours for rule in policies.read(row).waves] == [2, 12, None]
    change = f"/admin/waitlist/outreachpolicy/{row.pk}/change/"
    page = maria.get(change).content.decode()
    assert 'name="waves-2-gap_minutes" value="7.5"' in page
    assert 'name="waves-4-size" value=""' in page
    maria.post(change, {**NUMBERS, **waves(("", "", ""), ("", "2", "30"), ("12", "6", "8"))})
    row.refresh_from_db()
    assert row.waves == [{"size": 2, "gap_minutes": 30}, {"lead_hours": 12, "size": 6, "gap_minutes": 8}]


def test_each_cell_says_what_it_is_for(maria: Client) -> None:
    page = maria.get(ADD).content.decode()
    headings = ["Hours left, fewer than", "Offers at once", "Minutes until the next"]
    assert re.findall(r"<th[^>]*>([^<]*)</th>", page.partition('id="id_waves"')[2])[:4] == ["Row", *headings]
    assert '<label for="id_waves-0-lead_hours"' in page
    for number in range(6):
        for key, heading in zip(("lead_hours", "size", "gap_minutes"), headings, strict=True):
            assert f'for="id_waves-{number}-{key}">Row {number + 1}: {heading}</label>' in page
            assert f'<td data-label="{heading}"><label class="visually-hidden" for="id_waves-{number}-{key}"' in page


@pytest.mark.parametrize(
    ("row", "stored"),
    [
        ((" 2,5 ", "100", "1440"), {"lead_hours": 2.5, "size": 100, "gap_minutes": 1440}),
        (("8760", "1", "0.5"), {"lead_hours": 8760, "size": 1, "gap_minutes": 0.5}),
        (("8761", "1", "1"), None),
        (("2", "101", "1"), None),
        (("2", "1", "1441"), None),
    ],
)
def test_the_largest_numbers_are_the_last_that_are_taken(
    maria: Client, row: tuple[str, str, str], stored: dict[str, float] | None
) -> None:
    maria.post(ADD, {**NUMBERS, **waves(row)})
    assert [kept.waves for kept in OutreachPolicy.objects.all()] == ([[stored]] if stored else [])


@pytest.mark.parametrize(
    ("rows", "changed"),
    [
        ((("2", "5", "3"), ("", "2", "30")), False),
        ((("2", "5", "3"), ("", "", ""), ("", "2", "30")), False),
        ((("2", "5", "3"), ("", "3", "30")), True),
        ((("2", "5", "3"),), True),
        ((), True),
    ],
)
def test_the_record_names_the_waves_only_where_they_changed(
    maria: Client, rows: tuple[Any, ...], changed: bool
) -> None:
    row = OutreachPolicy.objects.create(
        waves=[{"lead_hours": 2, "size": 5, "gap_minutes": 3}, {"size": 2, "gap_minutes": 30}]
    )
    maria.post(f"/admin/waitlist/outreachpolicy/{row.pk}/change/", {**NUMBERS, **waves(*rows), "offers_per_day": 3})
    message = DeskEntry.objects.get(object_id=str(row.pk)).get_change_message()
    assert "Offers per day" in message
    assert ("waves" in message) is changed


@pytest.mark.parametrize("rows", [(), (("2", "5", "3"), ("24", "4", "5"), ("72", "3", "10"), ("", "2", "30"))])
def test_no_rows_and_the_usual_ones_are_kept_as_the_usual_ones(maria: Client, rows: tuple[Any, ...]) -> None:
    maria.post(ADD, {**NUMBERS, **waves(*rows)})
    assert OutreachPolicy.objects.get().waves == []


@pytest.mark.parametrize(
    ("row", "column", "says"),
    [
        (("x", "5", "3"), "lead_hours", "Write a number of hours above 0"),
        (("0", "5", "3"), "lead_hours", "Write a number of hours above 0"),
        (("2", "0", "3"), "size", "Write how many offers, a whole number from 1 to 100."),
        (("2", "1.5", "3"), "size", "Write how many offers, a whole number from 1 to 100."),
        (("2", "", "3"), "size", "Write how many offers, a whole number from 1 to 100."),
        (("2", "5", ""), "gap_minutes", "Write how many minutes later"),
        (("2", "5", "nan"), "gap_minutes", "Write how many minutes later"),
        (("2", "5", "-1"), "gap_minutes", "Write how many minutes later"),
        (("24", "5", "3"), "lead_hours", "Row 1 is for the same time."),
    ],
)
def test_what_is_wrong_stands_at_its_row_and_nothing_is_stored(
    maria: Client, row: tuple[str, str, str], column: str, says: str
) -> None:
    page = maria.post(ADD, {**NUMBERS, **waves(("24", "4", "5"), row)}).content.decode()
    assert "Nothing was saved. Correct the rows that are marked." in page
    error = page.partition(f'id="id_waves-1-{column}_error"')[2]
    assert says in error[:200]
    assert f'name="waves-1-{column}" value="{row[("lead_hours", "size", "gap_minutes").index(column)]}"' in page
    assert page.count('aria-invalid="true" aria-describedby="id_waves') == 1
    assert not OutreachPolicy.objects.exists()


@pytest.mark.parametrize(("seconds", "stored"), [(900, True), (901, False)])
def test_offers_start_a_quarter_of_an_hour_after_the_event_at_the_latest(
    maria: Client, seconds: int, stored: bool
) -> None:
    maria.post(ADD, {**NUMBERS, "start_delay_seconds": seconds})
    assert OutreachPolicy.objects.filter(start_delay_seconds=seconds).exists() is stored


def test_who_may_only_look_reads_them_in_words(dana: Client) -> None:
    row = OutreachPolicy.objects.create()
    words = text_of(dana.get(f"/admin/waitlist/outreachpolicy/{row.pk}/change/"))
    assert "fewer than 2 hours left: 5 every 3 min; fewer than 24 hours left: 4 every 5 min" in words


def test_the_practice_s_own_numbers_are_fields_with_a_sentence_each(maria: Client) -> None:
    page = text_of(maria.get("/admin/scheduling/practice/1/change/"))
    for words in ("keeps offers back while", "moved up too", "look like an absence", "a guardian's contact only"):
        assert words in page


#: Every number of how offers are made and how far the machine goes, and what holds until a practice changes it.
SETTINGS = {
    ("waitlist", "OutreachPolicy"): {
        "start_delay_seconds": 30,
        "cut_off_minutes": 60,
        "offers_per_day": 2,
        "offers_per_week": 5,
        "silences_before_asking": 3,
        "calls_per_clerk": 2,
        "offer_open_hours": 24,
        "hear_by_hours": 24,
        "quiet_from": time(20),
        "quiet_until": time(8),
        "waves": [],
        "fill_target_percent": 95,
        "largest_wave": 20,
        "most_waiting": 30,
    },
    ("scheduling", "Practice"): {
        "office_days": "12345",
        "office_opens": time(8),
        "office_closes": time(18),
        "mine_minutes": 10,
        "deepest_chain": 3,
        "absence_cancellations": 3,
        "absence_minutes": 10,
        "guardian_until_age": 12,
        "adult_at_age": 18,
    },
    ("scheduling", "AppointmentType"): {"minimum_notice_minutes": 60, "automation": "automatic"},
    ("scheduling", "Bookable"): {"mode": "ask_first"},
    ("scheduling", "Location"): {"names_providers": False},
    ("waitlist", "WaitlistEntry"): {"minimum_notice_minutes": 120},
    ("integrations", "SendingLimit"): {"per_second": None, "per_address_minute": 6, "per_address_hour": 30},
}


@pytest.mark.parametrize(
    ("model", "name", "default"),
    [(model, name, value) for model, fields in SETTINGS.items() for name, value in fields.items()],
)
def test_every_number_is_a_field_with_a_sentence_and_its_default(
    rf: RequestFactory, db: None, model: tuple[str, str], name: str, default: object
) -> None:
    kind = apps.get_model(*model)
    field = kind._meta.get_field(name)
    assert field.get_default() == default
    assert len(field.help_text.split()) > 2, f"{name} says nothing of itself"
    request = rf.get("/")
    request.user = User.objects.create_superuser("maria")
    assert field.editable
    form = admin.site.get_model_admin(kind).get_form(request, kind(pk=1), change=True)
    if kind is not WaitlistEntry:  # whose page is a form of its own
        assert form.base_fields[name].help_text


def test_no_number_of_outreach_is_left_out_of_these() -> None:
    columns = {field.name for field in OutreachPolicy._meta.concrete_fields} - {"id", "location", "appointment_type"}
    assert columns == set(SETTINGS["waitlist", "OutreachPolicy"])
    rules = [(rule.lead_hours, rule.size, rule.gap_minutes) for rule in policies.read(OutreachPolicy()).waves]
    assert rules == [(2, 5, 3), (24, 4, 5), (72, 3, 10), (None, 2, 30)]
    assert policies.read(OutreachPolicy()) == Policy()
