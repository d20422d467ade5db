"""The small clinic of the flows, a clock to move, and a web server that its EHR can notify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from tests.faults.people import Inbox
from tests.flows.clinic import Clinic
from tests.flows.conftest import clinic, poll_and_pump, pump, sandbox, stack

__all__ = ["clinic", "poll_and_pump", "pump", "sandbox", "stack"]


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that goes on and that a test can put forward by ``clock.shift(seconds)``."""
    with time_machine.travel(timezone.now(), tick=True) as traveller:
        yield traveller


@pytest.fixture
def offering(clinic: Clinic, poll_and_pump: Callable[[], None]) -> Clinic:
    """The clinic when the first patient's cancellation has been offered: two texts and two e-mails are out."""
    clinic.cancel(1)
    poll_and_pump()
    return clinic


@pytest.fixture
def notified(clinic: Clinic, live_server: LiveServer) -> Inbox:
    """The clinic's EHR notifies a web server of ours; returns what arrives there."""
    clinic.subscribe(live_server.url)
    return Inbox(clinic)
