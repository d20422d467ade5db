"""What the nightly comparison looks at, and what it leaves alone: other times, other EHRs, what else decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.ehr import comparing, comparison
from integrations.models import Connection, InboundEvent
from scheduling import merging
from scheduling.models import Appointment, ExternalId, PatientMerge, Writeback
from scheduling.records import IdentifierRecord
from tests import factories
from tests.fakes import KEY_SYSTEM
from tests.integrations.conftest import Booking
from tests.integrations.test_reconcile import Calendar, calendar, found  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


def only(calendar: Calendar) -> str:  # noqa: F811
    (external_id,) = calendar.kept
    return external_id


def event(connection: Connection, external_id: str, status: str = "received") -> None:
    InboundEvent.objects.create(
        connection=connection,
        via="webhook",
        dedupe_key=f"{connection.pk}:{external_id}:{status}",
        subject_key=f"Appointment/{external_id}",
        status=status,
        body=b"",
        due_at=timezone.now(),
        received_at=timezone.now(),
    )


def listing_all(calendar: Calendar, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Have the EHR list more than it was asked for, as one that takes days only."""
    ehr, asked = calendar.clinic.ehr, type(calendar.clinic.ehr).calendar
    far = timedelta(days=300)
    monkeypatch.setattr(ehr, "calendar", lambda start, end: asked(ehr, start - far, end + far))


def move(calendar: Calendar, external_id: str, days: float) -> None:  # noqa: F811
    """Let both hold it so many days from now."""
    start = timezone.now() + timedelta(days=days)
    times = {"start": start, "end": start + timedelta(minutes=30)}
    Appointment.objects.filter(pk=calendar.kept[external_id].pk).update(**times)
    ehr = calendar.clinic.ehr
    ehr.appointments[external_id] = replace(ehr.appointments[external_id], **times)


def test_what_the_poll_still_finds_goes_the_way_of_every_event_and_is_no_difference(
    calendar: Calendar,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calendar.clinic.ehr.change(only(calendar), status="cancelled")
    monkeypatch.setattr(comparison.poll, "read_changes", lambda connection, lease: event(connection, only(calendar)))
    assert calendar.compare().differing == 0


def test_names_elsewhere_and_of_other_things_are_not_taken_for_the_appointments(calendar: Calendar) -> None:  # noqa: F811
    ours = calendar.ours(only(calendar))
    assert ours.start is not None
    elsewhere = factories.source("elsewhere")
    at = ours.start + timedelta(hours=3)
    other = factories.appointment(factories.patient(), ours.provider, ours.location, source=elsewhere, start=at)
    factories.external_id(elsewhere, ExternalId.Kind.APPOINTMENT, other, only(calendar), version="9")
    source = calendar.clinic.connection.source
    factories.external_id(source, ExternalId.Kind.PROVIDER, factories.provider(), only(calendar), version="9")
    factories.external_id(elsewhere, ExternalId.Kind.APPOINTMENT, ours, "their-name-of-ours")
    run = calendar.compare()
    assert (run.compared, run.differing, run.error) == (1, 0, "")
    assert "fetch" not in calendar.clinic.ehr.calls


def test_what_another_ehr_calls_them_is_no_difference(calendar: Calendar) -> None:  # noqa: F811
    elsewhere = factories.source("elsewhere")
    names = list(ExternalId.objects.exclude(kind=ExternalId.Kind.APPOINTMENT))
    assert {name.kind for name in names} == {"patient", "provider", "location"}
    ExternalId.objects.filter(pk__in=[name.pk for name in names]).delete()
    for value, source_id in (("their-name", elsewhere.pk), ("", calendar.clinic.connection.source_id)):
        for name in names:
            fields = {"source_id": source_id, "kind": name.kind, "object_id": name.object_id}
            ExternalId.objects.create(value=value or name.value, **fields)
    calendar.clinic.ehr.change(only(calendar), slot_ids=("another-slot",))
    run = calendar.compare()
    assert (run.differing, run.error) == (0, "")


@pytest.mark.parametrize(
    ("there", "here", "differs"),
    [
        ({"type": "FU"}, {"type": "NEW"}, ["type"]),
        ({"type": "FU"}, {"type": "FU"}, []),
        ({"type": "FU"}, {}, []),
        ({}, {"type": "FU"}, []),
        ({"type": "FU", "provider": "prov-2"}, {"provider": "prov-1"}, ["provider"]),
        ({"type": "FU", "status": "cancelled"}, {"type": "NEW", "status": "noshow"}, []),
    ],
)
def test_a_type_differs_only_where_both_sides_say_one_and_one_of_them_takes_up_time(
    there: dict[str, str], here: dict[str, str], differs: list[str]
) -> None:
    booked = {"status": "booked"}
    assert comparing.differing(booked | there, booked | here) == differs


@pytest.mark.parametrize("days", [-0.01, 60])
@pytest.mark.parametrize("gone", [True, False])
def test_what_is_over_or_too_far_ahead_on_both_sides_is_left_alone(
    calendar: Calendar,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    gone: bool,
) -> None:
    ehr = calendar.clinic.ehr
    move(calendar, only(calendar), days)
    listing_all(calendar, monkeypatch)
    if gone:
        del ehr.appointments[only(calendar)]
    else:
        ehr.change(only(calendar), status="cancelled")
        start = timezone.now() + timedelta(days=days)
        ehr.put(**calendar.at(start, "pat-0"))
    run = calendar.compare()
    assert (run.differing, run.error) == (0, "")
    assert "fetch" not in ehr.calls


def test_one_that_is_off_on_both_sides_ends_no_comparison_whomever_it_names_by_now(calendar: Calendar) -> None:  # noqa: F811
    """Such as a patient's record that the EHR no longer shows: else nothing of its calendar would ever be compared."""
    off, other = only(calendar), calendar.both()
    ehr = calendar.clinic.ehr
    Appointment.objects.filter(pk=calendar.kept[off].pk).update(status="cancelled")
    ehr.change(off, status="cancelled", patient_id="nobody")
    ehr.change(other, status="cancelled")
    run = calendar.compare()
    assert (run.error, run.compared, run.differing) == ("", 2, 1)
    assert found() == [("differs", ["status"], "open")]


def test_one_cancelled_there_that_has_lost_its_time_is_a_difference(calendar: Calendar) -> None:  # noqa: F811
    """FHIR lets a cancelled appointment go without."""
    calendar.clinic.ehr.change(only(calendar), status="cancelled", start=None, end=None)
    assert calendar.compare().error == ""
    [(kind, fields, _)] = found()
    assert (kind, fields[0]) == ("differs", "status")


def test_one_that_does_not_say_until_when_it_lasts_is_a_difference_like_any_other(calendar: Calendar) -> None:  # noqa: F811
    calendar.clinic.opening(start=calendar.ours(only(calendar)).start)
    calendar.clinic.ehr.change(only(calendar), end=None)
    assert calendar.compare().error == ""
    assert found() == [("differs", ["time"], "open")]


def test_what_has_the_version_that_we_hold_is_not_read(calendar: Calendar, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def read(kind: str, resource: dict[str, Any]) -> Any:
        raise AssertionError(kind)

    monkeypatch.setattr(calendar.clinic.ehr, "read", read)
    assert calendar.compare().compared == 1


def test_what_was_heard_while_the_page_was_on_its_way_is_newer_than_the_page(calendar: Calendar) -> None:  # noqa: F811
    ehr = calendar.clinic.ehr
    ehr.change(only(calendar), status="cancelled")
    names = ExternalId.objects.filter(value=only(calendar))
    ehr.before("calendar", lambda: names.update(version="3", seen_at=timezone.now()))
    assert calendar.compare().differing == 0


def test_one_of_which_we_do_not_know_when_we_heard_last_is_compared(calendar: Calendar) -> None:  # noqa: F811
    calendar.clinic.ehr.change(only(calendar), status="cancelled")
    ExternalId.objects.filter(value=only(calendar)).update(seen_at=None)
    assert calendar.compare().differing == 1


def test_where_the_ehr_keeps_no_versions_what_it_says_is_compared(calendar: Calendar) -> None:  # noqa: F811
    ehr = calendar.clinic.ehr
    ehr.appointments[only(calendar)] = replace(ehr.appointments[only(calendar)], version="", status="cancelled")
    ExternalId.objects.filter(value=only(calendar)).update(version="")
    assert calendar.compare().differing == 1


def test_one_that_was_moved_there_from_far_ahead_into_the_next_days_is_a_difference(calendar: Calendar) -> None:  # noqa: F811
    move(calendar, only(calendar), 60)
    start = timezone.now() + timedelta(days=6)
    calendar.clinic.ehr.change(only(calendar), start=start, end=start + timedelta(minutes=30))
    calendar.compare()
    assert found() == [("differs", ["time"], "open")]


def test_a_page_that_does_not_say_when_it_was_asked_for_counts_as_of_now(
    calendar: Calendar,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ehr = calendar.clinic.ehr
    ehr.change(only(calendar), status="cancelled")
    asked = ehr.calendar
    monkeypatch.setattr(
        ehr, "calendar", lambda start, end: iter([replace(page, asked_at=None) for page in asked(start, end)])
    )
    ExternalId.objects.filter(value=only(calendar)).update(seen_at=timezone.now())
    assert calendar.compare().differing == 1


def test_as_many_as_are_asked_for_one_by_one_may_be_gone(
    calendar: Calendar,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison, "MOST_ABSENT", 1)
    calendar.both()
    del calendar.clinic.ehr.appointments[only_first(calendar)]
    run = calendar.compare()
    assert (run.error, run.compared, found()) == ("", 2, [("missing_there", [], "open")])


def only_first(calendar: Calendar) -> str:  # noqa: F811
    return next(iter(calendar.kept))


def test_one_that_is_gone_is_no_difference_while_an_event_about_it_is_unread(calendar: Calendar) -> None:  # noqa: F811
    calendar.clinic.ehr.appointments.clear()
    event(calendar.clinic.connection, only(calendar))
    assert calendar.compare().differing == 0
    InboundEvent.objects.update(status="done")
    assert calendar.compare().differing == 1
    InboundEvent.objects.update(status="received")
    assert calendar.compare().differing == 0
    assert found() == [("missing_there", [], "open")], "nobody has seen that the two agree again"


def test_one_that_is_gone_and_takes_no_time_here_either_is_not_asked_for(calendar: Calendar) -> None:  # noqa: F811
    Appointment.objects.update(status="cancelled")
    calendar.clinic.ehr.appointments.clear()
    assert calendar.compare().differing == 0
    assert "fetch" not in calendar.clinic.ehr.calls


def test_an_event_that_was_dealt_with_or_is_another_ehrs_decides_nothing(calendar: Calendar) -> None:  # noqa: F811
    calendar.clinic.ehr.change(only(calendar), status="cancelled")
    event(calendar.clinic.connection, only(calendar), "done")
    event(factories.connection("oak"), only(calendar))
    assert calendar.compare().differing == 1


# --- bookings of ours that the EHR never named ------------------------------------------------------------------------


@pytest.fixture
def nameless(booking: Booking) -> Callable[[], list[tuple[str, list[str], str]]]:
    """A booking that was written, and whose name was lost; returns what compares the calendars."""
    Connection.objects.update(loaded_at=timezone.now())
    booking.process()
    ExternalId.objects.filter(kind="appointment").delete()
    booking.clinic.ehr.appointments.clear()

    def compare() -> list[tuple[str, list[str], str]]:
        run = Calendar(booking.clinic).compare()
        assert (run.error, run.compared) == ("", len(booking.clinic.ehr.appointments) + 1)
        return found()

    return compare


Compare = Callable[[], list[tuple[str, list[str], str]]]


def test_one_that_is_on_its_way_again_is_left_to_its_write(booking: Booking, nameless: Compare) -> None:
    assert nameless() == [("not_written", [], "open")]
    booking.clinic.ehr.calls.clear()
    Writeback.objects.update(status="unknown")
    assert nameless() == [("not_written", [], "open")]
    assert "find_booking" not in booking.clinic.ehr.calls


def test_one_of_which_no_write_is_known_ends_no_comparison(nameless: Compare) -> None:
    Writeback.objects.all().delete()
    assert nameless() == []


def test_of_a_patient_whom_the_ehr_does_not_know_it_has_no_booking(booking: Booking, nameless: Compare) -> None:
    """Nor is it asked: by no name that it gave."""
    ExternalId.objects.filter(kind="patient").delete()
    assert nameless() == [("not_written", [], "open")]
    assert "find_booking" not in booking.clinic.ehr.calls


def test_one_whose_patient_the_ehr_knows_by_a_record_that_was_merged_is_found(
    booking: Booking, nameless: Compare
) -> None:
    kept = factories.patient()
    merging.merge(booking.patient, kept, told_by=PatientMerge.ToldBy.STAFF)
    Appointment.objects.update(patient=kept)
    calendar = Calendar(booking.clinic)  # noqa: F811
    booking.clinic.ehr.put(**calendar.at(booking.opening.start, f"pat-{booking.patient.pk}"))
    assert [kind for kind, _, _ in nameless()] == ["missing_here"]


def test_one_that_the_ehr_has_after_all_is_not_called_unwritten(booking: Booking, nameless: Compare) -> None:
    calendar = Calendar(booking.clinic)  # noqa: F811
    booking.clinic.ehr.put(**calendar.at(booking.opening.start, f"pat-{booking.patient.pk}"))
    assert [kind for kind, _, _ in nameless()] == ["missing_here"]


def test_one_is_looked_for_by_the_key_under_which_it_was_booked_last(booking: Booking, nameless: Compare) -> None:
    """Wherever it stands by now: it may have been moved there."""
    first = Writeback.objects.get()
    fields = {"appointment": first.appointment, "source": first.source, "due_at": first.due_at}
    last, _ = (
        Writeback.objects.create(kind=kind, status="refused", deadline_at=first.deadline_at, **fields)
        for kind in ("create", "cancel")
    )
    elsewhere = Calendar(booking.clinic).at(booking.opening.start + timedelta(hours=3), f"pat-{booking.patient.pk}")
    booking.clinic.ehr.put(**elsewhere, identifiers=(IdentifierRecord(KEY_SYSTEM, str(last.key)),))
    assert [kind for kind, _, _ in nameless()] == ["missing_here"]


@pytest.mark.parametrize("other", ["at another EHR", "not ours", "not booked yet", "named"])
def test_no_other_is_asked_for_as_a_booking_without_a_name(booking: Booking, nameless: Compare, other: str) -> None:
    rows = Appointment.objects.filter(pk=booking.appointment.pk)
    if other == "at another EHR":
        rows.update(source=factories.source("elsewhere"))
    elif other == "not ours":
        rows.update(origin="ehr")
    elif other == "not booked yet":
        rows.update(status="pending")
    else:
        source = booking.clinic.connection.source
        factories.external_id(source, ExternalId.Kind.APPOINTMENT, booking.appointment, "named")
    Calendar(booking.clinic).compare()
    assert "not_written" not in [kind for kind, _, _ in found()]
    assert "find_booking" not in booking.clinic.ehr.calls
