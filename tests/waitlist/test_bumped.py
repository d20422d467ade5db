"""Whom the practice sent away is put on the list by one press, as urgent, and not asked about once that is so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from scheduling.appointments import follow_status
from scheduling.models import Appointment, WorkItem
from scheduling.worklist import run_action
from tests import factories
from waitlist import entries
from waitlist.from_calendar import follow
from waitlist.models import WaitlistEntry

pytestmark = pytest.mark.django_db
Urgency = WaitlistEntry.Urgency


@pytest.fixture
def gone() -> Appointment:
    """A visit in five days that the practice took back."""
    factories.practice()
    kind, place, chen = factories.appointment_type(30), factories.location(), factories.provider()
    factories.bookable(chen, place, kind)
    factories.appointment(factories.patient(), chen, place, kind, start=factories.in_days(6))  # somebody else's
    return taken_back(factories.appointment(factories.patient(), chen, place, kind, start=factories.in_days(5)))


def seeks_to_move(row: Appointment, **fields: Any) -> WaitlistEntry:
    """An entry that was made while the visit still stood."""
    entry = factories.entry(row.patient, row.appointment_type, **fields)
    WaitlistEntry.objects.filter(pk=entry.pk).update(move_up=row)
    return entry


def taken_back(row: Appointment) -> Appointment:
    row.status = Appointment.Status.BUMPED
    row.save(update_fields=["status"])
    follow_status(row, before=Appointment.Status.BOOKED)
    return row


def asked() -> list[str]:
    return [item.kind for item in WorkItem.objects.filter(status=WorkItem.Status.OPEN)]


def press(slug: str = "wait") -> str:
    return run_action(WorkItem.objects.get(), slug, User(username="clerk"))


def test_one_press_puts_them_on_the_list_as_urgent_for_the_same_visit(gone: Appointment) -> None:
    said = press()
    entry = WaitlistEntry.objects.get()
    assert (entry.patient, entry.appointment_type, entry.urgency) == (
        gone.patient,
        gone.appointment_type,
        Urgency.URGENT,
    )
    assert (list(entry.providers.all()), list(entry.locations.all())) == ([gone.provider], [gone.location])
    assert entry.joined_at == gone.created_at, "they have waited since they booked it"
    assert said == "The patient is on the waitlist, as urgent, for the same visit at the same place."


def test_who_waits_for_it_already_keeps_their_place_and_becomes_urgent(gone: Appointment) -> None:
    waiting = seeks_to_move(gone)
    before = waiting.joined_at
    press()
    waiting.refresh_from_db()
    assert (waiting.urgency, waiting.joined_at, waiting.move_up) == (Urgency.URGENT, before, None)


def test_a_search_for_an_earlier_time_gives_way_to_a_wait_for_any(gone: Appointment) -> None:
    search = seeks_to_move(gone, origin=WaitlistEntry.Origin.BOOKING)
    press()
    search.refresh_from_db()
    assert search.status == WaitlistEntry.Status.LEFT
    follow()
    assert WaitlistEntry.objects.get(status__in=entries.LIVE).urgency == Urgency.URGENT


def test_a_visit_of_a_kind_that_is_not_mapped_is_entered_by_a_person(gone: Appointment) -> None:
    Appointment.objects.update(appointment_type=None)
    assert press().startswith("Nothing was changed: its kind of visit is not mapped.")
    assert not WaitlistEntry.objects.exists()


@pytest.mark.parametrize(
    ("became", "is_asked"),
    [
        *(("nothing", True), ("waits", True), ("waits for it moved up", True)),
        *(("somebody else has a new time", True), ("another kind of visit", True), ("new time that was", True)),
        *(("urgent", False), ("new time", False)),
    ],
)
def test_it_is_asked_until_they_wait_as_urgent_or_have_a_new_time(
    gone: Appointment, became: str, is_asked: bool
) -> None:
    if became == "waits":
        factories.entry(gone.patient, gone.appointment_type)
    elif became == "waits for it moved up":
        seeks_to_move(gone, urgency=Urgency.URGENT)
    elif became == "urgent":
        factories.entry(gone.patient, gone.appointment_type, urgency=Urgency.URGENT)
    elif became == "somebody else has a new time":
        factories.appointment(factories.patient(), gone.provider, gone.location, gone.appointment_type)
        factories.entry(factories.patient(), gone.appointment_type, urgency=Urgency.URGENT)
    elif became == "another kind of visit":
        factories.appointment(gone.patient, gone.provider, gone.location, factories.appointment_type())
        factories.entry(gone.patient, factories.appointment_type(), urgency=Urgency.URGENT)
    elif became == "new time that was":
        for fields in ({"status": "cancelled"}, {"start": factories.in_days(-2)}):
            factories.appointment(gone.patient, gone.provider, gone.location, gone.appointment_type, **fields)
        entries.leave(factories.entry(gone.patient, gone.appointment_type, urgency=Urgency.URGENT))
    elif became == "new time":
        factories.appointment(gone.patient, gone.provider, gone.location, gone.appointment_type)
    follow()
    assert asked() == (["appointment.bumped"] if is_asked else [])


def test_another_visit_of_a_series_is_no_new_time(gone: Appointment) -> None:
    other = factories.appointment(gone.patient, gone.provider, gone.location, gone.appointment_type)
    item = WorkItem.objects.get()
    Appointment.objects.filter(pk=other.pk).update(created_at=item.created_at - timedelta(days=1))
    follow()
    assert asked() == ["appointment.bumped"]
