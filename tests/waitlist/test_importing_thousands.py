"""A list too long for one breath: made ready in chunks, on the list at one moment, gone on with by another worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from scheduling.models import AppointmentType, Location, Patient
from tests import factories
from waitlist import entries
from waitlist.importing import adding, batches, checking, newcomers, working
from waitlist.models import ConsentRecord, ImportBatch, MatchKey, WaitlistEntry

CHUNK = 2
ROWS = 7


class Killed(BaseException):
    """As a worker ends that is killed: nothing of ours catches it."""


@pytest.fixture
def place(db: None) -> Location:
    factories.practice()
    factories.appointment_type(30, name="Follow-up")
    factories.appointment_type(60, name="Physical")
    return factories.location(name="Riverside")


@pytest.fixture
def batch(place: Location, monkeypatch: pytest.MonkeyPatch) -> ImportBatch:
    """A checked list of seven with consent, that is being added two rows at a time by a worker."""
    monkeypatch.setattr(working, "AT_ONCE", 1)
    monkeypatch.setattr(working, "CHUNK", CHUNK)
    monkeypatch.setattr(adding, "CHUNK", CHUNK)
    people = [f"Okoye,Person{each},3/1{each}/1980,(212) 555-010{each},Follow-up" for each in range(ROWS - 1)]
    again = people[0].replace("Follow-up", "Physical")
    text = "\n".join(["Last name,First name,DOB,Cell,Visit", *people, again])
    batch = batches.upload(text.encode(), "list.csv", User.objects.create_superuser("maria"), place, None)
    assert batches.confirm_columns(batch, {"consent": "form", "consent_form": "form 7"})
    assert working.drain() == 1
    batch.refresh_from_db()
    assert batches.start_adding(batch, "maria", ROWS) == ""
    return batch


def on_the_list() -> tuple[int, int, int]:
    return WaitlistEntry.objects.count(), MatchKey.objects.count(), ConsentRecord.objects.count()


def dying_at(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: int) -> None:
    real: Callable[..., Any] = getattr(module, name)
    calls = iter(range(1, 100))

    def verb(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, verb)


@pytest.mark.parametrize(
    ("module", "name", "call", "known"),
    [
        (newcomers, "make", 3, 4),
        (adding, "_agreed", 1, 6),
        (adding, "_agreed", 3, 6),
        (adding, "_record_consent", 1, 6),
    ],
)
def test_wherever_a_worker_dies_nobody_is_on_the_list_and_the_next_one_goes_on(
    batch: ImportBatch, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: int, known: int
) -> None:
    with monkeypatch.context() as patch:
        dying_at(patch, module, name, call)
        with pytest.raises(Killed):
            working.drain()
    assert on_the_list() == (0, 0, 0)
    assert Patient.objects.count() == known
    assert working.drain() == 0  # the dead worker's lease
    assert working.take_up(batch.pk, timezone.now() + working.LEASE)
    assert on_the_list() == (ROWS, ROWS, ROWS - 1)
    # One person waits for two kinds of visit, whose rows stood in chunks of their own.
    assert Patient.objects.count() == ROWS - 1
    batch.refresh_from_db()
    assert (batch.status, batch.added_count) == ("added", ROWS)
    assert set(batch.rows.values_list("verdict", flat=True)) == {"added"}


def test_how_far_it_has_come_is_seen_and_no_step_takes_more_than_a_chunk(
    batch: ImportBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    made = newcomers.make
    added = entries.bulk_add

    def make(batch: ImportBatch, ready: Any, *rest: Any) -> None:
        assert len(ready) <= CHUNK
        made(batch, ready, *rest)
        seen.append(ImportBatch.objects.values_list("checked_count", flat=True).get(pk=batch.pk))

    def add(drafts: Any) -> Any:
        assert len(drafts) <= CHUNK
        return added(drafts)

    monkeypatch.setattr(newcomers, "make", make)
    monkeypatch.setattr(entries, "bulk_add", add)
    assert working.drain() == 1
    assert seen == [2, 4, 6, 7]
    assert on_the_list()[0] == ROWS


def test_a_list_given_up_leaves_nobody_behind_and_can_be_added_later(batch: ImportBatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        dying_at(patch, newcomers, "make", 3)
        with pytest.raises(Killed):
            working.drain()
    ImportBatch.objects.update(attempts=working.MOST_ATTEMPTS)
    assert working.take_up(batch.pk, timezone.now() + working.LEASE)
    batch.refresh_from_db()
    assert (batch.status, batch.note, on_the_list()) == ("preview", working.FAILED, (0, 0, 0))
    assert not Patient.objects.filter(active=True).exists()
    assert not batch.rows.filter(patient__isnull=False).exists()
    assert batches.start_adding(batch, "maria", ROWS) == ""
    assert working.drain() == 1
    assert on_the_list()[0] == ROWS
    assert Patient.objects.filter(active=True).count() == ROWS - 1


def test_whom_somebody_put_on_the_list_by_hand_meanwhile_is_not_taken_back_with_the_list(batch: ImportBatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        dying_at(patch, newcomers, "make", 3)
        with pytest.raises(Killed):
            working.drain()
    first = batch.rows.order_by("number")[0].patient
    assert first is not None
    factories.entry(first, AppointmentType.objects.get(name="Follow-up"))
    ImportBatch.objects.update(attempts=working.MOST_ATTEMPTS)
    assert working.take_up(batch.pk, timezone.now() + working.LEASE)
    assert list(Patient.objects.filter(active=True)) == [first]
    assert not batch.rows.filter(made_patient=True).exists()


def test_what_changed_in_a_later_chunk_takes_the_earlier_ones_back(batch: ImportBatch) -> None:
    AppointmentType.objects.filter(name="Physical").update(active=False)
    assert working.drain() == 1
    batch.refresh_from_db()
    assert (batch.status, batch.note, on_the_list()) == ("preview", working.CHANGED, (0, 0, 0))
    assert not Patient.objects.filter(active=True).exists()
    assert batches.counts(batch)["ready"] == ROWS - 1
    assert batches.counts(batch)["error"] == 1


def test_a_worker_that_stood_still_for_long_leaves_the_list_to_the_one_that_took_over(
    batch: ImportBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = newcomers.make
    stood_still: list[bool] = []

    def make(*args: Any) -> None:
        made(*args)
        if not stood_still:
            stood_still.append(True)
            ImportBatch.objects.update(lease_until=timezone.now() + timedelta(minutes=9))  # another worker's

    monkeypatch.setattr(newcomers, "make", make)
    working.drain()
    assert on_the_list() == (0, 0, 0)
    assert Patient.objects.count() == CHUNK
    assert working.take_up(batch.pk, timezone.now() + timedelta(minutes=10))
    assert on_the_list() == (ROWS, ROWS, ROWS - 1)
    assert Patient.objects.count() == ROWS - 1


def test_a_longer_list_costs_no_more_statements_within_a_chunk(place: Location) -> None:
    """Checking and adding a chunk; what is known of each row must not be asked for row by row."""
    user = User.objects.create_superuser("maria")

    def statements(rows: int, family: str, area: int) -> int:
        people = [
            f"{family},Person{n},3/{n + 1}/1980,({area}) 555-01{n:02},p{n}@example.org,Follow-up" for n in range(rows)
        ]
        text = "\n".join(["Last name,First name,DOB,Cell,Email,Visit", *people])
        batch = batches.upload(text.encode(), "list.csv", user, place, None)
        with CaptureQueriesContext(connection) as made:
            assert batches.confirm_columns(batch, {"consent": "form", "consent_form": "form 7"})
            assert batches.start_adding(batch, "maria", rows) == ""
        assert batches.counts(batch)["added"] == rows
        return len(made)

    assert statements(25, "Okoye", 212) - statements(5, "Silva", 312) < 10


def test_rows_that_a_second_look_leaves_as_they_were_are_not_written_again(
    batch: ImportBatch,
) -> None:
    rows = list(batch.rows.order_by("number"))
    with CaptureQueriesContext(connection) as made:
        checking.check(batch, rows, timezone.localdate())
    assert not [each["sql"] for each in made if each["sql"].startswith("UPDATE")]
    assert {row.verdict for row in rows} == {"ready"}
