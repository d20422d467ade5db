"""Races made to happen: a rival who acts at an exact call or holds a row, and many who start together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

from django.db import OperationalError, connection, connections, models
from django.utils.module_loading import import_string

Result = TypeVar("Result")


@contextmanager
def right_before(target: str, rival: Callable[[], object]) -> Iterator[None]:
    """Have ``rival`` act once, just before the first call of ``target`` (a dotted name as its caller knows it)."""
    with _once(target, rival, after=False):
        yield


@contextmanager
def right_after(target: str, rival: Callable[[], object]) -> Iterator[None]:
    """Have ``rival`` act once, when the first call of ``target`` has returned and before its caller goes on."""
    with _once(target, rival, after=True):
        yield


@contextmanager
def _once(target: str, rival: Callable[[], object], *, after: bool) -> Iterator[None]:
    real = import_string(target)
    acted: list[bool] = []

    def raced(*args: Any, **kwargs: Any) -> Any:
        is_first = not acted
        acted.append(True)
        if is_first and not after:
            rival()
        result = real(*args, **kwargs)
        if is_first and after:
            rival()
        return result

    with mock.patch(target, raced):
        yield
    assert acted, f"{target} was never called: nothing was raced"


def together(number: int, act: Callable[[int], Result]) -> list[Result]:
    """Call ``act`` with 0, 1, … at the same moment, each in a thread with a connection of its own.

    Needs a test whose rows are committed (``transaction=True``). Exceptions are raised here.
    """
    starting_line = threading.Barrier(number)

    def run(index: int) -> Result:
        try:
            connection.ensure_connection()
            starting_line.wait(timeout=30)
            return act(index)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


@contextmanager
def locked(row: models.Model) -> Iterator[None]:
    """Lock a row by a connection of its own, as another worker's transaction would. SQLite has no such locks."""
    holder = connection.copy()
    holder.set_autocommit(False)
    try:
        with holder.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {row._meta.db_table} WHERE id = %s FOR UPDATE", [row.pk])
        yield
    finally:
        holder.rollback()
        holder.close()


def is_waiting_for_a_lock() -> bool:
    """Whether some statement on the test database waits for a lock right now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone() != (0,)


def somebody_waits_for_us() -> bool:
    """Whether a statement of another connection waits for what ours holds; also inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS ("
            "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def wait_until(true: Callable[[], bool]) -> None:
    """Wait until it is true; AssertionError when that never comes."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


class _Told(Exception):
    """What the driver raises, as far as anybody looks at it."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


def ended_by_the_database(sqlstate: str) -> OperationalError:
    """Return the error by which a transaction ends that PostgreSQL put an end to, "40P01" for a deadlock."""
    error = OperationalError("ended by the database")
    error.__cause__ = _Told(sqlstate)
    return error
