"""Triggers by which the database itself refuses to change or delete audit rows, whoever asks.

They exist on PostgreSQL and SQLite and raise `django.db.IntegrityError` there. They are looked for, and put back if
missing, after each ``migrate``: SQLite drops the triggers of a table when a migration rebuilds it.

There is no switch that turns them off at run time, as whatever can be switched by SQL protects against no SQL.
``TRUNCATE``, which only the owner of a PostgreSQL table may use, is not refused; verification finds what it removed.
SQLite has no TRUNCATE, so Django's ``flush`` deletes rows there and is refused; the tests put the triggers aside for it
(``tests/append_only.py``).
"""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

TABLES = ("audit_accessrecord", "audit_seal", "auditlog_logentry")
OPERATIONS = ("UPDATE", "DELETE")
MESSAGE = "audit rows cannot be changed or deleted"

POSTGRESQL_FUNCTION = f"""
CREATE OR REPLACE FUNCTION append_only_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation', TABLE = TG_TABLE_NAME;
END
$$
"""
POSTGRESQL_TRIGGER = (
    "CREATE TRIGGER {name} BEFORE {operation} ON {table} FOR EACH ROW EXECUTE FUNCTION append_only_refuse()"
)
SQLITE_TRIGGER = (
    "CREATE TRIGGER {name} BEFORE {operation} ON {table} FOR EACH ROW BEGIN SELECT RAISE(ABORT, '{message}'); END"
)
EXISTING = {
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'append_only_%'",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'append_only_%'",
}


def trigger_name(table: str, operation: str) -> str:
    return f"append_only_{table}_{operation.lower()}"


def install(connection: BaseDatabaseWrapper) -> list[str]:
    """Creates the triggers that are missing on the tables that exist; gives their names."""
    if connection.vendor not in EXISTING:
        return []
    created = []
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        existing = _existing(connection, cursor)
        for table in TABLES:
            for operation in OPERATIONS:
                name = trigger_name(table, operation)
                if table in tables and name not in existing:
                    _create(connection, cursor, name, table, operation)
                    created.append(name)
    return created


def uninstall(connection: BaseDatabaseWrapper) -> None:
    """Drops the triggers: for going back to a time before them."""
    if connection.vendor not in EXISTING:
        return
    with connection.cursor() as cursor:
        existing = _existing(connection, cursor)
        for table in TABLES:
            for operation in OPERATIONS:
                name = trigger_name(table, operation)
                if name in existing:
                    on_table = f" ON {table}" if connection.vendor == "postgresql" else ""
                    cursor.execute(f"DROP TRIGGER {name}{on_table}")


def _existing(connection: BaseDatabaseWrapper, cursor: Any) -> set[str]:
    cursor.execute(EXISTING[connection.vendor])
    return {row[0] for row in cursor.fetchall()}


def _create(connection: BaseDatabaseWrapper, cursor: Any, name: str, table: str, operation: str) -> None:
    if connection.vendor == "postgresql":
        cursor.execute(POSTGRESQL_FUNCTION)
        cursor.execute(POSTGRESQL_TRIGGER.format(name=name, table=table, operation=operation))
    else:
        cursor.execute(SQLITE_TRIGGER.format(name=name, table=table, operation=operation, message=MESSAGE))
