"""The later appointment of a patient who was moved up is cancelled in the EHR once, and read back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from integrations import outbox
from integrations.ehr.gateway import OutcomeUnknown, Rejected, StaleVersion, Unavailable
from scheduling import mirror, writebacks
from scheduling.models import Appointment, ExternalId, Opening, Writeback
from scheduling.records import AppointmentRecord
from tests import factories
from tests.integrations.conftest import Clinic, open_items

pytestmark = pytest.mark.django_db


class Later:
    """A booked appointment, in the EHR and here, that is to be cancelled."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        patient = clinic.patient()
        start = factories.in_days(9)
        self.record: AppointmentRecord = clinic.ehr.put(
            patient_id=f"pat-{patient.pk}",
            provider_id="prov-1",
            location_id="loc-1",
            start=start,
            end=start + timedelta(minutes=30),
            status_code="booked",
        )
        self.appointment = factories.appointment(
            patient,
            clinic.provider,
            clinic.location,
            clinic.type,
            start=start,
            source=clinic.connection.source,
            external=self.record.external_id,
        )
        self.writeback = writebacks.request_cancel(self.appointment)

    def process(self, after_seconds: float = 0) -> Writeback:
        past = timedelta(seconds=after_seconds)
        row = Writeback.objects.get(pk=self.writeback.pk)
        Writeback.objects.filter(pk=row.pk).update(
            due_at=row.due_at - past, sent_at=row.sent_at - past if row.sent_at else None
        )
        outbox.process(self.writeback.pk)
        return Writeback.objects.get(pk=self.writeback.pk)

    def assert_cancelled_once(self) -> None:
        assert self.clinic.ehr.appointments[self.record.external_id].status == "cancelled"
        assert Writeback.objects.get(pk=self.writeback.pk).status == Writeback.Status.DONE
        self.appointment.refresh_from_db()
        assert self.appointment.status == Appointment.Status.CANCELLED
        [opening] = Opening.objects.filter(freed_by=self.appointment)
        assert (opening.start, opening.end) == (self.record.start, self.record.end)


@pytest.fixture
def later(clinic: Clinic) -> Later:
    return Later(clinic)


def test_cancelled_read_back_and_freed(later: Later) -> None:
    assert Opening.objects.count() == 0
    later.process()
    assert later.clinic.ehr.calls == ["cancel", "fetch"]
    later.assert_cancelled_once()


def test_one_of_which_it_is_in_doubt_whose_it_is_is_looked_at_first(later: Later) -> None:
    ExternalId.objects.filter(value=later.record.external_id).update(version=mirror.IN_DOUBT)
    later.process()
    assert later.clinic.ehr.calls == ["fetch", "cancel", "fetch"]


def test_changed_meanwhile_in_what_does_not_matter(later: Later) -> None:
    later.clinic.ehr.change(later.record.external_id, type_display="Follow-up visit")
    later.process()
    assert later.clinic.ehr.calls == ["cancel", "fetch", "cancel", "fetch"]
    later.assert_cancelled_once()


def test_cancelled_by_staff_before_us(later: Later) -> None:
    later.clinic.ehr.change(later.record.external_id, status="cancelled", status_code="cancelled")
    later.process()
    assert later.clinic.ehr.calls == ["cancel", "fetch"]
    later.assert_cancelled_once()


def test_rescheduled_meanwhile_is_left_alone(later: Later) -> None:
    assert later.record.start is not None
    assert later.record.end is not None
    day = timedelta(days=1)
    later.clinic.ehr.change(later.record.external_id, start=later.record.start + day, end=later.record.end + day)
    row = later.process()
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "changed_in_ehr")
    assert later.clinic.ehr.appointments[later.record.external_id].status == "booked"
    assert "writeback.refused" in open_items()


@pytest.mark.parametrize("took_effect", [True, False])
def test_lost_answer_is_looked_up(later: Later, took_effect: bool) -> None:
    later.clinic.ehr.fail("cancel", OutcomeUnknown(), after=took_effect)
    assert later.process().status == Writeback.Status.UNKNOWN
    row = later.process(after_seconds=2)
    if not took_effect:
        assert row.status == Writeback.Status.UNKNOWN
        later.process(after_seconds=60)
    later.assert_cancelled_once()
    assert later.clinic.ehr.calls.count("cancel") == (1 if took_effect else 2)


def test_a_yes_without_effect_is_no_cancellation(later: Later) -> None:
    """Only what was read back counts: the EHR said that it was done, and still holds the visit."""
    ehr, name = later.clinic.ehr, later.record.external_id
    ehr.behind("cancel", lambda: ehr.change(name, status="booked", status_code="booked"))
    assert later.process().status == Writeback.Status.UNKNOWN
    later.appointment.refresh_from_db()
    assert later.appointment.status == Appointment.Status.BOOKED
    assert not Opening.objects.exists()
    later.process(after_seconds=60)
    later.assert_cancelled_once()


def test_down_is_held(later: Later) -> None:
    later.clinic.ehr.fail("cancel", Unavailable(status=503))
    row = later.process()
    assert (row.status, row.attempts, row.sent_at) == (Writeback.Status.WAITING, 0, None)
    later.process(after_seconds=120)
    later.assert_cancelled_once()


def test_refused_keeps_both_and_asks_staff(later: Later) -> None:
    later.clinic.ehr.fail("cancel", Rejected(status=422))
    assert later.process().status == Writeback.Status.REFUSED
    later.appointment.refresh_from_db()
    assert later.appointment.status == Appointment.Status.BOOKED
    assert Opening.objects.count() == 0
    assert "writeback.refused" in open_items()


def test_version_that_changes_again_and_again_is_tried_later(later: Later) -> None:
    later.clinic.ehr.fail("cancel", StaleVersion(status=412), times=3)
    row = later.process()
    assert (row.status, row.attempts) == (Writeback.Status.WAITING, 1)
    later.process(after_seconds=60)
    later.assert_cancelled_once()
