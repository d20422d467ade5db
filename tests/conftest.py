"""What every test shares: hypothesis' profile and the note on which tests a run leaves out."""

import gc
import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.emptying import empty_tables_quickly_and_past_triggers  # noqa: F401 - an automatic fixture
from tests.migrated_once import copy_of_the_first, django_db_setup, pytest_unconfigure  # noqa: F401 - all of it
from tests.no_network_in_transactions import no_network_in_transactions  # noqa: F401 - an automatic fixture
from tests.turns import longest_turn  # noqa: F401 - an automatic fixture

LEFT_OUT_OF_MAKE_TEST = ("browser", "process", "long", "postgres")
LEFT_OUT = pytest.StashKey[dict[str, list[str]]]()

# Examples repeat from run to run, so a red run can be seen again; a slow machine is no reason to fail.
settings.register_profile(
    "project", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("project")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three processes for two processors: a third of the time tests wait, for answers of servers and for each other."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector off modules and tests, while they are loaded and later: they stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in LEFT_OUT_OF_MAKE_TEST:
            if item.get_closest_marker(mark):
                item.config.stash.setdefault(LEFT_OUT, {}).setdefault(mark, []).append(item.location[0])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Every xdist worker deselects the same tests; it hands its list to the process that prints the summary."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    if hasattr(node, "workeroutput"):
        node.config.stash[LEFT_OUT] = node.workeroutput.get("left_out", {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, {})
    if not left_out:
        return
    terminalreporter.section("left to .ci/run")
    for mark, files in sorted(left_out.items()):
        terminalreporter.line(f"{len(files)} tests marked '{mark}': {', '.join(sorted(set(files)))}")
