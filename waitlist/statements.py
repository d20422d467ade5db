"""SELECTs whose text is built once: what a busy path reads many times a minute, in the database's own time.

Their columns are converted as the ORM would convert them, encrypted ones included; only building the statement and
the model instances is saved. Values are parameters, lists of them one parameter each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from django.db import connection, models

Column = tuple[str, models.Field[Any, Any]]


def column(alias: str, model: type[models.Model], name: str) -> Column:
    """Return a column of the table that the statement calls ``alias``, by its field's name."""
    field = model._meta.get_field(name)
    if not isinstance(field, models.Field) or field.column is None:
        raise ValueError(f"{name} is no column of {model._meta.label}")
    return f'{alias}."{field.column}"', field


class Select:
    """``SELECT <columns> <rest>``; in ``rest``, ``{any}`` stands for "is one of the next parameter, a list"."""

    def __init__(self, columns: Sequence[Column], rest: str) -> None:
        self._fields = [field for _, field in columns]
        self._text = f"SELECT {', '.join(name for name, _ in columns)} {rest}"

    def rows(self, *parameters: Any) -> Iterator[list[Any]]:
        """Yield the rows found, each a list of values in the order of the columns."""
        with connection.cursor() as cursor:
            cursor.execute(self._sql, [_adapted(each) for each in parameters])
            found = cursor.fetchall()
        for stored in found:
            row = list(stored)
            for place, convert, expression in self._converters:
                row[place] = convert(row[place], expression, connection)
            yield row

    @cached_property
    def _sql(self) -> str:
        is_any = "= ANY(%s)" if connection.vendor == "postgresql" else "IN (SELECT value FROM json_each(%s))"
        return self._text.replace("{any}", is_any)

    @cached_property
    def _converters(self) -> list[tuple[int, Any, Any]]:
        found = []
        for place, field in enumerate(self._fields):
            expression = field.get_col(field.model._meta.db_table)
            for convert in (*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection)):
                found.append((place, convert, expression))
        return found


def _adapted(value: Any) -> Any:
    if isinstance(value, list):
        return value if connection.vendor == "postgresql" else json.dumps(value)
    return connection.ops.adapt_unknown_value(value)
