"""Of pytest's processes one migrates a test database; the others copy it, which takes a hundredth of the time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

WORKER = "PYTEST_XDIST_WORKER"


@pytest.fixture(scope="session")
def copy_of_the_first(django_db_modify_db_settings: None) -> Iterator[Callable[[], None]]:
    """Wait for the process that is before us; the value, called once our database stands, lets the next one go on."""
    if WORKER not in os.environ:
        yield lambda: None
        return
    with (_directory() / "migrating").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        is_first = os.fstat(turn.fileno()).st_size == 0
        if not is_first:
            _copy_instead_of_making()

        def done() -> None:
            if is_first:
                _keep_a_copy()
                turn.write("migrated")
                turn.flush()
            fcntl.flock(turn, fcntl.LOCK_UN)

        yield done


@pytest.fixture(scope="session")
def django_db_setup(
    copy_of_the_first: Callable[[], None], django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock():
        copy_of_the_first()


def pytest_unconfigure() -> None:
    """Remove PostgreSQL's copy; that of SQLite goes with its directory."""
    if WORKER not in os.environ and (_directory() / "migrating").exists() and connection.vendor == "postgresql":
        with psycopg.connect(**connection.get_connection_params(), autocommit=True) as own:  # past what blocks tests
            own.execute(f'DROP DATABASE IF EXISTS "{_copy()}"')


def _directory() -> Path:
    return Path(os.environ["TEST_DIR"])


def _copy() -> str:
    """Return the name of the copy, another one in each run."""
    return str(_directory() / "migrated.sqlite3") if connection.vendor == "sqlite" else f"migrated-{_directory().name}"


def _keep_a_copy() -> None:
    made = connection.settings_dict["NAME"]
    connection.close()  # SQLite puts what is in its log into the file then
    if connection.vendor == "sqlite":
        shutil.copyfile(made, _copy())
        return
    creation: Any = connection.creation
    with creation._nodb_cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{_copy()}" TEMPLATE "{made}"')


def _copy_instead_of_making() -> None:
    creation: Any = connection.creation
    if connection.vendor == "postgresql":
        connection.settings_dict["TEST"]["TEMPLATE"] = _copy()
        return
    make = creation._create_test_db

    def copy(*args: Any, **kwargs: Any) -> str:
        name = str(make(*args, **kwargs))
        shutil.copyfile(_copy(), name)
        return name

    creation._create_test_db = copy
