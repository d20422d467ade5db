"""A cancellation frees time once, whatever way and however often it is heard."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling import writebacks
from scheduling.appointments import apply_absence
from scheduling.models import Appointment, ExternalId, Opening, TimelineEntry, WorkItem, Writeback
from tests import factories
from tests.scheduling.conftest import Clinic

pytestmark = pytest.mark.django_db


def test_a_cancelled_booking_opens_its_time(clinic: Clinic) -> None:
    record = clinic.record()
    clinic.apply(record)
    (opening,) = clinic.cancel(record).opened
    assert (opening.start, opening.end) == (record.start, record.end)
    assert (opening.provider, opening.location, opening.status) == (clinic.provider, clinic.location, "open")
    assert opening.attention_due_at is not None
    assert TimelineEntry.objects.get(opening=opening).kind == "opening.opened"


def test_the_same_version_again_changes_nothing(clinic: Clinic) -> None:
    record = clinic.record()
    clinic.apply(record)
    clinic.cancel(record)
    again = clinic.cancel(record)
    assert (again.change, again.opened) == ("unchanged", ())
    assert Opening.objects.count() == 1


def test_an_older_fetch_never_overwrites_a_newer_one(clinic: Clinic) -> None:
    record = clinic.record()
    before = timezone.now()
    clinic.apply(record, before)
    cancelled = replace(record, version="3", status="cancelled", status_code="cancelled")
    clinic.apply(cancelled, before + timedelta(seconds=2))
    late = clinic.apply(replace(record, version="2"), before + timedelta(seconds=1))
    assert late.change == "stale"
    assert Appointment.objects.get().status == "cancelled"
    assert Opening.objects.get().status == "open"


def test_a_second_edit_of_a_cancelled_appointment_opens_nothing_more(clinic: Clinic) -> None:
    record = clinic.record()
    clinic.apply(record)
    clinic.cancel(record)
    assert clinic.cancel(record, version="3", reason_code="pat").opened == ()


@pytest.mark.parametrize("status", ["noshow", "fulfilled", "unknown", "proposed", "waitlist"])
def test_other_ends_free_nothing(clinic: Clinic, status: str) -> None:
    record = clinic.record()
    clinic.apply(record)
    assert clinic.apply(replace(record, version="2", status=status)).opened == ()
    assert not Opening.objects.exists()


def test_initial_load_opens_nothing(clinic: Clinic) -> None:
    record = clinic.record()
    clinic.apply(record, opens=False)
    clinic.apply(replace(record, version="2", status="cancelled"), opens=False)
    assert not Opening.objects.exists()


def test_an_appointment_first_heard_of_as_cancelled_opens(clinic: Clinic) -> None:
    assert len(clinic.cancel(clinic.record()).opened) == 1


def test_a_deleted_appointment_opens_its_time(clinic: Clinic) -> None:
    clinic.apply(clinic.record())
    applied = apply_absence(clinic.source, "a1", timezone.now())
    assert applied is not None
    assert applied.appointment.status == "entered-in-error"
    assert len(applied.opened) == 1
    assert apply_absence(clinic.source, "never-heard-of", timezone.now()) is None


def test_a_deletion_opens_nothing_where_missing_reasons_do_not(clinic: Clinic) -> None:
    clinic.apply(clinic.record())
    applied = apply_absence(clinic.source, "a1", timezone.now(), verdict="not_rebookable")
    assert applied is not None
    assert applied.appointment.status == "entered-in-error"
    assert not Opening.objects.exists()


def test_a_rescheduled_appointment_frees_only_the_old_time(clinic: Clinic) -> None:
    record = clinic.record()
    assert record.start
    assert record.end
    clinic.apply(record)
    later = timedelta(minutes=15)
    applied = clinic.apply(replace(record, version="2", start=record.start + later, end=record.end + later))
    (opening,) = applied.opened
    assert (opening.start, opening.end) == (record.start, record.start + later)


@pytest.mark.parametrize("later", [timedelta(0), timedelta(minutes=15)])
def test_an_appointment_given_to_another_clinician_frees_all_of_the_first_ones_time(
    clinic: Clinic, later: timedelta
) -> None:
    record = clinic.record()
    assert record.start
    assert record.end
    other = factories.provider()
    factories.external_id(clinic.source, ExternalId.Kind.PROVIDER, other, "other")
    clinic.apply(record)
    moved = replace(record, version="2", provider_id="other", start=record.start + later, end=record.end + later)
    (opening,) = clinic.apply(moved).opened
    assert (opening.provider, opening.start, opening.end) == (clinic.provider, record.start, record.end)
    row = Appointment.objects.get()
    assert (row.provider, row.start, row.end) == (other, moved.start, moved.end)


@pytest.mark.parametrize("minutes", [-1, -20])
def test_time_that_has_begun_is_not_opened(clinic: Clinic, minutes: int) -> None:
    start = timezone.now() + timedelta(minutes=minutes)
    record = clinic.record(start=start, end=start + timedelta(minutes=30))
    clinic.apply(record)
    assert clinic.cancel(record).opened == ()


def test_a_reason_that_forbids_it_opens_nothing(clinic: Clinic) -> None:
    record = clinic.record()
    clinic.apply(record)
    assert clinic.cancel(record, reason_verdict="not_rebookable").opened == ()


@pytest.mark.parametrize("verdict", ["unmapped", "ask_staff"])
def test_a_doubtful_reason_waits_for_staff(clinic: Clinic, verdict: str) -> None:
    record = clinic.record()
    clinic.apply(record)
    (opening,) = clinic.cancel(record, reason_verdict=verdict).opened
    assert Opening.objects.get(pk=opening.pk).held == "reason"
    assert WorkItem.objects.get().kind == "opening.reason"


def test_un_cancelled_closes_the_opening(clinic: Clinic) -> None:
    record = clinic.record()
    clinic.apply(record)
    clinic.cancel(record)
    clinic.apply(replace(record, version="3"))
    opening = Opening.objects.get()
    assert (opening.status, opening.closed_reason) == ("closed", "restored")


def test_a_booking_over_part_of_an_opening_leaves_the_rest(clinic: Clinic) -> None:
    long = clinic.record(end=factories.in_days(3) + timedelta(minutes=60))
    assert long.start
    assert long.end
    clinic.apply(long)
    clinic.cancel(long)
    half = long.start + timedelta(minutes=30)
    clinic.apply(clinic.record("a2", end=half))
    closed = Opening.objects.get(status="closed")
    rest = Opening.objects.get(status="open")
    assert closed.closed_reason == "taken"
    assert (rest.start, rest.end, rest.parent) == (half, long.end, closed)


def test_neighbours_join_before_their_first_offer_only(clinic: Clinic) -> None:
    first = clinic.record("a1")
    assert first.start
    assert first.end
    second = clinic.record("a2", start=first.end, end=first.end + timedelta(minutes=30))
    clinic.apply(first)
    clinic.apply(second)
    clinic.cancel(first)
    clinic.cancel(second)
    joined = Opening.objects.get(status="open")
    assert (joined.start, joined.end) == (first.start, second.end)
    assert Opening.objects.get(status="closed").closed_reason == "merged"


def test_an_opening_with_offers_keeps_its_time(clinic: Clinic) -> None:
    first = clinic.record("a1")
    assert first.start
    assert first.end
    second = clinic.record("a2", start=first.end, end=first.end + timedelta(minutes=30))
    clinic.apply(first)
    clinic.apply(second)
    clinic.cancel(first)
    Opening.objects.update(status="offering", waves_sent=1)
    clinic.cancel(second)
    assert list(Opening.objects.order_by("start").values_list("start", "end", "status")) == [
        (first.start, first.end, "offering"),
        (second.start, second.end, "open"),
    ]


def test_a_patient_who_was_seen_is_no_new_patient(clinic: Clinic) -> None:
    clinic.patient.established = False
    clinic.patient.save()
    record = clinic.record()
    clinic.apply(record)
    clinic.patient.refresh_from_db()
    assert not clinic.patient.established
    clinic.apply(replace(record, version="2", status="fulfilled"))
    clinic.patient.refresh_from_db()
    assert clinic.patient.established


@pytest.mark.parametrize(("kind", "value"), [("provider", "provider_id"), ("location", "location_id")])
def test_time_side_by_side_of_two_clinicians_or_places_is_not_joined(clinic: Clinic, kind: str, value: str) -> None:
    other = factories.provider() if kind == "provider" else factories.location()
    factories.external_id(clinic.source, kind, other, "other")
    first = clinic.record("a1")
    assert first.start
    assert first.end
    second = clinic.record("a2", start=first.end, end=first.end + timedelta(minutes=30), **{value: "other"})
    later = clinic.record("a3", start=first.end + timedelta(hours=1), end=first.end + timedelta(minutes=90))
    early = clinic.record("a4", start=first.start - timedelta(hours=1), end=first.start - timedelta(minutes=30))
    for record in (early, first, second, later):
        clinic.apply(record)
    for record in (later, early, first, second):
        clinic.cancel(record)
    found = Opening.objects.filter(status="open").order_by("start")
    expected = [(each.start, each.end) for each in (early, first, second, later)]
    assert list(found.values_list("start", "end")) == expected


def test_freed_time_is_opened_but_for_what_of_it_is_on_offer_already(clinic: Clinic) -> None:
    """Another clinician's on offer takes nothing; what staff took unoffered does, and an opening that touches it."""
    record = clinic.record()
    assert record.start
    assert record.end
    clinic.apply(record)
    half = record.start + timedelta(minutes=15)
    factories.opening(factories.provider(), clinic.location, start=record.start, status="offering", waves_sent=1)
    factories.opening(clinic.provider, clinic.location, start=record.start, minutes=15, status="claimed")
    factories.opening(clinic.provider, clinic.location, start=record.end, status="offering", waves_sent=1)
    (opening,) = clinic.cancel(record).opened
    assert (opening.start, opening.end) == (half, record.end)


@pytest.mark.parametrize(("depth", "opens"), [(2, [3]), (3, [])])
def test_a_chain_of_move_ups_ends(clinic: Clinic, depth: int, opens: list[int]) -> None:
    record, other = clinic.record("a1"), clinic.record("a2", start=factories.in_days(5), end=factories.in_days(5, 16))
    clinic.apply(record)
    clinic.apply(other)
    cause = factories.opening(factories.provider(), clinic.location, depth=depth)
    writebacks.request_cancel(Appointment.objects.get(start=record.start), cause)
    Writeback.objects.update(status="done")
    assert [each.depth for each in clinic.cancel(record).opened] == opens
    assert [each.depth for each in clinic.cancel(other).opened] == [0], "nobody was moved up for it"
