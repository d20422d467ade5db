"""A yes becomes one booking in the EHR, read back, and only then confirmed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from integrations import outbox
from integrations.ehr.gateway import Duplicate, OutcomeUnknown
from scheduling import appointments, writebacks
from scheduling.models import Appointment, ExternalId, Opening, WorkItem, Writeback
from tests import factories, fakes
from tests.integrations.conftest import Booking, open_items
from waitlist.models import Claim

pytestmark = pytest.mark.django_db


def assert_booked_once(booking: Booking) -> None:
    """The EHR holds it once, we know it by the EHR's name, and the claim is confirmed."""
    [record] = booking.booked
    appointment = booking.appointment
    assert booking.status == Writeback.Status.DONE
    assert booking.state == Claim.State.CONFIRMED
    assert appointment.status == Appointment.Status.BOOKED
    external = ExternalId.objects.get(kind=ExternalId.Kind.APPOINTMENT, object_id=appointment.pk)
    assert (external.value, external.version) == (record.external_id, record.version)
    booking.opening.refresh_from_db()
    assert booking.opening.status == Opening.Status.FILLED
    assert Appointment.objects.filter(patient=booking.patient, status=Appointment.Status.BOOKED).count() == 1


def test_looked_created_read_back(booking: Booking) -> None:
    assert outbox.due() == [booking.writeback.pk]
    assert booking.process()
    assert booking.clinic.ehr.calls == ["availability", "appointments_of", "create", "fetch"]
    assert_booked_once(booking)
    assert booking.story == ["writeback.sent", "writeback.confirmed"]
    [asked] = booking.clinic.ehr.creates
    assert (asked.key, asked.patient_id) == (str(booking.writeback.key), f"pat-{booking.patient.pk}")
    assert (asked.provider_id, asked.location_id) == ("prov-1", "loc-1")
    assert outbox.due() == []
    assert not booking.process()


def test_of_several_ehrs_it_goes_to_the_one_whose_time_it_is(booking: Booking) -> None:
    other = fakes.stand_in(factories.connection("another", id=0), fakes.FakeEhr())
    booking.process()
    assert_booked_once(booking)
    assert other.calls == []


def test_two_workers_one_create(booking: Booking) -> None:
    rival: list[bool] = []
    booking.clinic.ehr.before("availability", lambda: rival.append(booking.process()))
    assert booking.process()
    assert rival == [False]
    assert booking.clinic.ehr.calls.count("create") == 1
    assert_booked_once(booking)


def test_a_worker_that_was_overtaken_does_not_create(booking: Booking) -> None:
    def overtake() -> None:
        booking.pass_time(60)
        booking.process()

    booking.clinic.ehr.behind("availability", overtake)
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 1
    assert_booked_once(booking)


@pytest.mark.parametrize("conditional", [True, False])
def test_answer_lost_after_the_ehr_booked(booking: Booking, conditional: bool) -> None:
    booking.clinic.ehr.conditional = conditional
    booking.clinic.ehr.fail("create", OutcomeUnknown(), after=True)
    booking.process()
    assert booking.status == Writeback.Status.UNKNOWN
    assert booking.state == Claim.State.PENDING
    booking.pass_time(2)
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 1
    assert_booked_once(booking)
    assert "writeback.unknown" in booking.story


def test_booked_and_cancelled_there_while_the_answer_was_lost_is_not_booked_again(booking: Booking) -> None:
    ehr = booking.clinic.ehr
    ehr.fail("create", OutcomeUnknown(), after=True)
    booking.process()
    [record] = booking.booked
    ehr.change(record.external_id, status="cancelled", status_code="cancelled")
    booking.finish()
    assert (booking.status, booking.state) == (Writeback.Status.REFUSED, Claim.State.REFUSED)
    assert (len(ehr.creates), booking.booked) == (1, [])


def test_answer_lost_before_the_ehr_booked_is_sent_again_only_after_proven_absence(booking: Booking) -> None:
    booking.clinic.ehr.fail("create", OutcomeUnknown())
    booking.process()
    booking.pass_time(2)
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 1, "the first call may still be under way"
    assert booking.status == Writeback.Status.UNKNOWN
    row = Writeback.objects.get(pk=booking.writeback.pk)
    assert row.sent_at is not None
    assert row.due_at >= row.sent_at + timedelta(seconds=15)
    booking.pass_time(30)
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 2
    assert_booked_once(booking)


def test_stored_late_by_the_ehr_is_adopted(booking: Booking) -> None:
    ehr = booking.clinic.ehr
    ehr.fail("create", OutcomeUnknown())
    booking.process()
    booking.pass_time(2)
    booking.process()
    ehr.create(ehr.creates[0] if ehr.creates else _asked(booking))
    booking.pass_time(30)
    booking.process()
    assert len(booking.booked) == 1
    assert_booked_once(booking)


def _asked(booking: Booking) -> object:
    from integrations.attempt import Attempt
    from integrations.booking import booking_for

    attempt = Attempt(Writeback.objects.get(pk=booking.writeback.pk))
    attempt.connection = booking.clinic.connection
    return booking_for(attempt)


def test_worker_died_after_sending(booking: Booking) -> None:
    """Killed between the EHR's commit and ours: the lease runs out, the key finds it."""
    lease = writebacks.lease(booking.writeback.pk)
    assert lease is not None
    assert writebacks.mark_sent(lease.row)
    booking.clinic.ehr.create(_asked(booking))
    assert outbox.due() == [], "the lease still runs"
    booking.pass_time(25)
    assert outbox.due() == [booking.writeback.pk]
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 1
    assert_booked_once(booking)


def test_worker_died_before_sending(booking: Booking) -> None:
    assert writebacks.lease(booking.writeback.pk) is not None
    booking.pass_time(25)
    booking.process()
    assert booking.clinic.ehr.calls.count("create") == 1
    assert_booked_once(booking)


def test_cannot_be_retried_goes_to_staff(booking: Booking) -> None:
    from dataclasses import replace

    ehr = booking.clinic.ehr
    ehr.capabilities = replace(ehr.capabilities, retry_safety="none")
    ehr.fail("create", OutcomeUnknown())
    booking.process()
    booking.pass_time(60)
    booking.process()
    assert ehr.calls.count("create") == 1
    assert booking.status == Writeback.Status.DEAD
    assert booking.state == Claim.State.PENDING
    assert "writeback.dead" in open_items()


def test_duplicate_is_success(booking: Booking) -> None:
    booking.clinic.ehr.fail("create", Duplicate(status=409), after=True)
    booking.process()
    assert_booked_once(booking)


def test_taken_tells_the_winner_and_nothing_is_retried(booking: Booking) -> None:
    ehr, opening = booking.clinic.ehr, booking.opening
    times = {"start": opening.start, "end": opening.end}
    ehr.before("create", lambda: ehr.put(patient_id="pat-x", provider_id="prov-1", location_id="loc-1", **times))
    booking.process()
    assert ehr.calls.count("create") == 1
    assert booking.status == Writeback.Status.REFUSED
    assert booking.state == Claim.State.REFUSED
    assert booking.booked == []
    assert booking.appointment.status == Appointment.Status.CANCELLED
    assert outbox.due() == []


def test_taken_before_we_ask(booking: Booking) -> None:
    ehr = booking.clinic.ehr
    ehr.put(
        patient_id="pat-other",
        provider_id="prov-1",
        location_id="loc-1",
        start=booking.opening.start,
        end=booking.opening.end,
    )
    booking.process()
    assert ehr.calls == ["availability", "appointments_of"]
    assert booking.state == Claim.State.REFUSED
    row = Writeback.objects.get(pk=booking.writeback.pk)
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "taken")


def test_staff_booked_the_same_patient_meanwhile(booking: Booking) -> None:
    ehr = booking.clinic.ehr
    record = ehr.put(
        patient_id=f"pat-{booking.patient.pk}",
        provider_id="prov-1",
        location_id="loc-1",
        start=booking.opening.start,
        end=booking.opening.end,
    )
    applied = appointments.apply_appointment(booking.clinic.connection.source, record, timezone.now())
    assert applied.change == "created"
    booking.process()
    assert ehr.calls.count("create") == 0
    assert_booked_once(booking)
    applied.appointment.refresh_from_db()
    assert applied.appointment.status == Appointment.Status.ENTERED_IN_ERROR
    assert ExternalId.objects.get(kind="provider").object_id == booking.clinic.provider.pk, "no other name passes to it"


def test_webhook_of_our_own_booking_before_the_answer(booking: Booking) -> None:
    ehr, source = booking.clinic.ehr, booking.clinic.connection.source

    def webhook() -> None:
        [record] = booking.booked
        applied = appointments.apply_appointment(source, record, timezone.now())
        assert applied.change == "own"
        assert applied.appointment.pk == booking.claim.appointment_id

    ehr.before("fetch", webhook)
    booking.process()
    assert_booked_once(booking)
    assert Opening.objects.count() == 1
    assert Appointment.objects.count() == 1


def test_changed_in_what_does_not_matter_between_the_webhook_and_our_read(booking: Booking) -> None:
    ehr, source = booking.clinic.ehr, booking.clinic.connection.source

    def webhook() -> None:
        [record] = booking.booked
        appointments.apply_appointment(source, record, timezone.now())
        ehr.change(record.external_id, type_display="Follow-up visit")

    ehr.behind("create", webhook)
    booking.process()
    assert_booked_once(booking)
    assert ehr.calls.count("fetch") == 1


def test_webhook_while_the_answer_is_unknown_shortens_the_wait(booking: Booking) -> None:
    ehr, source = booking.clinic.ehr, booking.clinic.connection.source
    ehr.fail("create", OutcomeUnknown(), after=True)
    booking.process()
    assert outbox.due() == []
    [record] = booking.booked
    appointments.apply_appointment(source, record, timezone.now())
    assert outbox.due() == [booking.writeback.pk]
    booking.process()
    assert_booked_once(booking)


@pytest.mark.parametrize("versions", [True, False])
def test_cancelled_in_the_ehr_between_our_read_and_our_record(booking: Booking, versions: bool) -> None:
    """The webhook about the cancellation was handled first: what we read is old, so it is read again."""
    ehr, source = booking.clinic.ehr, booking.clinic.connection.source
    if not versions:
        ehr.distort = lambda record: replace(record, version="")

    def cancelled_meanwhile() -> None:
        [record] = booking.booked
        version = "2" if versions else ""
        after = replace(record, status="cancelled", status_code="cancelled", version=version)
        ehr.appointments[record.external_id] = after
        appointments.apply_appointment(source, after, timezone.now() + timedelta(seconds=1))

    original = ehr.fetch

    def fetch(kind: str, external_id: str) -> object:
        record = original(kind, external_id)
        if ehr.calls.count("fetch") == 1:
            cancelled_meanwhile()
        return record

    ehr.fetch = fetch  # type: ignore[method-assign, assignment]
    booking.process()
    assert booking.state == Claim.State.REFUSED
    assert WorkItem.objects.filter(kind="writeback.refused").exists()


def test_a_row_that_another_worker_took_over_stays_theirs(booking: Booking) -> None:
    """Its lease ran out while we read back: we neither settle it nor hold it for a further look."""
    theirs: list[writebacks.Lease | None] = []

    def take_over() -> None:
        Writeback.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        theirs.append(writebacks.lease(booking.writeback.pk))

    booking.clinic.ehr.before("fetch", take_over)
    booking.process()
    assert theirs[0] is not None
    assert Writeback.objects.get().lease_until == theirs[0].row.lease_until
    assert booking.clinic.ehr.calls.count("fetch") == 1
