"""The EHR answers a booking with a conflict: what a fresh look shows decides whether the time is gone."""

from __future__ import annotations

import pytest

from integrations.ehr.gateway import Taken, Unavailable
from scheduling.models import Opening, WorkItem, Writeback
from tests.integrations.conftest import Booking, open_items
from waitlist.models import Claim, Message

pytestmark = pytest.mark.django_db


def opening_of(booking: Booking) -> Opening:
    return Opening.objects.get(pk=booking.opening.pk)


def test_the_time_is_still_free_so_it_is_a_refusal_that_staff_see(booking: Booking) -> None:
    booking.clinic.ehr.fail("create", Taken("HTTP 409 conflict", status=409, outcome_code="conflict"))
    booking.process()

    assert booking.clinic.ehr.calls == ["availability", "appointments_of", "create", "availability", "appointments_of"]
    row = Writeback.objects.get()
    said = "The EHR would not take this booking (HTTP 409 conflict), although it shows the time as free."
    assert (row.status, row.error_code, row.error_detail) == (Writeback.Status.REFUSED, "rejected", said)
    assert WorkItem.objects.get().advice == f"{said} The patient is told."
    assert open_items() == ["writeback.refused"]
    assert Claim.objects.get().refused_because == "rejected"
    assert (opening_of(booking).status, opening_of(booking).closed_reason) == (Opening.Status.OPEN, "")
    assert {message.kind for message in Message.objects.all()} == {"received", "refused"}


def test_the_time_is_gone_so_it_is_taken(booking: Booking) -> None:
    ehr, opening = booking.clinic.ehr, booking.opening
    times = {"start": opening.start, "end": opening.end}
    ehr.before("create", lambda: ehr.put(patient_id="pat-x", provider_id="prov-1", location_id="loc-1", **times))
    booking.process()

    assert Writeback.objects.get().error_code == "taken"
    assert Claim.objects.get().refused_because == "taken"
    assert (opening_of(booking).status, opening_of(booking).closed_reason) == ("closed", Opening.Closed.TAKEN)
    assert open_items() == []


def test_staff_booked_the_same_patient_at_that_moment(booking: Booking) -> None:
    ehr, opening, patient_id = booking.clinic.ehr, booking.opening, f"pat-{booking.patient.pk}"
    times = {"start": opening.start, "end": opening.end}
    ehr.before("create", lambda: ehr.put(patient_id=patient_id, provider_id="prov-1", location_id="loc-1", **times))
    booking.process()
    assert (booking.status, booking.state) == (Writeback.Status.DONE, Claim.State.CONFIRMED)
    assert len(booking.booked) == 1


def test_the_ehr_cannot_be_asked_again_so_nothing_is_decided(booking: Booking) -> None:
    ehr = booking.clinic.ehr
    ehr.fail("create", Taken(status=409))
    ehr.before("create", lambda: ehr.fail("availability", Unavailable()))
    booking.process()
    assert (booking.status, booking.state) == (Writeback.Status.WAITING, Claim.State.PENDING)
    booking.pass_time(60)
    booking.process()
    assert booking.state == Claim.State.CONFIRMED
    assert ehr.calls.count("create") == 2
    assert len(booking.booked) == 1
