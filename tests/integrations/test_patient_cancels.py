"""A patient gives an appointment up: cancelled in the EHR at our version, read back, told, opened once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from integrations import by_hand, outbox
from integrations.ehr import mirroring
from integrations.ehr.gateway import OutcomeUnknown, Rejected
from scheduling.models import Appointment, Opening, Source, WorkItem, Writeback
from tests.integrations.conftest import Booking, open_items
from waitlist.cancellations import Outcome, cancel_by_patient
from waitlist.models import Message

pytestmark = pytest.mark.django_db


@pytest.fixture
def booked(booking: Booking) -> Booking:
    """A booking of the waitlist's that the EHR has confirmed."""
    booking.process()
    booking.clinic.ehr.calls.clear()
    return booking


def work() -> Writeback:
    """Work on the cancel once, as a worker would."""
    row = Writeback.objects.get(kind="cancel")
    Writeback.objects.filter(pk=row.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    outbox.process(row.pk)
    return Writeback.objects.get(pk=row.pk)


def told(booking: Booking) -> list[str]:
    rows = Message.objects.filter(patient=booking.patient, channel="sms").order_by("pk")
    return [row.kind for row in rows if row.dedupe_key.startswith("cancel")]


def freed(booking: Booking) -> list[Opening]:
    return list(Opening.objects.filter(freed_by=booking.claim.appointment))


def hear_the_echo(booking: Booking) -> None:
    """The EHR's own news of the appointment comes in."""
    [record] = booking.clinic.ehr.appointments.values()
    ehr, source = booking.clinic.ehr, booking.clinic.connection.source
    mirroring.apply(ehr, source, record, timezone.now())  # type: ignore[arg-type]


def test_told_received_then_cancelled_and_its_echo_opens_nothing_more(booked: Booking) -> None:
    assert cancel_by_patient(booked.appointment, wants_another=False) == Outcome.REQUESTED
    assert told(booked) == ["cancelling"]
    assert booked.appointment.status == Appointment.Status.BOOKED
    assert freed(booked) == []

    assert work().status == Writeback.Status.DONE
    assert booked.clinic.ehr.calls == ["cancel", "fetch"]
    assert booked.appointment.status == Appointment.Status.CANCELLED
    hear_the_echo(booked)
    [opening] = freed(booked)
    assert (opening.start, opening.end) == (booked.opening.start, booked.opening.end)
    assert told(booked) == ["cancelling", "cancelled"]
    assert list(booked.opening.timeline.filter(kind__startswith="cancel.").values_list("kind", flat=True)) == [
        "cancel.requested",
        "cancel.done",
    ]


def test_an_echo_that_comes_before_the_answer_opens_once_too(booked: Booking) -> None:
    cancel_by_patient(booked.appointment, wants_another=False)
    booked.clinic.ehr.fail("cancel", OutcomeUnknown(), after=True)
    work()
    hear_the_echo(booked)
    assert len(freed(booked)) == 1
    assert work().status == Writeback.Status.DONE
    assert len(freed(booked)) == 1
    assert told(booked) == ["cancelling", "cancelled"]


def test_pressed_twice_is_pressed_once(booked: Booking) -> None:
    assert [cancel_by_patient(booked.appointment, wants_another=False) for _ in range(2)] == [
        Outcome.REQUESTED,
        Outcome.UNDER_WAY,
    ]
    assert told(booked) == ["cancelling"]
    work()
    assert cancel_by_patient(booked.appointment, wants_another=False) == Outcome.GONE
    assert booked.clinic.ehr.calls.count("cancel") == 1


def test_the_version_we_hold_goes_out_so_that_a_change_in_the_ehr_is_noticed_and_stands(booked: Booking) -> None:
    """Two systems change one appointment at once: the EHR owns the time, and a person settles the rest."""
    ehr = booked.clinic.ehr
    [held] = ehr.appointments.values()
    assert held.start is not None
    assert held.end is not None
    later = timedelta(hours=2)
    moved = {"start": held.start + later, "end": held.end + later}
    ehr.before("cancel", lambda: ehr.change(held.external_id, **moved))
    cancel_by_patient(booked.appointment, wants_another=False)

    row = work()
    assert (row.status, row.error_code) == (Writeback.Status.REFUSED, "changed_in_ehr")
    assert ehr.appointments[held.external_id].status == "booked"
    assert told(booked) == ["cancelling", "not_cancelled"]
    assert "writeback.refused" in open_items()
    hear_the_echo(booked)
    assert booked.appointment.start == held.start + later
    assert [opening.start for opening in freed(booked)] == [held.start]


def test_what_the_ehr_refuses_is_for_staff_and_the_patient_hears_when_they_did_it(booked: Booking) -> None:
    booked.clinic.ehr.fail("cancel", Rejected(status=422))
    cancel_by_patient(booked.appointment, wants_another=False)
    work()
    assert told(booked) == ["cancelling", "not_cancelled"]
    assert open_items() == ["writeback.refused"]

    [held] = booked.clinic.ehr.appointments.values()
    booked.clinic.ehr.change(held.external_id, status="cancelled", reason_verdict="rebookable")
    hear_the_echo(booked)
    assert told(booked) == ["cancelling", "not_cancelled", "cancelled"]
    assert (len(freed(booked)), open_items()) == (1, [])


@pytest.mark.parametrize("known_before", [True, False])
def test_where_the_ehr_cancels_nothing_staff_do_and_the_patient_is_told_so(booked: Booking, known_before: bool) -> None:
    ehr = booked.clinic.ehr
    ehr.capabilities = replace(ehr.capabilities, cancels=False)
    Source.objects.update(cancels=not known_before)
    assert cancel_by_patient(booked.appointment, wants_another=False) == (
        Outcome.STAFF if known_before else Outcome.REQUESTED
    )
    assert ("front desk" in Message.objects.get(kind="cancelling").body) is known_before
    row = work()
    assert row.status == Writeback.Status.BY_HAND
    by_hand.look(row)
    item = WorkItem.objects.get(kind="writeback.by_hand")
    assert item.title == "Cancel this appointment in the EHR"
    assert "gave it up" in item.advice
    assert "cancel" not in ehr.calls
    Writeback.objects.filter(pk=row.pk).update(due_at=timezone.now())
    assert by_hand.look(Writeback.objects.get(pk=row.pk))
    row.refresh_from_db()
    assert (row.status, told(booked), len(freed(booked))) == (Writeback.Status.BY_HAND, ["cancelling"], 0)

    [held] = ehr.appointments.values()
    ehr.change(held.external_id, status="cancelled")
    hear_the_echo(booked)  # shortens the wait for the next look
    by_hand.look(Writeback.objects.get(pk=row.pk))
    assert told(booked) == ["cancelling", "cancelled"]
    assert (len(freed(booked)), open_items()) == (1, [])


def test_a_booking_that_was_not_written_yet_is_given_up_at_once(booking: Booking) -> None:
    assert cancel_by_patient(booking.appointment, wants_another=False) == Outcome.RELEASED
    assert (booking.state, booking.status, told(booking)) == ("released", "refused", ["cancelled"])
    assert booking.clinic.ehr.calls == []
    booking.opening.refresh_from_db()
    assert booking.opening.status in Opening.CLAIMABLE


def test_a_booking_whose_answer_is_lost_is_cancelled_by_staff_once_it_is_known(booking: Booking) -> None:
    booking.clinic.ehr.fail("create", OutcomeUnknown(), after=True)
    booking.process()
    assert cancel_by_patient(booking.appointment, wants_another=False) == Outcome.STAFF
    assert open_items() == ["appointment.cancel"]
    assert booking.state == "pending"
    item = WorkItem.objects.get(kind="appointment.cancel")
    assert (item.urgency, item.opening, item.patient) == (WorkItem.Urgency.RED, booking.opening, booking.patient)
    assert (item.subject_kind, item.subject_id) == ("scheduling.appointment", booking.appointment.pk)
    assert item.due_at == booking.appointment.start
    assert "Once it has, cancel it there" in item.advice


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({"status": "cancelled"}, Outcome.GONE),
        ({"status": "arrived"}, Outcome.TOO_LATE),
        ({"start": timezone.now() - timedelta(minutes=1)}, Outcome.TOO_LATE),
    ],
)
def test_what_is_over_or_has_begun_changes_nothing(booked: Booking, changed: dict[str, object], outcome: str) -> None:
    Appointment.objects.filter(pk=booked.claim.appointment_id).update(**changed)
    assert cancel_by_patient(booked.appointment, wants_another=False) == outcome
    assert not Writeback.objects.filter(kind="cancel").exists()
    assert told(booked) == []


def test_nothing_is_half_done(booked: Booking, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write, the words and the story are one transaction."""
    monkeypatch.setattr("waitlist.cancellations.tell", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cancel_by_patient(booked.appointment, wants_another=False)
    assert not Writeback.objects.filter(kind="cancel").exists()
    assert told(booked) == []


def test_deleted_in_the_ehr_meanwhile_is_cancelled_to_the_patient(booked: Booking) -> None:
    cancel_by_patient(booked.appointment, wants_another=False)
    booked.clinic.ehr.appointments.clear()
    work()
    assert told(booked) == ["cancelling", "cancelled"]
    assert len(freed(booked)) == 1
    assert "calendar.not_booked" not in open_items()  # the patient wanted it


def test_deleted_after_a_refusal_is_heard_of(booked: Booking) -> None:
    """Staff removed it by hand: whoever was told that it still stands is told better."""
    cancel_by_patient(booked.appointment, wants_another=False)
    booked.clinic.ehr.fail("cancel", Rejected(status=422))
    work()
    [name] = booked.clinic.ehr.appointments
    mirroring.apply_absence(booked.clinic.connection.source, name, timezone.now(), verdict="missing")
    assert told(booked) == ["cancelling", "not_cancelled", "cancelled"]
