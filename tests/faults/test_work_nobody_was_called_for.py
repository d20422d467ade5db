"""A process that dies between commit and wake-up: the sweep starts the work, at every hop of the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest import mock

import pytest
from django.utils import timezone

from integrations import sweep, tasks
from integrations.draining import drain
from integrations.ehr import inbox
from integrations.models import Connection
from tests.faults.people import offer_of, tap, told
from tests.flows.clinic import Clinic
from waitlist import tasks as waitlist_tasks
from waitlist.models import Claim

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS: dict[str, Callable[[], object]] = {
    # Dies before it goes on with what the event opened.
    "inbox": lambda: drain("inbox", inbox.due, inbox.process),
    "attention": waitlist_tasks.drain_attention,
    "checks": tasks.drain_checks,
    "writebacks": tasks.drain_writebacks,
    "messages": tasks.drain_messages,
}


@pytest.fixture
def only_the_sweep_wakes() -> Iterator[Callable[[], list[str]]]:
    """Every wake-up of the product is lost but the sweep's; runs what the sweep wakes and returns its topics."""

    def run() -> list[str]:
        woken: list[str] = []
        with mock.patch.object(sweep, "wake", woken.append):
            for _ in range(30):
                before = len(woken)
                sweep.sweep()
                for topic in woken[before:]:
                    WORKERS[topic]()
                if len(woken) == before:
                    return woken
        raise AssertionError("the loop does not come to rest")

    with mock.patch("scheduling.wake._Publisher.mark"):
        yield run


def test_the_loop_ends_on_the_sweep_alone(clinic: Clinic, only_the_sweep_wakes: Callable[[], list[str]]) -> None:
    clinic.cancel(1)
    Connection.objects.update(poll_due_at=timezone.now())
    tasks.poll_connections()
    woken = only_the_sweep_wakes()
    assert woken[0] == "inbox"
    assert {"attention", "checks", "messages"} <= set(woken)

    tap(offer_of(clinic, 1))
    assert "writebacks" in only_the_sweep_wakes()

    assert Claim.objects.get().state == "confirmed"
    assert told(clinic, 1) == ["offer", "received", "confirmed"]
    assert told(clinic, 2) == ["offer", "filled"]
    (booked,) = clinic.bookings_at(0)
    assert clinic.patient_of(booked) == "waiting-1"
