"""Before it books, the EHR is asked what the patient has at that time, with whomever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from integrations.ehr.gateway import OutcomeUnknown, Rejected, Unavailable
from integrations.models import InboundEvent
from scheduling import merging
from scheduling.models import Appointment, ExternalId, Opening, Writeback
from scheduling.records import AppointmentRecord
from tests import factories
from tests.integrations.conftest import Booking, Clinic, open_items
from waitlist import claims
from waitlist.models import Claim, Message

pytestmark = pytest.mark.django_db


def put(booking: Booking, **fields: Any) -> AppointmentRecord:
    """The patient has an appointment with another provider in the EHR, over the first half of the opening."""
    start = booking.opening.start - timedelta(minutes=15)
    values = {"provider_id": "prov-9", "location_id": "loc-9", "start": start, "end": start + timedelta(minutes=30)}
    return booking.clinic.ehr.put(patient_id=f"pat-{booking.patient.pk}", **values | fields)


def assert_not_booked(booking: Booking) -> None:
    """Refused because the patient is busy; they are told so, and the time is offered to others."""
    row = Writeback.objects.get()
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "patient_busy")
    assert (booking.state, Claim.objects.get().refused_because) == (Claim.State.REFUSED, "patient_busy")
    assert Opening.objects.get().status == Opening.Status.OPEN
    assert open_items() == []


def test_an_overlapping_one_with_another_provider_is_not_doubled(booking: Booking) -> None:
    theirs = put(booking)
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 0
    assert_not_booked(booking)
    assert booking.clinic.ehr.appointments[theirs.external_id] == theirs
    said = {message.body for message in Message.objects.filter(kind="refused", channel="sms")}
    assert len(said) == 1
    assert "you have an appointment at that time, so we did not book" in said.pop()


def test_what_we_did_not_know_is_taken_over_soon(booking: Booking) -> None:
    theirs = put(booking)
    booking.process()
    assert [event.subject_key for event in InboundEvent.objects.all()] == [f"Appointment/{theirs.external_id}"]


def test_one_made_while_the_answer_was_lost_stops_the_second_try(booking: Booking) -> None:
    booking.clinic.ehr.fail("create", OutcomeUnknown())
    booking.process()
    put(booking)
    booking.pass_time(60)
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 1
    assert_not_booked(booking)


def test_one_made_while_the_ehr_was_away_stops_the_held_write(booking: Booking) -> None:
    booking.clinic.ehr.fail("availability", Unavailable())
    booking.process()
    assert booking.status == Writeback.Status.WAITING
    put(booking)
    booking.pass_time(60)
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 0
    assert_not_booked(booking)


@pytest.mark.parametrize("minutes", [-30, 30])
def test_what_only_touches_the_time_is_no_hindrance(booking: Booking, minutes: int) -> None:
    start = booking.opening.start + timedelta(minutes=minutes)
    put(booking, start=start, end=start + timedelta(minutes=30))
    booking.process()
    assert booking.state == Claim.State.CONFIRMED


def test_the_later_one_of_a_move_up_may_overlap(clinic: Clinic) -> None:
    patient, opening = clinic.patient(), clinic.opening()
    other, later = factories.provider(), opening.start + timedelta(minutes=15)
    factories.external_id(clinic.connection.source, ExternalId.Kind.PROVIDER, other, "prov-2")
    old = factories.appointment(
        patient, other, clinic.location, clinic.type, start=later, source=clinic.connection.source, external="old"
    )
    clinic.ehr.put(
        external_id="old",
        patient_id=f"pat-{patient.pk}",
        provider_id="prov-2",
        location_id="loc-1",
        start=later,
        end=later + timedelta(minutes=30),
    )
    entry = factories.entry(patient, clinic.type, move_up=old)
    offer = factories.offer(opening, entry, move_up=old)
    claim = claims.claim(opening, patient, offer=offer, channel="link").claim
    assert claim is not None
    booking = Booking(clinic, patient, opening, claim, Writeback.objects.get())
    booking.process()
    assert booking.state == Claim.State.CONFIRMED
    assert Writeback.objects.get(kind=Writeback.Kind.CANCEL).appointment == old


def test_what_was_asked_for_comes_before_another_overlap(booking: Booking) -> None:
    put(booking)
    wanted = {"start": booking.opening.start, "end": booking.opening.end}
    put(booking, provider_id="prov-1", location_id="loc-1", **wanted)
    booking.process()
    assert booking.state == Claim.State.CONFIRMED
    assert Appointment.objects.get().status == Appointment.Status.BOOKED


def test_an_ehr_that_cannot_search_by_patient_is_booked_as_before(booking: Booking) -> None:
    booking.clinic.ehr.fail("appointments_of", Rejected(status=400))
    booking.process()
    assert booking.state == Claim.State.CONFIRMED


def test_one_that_stands_under_a_record_merged_into_the_patients_is_not_doubled(booking: Booking) -> None:
    retired = factories.patient()
    factories.external_id(booking.clinic.connection.source, ExternalId.Kind.PATIENT, retired, "pat-before")
    merging.merge(retired, booking.patient, told_by=merging.ToldBy.LINK)
    start = booking.opening.start - timedelta(minutes=15)
    booking.clinic.ehr.put(
        patient_id="pat-before",
        provider_id="prov-9",
        location_id="loc-9",
        start=start,
        end=start + timedelta(minutes=30),
    )
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 0
    assert_not_booked(booking)
