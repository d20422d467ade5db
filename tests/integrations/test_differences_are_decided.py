"""A difference that waits says what both sides say by now, and each choice about it does what the page says of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import outbox
from integrations.ehr import comparing, differences, reconcile, taking_over
from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.gateway import Malformed, Throttled
from integrations.models import Connection, Difference
from scheduling.models import Appointment, ExternalId, Writeback
from tests import factories
from tests.integrations.conftest import Booking, open_items
from tests.integrations.test_reconcile import LATER, Calendar, calendar, decide, found, later  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db

NOW = timezone.now()
START, END = NOW + timedelta(hours=1), NOW + timedelta(hours=1, minutes=30)
HELD = {"status": "booked", "start": START.isoformat(), "end": END.isoformat(), "provider": "prov-1"}


def only(calendar: Calendar) -> str:  # noqa: F811
    (external_id,) = calendar.kept
    return external_id


def test_one_that_waits_says_what_the_ehr_says_by_now(calendar: Calendar) -> None:  # noqa: F811
    ehr = calendar.clinic.ehr
    ehr.change(only(calendar), status="cancelled")
    calendar.compare()
    ehr.change(only(calendar), status="booked", **later(ehr.appointments[only(calendar)]))
    calendar.compare()
    row = Difference.objects.get()
    at = ehr.appointments[only(calendar)].start
    assert (found(), row.ehr_version, row.start) == ([("differs", ["time"], "open")], "3", at)
    assert at is not None
    assert row.ehr_says["start"] == comparing._moment(at)


def test_one_that_is_found_again_as_it_was_is_the_same_one(calendar: Calendar) -> None:  # noqa: F811
    calendar.clinic.ehr.change(only(calendar), status="cancelled")
    calendar.compare()
    before = Difference.objects.get()
    calendar.compare()
    after = Difference.objects.get()
    assert (after.pk, after.state, after.found_at, after.ehr_says) == (
        before.pk,
        "open",
        before.found_at,
        before.ehr_says,
    )
    assert after.seen_at > before.seen_at


def test_one_that_is_gone_there_is_its_patients_and_its_places(calendar: Calendar) -> None:  # noqa: F811
    calendar.clinic.ehr.appointments.clear()
    calendar.compare()
    row, ours = Difference.objects.get(), calendar.ours(only(calendar))
    assert (row.kind, row.patient, row.location) == ("missing_there", ours.patient, ours.location)


def test_what_was_left_stays_left_where_the_ehr_does_not_say_what_it_has(calendar: Calendar) -> None:  # noqa: F811
    ehr = calendar.clinic.ehr
    far = timezone.now() + timedelta(days=60)
    ehr.change(only(calendar), start=far, end=far + timedelta(minutes=30))
    calendar.compare()
    decide(lambda row: differences.leave(row, "dana"))
    Difference.objects.update(start=timezone.now() + timedelta(days=3))
    ehr.fail("fetch", Unreadable())
    assert calendar.compare().unreadable == 1
    calendar.compare()
    assert [state for _, _, state in found()] == ["left"]


@pytest.mark.parametrize(
    ("we_hold", "ehr_says", "frees"),
    [
        ({}, {"status": "cancelled"}, True),
        ({}, {}, None),
        ({}, {"status": "noshow"}, False),
        ({}, {"start": (START + LATER).isoformat()}, True),
        ({}, {"end": (END + LATER).isoformat()}, True),
        ({}, {"provider": "prov-2"}, True),
        ({}, {"patient": "pat-2"}, False),
        ({}, {"status": "arrived"}, False),
        ({"status": "cancelled"}, {"status": "booked"}, False),
        ({"status": "cancelled"}, {"status": "booked", "start": (START + LATER).isoformat()}, False),
        ({"start": NOW.isoformat()}, {"status": "cancelled"}, False),
    ],
)
def test_time_is_freed_where_what_we_hold_as_taken_ahead_is_not_there(
    we_hold: dict[str, str], ehr_says: dict[str, str], frees: bool | None
) -> None:
    row = Difference(we_hold={**HELD, **we_hold}, ehr_says={**HELD, **ehr_says})
    if frees is None:
        row.ehr_says = {}
    assert differences.frees(row) is (frees is not False)


def test_nothing_of_ours_is_sent_where_only_the_ehr_has_it(calendar: Calendar) -> None:  # noqa: F811
    calendar.clinic.ehr.put(**calendar.at(factories.in_days(4), "pat-0"))
    calendar.compare()
    row = Difference.objects.select_related("connection__source", "appointment").get()
    assert differences.why_not_sent(row) == "There is nothing of ours to send."


def cancelled_here(booking: Booking) -> Difference:
    """A difference about a booking that a write of ours has cancelled here."""
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    Difference.objects.update(kind="differs", ehr_says={"status": "booked"})
    Appointment.objects.update(status="cancelled")
    Writeback.objects.update(kind="cancel")
    return Difference.objects.select_related("connection__source", "appointment").get()


@pytest.mark.parametrize(
    ("changed", "cancels"),
    [
        ({}, True),
        ({"row": {"kind": "missing_there"}}, False),
        ({"row": {"ehr_says": {"status": "noshow"}}}, False),
        ({"ours": {"status": "booked"}}, False),
        ({"write": {"kind": "create"}}, False),
    ],
)
def test_a_cancellation_is_sent_only_where_ours_was_one_and_it_stands_there(
    booking: Booking, changed: dict[str, dict[str, Any]], cancels: bool
) -> None:
    cancelled_here(booking)
    Difference.objects.update(**changed.get("row", {"kind": "differs"}))
    Appointment.objects.update(**changed.get("ours", {"status": "cancelled"}))
    Writeback.objects.update(**changed.get("write", {"kind": "cancel"}))
    row = Difference.objects.select_related("connection__source", "appointment").get()
    assert differences.what_is_sent(row) == ("cancels it in the EHR" if cancels else "books it in the EHR again")


@pytest.mark.parametrize("seconds", [0, 1])
def test_what_has_begun_is_not_sent(booking: Booking, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    row = cancelled_here(booking)
    assert row.start is not None
    at = row.start - timedelta(seconds=seconds)
    monkeypatch.setattr(differences.timezone, "now", lambda: at)
    assert differences.why_not_sent(row) == ("" if seconds else "Its time has come.")


def test_the_worklist_has_nothing_more_of_what_was_sent(booking: Booking) -> None:
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    booking.clinic.ehr.appointments.clear()
    both = Calendar(booking.clinic)
    both.both()
    both.compare()
    assert open_items() == ["calendar.differs"]
    decide(lambda row: differences.send(row, "dana"))
    assert Writeback.objects.latest("pk").appointment == booking.appointment
    assert open_items() == []


def test_what_is_booked_again_takes_the_slots_and_the_opening_of_the_last_booking(booking: Booking) -> None:
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    first = Writeback.objects.get()
    Writeback.objects.update(slots=["slot-1"])
    other = Writeback.objects.create(
        kind="cancel",
        appointment=first.appointment,
        source=first.source,
        status="refused",
        due_at=NOW,
        deadline_at=NOW,
        slots=["slot-2"],
    )
    source = booking.clinic.connection.source
    factories.external_id(source, ExternalId.Kind.APPOINTMENT, first.appointment, "another-name-of-it")
    [name] = booking.clinic.ehr.appointments
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    row = Difference.objects.select_related("connection__source", "appointment").get(subject=f"ext:{name}")
    assert differences.send(row, "dana").startswith("It is on its way")
    write = Writeback.objects.exclude(pk__in=(first.pk, other.pk)).get()
    assert (write.kind, write.opening, write.slots) == ("create", booking.opening, ["slot-1"])
    left = ExternalId.objects.filter(kind="appointment", object_id=first.appointment_id)
    assert [each.value for each in left] == ["another-name-of-it"]


def test_nothing_is_sent_while_a_write_about_it_is_under_way(booking: Booking) -> None:
    booking.process()
    Connection.objects.update(loaded_at=timezone.now())
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    first = Writeback.objects.get()
    fields = {"source": first.source, "opening": first.opening, "due_at": NOW, "deadline_at": first.deadline_at}
    Writeback.objects.create(kind="create", status="waiting", appointment=first.appointment, **fields)
    row = Difference.objects.select_related("connection__source", "appointment").get()
    assert differences.send(row, "dana") == "A write about it is under way; nothing was sent."
    assert (row.state, Difference.objects.get().state, Writeback.objects.count()) == ("open", "open", 2)
    assert ExternalId.objects.filter(kind="appointment", object_id=first.appointment_id).exists()


@pytest.mark.parametrize("other", ["of another EHR", "of another appointment", "being taken over"])
def test_news_close_the_difference_they_are_about_and_no_other(calendar: Calendar, other: str) -> None:  # noqa: F811
    calendar.clinic.ehr.change(only(calendar), status="cancelled")
    calendar.compare()
    connection, heard = calendar.clinic.connection, only(calendar)
    if other == "of another EHR":
        connection = factories.connection("oak")
    elif other == "of another appointment":
        heard = "appt-99"
    else:
        Difference.objects.update(state="taking", due_at=NOW)
    differences.heard(connection, heard)
    assert Difference.objects.get().state == ("taking" if other == "being taken over" else "open")


# --- taking over ------------------------------------------------------------------------------------------------------


def taking(calendar: Calendar) -> Difference:  # noqa: F811
    calendar.clinic.ehr.change(only(calendar), status="cancelled")
    calendar.compare()
    row = Difference.objects.select_related("connection").get()
    assert differences.take(row, "dana")
    return row


def test_one_worker_at_a_time_takes_it_over_and_one_that_died_is_replaced(calendar: Calendar) -> None:  # noqa: F811
    row = taking(calendar)
    Difference.objects.update(due_at=NOW)
    assert taking_over.due(NOW - timedelta(seconds=1)) == []
    assert [reconcile.is_due(NOW - timedelta(seconds=1)), reconcile.is_due(NOW)] == [False, True], "the sweep calls"
    assert not taking_over.work(row.pk, NOW - timedelta(seconds=1))
    seen: list[list[int]] = []
    calendar.clinic.ehr.before("fetch", lambda: seen.append(taking_over.due(NOW + taking_over.LEASE)))
    calendar.clinic.ehr.fail("fetch", Throttled(status=429, retry_at=NOW + timedelta(hours=1)))
    assert taking_over.due(NOW) == [row.pk]
    assert taking_over.work(row.pk, NOW)
    assert seen == [[row.pk]], "after its lease, whoever looks then takes it"
    row.refresh_from_db()
    assert row.due_at is not None
    assert (row.state, timedelta(0) <= row.due_at - NOW - timedelta(hours=1) < timedelta(seconds=5)) == ("taking", True)


def test_of_many_that_were_chosen_each_is_taken_over_by_itself(calendar: Calendar) -> None:  # noqa: F811
    ehr, chosen = calendar.clinic.ehr, [only(calendar), calendar.both()]
    for each in chosen:
        ehr.change(each, status="cancelled")
    calendar.compare()
    first, second = (Difference.objects.get(subject=f"ext:{each}") for each in chosen)
    assert [differences.take(row, "dana") for row in (first, second)] == [True, True]
    due_at = second.due_at
    ehr.fail("fetch", Throttled(status=429, retry_at=timezone.now() + timedelta(hours=1)))
    assert taking_over.work(first.pk)
    second.refresh_from_db()
    assert (second.state, second.due_at) == ("taking", due_at), "only the one that was asked for waits"
    Connection.objects.update(quiet_until=None)
    assert taking_over.work(second.pk)
    assert sorted(state for _, _, state in found()) == ["taken", "taking"]
    assert [calendar.ours(each).status for each in chosen] == ["booked", "cancelled"]


def test_what_is_being_taken_over_is_left_to_that_when_the_two_agree_again(calendar: Calendar) -> None:  # noqa: F811
    taking(calendar)
    Difference.objects.update(due_at=timezone.now() + timedelta(hours=1))
    calendar.clinic.ehr.change(only(calendar), status="booked")
    assert calendar.compare().differing == 0
    assert found() == [("differs", ["status"], "taking")]


def test_an_answer_that_makes_no_sense_gives_the_choice_back(calendar: Calendar) -> None:  # noqa: F811
    row = taking(calendar)
    calendar.clinic.ehr.fail("fetch", Malformed())
    assert taking_over.work(row.pk)
    row.refresh_from_db()
    assert (row.state, row.due_at, row.decided_at, row.decided_by) == ("open", None, None, "")
    assert row.outcome == "It could not be taken over (malformed); decide again."
    assert differences.leave(row, "maria")


def test_while_the_ehr_is_not_to_be_asked_the_choice_waits(calendar: Calendar) -> None:  # noqa: F811
    row = taking(calendar)
    quiet_until = timezone.now() + timedelta(minutes=5)
    Connection.objects.update(quiet_until=quiet_until)
    calendar.clinic.ehr.calls.clear()
    assert taking_over.work(row.pk)
    row.refresh_from_db()
    assert (row.state, calendar.clinic.ehr.calls) == ("taking", [])
    assert row.due_at is not None
    assert row.due_at >= quiet_until


def test_what_is_decided_or_to_be_decided_is_not_taken_over(calendar: Calendar) -> None:  # noqa: F811
    row = taking(calendar)
    for state in ("open", "taken", "sent", "left", "gone"):
        Difference.objects.update(state=state)
        assert taking_over.due() == []
        assert not taking_over.work(row.pk)
    assert calendar.ours(only(calendar)).status == "booked"


def test_what_was_booked_again_meanwhile_is_not_given_up(booking: Booking) -> None:
    """The write about it decides."""
    Connection.objects.update(loaded_at=timezone.now())
    booking.process()
    ExternalId.objects.filter(kind="appointment").delete()
    booking.clinic.ehr.appointments.clear()
    Calendar(booking.clinic).compare()
    row = Difference.objects.select_related("connection__source", "appointment").get()
    assert differences.take(row, "dana")
    Appointment.objects.update(status="cancelled")
    assert taking_over.work(row.pk)
    row.refresh_from_db()
    assert (row.state, row.outcome) == ("taken", "The EHR's was taken. Nothing is offered.")
    assert "calendar.not_booked" not in open_items()
    assert outbox.due() == []
