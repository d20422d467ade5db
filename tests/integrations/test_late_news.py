"""The EHR shows a booking that we had stopped working on: a dead letter is settled by it, a given-up one is shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

from integrations import outbox, outcomes
from integrations.ehr import inbox, intake
from integrations.ehr.fhir.events import Notice
from integrations.ehr.gateway import OutcomeUnknown
from integrations.models import InboundEvent
from scheduling import writebacks
from scheduling.models import Appointment, Opening, WorkItem, Writeback
from scheduling.records import AppointmentRecord
from scheduling.worklist import actions_for, run_action
from tests import factories
from tests.integrations.conftest import Booking, Clinic, open_items
from tests.integrations.test_outbox_books_once import _asked, assert_booked_once
from waitlist.models import Message

pytestmark = pytest.mark.django_db


def hears_of(booking: Booking, record: AppointmentRecord) -> str:
    """A webhook names the appointment; return what came of it."""
    connection = booking.clinic.connection
    connection.refresh_from_db()
    intake.remember(connection, "webhook", Notice("appointment", record.external_id))
    (event_id,) = inbox.due()
    return str(inbox.process(event_id))


def stored_in_the_ehr(booking: Booking) -> AppointmentRecord:
    """The call had its effect, as becomes known now."""
    booking.clinic.ehr.create(_asked(booking))
    (record,) = booking.booked
    return record


def kinds(booking: Booking) -> list[str]:
    return sorted(set(Message.objects.filter(patient=booking.patient).values_list("kind", flat=True)))


@pytest.fixture
def dead(booking: Booking) -> Booking:
    """Sent, its answer lost, looked for until the tries were used up: staff were asked."""
    booking.clinic.ehr.fail("create", OutcomeUnknown())
    booking.process()
    row = Writeback.objects.get()
    assert outcomes.dead(row, "outcome_unknown", "We could not find out whether the EHR has it.")
    assert open_items() == ["writeback.dead"]
    return booking


def test_a_dead_letter_that_the_ehr_holds_is_done_and_the_patient_is_confirmed(dead: Booking) -> None:
    record = stored_in_the_ehr(dead)
    assert hears_of(dead, record) == "our own booking or cancellation; no opening"
    assert_booked_once(dead)
    assert open_items() == []
    assert kinds(dead) == ["confirmed", "received"]
    assert dead.story[-1] == "writeback.confirmed"
    assert outbox.due() == []

    sent = Message.objects.count()
    hears_of(dead, record)
    assert (Message.objects.count(), open_items()) == (sent, []), "the same news again changes nothing"


def test_what_staff_entered_for_a_dead_letter_is_adopted(dead: Booking) -> None:
    """It has no key of ours: the patient, the provider and the start say what it is."""
    opening = dead.opening
    record = dead.clinic.ehr.put(
        patient_id=f"pat-{dead.patient.pk}",
        provider_id="prov-1",
        location_id="loc-1",
        start=opening.start,
        end=opening.end,
    )
    hears_of(dead, record)
    assert_booked_once(dead)
    assert open_items() == []


def test_a_dead_letter_that_the_ehr_has_cancelled_is_refused_and_the_time_runs_again(dead: Booking) -> None:
    record = stored_in_the_ehr(dead)
    hears_of(dead, dead.clinic.ehr.change(record.external_id, status="cancelled", status_code="cancelled"))
    assert (dead.status, dead.state) == ("refused", "refused")
    assert kinds(dead) == ["received", "refused"]
    assert Opening.objects.get().status == Opening.Status.OPEN
    assert open_items() == []


def test_a_dead_letter_that_differs_stays_for_staff(dead: Booking) -> None:
    record = stored_in_the_ehr(dead)
    later = {"start": dead.opening.start + timedelta(hours=1), "end": dead.opening.end + timedelta(hours=1)}
    hears_of(dead, dead.clinic.ehr.change(record.external_id, **later))
    assert (dead.status, dead.state) == ("dead", "pending")
    assert open_items() == ["writeback.dead"]
    assert dead.appointment.start == dead.opening.start, "what was asked for is still known"

    run_action(WorkItem.objects.get(), "give_up", get_user_model().objects.create_user("clerk"))
    (event_id,) = inbox.due()
    inbox.process(event_id)
    assert open_items() == ["writeback.stray"]
    assert (dead.appointment.status, dead.appointment.start) == (Appointment.Status.BOOKED, later["start"])


def test_what_staff_gave_up_and_the_ehr_holds_is_shown_to_staff_and_mirrored(dead: Booking) -> None:
    outcomes.refused(Writeback.objects.get(), "staff", "Given up by clerk.", ask=False)
    assert Opening.objects.get().status == Opening.Status.OPEN
    record = stored_in_the_ehr(dead)
    hears_of(dead, record)

    assert (dead.status, dead.state) == ("refused", "refused")
    item = WorkItem.objects.get(status="open")
    assert (item.kind, item.patient, item.urgency) == ("writeback.stray", dead.patient, WorkItem.Urgency.RED)
    assert [action.label for action in actions_for(item)] == ["Kept, patient told", "Cancelled in the EHR"]
    assert dead.appointment.status == Appointment.Status.BOOKED
    opening = Opening.objects.get()
    assert (opening.status, opening.closed_reason) == (Opening.Status.CLOSED, "taken"), "nobody is offered it any more"
    assert kinds(dead) == ["received", "refused"]


def test_a_stray_booking_that_staff_cancel_asks_for_nothing_more_and_frees_its_time(dead: Booking) -> None:
    outcomes.refused(Writeback.objects.get(), "staff", "Given up by clerk.", ask=False)
    record = stored_in_the_ehr(dead)
    hears_of(dead, record)
    hears_of(dead, dead.clinic.ehr.change(record.external_id, status="cancelled", reason_verdict="rebookable"))
    assert open_items() == []
    assert Opening.objects.filter(status=Opening.Status.OPEN, freed_by=dead.appointment).count() == 1


def test_a_cancel_that_is_a_dead_letter_and_done_in_the_ehr_is_settled(clinic: Clinic) -> None:
    patient, source = clinic.patient(), clinic.connection.source
    old = factories.appointment(
        patient, clinic.provider, clinic.location, clinic.type, source=source, external="old", start=timezone.now()
    )
    Appointment.objects.filter(pk=old.pk).update(start=old.start + timedelta(days=5), end=old.end + timedelta(days=5))
    old.refresh_from_db()
    names = {"patient_id": f"pat-{patient.pk}", "provider_id": "prov-1", "location_id": "loc-1"}
    clinic.ehr.put(external_id="old", start=old.start, end=old.end, **names)
    row = writebacks.request_cancel(old)
    writebacks.lease(row.pk)
    row.refresh_from_db()
    outcomes.dead(row, "rejected", "It failed each time we tried.")
    assert open_items() == ["writeback.dead"]

    clinic.ehr.change("old", status="cancelled", reason_verdict="rebookable")
    intake.remember(clinic.connection, "webhook", Notice("appointment", "old"))
    for event_id in inbox.due():
        inbox.process(event_id)
    row.refresh_from_db()
    assert row.status == Writeback.Status.DONE
    assert open_items() == []
    assert Opening.objects.get().freed_by == old


def dealt_with() -> str:
    """Deal with the one event there is, as if its wait were over."""
    InboundEvent.objects.update(due_at=timezone.now())
    (event_id,) = inbox.due()
    return str(inbox.process(event_id))


def _fail(*_: object) -> None:
    raise RuntimeError("the worker's database went away")


@pytest.mark.parametrize("given_up", [False, True])
def test_a_try_that_broke_off_between_the_two_is_made_anew(
    dead: Booking, monkeypatch: pytest.MonkeyPatch, given_up: bool
) -> None:
    """The mirror has the news by then, and the dead letter is still to hear of it."""
    record = stored_in_the_ehr(dead)
    with monkeypatch.context() as broken:
        broken.setattr("integrations.ehr.mirroring.late_news.take", _fail)
        assert hears_of(dead, record) == "None"
        for _ in range(len(settings.EVENT_RETRY_SECONDS) if given_up else 0):
            assert dealt_with() == "None"
    assert dead.status == Writeback.Status.DEAD
    event = InboundEvent.objects.get()
    assert (event.status, inbox.retry(event)) == (("dead", True) if given_up else ("received", False))
    assert dealt_with() == "we had this version; no opening"
    assert_booked_once(dead)
