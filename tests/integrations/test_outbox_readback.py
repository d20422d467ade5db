"""What the EHR booked is compared with what was asked before anybody is told "confirmed"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from integrations.ehr.gateway import NotFound, OutcomeUnknown, Unavailable
from scheduling.models import Appointment, WorkItem, Writeback
from scheduling.records import AppointmentRecord
from tests.integrations.conftest import Booking
from tests.integrations.test_outbox_books_once import assert_booked_once
from waitlist.models import Claim, Message

pytestmark = pytest.mark.django_db

Distortion = Callable[[AppointmentRecord], AppointmentRecord]


def later(record: AppointmentRecord) -> AppointmentRecord:
    assert record.start is not None
    assert record.end is not None
    hour = timedelta(hours=1)
    return replace(record, start=record.start + hour, end=record.end + hour)


@pytest.mark.parametrize(
    ("differs", "distort"),
    [
        (["provider"], lambda record: replace(record, provider_id="prov-9")),
        (["patient"], lambda record: replace(record, patient_id="pat-9")),
        (["location"], lambda record: replace(record, location_id="loc-9")),
        (["start", "end"], later),
        (["status"], lambda record: replace(record, status="pending")),
    ],
)
def test_a_difference_is_undone_and_red(booking: Booking, differs: list[str], distort: Distortion) -> None:
    ehr = booking.clinic.ehr
    ehr.distort = distort
    booking.process()
    [held] = ehr.appointments.values()
    assert held.status == "cancelled"
    assert booking.status == Writeback.Status.REFUSED
    assert booking.state == Claim.State.REFUSED
    assert booking.appointment.status == Appointment.Status.CANCELLED
    item = WorkItem.objects.get(kind="writeback.mismatch")
    assert item.urgency == WorkItem.Urgency.RED
    assert "We cancelled it" in item.advice
    assert booking.opening.timeline.get(kind="writeback.mismatch").data["differs"] == differs
    assert not Message.objects.filter(kind=Message.Kind.CONFIRMED).exists()


def test_a_difference_that_cannot_be_undone_says_so(booking: Booking) -> None:
    ehr = booking.clinic.ehr
    ehr.distort = later
    ehr.fail("cancel", Unavailable(status=503))
    booking.process()
    assert booking.state == Claim.State.REFUSED
    assert "could not cancel it" in WorkItem.objects.get(kind="writeback.mismatch").advice


@pytest.mark.parametrize("error", [Unavailable(status=503), NotFound(status=404), OutcomeUnknown()])
def test_read_back_fails_then_confirms(booking: Booking, error: Exception) -> None:
    ehr = booking.clinic.ehr
    ehr.fail("fetch", error)  # type: ignore[arg-type]
    booking.process()
    assert booking.status == Writeback.Status.UNKNOWN
    assert booking.state == Claim.State.PENDING
    booking.pass_time(60)
    booking.process()
    assert ehr.calls.count("create") == 1
    assert_booked_once(booking)


def test_another_appointment_of_the_patient_is_not_touched(booking: Booking) -> None:
    """The time is taken, and the patient has something else at that moment: it is not ours to adopt or cancel."""
    ehr = booking.clinic.ehr
    times = {"start": booking.opening.start, "end": booking.opening.end}
    ehr.put(patient_id="pat-other", provider_id="prov-1", location_id="loc-1", **times)
    elsewhere = ehr.put(patient_id=f"pat-{booking.patient.pk}", provider_id="prov-2", location_id="loc-1", **times)
    booking.process()
    assert ehr.appointments[elsewhere.external_id] == elsewhere
    row = Writeback.objects.get()
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "patient_busy")
    assert booking.state == Claim.State.REFUSED
