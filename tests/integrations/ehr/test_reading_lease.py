"""One worker reads a connection from end to end; who died is replaced, and who was replaced notices."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from integrations.ehr.reading_lease import LEASE, AlreadyRunning, ReadingLease
from integrations.models import Connection
from tests import factories, race

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(db: None) -> Connection:
    return factories.connection()


def until() -> datetime | None:
    return Connection.objects.values_list("poll_lease_until", flat=True).get()


def test_it_is_taken_once(connection: Connection) -> None:
    now = timezone.now()
    assert ReadingLease.take(connection.pk, now) is not None
    assert until() == now + LEASE
    assert ReadingLease.take(connection.pk, now + LEASE - timedelta(seconds=1)) is None
    assert ReadingLease.take(connection.pk, now + LEASE) is not None


@pytest.mark.django_db(transaction=True)
def test_of_many_who_want_it_one_gets_it(connection: Connection) -> None:
    got = race.together(8, lambda _: ReadingLease.take(connection.pk) is not None)
    assert sorted(got) == [False] * 7 + [True]


def test_a_young_lease_costs_nothing_to_keep(connection: Connection, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    lease = ReadingLease.take(connection.pk)
    assert lease is not None
    with django_assert_num_queries(0):
        lease.keep()


def test_an_older_one_is_renewed_and_so_is_one_that_has_something_to_say(connection: Connection) -> None:
    lease = ReadingLease.take(connection.pk, timezone.now() - timedelta(seconds=31))
    assert lease is not None
    lease.keep()
    renewed = until()
    assert renewed is not None
    assert renewed > timezone.now() + LEASE - timedelta(seconds=30)
    lease.keep(last_error="slow")
    assert Connection.objects.get().last_error == "slow"
    later = until()
    assert later is not None
    assert later > renewed


def test_who_was_replaced_stops_and_writes_nothing(connection: Connection) -> None:
    long_ago = timezone.now() - LEASE - timedelta(seconds=1)
    old = ReadingLease.take(connection.pk, long_ago)
    new = ReadingLease.take(connection.pk)
    assert old is not None
    assert new is not None
    held = until()
    with pytest.raises(AlreadyRunning):
        old.keep(last_error="from the old one")
    old.release(last_error="from the old one")
    assert (until(), Connection.objects.get().last_error) == (held, "")
    new.release(last_error="from the new one")
    assert (until(), Connection.objects.get().last_error) == (None, "from the new one")


def test_each_connection_has_a_lease_of_its_own(connection: Connection) -> None:
    now, other = timezone.now(), factories.connection("oak")
    lease = ReadingLease.take(connection.pk, now)
    other.refresh_from_db()
    assert (lease is not None, other.poll_lease_until) == (True, None)
    assert ReadingLease.take(other.pk, now) is not None
    assert lease is not None
    lease.release(last_error="slow")
    other.refresh_from_db()
    assert (other.poll_lease_until, other.last_error) == (now + LEASE, "")
