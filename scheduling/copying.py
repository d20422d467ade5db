"""Thousands of rows into one table: by COPY on PostgreSQL, which takes a fraction of an INSERT by the ORM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, models
from django.utils import timezone
from psycopg import sql
from psycopg.types.json import Jsonb

from audit.fields import EncryptedMixin


def insert(model: type[models.Model], columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """Insert ``rows``, whose values belong to ``columns`` (attribute names), and return their keys in that order.

    Other columns get their field's default, or the time where that is what the field keeps. No signal is sent and
    nothing is logged: the caller writes the audit trail. Raises IntegrityError like any insert, and TypeError for a
    model with encrypted fields, whose values would arrive in plain text.
    """
    if any(isinstance(field, EncryptedMixin) for field in model._meta.concrete_fields):
        raise TypeError(f"{model._meta.label} has encrypted fields, which only the ORM encrypts.")
    if not rows:
        return []
    if connection.vendor != "postgresql":
        made = [model(**dict(zip(columns, row, strict=True))) for row in rows]
        return [row.pk for row in model._base_manager.bulk_create(made, batch_size=1000)]
    return _copy(model, columns, rows)


def _copy(model: type[models.Model], columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[int]:
    fields = {field.attname: field for field in model._meta.concrete_fields}
    key = fields.pop("id")
    given = [fields.pop(column) for column in columns]
    names = [sql.Identifier(str(field.column)) for field in (key, *given, *fields.values())]
    rest = [_default(field) for field in fields.values()]
    json_places = [place for place, field in enumerate(given) if isinstance(field, models.JSONField)]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(model._meta.db_table), sql.SQL(", ").join(names)
    )
    keys = _next_keys(model, len(rows))
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        for pk, row in zip(keys, rows, strict=True):
            values = [pk, *row, *rest]
            for place in json_places:
                values[place + 1] = Jsonb(row[place])
            copy.write_row(values)
    return keys


def _next_keys(model: type[models.Model], count: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [model._meta.db_table, count],
        )
        return [pk for (pk,) in cursor.fetchall()]


def _default(field: models.Field[Any, Any]) -> Any:
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return timezone.now()
    value = field.get_default()
    return Jsonb(value) if isinstance(field, models.JSONField) else value
