"""Two systems change one appointment at once: what the EHR says stands, and the patient hears the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integrations import tasks
from scheduling.models import Appointment, Opening
from tests.faults.people import asked_of_staff, offer_of, tap, told
from tests.flows.clinic import Clinic
from tests.race import together
from waitlist.cancellations import Outcome, cancel_by_patient
from waitlist.models import Claim

pytestmark = pytest.mark.django_db(transaction=True)

LATER = 5


@pytest.fixture
def booked(offering: Clinic, pump: Callable[[], None]) -> Appointment:
    """The first patient's booking, which the EHR has confirmed."""
    tap(offer_of(offering, 1))
    pump()
    claim = Claim.objects.select_related("appointment").get()
    assert claim.state == "confirmed"
    return claim.appointment


def move_there(clinic: Clinic, name: str) -> None:
    """The EHR's front desk moves the booking; its notification is on its way."""
    clinic.control.post(f"appointments/{name}/move", {"slots": [f"ana-{LATER}"]})


def in_the_ehr(clinic: Clinic) -> dict[str, Any]:
    """The first patient's appointment as the EHR has it."""
    found = clinic.control.get("appointments", _count=200)["appointments"]
    (one,) = [each for each in found if clinic.patient_of(each) == "waiting-1"]
    return dict(one)


def answers_to_changes(clinic: Clinic) -> list[int]:
    log = clinic.control.get("log", limit=2000)["requests"]
    return [each["status"] for each in log if each["method"] == "PATCH" and "/Appointment/" in each["path"]]


def test_moved_there_while_the_patient_gives_it_up_here(
    offering: Clinic, booked: Appointment, pump: Callable[[], None], poll_and_pump: Callable[[], None]
) -> None:
    move_there(offering, in_the_ehr(offering)["id"])
    assert cancel_by_patient(booked, wants_another=False) == Outcome.REQUESTED
    pump()
    assert answers_to_changes(offering) == [409], "sent at the version we held, which is the EHR's no longer"
    (there,) = offering.bookings_at(LATER)
    assert offering.patient_of(there) == "waiting-1"
    assert told(offering, 1)[-1] == "not_cancelled"
    assert "writeback.refused" in asked_of_staff()

    poll_and_pump()
    booked.refresh_from_db()
    assert (booked.status, booked.start) == ("booked", offering.start_of(LATER))
    assert Opening.objects.get(freed_by=booked).start == offering.start_of(0), "the old time is free"


def test_both_at_the_same_moment(
    offering: Clinic, booked: Appointment, pump: Callable[[], None], poll_and_pump: Callable[[], None]
) -> None:
    """Whichever the EHR takes first: both sides end alike, and the patient hears which it was."""
    name = in_the_ehr(offering)["id"]
    cancel_by_patient(booked, wants_another=False)
    together(2, lambda index: move_there(offering, name) if index else tasks.drain_writebacks())
    pump()
    poll_and_pump()

    there = in_the_ehr(offering)
    booked.refresh_from_db()
    assert booked.status == there["status"]
    assert there["start"].startswith(f"{booked.start:%Y-%m-%dT%H:%M}")
    end = "cancelled" if booked.status == "cancelled" else "not_cancelled"
    assert [kind for kind in told(offering, 1) if kind in ("cancelled", "not_cancelled")] == [end]
    assert [opening.start for opening in Opening.objects.filter(freed_by=booked)] == [offering.start_of(0)]
