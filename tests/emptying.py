"""How Django empties the tables between tests that commit.

SQLite deletes rows, which the audit triggers refuse: they are dropped, and created again from their own text, inside
the transaction of the flush; at every other moment of a test they stand.

PostgreSQL would truncate each of the eighty tables, which takes seconds where the test left ten rows. Here only tables
with rows are emptied, by DELETE, with triggers and foreign keys off for that transaction. What a superuser alone may
switch off is left as Django does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.db.backends.postgresql.base import DatabaseOperations as PostgresOperations
from django.db.backends.sqlite3.base import DatabaseOperations as SqliteOperations

TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'append_only_%'"
#: Django fills these again from the models as soon as they are empty.
SAME_EVERY_TIME = frozenset({"django_content_type", "auth_permission"})

Flush = Callable[[Any, list[str]], None]


@pytest.fixture(scope="session", autouse=True)
def empty_tables_quickly_and_past_triggers() -> Iterator[None]:
    on_sqlite, on_postgres = SqliteOperations.execute_sql_flush, PostgresOperations.execute_sql_flush
    SqliteOperations.execute_sql_flush = _past_triggers(on_sqlite)
    PostgresOperations.execute_sql_flush = _only_what_has_rows(on_postgres)
    yield
    SqliteOperations.execute_sql_flush = on_sqlite
    PostgresOperations.execute_sql_flush = on_postgres


def _past_triggers(original: Flush) -> Flush:
    def execute_sql_flush(self: Any, sql_list: list[str]) -> None:
        connection = self.connection
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(TRIGGERS)
            triggers = cursor.fetchall()
            for name, _ in triggers:
                cursor.execute(f"DROP TRIGGER {name}")
            original(self, sql_list)
            for _, statement in triggers:
                cursor.execute(statement)

    return execute_sql_flush


def _only_what_has_rows(original: Flush) -> Flush:
    def execute_sql_flush(self: Any, sql_list: list[str]) -> None:
        connection = self.connection
        if not _is_superuser(connection):
            original(self, sql_list)
            return
        tables = set(connection.introspection.django_table_names(only_existing=True)) - SAME_EVERY_TIME
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            exists = " UNION ALL ".join(f"SELECT '{each}' WHERE EXISTS (SELECT FROM {each})" for each in sorted(tables))
            cursor.execute(exists)
            with_rows = [name for (name,) in cursor.fetchall()]
            cursor.execute("SET LOCAL session_replication_role = 'replica'")
            for name in with_rows:
                cursor.execute(f"DELETE FROM {name}")

    return execute_sql_flush


def _is_superuser(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SHOW is_superuser")
        return bool(cursor.fetchone()[0] == "on")
