"""How long a task may drain its rows here: as long as it takes.

A worker's turn ends after some seconds, and the next goes on where it ended. A test that calls a drain once has no
next turn, and how far one gets is a question of how busy the machine is.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integrations import draining

NEVER_CUT_SHORT = 600.0


@pytest.fixture(scope="session", autouse=True)
def longest_turn() -> Iterator[float]:
    """Let drains finish; what a turn is given outside tests, in seconds, is handed to the tests about that."""
    outside_tests = draining.LONGEST_SECONDS
    draining.LONGEST_SECONDS = NEVER_CUT_SHORT
    yield outside_tests
    draining.LONGEST_SECONDS = outside_tests
