"""What a row is called where Django names it: in a history, a question before it is deleted, a form of several rows."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from scheduling.models import Block, Bookable, ClosedDay, LocationAccess, PatientMerge, TimelineEntry
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import text_of
from tests.desk.rows import rows_at
from waitlist.models import Offer, OutreachPolicy

NEW_YORK = ZoneInfo("America/New_York")


def address(row: Model, page: str) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])


@pytest.mark.parametrize("page", ["change", "history", "delete"])
def test_what_belongs_to_the_practice_is_called_what_it_is(maria: Client, practice: Practice, page: str) -> None:
    closed = ClosedDay.objects.create(location=practice.riverside, day=date(2026, 12, 25), name="Christmas Day")
    named: dict[Model, str] = {
        Bookable.objects.get(location=practice.riverside): "Follow-up with Dr. Mei Chen at Riverside, 30 min",
        closed: "Dec 25, 2026, Christmas Day",
        OutreachPolicy.objects.create(location=practice.riverside): "all types, Riverside",
        OutreachPolicy.objects.create(appointment_type=practice.followup): "Follow-up, all locations",
    }
    for row, name in named.items():
        assert name in text_of(maria.get(address(row, page))), name


def test_the_way_back_from_a_question_before_deleting_is_that_of_the_rows_own_page(
    maria: Client, practice: Practice
) -> None:
    row = Bookable.objects.get(location=practice.riverside)
    name = "Follow-up with Dr. Mei Chen at Riverside, 30 min"
    assert f"Today › Bookables › {name} › Delete" in text_of(maria.get(address(row, "delete")))


@pytest.mark.parametrize(("hour", "until"), [(17, "17:00"), (33, "Nov 28, 09:00")])
def test_a_block_is_called_by_whose_time_it_is(maria: Client, practice: Practice, hour: int, until: str) -> None:
    start = datetime(2030, 11, 27, 13, 30, tzinfo=NEW_YORK)
    end = datetime(2030, 11, 27 + hour // 24, hour % 24, tzinfo=NEW_YORK)
    row = Block.objects.create(provider=practice.chen, location=practice.riverside, start=start, end=end)
    for page in ("change", "history"):
        assert f"Dr. Mei Chen, Nov 27, 2030, 13:30 to {until}" in text_of(maria.get(address(row, page)))


def test_forms_of_several_rows_name_each(maria: Client, practice: Practice) -> None:
    assert "Follow-up with Dr. Mei Chen at Riverside" in text_of(maria.get(address(practice.chen, "change")))
    access = LocationAccess.objects.order_by("pk")[0]
    assert f"{access.user.username} at {access.location.name}" in text_of(maria.get(address(access.user, "change")))


def test_a_history_is_headed_as_its_rows_page_is_and_names_no_patient(maria: Client, practice: Practice) -> None:
    """Headings end up in bookmarks and in the browser's own history."""
    rows = rows_at(practice, practice.riverside, practice.patient)
    for row in (rows[PatientMerge], rows[Offer]):
        heading = f"{str(row._meta.verbose_name).capitalize()} {row.pk}"
        words = text_of(maria.get(address(row, "history")))
        assert f"{heading} › History Change history: {heading}" in words
        assert practice.patient.family_name not in words


def test_a_step_says_which_time_it_is_about(maria: Client, practice: Practice) -> None:
    opening = practice.opening()
    step = TimelineEntry.objects.create(
        opening=opening, at=opening.created_at, kind="opening.held", summary="Held.", actor="dana"
    )
    words = text_of(maria.get(address(step, "change")))
    assert "Opening: Dr. Mei Chen, " in words
    assert f"opening {opening.pk}" not in words


def test_the_appointment_behind_a_difference_is_ours(maria: Client, practice: Practice) -> None:
    appointment = factories.appointment(practice.patient, practice.chen, practice.riverside)
    row = practice.connection.differences.create(
        kind="differs",
        subject="ext:a",
        start=appointment.start,
        appointment=appointment,
        patient=practice.patient,
        location=practice.riverside,
        found_at=appointment.created_at,
        seen_at=appointment.created_at,
    )
    assert "our appointment" in text_of(maria.get(reverse("admin:desk_differences")))
    assert "Appointment: ours" in text_of(maria.get(address(row, "change")))
