"""Moves stored values to the first encryption key while the system runs.

How keys are changed: add the new key as the *second* of ``FIELD_ENCRYPTION_KEYS`` and restart every process, so that
all of them can read it; make it the *first* and restart again; run ``manage.py rotate_field_keys``; when it reports
that nothing is left, remove the old key.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connections, models, router, transaction

from audit import log
from audit.encryption import DecryptionError, is_current, reencrypt
from audit.fields import encrypted_fields
from audit.models import AccessRecord

BATCH = 200
MOST_PASSES = 10


@dataclass
class Rotation:
    """Counts of values. ``overtaken`` ones were written by somebody else meanwhile and are left for the next pass."""

    moved: int = 0
    overtaken: int = 0
    unreadable: int = 0

    def __add__(self, other: "Rotation") -> "Rotation":
        return Rotation(self.moved + other.moved, self.overtaken + other.overtaken, self.unreadable + other.unreadable)


def rotate_models() -> list[type[models.Model]]:
    """All models that have encrypted fields of their own."""
    return [model for model in apps.get_models() if model._meta.managed and encrypted_fields(model)]


def rotate_all(chosen: Iterable[type[models.Model]] | None = None) -> dict[str, Rotation]:
    """Rotates the models, all by default, each until a pass finds nothing left to do."""
    totals: dict[str, Rotation] = {}
    for model in rotate_models() if chosen is None else chosen:
        total = Rotation()
        for _ in range(MOST_PASSES):
            outcome = rotate(model)
            total = Rotation(total.moved + outcome.moved, outcome.overtaken, outcome.unreadable)
            if not outcome.moved and not outcome.overtaken:
                break
        totals[model._meta.label] = total
        log.record(
            AccessRecord.Action.ROTATE,
            subject_kind=model._meta.label_lower,
            detail={"moved": total.moved, "left": total.overtaken, "unreadable": total.unreadable},
        )
    return totals


def rotate(model: type[models.Model], batch_size: int = BATCH) -> Rotation:
    """One pass over one model. Values under the first key are passed over, so an interrupted run is simply repeated.

    A value is replaced only where the database still holds the token that was read: what somebody saves meanwhile is
    never overwritten.
    """
    total = Rotation()
    for field in encrypted_fields(model):
        for rows in _batches(model, field, batch_size):
            total += _move(model, field, rows)
    return total


def _batches(model: type[models.Model], field: Any, size: int) -> Iterator[list[tuple[Any, Any]]]:
    connection = connections[router.db_for_write(model)]
    table, key, column = (
        connection.ops.quote_name(name) for name in (model._meta.db_table, _key_column(model), field.column)
    )
    last: Any = None
    while True:
        after, parameters = ("", []) if last is None else (f"AND {key} > %s", [last])
        with connection.cursor() as cursor:
            # Table and column names come from the models; the values are parameters.
            cursor.execute(
                f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL {after} "  # noqa: S608
                f"ORDER BY {key} LIMIT {size:d}",
                parameters,
            )
            rows = cursor.fetchall()
        if not rows:
            return
        yield rows
        last = rows[-1][0]


def _move(model: type[models.Model], field: Any, rows: list[tuple[Any, Any]]) -> Rotation:
    using = router.db_for_write(model)
    connection = connections[using]
    outcome = Rotation()
    replacements = []
    for key, stored in rows:
        token = stored.encode() if isinstance(stored, str) else bytes(stored)
        if is_current(token):
            continue
        try:
            replacements.append((key, stored, _like(stored, reencrypt(token))))
        except DecryptionError:
            outcome.unreadable += 1
    if not replacements:
        return outcome
    table, key_column, column = (
        connection.ops.quote_name(name) for name in (model._meta.db_table, _key_column(model), field.column)
    )
    statement = f"UPDATE {table} SET {column} = %s WHERE {key_column} = %s AND {column} = %s"  # noqa: S608
    with transaction.atomic(using=using), connection.cursor() as cursor:
        for key, old, new in replacements:
            cursor.execute(statement, [new, key, old])
            if cursor.rowcount == 1:
                outcome.moved += 1
            else:
                outcome.overtaken += 1
    return outcome


def _key_column(model: type[models.Model]) -> str:
    return str(model._meta.pk.column)


def _like(stored: Any, token: bytes) -> Any:
    return token.decode("ascii") if isinstance(stored, str) else token
