"""An event is in one worker's hands at a time; who lost it stores nothing, and every try is in the row."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone

from integrations.ehr import event_leases
from integrations.models import Connection, InboundEvent
from scheduling.exceptions import IllegalTransition
from tests import factories

pytestmark = pytest.mark.django_db

NOW = timezone.now()
SOON = NOW + timedelta(seconds=1)
_numbers = itertools.count()


@pytest.fixture
def connection(db: None) -> Connection:
    return factories.connection()


def event(connection: Connection, subject: str = "Appointment/b-1", **fields: Any) -> InboundEvent:
    values = {"via": "webhook", "dedupe_key": str(next(_numbers)), "subject_key": subject, "body": b""}
    values |= {"due_at": NOW, "received_at": NOW}
    return InboundEvent.objects.create(connection=connection, **(values | fields))


def stored(row: InboundEvent) -> InboundEvent:
    return InboundEvent.objects.get(pk=row.pk)


def taken(row: InboundEvent, now: datetime | None = None) -> InboundEvent:
    held = event_leases.lease(row.pk, now)
    assert held is not None
    return held


@pytest.mark.parametrize(
    ("fields", "is_due"),
    [
        ({}, True),
        ({"due_at": SOON}, False),
        ({"status": "processing", "lease_until": NOW, "due_at": SOON}, True),
        ({"status": "processing", "lease_until": SOON}, False),
        *(({"status": status, "lease_until": NOW}, False) for status in ("done", "ignored", "quarantined", "dead")),
    ],
)
def test_it_is_dealt_with_when_it_is_due_or_its_worker_died(
    connection: Connection, fields: dict[str, Any], is_due: bool
) -> None:
    row, other = event(connection, **fields), event(connection, "Appointment/b-2")
    assert {*event_leases.due(NOW)} == ({row.pk, other.pk} if is_due else {other.pk})
    assert (event_leases.lease(row.pk, NOW) is not None) is is_due
    assert stored(row).attempts == int(is_due)
    assert (stored(other).status, stored(other).attempts) == ("received", 0), "nobody has taken that one"


@pytest.mark.parametrize(
    ("fields", "is_due"),
    [
        ({}, True),
        ({"state": "paused"}, False),
        ({"state": "stopped"}, False),
        ({"quiet_until": SOON}, False),
        ({"quiet_until": NOW}, True),
    ],
)
def test_it_waits_while_the_ehr_is_not_to_be_asked_and_another_ehrs_do_not(
    connection: Connection, fields: dict[str, Any], is_due: bool
) -> None:
    Connection.objects.filter(pk=connection.pk).update(**fields)
    row, other = event(connection), event(factories.connection("oak"))
    assert event_leases.due(NOW) == ([row.pk] if is_due else []) + [other.pk]


def test_the_longest_due_come_first(connection: Connection) -> None:
    late, early = (event(connection, due_at=NOW - timedelta(minutes=each)) for each in (1, 2))
    assert event_leases.due(NOW) == [early.pk, late.pk]
    assert event_leases.due(NOW, limit=1) == [early.pk]


def test_while_one_about_the_same_appointment_is_in_work_the_next_waits_a_moment(connection: Connection) -> None:
    first, second, other = event(connection), event(connection), event(connection, "Appointment/b-2")
    held = taken(first, NOW)
    assert held.lease_until == NOW + event_leases.LEASE
    assert event_leases.lease(second.pk, NOW) is None
    assert (stored(second).due_at, stored(second).attempts) == (NOW + event_leases.BUSY_WAIT, 0)
    assert stored(other).due_at == NOW
    assert event_leases.lease(first.pk, NOW) is None
    assert stored(first).due_at == NOW


def test_a_lease_is_renewed_before_a_call_that_could_outlast_it(connection: Connection) -> None:
    row, other = event(connection), event(connection, "Appointment/b-2")
    theirs = taken(other)
    held = taken(row)
    before = held.lease_until
    assert event_leases.keep(held)
    assert held.lease_until == before, "it was taken just now"
    held.lease_until = timezone.now() + event_leases.LONG_ENOUGH
    assert event_leases.keep(held)
    held.lease_until -= timedelta(seconds=3)
    InboundEvent.objects.filter(pk=row.pk).update(lease_until=held.lease_until)
    assert event_leases.keep(held)
    until = stored(row).lease_until
    assert until is not None
    assert until > timezone.now() + event_leases.LONG_ENOUGH
    assert stored(other).lease_until == theirs.lease_until


def test_whoever_lost_it_neither_keeps_nor_closes_it(connection: Connection) -> None:
    row = event(connection, due_at=NOW - event_leases.LEASE)
    lost = taken(row, NOW - event_leases.LEASE)
    theirs = taken(row)
    assert (lost.attempts, theirs.attempts) == (1, 2)
    assert not event_leases.keep(lost)
    assert not event_leases.finish(lost, "ignored", "from beyond")
    assert not event_leases.postpone(lost, SOON, "from beyond")
    now = stored(row)
    assert (now.status, now.lease_until, now.outcome, now.error) == ("processing", theirs.lease_until, "", "")
    assert event_leases.finish(theirs, "done", "mirrored")
    assert stored(row).status == "done"


def test_what_came_of_it_closes_it_and_no_other(connection: Connection) -> None:
    row, other = event(connection), event(connection, "Appointment/b-2")
    held, theirs = taken(row), taken(other)
    copy = stored(row)
    assert event_leases.finish(held, "dead", "o" * 130, error="e" * 310)
    now = stored(row)
    assert (now.status, now.outcome, now.error, now.lease_until) == ("dead", "o" * 120, "e" * 300, None)
    assert now.done_at is not None
    assert (held.status, held.lease_until) == ("dead", None), "as it is stored"
    assert (stored(other).status, stored(other).lease_until) == ("processing", theirs.lease_until)
    assert not event_leases.finish(copy, "ignored", "by whoever held it, too late")
    with pytest.raises(IllegalTransition):
        event_leases.finish(held, "done", "a second time")
    assert stored(row).status == "dead"


@pytest.mark.parametrize(("counts", "attempts"), [(True, 1), (False, 0)])
def test_what_is_tried_later_keeps_its_tries_but_for_an_outage(
    connection: Connection, counts: bool, attempts: int
) -> None:
    held = taken(event(connection, outcome="begun"))
    assert event_leases.postpone(held, SOON, "unavailable", counts=counts)
    now = stored(held)
    assert (now.status, now.attempts, now.due_at, now.lease_until) == ("received", attempts, SOON, None)
    assert (now.error, now.outcome) == ("unavailable", "begun")
    again = taken(held, SOON)
    assert event_leases.postpone(again, SOON, "gave_way", outcome="it may be applied")
    assert stored(held).outcome == "it may be applied"


@pytest.mark.parametrize(
    ("status", "again"),
    [("dead", True), ("quarantined", True), ("received", False), ("processing", False), ("done", False)],
)
def test_a_person_takes_up_again_what_has_come_to_rest_unread(connection: Connection, status: str, again: bool) -> None:
    at_rest: dict[str, Any] = {"status": status, "attempts": 6, "done_at": NOW, "error": "reference_missing"}
    at_rest["due_at"] = NOW - timedelta(days=1)
    row, other = event(connection, **at_rest), event(connection, "Appointment/b-2", **at_rest | {"status": "dead"})
    logged = LogEntry.objects.count()
    assert event_leases.retry(row) is again
    now = stored(row)
    if again:
        assert (now.status, now.attempts, now.done_at, now.error) == ("received", 0, None, "")
        assert now.due_at >= NOW
    else:
        assert (now.status, now.attempts, now.error) == (status, 6, "reference_missing")
    assert LogEntry.objects.count() == logged + int(again)
    assert stored(other).status == "dead"
