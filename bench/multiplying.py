"""Many rows like one: a prototype is written by the product's own code, the rest by one statement in the database."""

from __future__ import annotations

from django.db import connection, models


def multiply(prototype: models.Model, count: int, first: int = 1, where: str = "true", **expressions: str) -> None:
    """Insert up to ``count`` rows like ``prototype``, with those keys from ``first`` on for which ``where`` holds.

    ``expressions`` are SQL by column; in them ``n`` is the row's key and ``p`` the prototype. Encrypted columns keep
    the prototype's value, so that nothing is encrypted a million times.
    """
    meta = type(prototype)._meta
    columns = [field.column for field in meta.concrete_fields if field.column]
    unknown = expressions.keys() - set(columns)
    if unknown:
        raise ValueError(f"{meta.label} has no column {', '.join(sorted(unknown))}")
    values = {column: f'p."{column}"' for column in columns} | {"id": "n"} | expressions
    run(
        f"INSERT INTO {meta.db_table} ({', '.join(_quoted(each) for each in columns)}) "
        f"SELECT {', '.join(values[column] for column in columns)} "
        f"FROM {meta.db_table} AS p, generate_series({first}, {first + count - 1}) AS n "
        f"WHERE p.id = {prototype.pk} AND {where}"
    )
    run(f"SELECT setval(pg_get_serial_sequence('{meta.db_table}', 'id'), {first + count})")


def chance(salt: int, one_in: int, value: str = "n") -> str:
    """Return an SQL condition that holds for one in so many rows ``n``, the same ones in each run."""
    return f"{dice(salt, one_in, value)} = 0"


def dice(salt: int, sides: int, value: str = "n") -> str:
    """Return an SQL expression that is 0 to ``sides`` - 1, the same for a row in each run."""
    return f"(abs(hashint8extended({value}, {salt}) % {sides}))"


def run(statement: str) -> None:
    """Execute a statement made of our own words and numbers."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def finish() -> None:
    """Bring the planner's knowledge and the visibility map up to date, as autovacuum would within minutes."""
    run("VACUUM ANALYZE")


def _quoted(column: str) -> str:
    return f'"{column}"'
