"""The nightly comparison: what differs is for staff, nothing opens by itself, and absence must be proven."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import outbox, tasks
from integrations.ehr import comparison, differences, mirroring, reconcile
from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.gateway import Malformed, Page, Quarantined, Rejected, Throttled, Unavailable
from integrations.ehr.reading_lease import ReadingLease
from integrations.models import Connection, Difference, InboundEvent, Reconciliation
from scheduling.appointments import apply_appointment
from scheduling.models import Appointment, ExternalId, Opening, Source, WorkItem, Writeback
from scheduling.records import AppointmentRecord
from tests import factories
from tests.integrations.conftest import Booking, Clinic, open_items
from waitlist.cancellations import cancel_by_patient

pytestmark = pytest.mark.django_db


@dataclass
class Calendar:
    """A clinic whose appointments the EHR and we hold alike, until a test changes one side."""

    clinic: Clinic
    made: int = 0
    kept: dict[str, Appointment] = field(default_factory=dict)

    def both(self, **fields: Any) -> str:
        """An appointment that both hold at the same version; returns the EHR's id."""
        patient = self.clinic.patient()
        start = factories.in_days(3, hour=14) + timedelta(minutes=30 * self.made)
        self.made += 1
        record = self.clinic.ehr.put(**self.at(start, f"pat-{patient.pk}"), **fields)
        self.kept[record.external_id] = factories.appointment(
            patient,
            self.clinic.provider,
            self.clinic.location,
            self.clinic.type,
            start=start,
            source=self.clinic.connection.source,
            external=record.external_id,
            status_code="booked",
        )
        return record.external_id

    def at(self, start: datetime, patient_id: str) -> dict[str, Any]:
        return {
            "patient_id": patient_id,
            "provider_id": "prov-1",
            "location_id": "loc-1",
            "start": start,
            "end": start + timedelta(minutes=30),
        }

    def ours(self, external_id: str) -> Appointment:
        return Appointment.objects.get(pk=self.kept[external_id].pk)

    def compare(self) -> Reconciliation:
        connection = self.clinic.connection
        Connection.objects.filter(pk=connection.pk).update(
            reconcile_due_at=timezone.now() - timedelta(seconds=1), quiet_until=None
        )
        tasks.drain_reconciles()
        return Reconciliation.objects.filter(connection=connection).latest("pk")


@pytest.fixture
def calendar(clinic: Clinic) -> Calendar:
    Connection.objects.update(loaded_at=timezone.now())
    made = Calendar(clinic)
    made.both()
    return made


def found() -> list[tuple[str, list[str], str]]:
    return [(row.kind, row.fields, row.state) for row in Difference.objects.order_by("pk")]


def decide(choice: Callable[[Difference], object]) -> Difference:
    row = Difference.objects.select_related("connection__source", "appointment").get()
    choice(row)
    tasks.drain_reconciles()
    row.refresh_from_db()
    return row


def test_two_calendars_that_agree_leave_nothing_to_decide(calendar: Calendar) -> None:
    run = calendar.compare()
    assert (run.compared, run.differing, run.error) == (1, 0, "")
    assert (found(), open_items()) == ([], [])
    assert "fetch" not in calendar.clinic.ehr.calls


LATER = timedelta(hours=3)


def later(record: AppointmentRecord) -> dict[str, Any]:
    assert record.start is not None
    assert record.end is not None
    return {"start": record.start + LATER, "end": record.end + LATER}


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        (lambda _: {"status": "cancelled"}, ["status"]),
        (later, ["time"]),
        (lambda _: {"provider_id": "prov-2"}, ["provider"]),
        (lambda _: {"patient_id": "pat-0"}, ["patient"]),
        (lambda _: {"location_id": "loc-2"}, ["location"]),
    ],
)
def test_what_differs_is_listed_and_nothing_is_changed_or_opened(
    calendar: Calendar, changed: Callable[[AppointmentRecord], dict[str, Any]], fields: list[str]
) -> None:
    external_id = calendar.both()
    before = calendar.ours(external_id)
    calendar.clinic.ehr.change(external_id, **changed(calendar.clinic.ehr.appointments[external_id]))
    run = calendar.compare()
    assert (run.compared, run.differing, run.missed) == (2, 1, 1)
    assert found() == [("differs", fields, "open")]
    now = calendar.ours(external_id)
    assert (now.status, now.start, now.updated_at) == (before.status, before.start, before.updated_at)
    assert not Opening.objects.exists()
    assert open_items() == ["calendar.differs"]


def test_a_version_without_a_difference_is_noted_and_not_read_again(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, slot_ids=("another-slot",))
    assert calendar.compare().differing == 0
    assert ExternalId.objects.get(value=external_id).version == "2"


def test_one_that_only_the_ehr_has_is_listed_and_one_that_it_has_cancelled_is_not(calendar: Calendar) -> None:
    start = factories.in_days(4)
    patient = calendar.clinic.patient()
    calendar.clinic.ehr.put(**calendar.at(start, f"pat-{patient.pk}"))
    calendar.clinic.ehr.put(**calendar.at(start + LATER, f"pat-{patient.pk}"), status="cancelled")
    calendar.compare()
    assert found() == [("missing_here", [], "open")]
    row = Difference.objects.get()
    assert (row.patient, row.location, row.start) == (patient, calendar.clinic.location, start)

    taken = decide(lambda row: differences.take(row, "dana", opens=True))
    assert (taken.state, taken.decided_by, taken.opens_time) == ("taken", "dana", False), "there is no time to open"
    assert Appointment.objects.filter(patient=patient, start=start, status="booked").count() == 1
    assert open_items() == []


# --- absence --------------------------------------------------------------------------------------------------------


def test_absence_is_concluded_from_an_answer_about_the_appointment_itself(calendar: Calendar) -> None:
    gone, moved = calendar.both(), calendar.both()
    del calendar.clinic.ehr.appointments[gone]
    start = factories.in_days(60)
    calendar.clinic.ehr.change(moved, start=start, end=start + timedelta(minutes=30))
    calendar.compare()
    assert sorted(found()) == [("differs", ["time"], "open"), ("missing_there", [], "open")]
    assert calendar.clinic.ehr.calls.count("fetch") == 2


@pytest.mark.parametrize("error", [Malformed(), Unavailable(status=503), Throttled(status=429)])
def test_a_calendar_that_was_not_read_to_its_end_concludes_nothing(calendar: Calendar, error: Any) -> None:
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, status="cancelled")
    calendar.compare()
    first = Difference.objects.get()
    calendar.clinic.ehr.change(external_id, status="booked")
    del calendar.clinic.ehr.appointments[external_id]
    calendar.clinic.ehr.fail("calendar", error)
    run = calendar.compare()
    assert (run.error, run.compared) == (error.code, 0)
    first.refresh_from_db()
    assert (Difference.objects.count(), first.state) == (1, "open")
    assert open_items() == ["calendar.differs"], "one that broke off says nothing of what the calendar lacks"
    due_at = Connection.objects.get().reconcile_due_at
    assert due_at is not None
    assert timedelta(minutes=9) < due_at - timezone.now() < timedelta(minutes=12)


def test_one_that_cannot_be_read_is_there_all_the_same(calendar: Calendar, monkeypatch: pytest.MonkeyPatch) -> None:
    (external_id,) = calendar.kept
    ehr = calendar.clinic.ehr

    def broken(start: datetime, end: datetime) -> Any:
        yield Page((), (Quarantined(f"Appointment/{external_id}", "it has no start", b"{}"),))

    monkeypatch.setattr(ehr, "calendar", broken)
    run = calendar.compare()
    assert (run.unreadable, run.differing, ehr.calls.count("fetch")) == (1, 0, 0)
    assert open_items() == ["event.unreadable"]


@pytest.mark.parametrize("where", ["page", "entry", "fetch", "not told"])
def test_what_waits_for_a_decision_stays_where_the_ehr_does_not_say_what_it_has(
    calendar: Calendar, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Nobody has seen that the two agree again."""
    (external_id,) = calendar.kept
    ehr = calendar.clinic.ehr
    ehr.change(external_id, status="cancelled")
    calendar.compare()
    if where == "page":
        aside = Quarantined(f"Appointment/{external_id}", "it has no start", b"{}")
        monkeypatch.setattr(ehr, "calendar", lambda start, end: iter([Page((), (aside,))]))
    elif where == "entry":
        monkeypatch.setattr(ehr, "read", lambda kind, resource: unreadable())
    else:
        monkeypatch.setattr(ehr, "calendar", lambda start, end: iter([Page(())]))
        ehr.fail("fetch", Unreadable() if where == "fetch" else Rejected(status=400))
    run = calendar.compare()
    assert (run.error, run.unreadable, run.differing) == ("", 1, 0)
    assert found() == [("differs", ["status"], "open")]


def unreadable() -> Any:
    raise Unreadable


def test_a_calendar_that_lacks_too_much_is_not_believed(calendar: Calendar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MOST_ABSENT", 1)
    calendar.both()
    calendar.clinic.ehr.appointments.clear()
    assert calendar.compare().error == "implausible"
    assert (found(), open_items()) == ([], ["calendar.implausible"])
    assert "fetch" not in calendar.clinic.ehr.calls
    monkeypatch.setattr(comparison, "MOST_ABSENT", 9)
    assert calendar.compare().error == ""
    assert "calendar.implausible" not in open_items()


# --- what is under way ------------------------------------------------------------------------------------------------


def test_what_an_event_or_a_write_still_decides_is_no_difference(calendar: Calendar, booking: Booking) -> None:
    first, second = *calendar.kept, calendar.both()
    for each in (first, second):
        calendar.clinic.ehr.change(each, status="cancelled")
    InboundEvent.objects.create(
        connection=calendar.clinic.connection,
        via="webhook",
        dedupe_key="1",
        subject_key=f"Appointment/{first}",
        body=b"",
        due_at=timezone.now(),
        received_at=timezone.now(),
    )
    cancel_by_patient(calendar.ours(second), wants_another=False)
    assert calendar.compare().differing == 0
    assert found() == []


def test_what_waits_for_a_decision_is_not_closed_while_an_event_about_it_is_unread(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, status="cancelled")
    calendar.compare()
    InboundEvent.objects.create(
        connection=calendar.clinic.connection,
        via="webhook",
        dedupe_key="1",
        subject_key=f"Appointment/{external_id}",
        body=b"",
        due_at=timezone.now(),
        received_at=timezone.now(),
    )
    calendar.compare()
    assert found() == [("differs", ["status"], "open")]


def test_an_answer_older_than_what_we_know_is_no_difference(calendar: Calendar) -> None:
    """The page was on its way when an event told us more: the older never counts against the newer."""
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, status="cancelled")
    ExternalId.objects.filter(value=external_id).update(version="3", seen_at=timezone.now() + timedelta(seconds=5))
    assert calendar.compare().differing == 0


def test_news_that_comes_in_closes_the_difference(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, status="cancelled")
    calendar.compare()
    differences.heard(calendar.clinic.connection, external_id)
    row = Difference.objects.get()
    assert (row.state, row.outcome, open_items()) == ("gone", "The EHR's news of it came in.", [])


def test_one_that_agrees_again_closes_itself(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, status="cancelled")
    calendar.compare()
    calendar.clinic.ehr.change(external_id, status="booked")
    assert calendar.compare().differing == 0
    assert found() == [("differs", ["status"], "gone")]
    assert open_items() == []


def test_open_time_that_the_ehr_shows_as_taken_is_looked_at_again(calendar: Calendar) -> None:
    opening = calendar.clinic.opening(start=factories.in_days(5))
    other = calendar.clinic.opening(start=factories.in_days(6))
    calendar.clinic.ehr.put(**calendar.at(opening.start, "pat-0"))
    calendar.compare()
    for each, looked_at in ((opening, True), (other, False)):
        each.refresh_from_db()
        assert (each.check_due_at is not None) is looked_at


# --- decisions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("opens", "opened"), [(True, 1), (False, 0)])
@pytest.mark.parametrize("deleted", [True, False])
def test_taking_the_ehrs_opens_freed_time_only_by_choice(
    calendar: Calendar, opens: bool, opened: int, deleted: bool
) -> None:
    (external_id,) = calendar.kept
    if deleted:
        del calendar.clinic.ehr.appointments[external_id]
    else:
        calendar.clinic.ehr.change(external_id, status="cancelled", reason_verdict="rebookable")
    calendar.compare()
    row = decide(lambda row: differences.take(row, "dana", opens=opens))
    assert row.state == "taken"
    assert calendar.ours(external_id).status in Appointment.FREEING
    assert Opening.objects.count() == opened
    assert calendar.compare().differing == 0


def test_what_is_taken_is_what_the_ehr_says_then_not_what_it_said_at_night(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    ehr = calendar.clinic.ehr
    ehr.change(external_id, status="cancelled", reason_verdict="rebookable")
    calendar.compare()
    ehr.change(external_id, status="booked", **later(ehr.appointments[external_id]))
    decide(lambda row: differences.take(row, "dana", opens=True))
    ours = calendar.ours(external_id)
    assert (ours.status, ours.start) == ("booked", ehr.appointments[external_id].start)


def test_an_ehr_that_is_down_makes_a_choice_wait(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, status="cancelled")
    calendar.compare()
    calendar.clinic.ehr.fail("fetch", Unavailable(status=503))
    row = decide(lambda row: differences.take(row, "dana"))
    assert row.state == "taking"
    Difference.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    tasks.drain_reconciles()
    row.refresh_from_db()
    assert row.state == "taken"


def test_what_is_left_stays_closed_until_it_changes_again(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, status="cancelled")
    calendar.compare()
    decide(lambda row: differences.leave(row, "dana"))
    assert open_items() == []
    assert calendar.compare().differing == 1
    assert found() == [("differs", ["status"], "left")]
    assert open_items() == []
    calendar.clinic.ehr.change(external_id, status="noshow")
    calendar.compare()
    assert [state for _, _, state in found()] == ["left", "open"]


def test_what_is_left_stays_closed_whatever_else_differs(calendar: Calendar) -> None:
    first, second = *calendar.kept, calendar.both()
    calendar.clinic.ehr.change(first, status="cancelled")
    calendar.compare()
    decide(lambda row: differences.leave(row, "dana"))
    calendar.clinic.ehr.change(second, status="cancelled")
    for _ in range(2):
        calendar.compare()
        assert [state for _, _, state in found()] == ["left", "open"]


def test_what_is_left_comes_back_when_it_differs_anew_after_the_two_had_agreed(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    for expected in (["open"], ["gone", "open"]):
        calendar.clinic.ehr.change(external_id, status="cancelled")
        calendar.compare()
        assert [state for _, _, state in found()] == expected
        decide_last(differences.leave)
        calendar.clinic.ehr.change(external_id, status="booked")
        calendar.compare()
    assert Difference.objects.latest("pk").outcome == "Left as it was, until the two agreed again."
    assert Difference.objects.latest("pk").decided_by == "dana"


def decide_last(choice: Callable[[Difference, str], object]) -> None:
    choice(Difference.objects.select_related("connection__source", "appointment").latest("pk"), "dana")


def test_two_who_decide_at_once_decide_once(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, status="cancelled")
    calendar.compare()
    first, second = Difference.objects.get(), Difference.objects.get()
    assert differences.leave(first, "dana")
    assert not differences.take(second, "maria")
    for late in (differences.take, differences.leave):
        assert not late(Difference.objects.get(), "maria")
    row = Difference.objects.get()
    assert (row.state, row.decided_by, row.due_at) == ("left", "dana", None)
    assert row.decided_at is not None


def test_a_booking_of_ours_that_vanished_from_the_ehr_is_booked_anew(booking: Booking) -> None:
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    ehr, calendar = booking.clinic.ehr, Calendar(booking.clinic)
    ehr.appointments.clear()
    calendar.compare()
    row = decide(lambda row: differences.send(row, "dana"))
    assert (row.kind, row.state) == ("missing_there", "sent")
    write = Writeback.objects.latest("pk")
    outbox.process(write.pk)
    write.refresh_from_db()
    [record] = ehr.appointments.values()
    assert (write.status, record.start) == ("done", booking.opening.start)
    name = ExternalId.objects.get(kind="appointment", object_id=booking.claim.appointment_id)
    assert name.value == record.external_id
    assert calendar.compare().differing == 0


def test_who_was_told_of_a_booking_that_the_ehr_does_not_take_again_is_called(booking: Booking) -> None:
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    clinic, calendar = booking.clinic, Calendar(booking.clinic)
    clinic.ehr.appointments.clear()
    calendar.compare()
    decide(lambda row: differences.send(row, "dana"))
    clinic.ehr.put(**calendar.at(booking.opening.start, f"pat-{clinic.patient().pk}"))
    write = Writeback.objects.latest("pk")
    outbox.process(write.pk)
    write.refresh_from_db()
    assert (write.status, write.error_code) == ("refused", "taken")
    assert open_items().count("calendar.not_booked") == 1
    item = WorkItem.objects.get(kind="calendar.not_booked")
    assert item.patient_id == booking.claim.patient_id
    assert "It was sent there again and not taken." in item.advice
    assert "writeback.refused" not in open_items(), "that one says that the patient is told, and nobody told them"
    assert calendar.compare().differing == 2, "ours is not there, and what stands there is not here"


def test_ours_is_sent_once_however_often_somebody_presses(booking: Booking) -> None:
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    rows = Difference.objects.select_related("connection__source", "appointment")
    first, second, third = rows.get(), rows.get(), rows.get()
    assert differences.send(first, "dana").startswith("It is on its way")
    again = "Somebody else has decided it, or it is no more; nothing was changed."
    assert differences.send(second, "maria") == again
    outbox.process(Writeback.objects.latest("pk").pk)
    assert differences.send(third, "maria") == again
    assert (Writeback.objects.count(), len(booking.booked)) == (2, 1)
    assert Difference.objects.get().decided_by == "dana"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"source": {"writable": False}}, "We may not write to this EHR."),
        ({"row": {"start": None}}, "Its time has come."),
        ({"row": {"kind": "differs"}}, "The EHR owns status, time, clinician and place. Change it there."),
        ({"row": {"kind": "differs"}, "ours": {"status": "cancelled"}}, ""),
        (
            {"row": {"kind": "differs"}, "ours": {"status": "cancelled"}, "source": {"cancels": False}},
            "This EHR lets us cancel nothing.",
        ),
    ],
)
def test_what_cannot_be_sent_says_why(booking: Booking, changed: dict[str, dict[str, Any]], why: str) -> None:
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    Difference.objects.update(ehr_says={"status": "booked"}, **changed.get("row", {}))
    Source.objects.update(**changed.get("source", {}))
    Appointment.objects.update(**changed.get("ours", {}))
    if "ours" in changed:
        Writeback.objects.update(kind="cancel")
    row = Difference.objects.select_related("connection__source", "appointment").get()
    assert differences.why_not_sent(row) == why


def test_a_booking_of_ours_that_the_ehr_never_named_is_found_and_sent(booking: Booking) -> None:
    Connection.objects.update(loaded_at=timezone.now())
    booking.process()
    ExternalId.objects.filter(kind="appointment").delete()
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    row = decide(lambda row: differences.send(row, "dana"))
    assert (row.kind, row.state) == ("not_written", "sent")
    outbox.process(Writeback.objects.latest("pk").pk)
    assert len(booking.booked) == 1


@pytest.mark.parametrize("error", [Rejected(status=400), Unreadable()])
def test_an_ehr_that_cannot_tell_of_one_booking_is_compared_all_the_same(booking: Booking, error: Any) -> None:
    """Such as one that finds nothing by patient: else nothing of its calendar would ever be compared."""
    Connection.objects.update(loaded_at=timezone.now())
    booking.process()
    ExternalId.objects.filter(kind="appointment").delete()
    ehr, calendar = booking.clinic.ehr, Calendar(booking.clinic)
    ehr.appointments.clear()
    calendar.compare()
    assert found() == [("not_written", [], "open")]
    ehr.change(calendar.both(), status="cancelled")
    ehr.fail("find_booking", error)
    run = calendar.compare()
    assert (run.error, run.unreadable, run.differing) == ("", 1, 1)
    assert found() == [("not_written", [], "open"), ("differs", ["status"], "open")], "what it said before still stands"


@pytest.mark.parametrize(("opens", "opened"), [(True, 1), (False, 0)])
def test_a_booking_of_ours_that_is_given_up_is_not_forgotten_by_whoever_was_promised_it(
    booking: Booking, opens: bool, opened: int
) -> None:
    """Taking the EHR's word for a booking that it never had: the time is free, its patient is called."""
    Connection.objects.update(loaded_at=timezone.now())
    booking.process()
    ExternalId.objects.filter(kind="appointment").delete()
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    row = decide(lambda row: differences.take(row, "dana", opens=opens))
    assert (row.kind, row.state, "1 opening." in row.outcome) == ("not_written", "taken", opens)
    assert booking.appointment.status == "entered-in-error"
    assert Opening.objects.filter(freed_by=booking.appointment, start=booking.opening.start).count() == opened
    assert "calendar.not_booked" in open_items()


def test_a_booking_of_ours_that_is_gone_is_not_forgotten_by_whoever_was_told_of_it_and_is_told_once(
    booking: Booking,
) -> None:
    """However it is found out. Once the EHR has it again nobody is called."""
    Connection.objects.update(loaded_at=timezone.now())
    booking.process()
    [(name, record)] = booking.clinic.ehr.appointments.items()
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    assert "calendar.not_booked" not in open_items()
    row = decide(lambda row: differences.take(row, "dana"))
    assert (row.kind, row.state, booking.appointment.status) == ("missing_there", "taken", "entered-in-error")
    item = WorkItem.objects.get(kind="calendar.not_booked")
    assert (item.status, item.urgency, item.patient) == ("open", WorkItem.Urgency.RED, booking.appointment.patient)
    source, at = booking.clinic.connection.source, timezone.now()
    mirroring.apply_absence(source, name, at, verdict="missing")
    assert WorkItem.objects.filter(kind="calendar.not_booked").count() == 1

    apply_appointment(source, replace(record, version="again"), timezone.now())
    assert (booking.appointment.status, "calendar.not_booked" in open_items()) == ("booked", False)


@pytest.mark.parametrize(
    ("changed", "calls"),
    [
        ({}, True),
        ({"origin": "ehr"}, False),
        ({"status": "cancelled"}, False),
        ({"status": "pending"}, False),
        ({"start": timezone.now() - timedelta(minutes=5)}, False),
    ],
)
def test_a_deletion_is_a_call_only_where_a_visit_ahead_was_confirmed_by_us(
    booking: Booking, changed: dict[str, Any], calls: bool
) -> None:
    booking.process()
    [name] = booking.clinic.ehr.appointments
    Appointment.objects.filter(pk=booking.appointment.pk).update(**changed)
    mirroring.apply_absence(booking.clinic.connection.source, name, timezone.now(), verdict="missing")
    assert booking.appointment.status == "entered-in-error"
    assert ("calendar.not_booked" in open_items()) is calls


def test_a_booking_that_is_on_its_way_again_is_not_given_up(booking: Booking) -> None:
    Connection.objects.update(loaded_at=timezone.now())
    booking.process()
    ExternalId.objects.filter(kind="appointment").delete()
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    Writeback.objects.update(status="unknown")
    decide(lambda row: differences.take(row, "dana", opens=True))
    assert booking.appointment.status == "booked"
    assert "calendar.not_booked" not in open_items()


def test_what_changed_here_since_it_was_shown_is_not_sent(booking: Booking) -> None:
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    Appointment.objects.update(status="cancelled")
    row = Difference.objects.select_related("connection__source", "appointment").get()
    assert differences.send(row, "dana").startswith("Ours has changed since the two were compared; nothing was sent.")
    assert Difference.objects.get().state == "open"
    assert Writeback.objects.count() == 1


def test_what_we_cancelled_and_the_ehr_still_holds_is_cancelled_with_its_version(booking: Booking) -> None:
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    cancel_by_patient(booking.appointment, wants_another=False)
    outbox.process(Writeback.objects.get(kind="cancel").pk)
    [record] = booking.clinic.ehr.appointments.values()
    booking.clinic.ehr.change(record.external_id, status="booked")
    Calendar(booking.clinic).compare()
    decide(lambda row: differences.send(row, "dana"))
    outbox.process(Writeback.objects.latest("pk").pk)
    assert booking.clinic.ehr.appointments[record.external_id].status == "cancelled"


def test_what_is_the_ehrs_is_not_sent_and_the_reason_is_said(calendar: Calendar) -> None:
    (external_id,) = calendar.kept
    calendar.clinic.ehr.change(external_id, status="cancelled")
    calendar.compare()
    row = Difference.objects.get()
    why = "It is the EHR's own appointment; we send only what the waitlist booked or cancelled."
    assert differences.why_not_sent(row) == differences.send(row, "dana") == why
    assert (Difference.objects.get().state, Writeback.objects.count()) == ("open", 0)


# --- when -------------------------------------------------------------------------------------------------------------


def test_it_runs_at_the_practices_hour_and_the_first_night_is_planned_not_run(calendar: Calendar) -> None:
    factories.practice(time_zone="America/Los_Angeles")
    at = datetime(2026, 3, 7, 20, 0, tzinfo=UTC)
    assert not reconcile.is_due(at)
    assert reconcile.unplanned() == [calendar.clinic.connection.pk]
    assert reconcile.plan(calendar.clinic.connection.pk, at)
    connection = Connection.objects.get()
    assert connection.reconcile_due_at == datetime(2026, 3, 8, 10, 0, tzinfo=UTC)  # the night in which 2 AM is skipped
    assert not Reconciliation.objects.exists()
    assert not reconcile.unplanned()
    assert reconcile.is_due(at + timedelta(hours=14))


NOW = timezone.now()
SOON = NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("fields", "is_due"),
    [
        ({"reconcile_due_at": NOW}, True),
        ({"reconcile_due_at": SOON}, False),
        ({"reconcile_due_at": None}, False),
        ({"state": "paused"}, False),
        ({"loaded_at": None}, False),
        ({"poll_lease_until": SOON}, False),
        ({"poll_lease_until": NOW}, True),
        ({"quiet_until": SOON}, False),
        ({"quiet_until": NOW}, True),
    ],
)
def test_it_is_done_when_its_time_has_come_and_the_ehr_may_be_read(
    calendar: Calendar, fields: dict[str, Any], is_due: bool
) -> None:
    Connection.objects.update(**{"reconcile_due_at": NOW, **fields})
    assert reconcile.due(NOW) == ([calendar.clinic.connection.pk] if is_due else [])
    assert reconcile.is_due(NOW) is is_due


@pytest.mark.parametrize(
    ("fields", "is_asked"),
    [({}, True), ({"state": "paused"}, False), ({"loaded_at": None}, False), ({"kind": "hl7v2"}, False)],
)
def test_only_what_can_be_compared_is_asked_for(calendar: Calendar, fields: dict[str, Any], is_asked: bool) -> None:
    other = factories.connection("oak", loaded_at=NOW)
    Connection.objects.filter(pk=calendar.clinic.connection.pk).update(**fields)
    assert reconcile.ask(calendar.clinic.connection, NOW) is is_asked
    assert Connection.objects.get(pk=calendar.clinic.connection.pk).reconcile_due_at == (NOW if is_asked else None)
    other.refresh_from_db()
    assert other.reconcile_due_at is None


def test_the_first_night_is_planned_for_what_was_loaded_and_once(calendar: Calendar) -> None:
    pk, planned = calendar.clinic.connection.pk, NOW + timedelta(hours=5)
    factories.connection("never-loaded")
    factories.connection("only-sends", kind="hl7v2", loaded_at=NOW)
    assert reconcile.unplanned() == [pk]
    Connection.objects.filter(pk=pk).update(reconcile_due_at=planned)
    assert reconcile.unplanned() == []
    assert not reconcile.plan(pk, NOW)
    assert Connection.objects.get(pk=pk).reconcile_due_at == planned


@pytest.mark.parametrize(
    ("at", "hour", "night"),
    [
        (datetime(2026, 6, 1, 5, 59, tzinfo=UTC), 2, datetime(2026, 6, 1, 6, 0, tzinfo=UTC)),
        (datetime(2026, 6, 1, 6, 0, tzinfo=UTC), 2, datetime(2026, 6, 2, 6, 0, tzinfo=UTC)),
        (datetime(2026, 6, 1, 3, 0, tzinfo=UTC), 23, datetime(2026, 6, 2, 3, 0, tzinfo=UTC)),
        (datetime(2026, 10, 31, 20, 0, tzinfo=UTC), 2, datetime(2026, 11, 1, 7, 0, tzinfo=UTC)),
    ],
)
def test_the_next_night_is_by_the_practices_clock(calendar: Calendar, at: datetime, hour: int, night: datetime) -> None:
    factories.practice(time_zone="America/New_York")
    connection = calendar.clinic.connection
    connection.reconcile_hour = hour
    assert reconcile.next_night(connection, at) == night


def test_what_another_worker_reads_is_left_to_it(calendar: Calendar) -> None:
    pk = calendar.clinic.connection.pk
    Connection.objects.update(reconcile_due_at=NOW)
    assert ReadingLease.take(pk) is not None
    assert not reconcile.take_up(pk)
    assert not Reconciliation.objects.exists()
    assert Connection.objects.get(pk=pk).reconcile_due_at == NOW


def test_an_ehr_that_asks_for_patience_is_compared_when_it_says(calendar: Calendar) -> None:
    at = timezone.now() + timedelta(hours=1)
    calendar.clinic.ehr.fail("calendar", Throttled(status=429, retry_at=at))
    assert calendar.compare().error == "throttled"
    due_at = Connection.objects.get().reconcile_due_at
    assert due_at is not None
    assert timedelta(0) <= due_at - at < timedelta(seconds=5)


def test_after_a_comparison_the_next_one_is_planned_for_the_night(calendar: Calendar) -> None:
    before = timezone.now()
    assert calendar.compare().error == ""
    connection = Connection.objects.get()
    assert connection.reconcile_due_at == reconcile.next_night(connection, before)
    assert connection.poll_lease_until is None


def test_open_time_beside_what_the_ehr_shows_as_taken_or_that_nobody_can_claim_is_not_looked_at(
    calendar: Calendar,
) -> None:
    start = factories.in_days(5)
    before, taken, after = (calendar.clinic.opening(start=start + timedelta(minutes=30 * at)) for at in range(3))
    closed = calendar.clinic.opening(start=taken.start, status="closed")
    elsewhere = factories.opening(
        calendar.clinic.provider, calendar.clinic.location, source=factories.source("elsewhere"), start=taken.start
    )
    for row in (before, taken, after):
        assert row.end - row.start == timedelta(minutes=30)
    calendar.clinic.ehr.put(**calendar.at(taken.start, "pat-0"))
    calendar.compare()
    looked_at = Opening.objects.filter(check_due_at__isnull=False)
    assert {*looked_at} == {taken}
    assert {closed, elsewhere}.isdisjoint(looked_at)


def test_what_the_ehr_shows_as_cancelled_takes_no_time(calendar: Calendar) -> None:
    external_id = calendar.both()
    opening = calendar.clinic.opening(start=calendar.ours(external_id).start)
    calendar.clinic.ehr.change(external_id, status="cancelled")
    assert calendar.compare().differing == 1
    opening.refresh_from_db()
    assert opening.check_due_at is None


def test_one_that_was_killed_is_begun_again(calendar: Calendar) -> None:
    connection, other = calendar.clinic.connection, factories.connection("oak")
    for each in (connection, other):
        Reconciliation.objects.create(connection=each, began_at=timezone.now(), until=timezone.now())
    first = calendar.compare()
    calendar.compare()
    runs = Reconciliation.objects.order_by("pk")
    assert list(runs.filter(connection=connection).values_list("error", flat=True)) == ["interrupted", "", ""]
    assert runs.get(pk=first.pk).ended_at == first.ended_at, "how last night's ended stays as it was"
    assert runs.get(connection=other).ended_at is None
    assert not WorkItem.objects.filter(kind="calendar.differs").exists()
