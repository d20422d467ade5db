"""The outbox row decides who sends and what a lost answer means."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from scheduling import writebacks
from scheduling.models import Appointment, ExternalId, Opening, Writeback
from scheduling.records import IdentifierRecord
from tests import factories
from tests.scheduling.conftest import Clinic

pytestmark = pytest.mark.django_db


def _requested(clinic: Clinic) -> Writeback:
    start = factories.in_days(3)
    opening = factories.opening(clinic.provider, clinic.location, start=start, source=clinic.source)
    appointment = factories.appointment(
        clinic.patient,
        clinic.provider,
        clinic.location,
        start=start,
        source=clinic.source,
        status=Appointment.Status.PENDING,
        origin=Appointment.Origin.WAITLIST,
    )
    return writebacks.request_create(appointment, opening, ["s1"])


def test_one_live_write_per_appointment(clinic: Clinic) -> None:
    row = _requested(clinic)
    assert isinstance(row.opening, Opening)
    with pytest.raises(IntegrityError), transaction.atomic():
        writebacks.request_create(row.appointment, row.opening, [])
    assert Writeback.objects.count() == 1


def test_one_worker_gets_the_lease(clinic: Clinic) -> None:
    row = _requested(clinic)
    assert writebacks.due() == [row.pk]
    lease = writebacks.lease(row.pk)
    assert lease is not None
    assert (lease.row.status, lease.row.attempts, lease.look_up_first) == ("sending", 1, False)
    assert writebacks.lease(row.pk) is None
    assert writebacks.due() == []


def test_a_lapsed_lease_means_unknown(clinic: Clinic) -> None:
    row = _requested(clinic)
    writebacks.lease(row.pk)
    later = timezone.now() + writebacks.LEASE + timedelta(seconds=1)
    assert writebacks.due(later) == [row.pk]
    lease = writebacks.lease(row.pk, later)
    assert lease is not None
    assert (lease.look_up_first, lease.row.error_code) == (True, "worker_lost")


def test_an_outage_does_not_use_up_tries(clinic: Clinic) -> None:
    lease = writebacks.lease(_requested(clinic).pk)
    assert lease is not None
    assert writebacks.postpone(lease.row, timezone.now(), "unavailable", counts=False)
    assert (lease.row.status, lease.row.attempts) == ("waiting", 0)


def test_a_dead_letter_is_looked_up_when_retried(clinic: Clinic) -> None:
    lease = writebacks.lease(_requested(clinic).pk)
    assert lease is not None
    writebacks.mark_dead(lease.row, "exhausted")
    assert writebacks.retry(lease.row, "clerk")
    again = writebacks.lease(lease.row.pk)
    assert again is not None
    assert again.look_up_first


def test_where_we_may_not_write_staff_do(clinic: Clinic) -> None:
    clinic.source.writable = False
    clinic.source.save()
    row = _requested(clinic)
    assert row.status == "by_hand"
    assert writebacks.due() == []


@pytest.mark.parametrize("by", ["key", "patient, provider and start"])
def test_our_own_booking_seen_before_its_answer_is_adopted(clinic: Clinic, by: str) -> None:
    lease = writebacks.lease(_requested(clinic).pk)
    assert lease is not None
    row = lease.row
    writebacks.mark_sent(row)
    record = clinic.record("new")
    if by == "key":  # at another time than we asked for: still ours, and the read-back will tell that it differs
        identifier = IdentifierRecord("urn:sooner:booking", str(row.key))
        record = clinic.record("new", identifiers=(identifier,), start=record.end, end=record.end + timedelta(hours=1))
    applied = clinic.apply(record)
    assert (applied.change, applied.appointment) == ("own", row.appointment)
    assert Appointment.objects.count() == 1
    assert ExternalId.objects.get(kind="appointment").object_id == row.appointment_id
    assert Opening.objects.get().status == "open"


def test_a_booking_by_somebody_else_before_we_sent_is_theirs(clinic: Clinic) -> None:
    row = _requested(clinic)
    applied = clinic.apply(clinic.record("theirs"))
    assert applied.change == "created"
    assert applied.appointment != row.appointment
    assert Opening.objects.get().closed_reason == "taken"


@pytest.mark.parametrize(("minutes", "given_up"), [(300, 290), (12, 6), (-5, -5)])
def test_a_booking_is_given_up_shortly_before_its_start(clinic: Clinic, minutes: float, given_up: float) -> None:
    now = timezone.now()
    appointment = factories.appointment(
        clinic.patient, clinic.provider, clinic.location, start=now + timedelta(minutes=minutes), source=clinic.source
    )
    row = writebacks.request_create(appointment, None, [])
    assert abs(row.deadline_at - now - timedelta(minutes=given_up)) < timedelta(seconds=5)
    Writeback.objects.filter(pk=row.pk).update(status="refused")
    assert writebacks.request_cancel(appointment).deadline_at == appointment.start, "a cancellation has until then"
