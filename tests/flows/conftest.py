"""The whole loop, run by the tasks' own functions in the test's process against an EHR in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from django.utils import timezone

from config.sandbox import SandboxProcess
from integrations import tasks
from tests.flows.clinic import Clinic, sandbox_process
from tests.flows.stack import Stack
from waitlist import tasks as waitlist_tasks

#: More rounds than the longest story needs; a loop that never rests is a failure.
MOST_ROUNDS = 40


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """An empty sandbox EHR in its own process."""
    with sandbox_process(tmp_path) as process:
        yield process


@pytest.fixture
def clinic(transactional_db: None, sandbox: SandboxProcess) -> Clinic:
    """The small clinic, loaded and on the waitlist."""
    cache.clear()
    return Clinic(sandbox)


@pytest.fixture
def pump() -> Callable[[], None]:
    """Run every task until nothing is due, as the sweep would over the next seconds."""

    def run() -> None:
        for _ in range(MOST_ROUNDS):
            if not tasks.sweep_once():
                return
            tasks.drain_inbox()
            waitlist_tasks.drain_attention()
            tasks.drain_checks()
            tasks.drain_writebacks()
            tasks.drain_messages()
            tasks.drain_reconciles()
        raise AssertionError("the loop does not come to rest")

    return run


@pytest.fixture
def poll_and_pump(clinic: Clinic, pump: Callable[[], None]) -> Callable[[], None]:
    """Ask the EHR what changed, then run until nothing is due."""

    def run() -> None:
        type(clinic.connection).objects.update(poll_due_at=timezone.now())
        tasks.poll_connections()
        pump()

    return run


@pytest.fixture
def stack(clinic: Clinic, tmp_path: Path) -> Iterator[Stack]:
    """The product's processes on the test database, not yet started."""
    running = Stack(tmp_path)
    try:
        yield running
    finally:
        running.stop()
