"""The later appointment of a patient who was moved up is cancelled in the EHR once, and read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from django.utils import timezone

from integrations import by_hand, outbox
from integrations.ehr import inbox, intake, mirroring
from integrations.ehr.fhir.events import Notice
from integrations.ehr.gateway import Gateway, NotFound, OutcomeUnknown, Rejected, StaleVersion, Unavailable
from integrations.models import Connection
from scheduling import mirror, writebacks
from scheduling.models import Appointment, ExternalId, Opening, Writeback
from scheduling.records import AppointmentRecord
from tests import factories
from tests.integrations.conftest import Clinic, open_items
from waitlist.models import Message

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

    def delete(self) -> None:
        """Somebody removes the appointment from the EHR, which answers 404 or 410 from then on."""
        del self.clinic.ehr.appointments[self.record.external_id]

    def hear(self) -> str:
        """A webhook names the appointment; return what came of it."""
        intake.remember(self.clinic.connection, "webhook", Notice("appointment", self.record.external_id))
        return str(inbox.process(inbox.due()[0]))

    def assert_gone_and_freed(self) -> None:
        assert Writeback.objects.get(pk=self.writeback.pk).status == Writeback.Status.DONE
        self.appointment.refresh_from_db()
        assert self.appointment.status == Appointment.Status.ENTERED_IN_ERROR
        assert [row.start for row in Opening.objects.filter(freed_by=self.appointment)] == [self.record.start]
        assert open_items() == []

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


@pytest.mark.parametrize("changed", ["its time", "its patient", "its status"])
def test_what_the_ehr_has_changed_meanwhile_is_left_alone(later: Later, changed: str) -> None:
    assert later.record.start is not None
    assert later.record.end is not None
    day = timedelta(days=1)
    to: dict[str, dict[str, Any]] = {
        "its time": {"start": later.record.start + day, "end": later.record.end + day},
        "its patient": {"patient_id": "pat-0"},
        "its status": {"status": "noshow"},
    }
    record = later.clinic.ehr.change(later.record.external_id, **to[changed])
    row = later.process()
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "changed_in_ehr")
    assert later.clinic.ehr.appointments[later.record.external_id] == record
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


def test_one_that_has_begun_by_the_time_its_lost_answer_is_looked_up_is_not_cancelled_any_more(later: Later) -> None:
    later.clinic.ehr.fail("cancel", OutcomeUnknown())
    assert later.process().status == Writeback.Status.UNKNOWN
    Writeback.objects.update(deadline_at=timezone.now())
    row = later.process(after_seconds=60)
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "too_late")
    assert later.clinic.ehr.calls.count("cancel") == 1
    assert later.clinic.ehr.appointments[later.record.external_id].status == "booked"


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


# --- deleted in the EHR, which frees the time as a cancellation does --------------------------------------------------


def test_deleted_before_us(later: Later) -> None:
    """Nobody is told that the appointment still stands."""
    later.delete()
    later.process()
    later.assert_gone_and_freed()


def test_deleted_at_the_moment_of_our_call(later: Later) -> None:
    later.clinic.ehr.behind("cancel", later.delete)
    later.process()
    later.assert_gone_and_freed()


def test_deleted_and_heard_of_while_our_cancel_waits(later: Later) -> None:
    later.delete()
    assert later.hear() == "deleted in the EHR; no opening"
    later.process()
    later.assert_gone_and_freed()


def test_deleted_and_heard_of_between_our_look_and_its_end(later: Later) -> None:
    """The later look says the same as ours: that it was stored first must not keep the visit as booked."""
    later.delete()
    later.clinic.ehr.before("fetch", later.hear)
    later.process()
    later.assert_gone_and_freed()


def test_not_found_by_the_call_alone_is_a_refusal(later: Later) -> None:
    """An EHR that knows the appointment and no such call says 404, too."""
    later.clinic.ehr.fail("cancel", NotFound(status=404))
    row = later.process()
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "not_found")
    later.appointment.refresh_from_db()
    assert later.appointment.status == Appointment.Status.BOOKED
    assert "writeback.refused" in open_items()


def test_deleted_by_staff_who_were_to_cancel_it(later: Later) -> None:
    later.writeback.source.writable = False
    later.writeback.source.save()
    later.process()
    later.delete()
    Writeback.objects.update(due_at=later.writeback.created_at)
    by_hand.look(Writeback.objects.get())
    later.assert_gone_and_freed()


def test_deleted_after_it_had_become_a_dead_letter(later: Later) -> None:
    Writeback.objects.update(status=Writeback.Status.DEAD)
    later.delete()
    assert later.hear() == "deleted in the EHR; 1 opening"
    later.assert_gone_and_freed()


@pytest.mark.parametrize("told", ["deleted", "cancelled"])
def test_an_answer_older_than_what_we_know_settles_no_dead_letter(later: Later, told: str) -> None:
    Writeback.objects.update(status=Writeback.Status.DEAD)
    ExternalId.objects.filter(value=later.record.external_id).update(seen_at=timezone.now())
    source, earlier = later.clinic.connection.source, timezone.now() - timedelta(minutes=1)
    if told == "deleted":
        mirroring.apply_absence(source, later.record.external_id, earlier, verdict="missing")
    else:
        record = replace(later.record, status="cancelled", version="0")
        mirroring.apply(cast("Gateway", later.clinic.ehr), source, record, earlier)
    later.appointment.refresh_from_db()
    assert later.appointment.status == Appointment.Status.BOOKED
    assert Writeback.objects.get().status == Writeback.Status.DEAD


@pytest.mark.parametrize("deleted", [True, False])
def test_who_did_not_ask_for_it_is_told_nothing_of_a_cancellation_that_comes_after_a_refusal(
    later: Later, deleted: bool
) -> None:
    """They were moved up and know; the same words to them would be about a wish they never had."""
    later.clinic.ehr.fail("cancel", Rejected(status=422))
    later.process()
    before = {*open_items()}
    if deleted:
        later.delete()
    else:
        later.clinic.ehr.change(later.record.external_id, status="cancelled", status_code="cancelled")
    later.hear()
    later.appointment.refresh_from_db()
    assert later.appointment.status in Appointment.FREEING
    assert not Message.objects.exists()
    assert {*open_items()} <= before


def test_a_connection_that_offers_nothing_without_a_reason_opens_nothing(later: Later) -> None:
    Connection.objects.update(missing_reason=Connection.MissingReason.NOTHING)
    later.delete()
    assert later.process().status == Writeback.Status.DONE
    assert not Opening.objects.exists()
