"""The numbers of outreach: one row for each pair of location and type, "all" being one of them."""

from __future__ import annotations

import pytest
from django.test import Client

from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import text_of
from waitlist.models import OutreachPolicy

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
    "waves": "[]",
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


@pytest.mark.parametrize("waves", ['[{"size": 0, "gap_minutes": 3}]', '{"size": 2}', '[{"size": 2}]', "[5]"])
def test_waves_that_no_offer_could_go_by_are_refused(maria: Client, waves: str) -> None:
    said = text_of(maria.post(ADD, {**NUMBERS, "waves": waves}))
    assert "Write the waves in the form shown below" in said
    assert not OutreachPolicy.objects.exists()


def test_the_practice_s_own_numbers_are_fields_with_a_sentence_each(maria: Client) -> None:
    page = text_of(maria.get("/admin/scheduling/practice/1/change/"))
    for words in ("keeps offers back while", "moved up too", "look like an absence", "a guardian's contact only"):
        assert words in page
