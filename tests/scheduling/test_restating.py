"""A code that gets its meaning afterwards: only a visit that still stands under it takes the status over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling import restating, writebacks
from scheduling.models import Appointment
from scheduling.records import ReasonVerdict
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def visit(db: None) -> Appointment:
    """One that the EHR told us of under a code that nobody had mapped."""
    factories.appointment(start=factories.in_days(5))  # which nobody means
    row = factories.appointment(
        factories.patient(), factories.provider(), factories.location(), start=factories.in_days(3)
    )
    Appointment.objects.filter(pk=row.pk).update(
        status="unknown", status_code="rescinded", status_seen_at=timezone.now() - timedelta(hours=1)
    )
    row.refresh_from_db()
    return row


def status(visit: Appointment) -> str:
    return Appointment.objects.values_list("status", flat=True).get(pk=visit.pk)


def test_it_takes_over_what_its_code_means_by_now_and_no_other_does(visit: Appointment) -> None:
    other = factories.appointment(visit.patient, visit.provider, visit.location, start=factories.in_days(4))
    assert restating.restate(visit.pk, "rescinded", "cancelled")
    assert (status(visit), status(other)) == ("cancelled", "booked")


@pytest.mark.parametrize("why", ["the EHR gave it another status since", "its booking is being written"])
def test_one_that_has_moved_on_keeps_what_it_has(visit: Appointment, why: str) -> None:
    if why == "its booking is being written":
        writebacks.request_create(visit, None, [])
    else:
        Appointment.objects.update(status="booked", status_code="booked")
    before = status(visit)
    assert not restating.restate(visit.pk, "rescinded", "cancelled")
    assert status(visit) == before


def rebookable(visit: Appointment) -> ReasonVerdict | None:
    return "rebookable"


@pytest.mark.parametrize(
    ("changed", "opens"),
    [
        ({}, True),
        ({"status": "booked"}, False),
        ({"status_seen_at": None}, False),
        ({"start": None, "end": None}, False),
        ({"provider": None}, False),
        ({"location": None}, False),
    ],
)
def test_time_is_opened_once_where_we_were_told_that_it_was_given_up(
    visit: Appointment, changed: dict[str, None], opens: bool
) -> None:
    Appointment.objects.filter(pk=visit.pk).update(**{"status": "cancelled", **changed})
    opening = restating.open_given_up(visit.pk, rebookable)
    assert (opening is not None) is opens
    assert restating.open_given_up(visit.pk, rebookable) is None, "it was opened before, or is not to be"
    if opening is not None:
        assert (opening.start, opening.end, opening.freed_at) == (visit.start, visit.end, visit.status_seen_at)


def test_what_still_means_nothing_opens_nothing(visit: Appointment) -> None:
    Appointment.objects.filter(pk=visit.pk).update(status="cancelled")
    assert restating.open_given_up(visit.pk, lambda visit: None) is None
