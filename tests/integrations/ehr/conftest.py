"""An EHR over HTTP for each test, and the inbox worked through as its task does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integrations.draining import drain
from integrations.ehr import inbox, load
from integrations.models import Connection
from tests.fixtures.sandbox import Sandbox, sandbox

__all__ = ["sandbox"]


@pytest.fixture
def connection(db: None, sandbox: Sandbox) -> Connection:
    """Our connection to a sandbox EHR with a small clinic, loaded."""
    sandbox.small_clinic()
    row = sandbox.connect()
    load.load(row.pk)
    row.refresh_from_db()
    return row


@pytest.fixture
def work_inbox() -> Callable[[], int]:
    """Deal with every due event, as the inbox's task does, run after run; returns how many were finished."""

    def work() -> int:
        finished = 0
        # A run ends after a while, whatever is left.
        while done := drain("inbox", inbox.due, inbox.process):
            finished += done
        return finished

    return work
