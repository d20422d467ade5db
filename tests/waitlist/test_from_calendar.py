"""The EHR's own waitlist and bookings that seek an earlier time become entries by themselves, and end by themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling.models import Appointment, AppointmentType, Location, Patient, Provider, WorkItem
from tests import factories
from waitlist import consent, entries
from waitlist.explain import why_not
from waitlist.from_calendar import follow
from waitlist.models import WaitlistEntry


@pytest.fixture
def type_(db: None) -> AppointmentType:
    factories.practice()
    return factories.appointment_type(30)


@pytest.fixture
def place(type_: AppointmentType) -> Location:
    return factories.location()


@pytest.fixture
def chen(place: Location, type_: AppointmentType) -> Provider:
    provider = factories.provider()
    factories.bookable(provider, place, type_)
    return provider


def waits(
    patient: Patient | None, type_: AppointmentType | None, status: str = "waitlist", **fields: Any
) -> Appointment:
    return Appointment.objects.create(
        source=factories.source(), patient=patient, appointment_type=type_, status=status, **fields
    )


def states() -> list[str]:
    return list(WaitlistEntry.objects.order_by("pk").values_list("status", flat=True))


@pytest.mark.parametrize("status", ["waitlist", "proposed"])
def test_who_waits_in_the_ehr_waits_here_once(
    status: str, type_: AppointmentType, chen: Provider, place: Location
) -> None:
    row = waits(factories.patient(), type_, status, provider=chen, location=place)
    assert (follow(), follow()) == (1, 0)
    entry = WaitlistEntry.objects.get()
    assert (entry.ehr_appointment, entry.origin, entry.joined_at) == (row, "ehr", row.created_at)
    assert (list(entry.providers.all()), list(entry.locations.all())) == ([chen], [place])


def test_who_cannot_wait_here_is_left_alone(type_: AppointmentType) -> None:
    for closed in ({"deceased": True}, {"active": False}, {"restricted": True}, {"replaced_by": factories.patient()}):
        waits(factories.patient(**closed), type_)
    ended = factories.appointment_type(30)
    waits(factories.patient(), ended)
    AppointmentType.objects.filter(pk=ended.pk).update(active=False)
    waits(factories.patient(), None)
    waits(None, type_)
    start = timezone.now() - timedelta(days=1)
    waits(factories.patient(), type_, "proposed", start=start, end=start + timedelta(minutes=30))
    known = factories.patient()
    factories.entry(known, type_)
    waits(known, type_)
    assert follow() == 0


@pytest.mark.parametrize(
    ("became", "state"),
    [
        ("booked", "booked"),
        ("pending", "booked"),
        ("fulfilled", "booked"),
        ("cancelled", "left"),
        ("entered-in-error", "left"),
        ("noshow", "left"),
    ],
)
def test_the_entry_ends_as_the_ehr_says(became: str, state: str, type_: AppointmentType) -> None:
    row = waits(factories.patient(), type_)
    waits(factories.patient(), type_)
    follow()
    Appointment.objects.filter(pk=row.pk).update(status=became)
    assert (follow(), states()) == (1, [state, "waiting"])


def test_whom_staff_took_off_the_list_stays_off(type_: AppointmentType) -> None:
    waits(factories.patient(), type_)
    follow()
    entries.leave(WaitlistEntry.objects.get())
    assert (follow(), states()) == (0, ["left"])


def test_a_person_is_asked_to_tidy_the_ehrs_list_once_until_it_is(type_: AppointmentType) -> None:
    row, other = waits(factories.patient(), type_), waits(factories.patient(), type_)
    waits(factories.patient(), type_)  # who waits still is nobody to take off
    follow()
    for entry in WaitlistEntry.objects.filter(ehr_appointment__in=[row, other]):
        entries.mark_booked(entry)
    follow()
    follow()
    item, same = WorkItem.objects.order_by("subject_id")
    assert (item.kind, item.status, item.times_seen) == ("entry.still_on_ehr_list", "open", 1)
    assert (item.patient, same.patient) == (row.patient, other.patient)
    Appointment.objects.filter(pk=row.pk).update(status="cancelled")
    follow()
    assert list(WorkItem.objects.order_by("subject_id").values_list("status", flat=True)) == ["done", "open"]


def booked(type_: AppointmentType, chen: Provider, place: Location, days: float = 20, **fields: Any) -> Appointment:
    patient = factories.patient(**fields)
    return factories.appointment(patient, chen, place, type_, start=factories.in_days(days))


def test_a_booking_seeks_an_earlier_time_where_that_is_switched_on_and_the_patient_agreed(
    type_: AppointmentType, chen: Provider, place: Location
) -> None:
    row = booked(type_, chen, place)
    booked(type_, chen, place, consent=())
    booked(type_, chen, place, days=1)
    # Another kind of visit, and somebody who agreed once and took it back.
    booked(factories.appointment_type(30), chen, place)
    stopped = booked(type_, chen, place).patient
    for contact in stopped.contact_points.all():  # type: ignore[union-attr]
        consent.revoke_address(consent.channel_of(contact), contact.address_index, source="reply")
    assert follow() == 0
    AppointmentType.objects.filter(pk=type_.pk).update(seeks_earlier=True)
    assert (follow(), follow()) == (1, 0)
    entry = WaitlistEntry.objects.get()
    assert (entry.move_up, entry.origin, entry.patient) == (row, "booking", row.patient)
    AppointmentType.objects.update(seeks_earlier=False)
    assert (follow(), states()) == (1, ["left"])


def test_a_search_ends_with_its_booking(type_: AppointmentType, chen: Provider, place: Location) -> None:
    AppointmentType.objects.update(seeks_earlier=True)
    row = booked(type_, chen, place)
    follow()
    going = booked(type_, chen, place, days=21)
    assert follow() == 1
    Appointment.objects.filter(pk=row.pk).update(status="cancelled")
    assert (follow(), states()) == (1, ["left", "waiting"])
    assert going.start
    assert (follow(going.start - timedelta(minutes=1)), follow(going.start)) == (0, 1)
    assert states() == ["left", "left"]


def test_nobody_seeks_an_earlier_time_who_may_not_be_offered_one_or_whom_staff_took_off(
    type_: AppointmentType, chen: Provider, place: Location
) -> None:
    AppointmentType.objects.update(seeks_earlier=True)
    for closed in ({"deceased": True}, {"active": False}, {"restricted": True}, {"replaced_by": factories.patient()}):
        booked(type_, chen, place, **closed)
    waiting = booked(type_, chen, place)
    assert waiting.patient
    factories.entry(waiting.patient, type_)
    assert follow() == 0
    booked(type_, chen, place)
    assert follow() == 1
    entries.leave(WaitlistEntry.objects.get(origin="booking"))
    assert (follow(), states()) == (0, ["waiting", "left"])


def test_who_takes_consent_back_is_not_called_instead(type_: AppointmentType, chen: Provider, place: Location) -> None:
    AppointmentType.objects.update(seeks_earlier=True)
    row = booked(type_, chen, place)
    follow()
    for contact in row.patient.contact_points.all():  # type: ignore[union-attr]
        consent.revoke_address(consent.channel_of(contact), contact.address_index, source="reply")
    opening = factories.opening(chen, place)
    verdict, sentence = why_not(opening, WaitlistEntry.objects.get())
    assert (verdict.eligible, verdict.codes) == (False, ["no_consent"])
    assert "nobody calls them about it" in sentence
