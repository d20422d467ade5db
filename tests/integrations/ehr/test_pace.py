"""The vendor's limit of calls per minute is kept by all workers together, and what a patient waits for goes first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from django.db import connections
from django.utils import timezone

from integrations.ehr import pace
from integrations.ehr.gateway import Throttled, connect
from integrations.models import Connection
from tests import factories
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

LIMIT = 60


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A clock that stands still but for the sleeping of those who wait their turn."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        monkeypatch.setattr(pace.time, "sleep", traveller.shift)
        yield traveller


def most_in_a_minute(moments: list[datetime]) -> int:
    return max(sum(start <= each < start + timedelta(minutes=1) for each in moments) for start in moments)


def call(connection: Connection, *, is_urgent: bool = False) -> datetime:
    pace.wait_turn(connection.pk, connection.calls_per_minute, is_urgent=is_urgent)
    return timezone.now()


def test_everyday_calls_leave_evenly_at_nine_tenths_of_the_limit(clock: Any) -> None:
    connection = factories.connection(calls_per_minute=LIMIT)
    moments = [call(connection) for _ in range(200)]
    assert most_in_a_minute(moments) == 54
    gaps = {round((after - before).total_seconds(), 2) for before, after in pairwise(moments)}
    assert gaps == {1.11}


def test_urgent_calls_go_at_once_and_the_limit_holds_all_the_same(clock: Any) -> None:
    connection = factories.connection(calls_per_minute=LIMIT)
    moments = [call(connection) for _ in range(60)]
    before = timezone.now()
    moments += [call(connection, is_urgent=True) for _ in range(6)]
    assert timezone.now() == before
    for _ in range(100):
        try:
            moments.append(call(connection))
        except Throttled as error:
            clock.move_to(error.retry_at)
    assert most_in_a_minute(moments) <= LIMIT


def test_a_turn_that_is_far_away_is_not_waited_for(clock: Any) -> None:
    connection = factories.connection(calls_per_minute=2)
    call(connection)
    before = timezone.now()
    with pytest.raises(Throttled, match="Our own limit of 2 calls per minute") as caught:
        call(connection)
    assert caught.value.retry_at == before + timedelta(seconds=60)
    assert timezone.now() == before


def test_without_a_limit_nobody_waits(clock: Any) -> None:
    connection = factories.connection()
    before = timezone.now()
    for _ in range(500):
        call(connection)
    assert timezone.now() == before
    assert pace.used_percent(connection.pk, None) is None


def test_how_much_is_used_is_known(clock: Any) -> None:
    connection = factories.connection(calls_per_minute=LIMIT)
    assert pace.used_percent(connection.pk, LIMIT) == 0
    for _ in range(3):
        call(connection, is_urgent=True)
    assert pace.used_percent(connection.pk, LIMIT) == 50


def test_our_own_limit_is_no_trouble_of_the_ehr(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect(calls_per_minute=2)
    connection.token_url = f"{sandbox.url.removesuffix('/fhir')}/oauth/token"
    pace.wait_turn(connection.pk, 2, is_urgent=False)
    with pytest.raises(Throttled):
        connect(connection).fetch("location", "elm")
    connection.refresh_from_db()
    assert (connection.failing_since, connection.quiet_until) == (None, None)


@pytest.mark.django_db(transaction=True)
def test_many_workers_never_take_the_same_turn() -> None:
    connection = factories.connection(calls_per_minute=3000)
    taken: list[datetime] = []

    def worker() -> None:
        for _ in range(10):
            pace.wait_turn(connection.pk, 3000, is_urgent=False)
            taken.append(timezone.now())
        connections.close_all()

    threads = [threading.Thread(target=worker) for _ in range(6)]
    began = timezone.now()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # 60 turns, 1/45 of a second apart: however the threads ran, the last turn was not before its time
    assert len(taken) == 60
    assert max(taken) - began >= timedelta(seconds=59 / 45)
