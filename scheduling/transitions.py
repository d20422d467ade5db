"""Which state may follow which, and the one way to change a state.

A state is changed by a conditional UPDATE that names the state it leaves. Two workers that loaded the same row can
therefore not both move it: the second one's UPDATE finds nothing, and losing is a return value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models, transaction
from django.db.models import Q

from audit.log import record_change
from scheduling.exceptions import IllegalTransition
from scheduling.models import Opening, PatientReview, PatientWrite, WorkItem, Writeback

Table = Mapping[str, frozenset[str]]
_TABLES: dict[tuple[type[models.Model], str], Table] = {}


def register(model: type[models.Model], field: str, table: Mapping[str, set[str] | frozenset[str]]) -> None:
    """Declare the allowed next states of ``model.field``; states that are not a key are final."""
    _TABLES[(model, field)] = {str(old): frozenset(map(str, new)) for old, new in table.items()}


def allows(model: type[models.Model], field: str, old: str, new: str) -> bool:
    """Return whether the table lets ``old`` become ``new``."""
    return new in _TABLES[(model, field)].get(old, frozenset())


def move(row: models.Model, to: str, *, field: str = "status", where: Q | None = None, **fields: Any) -> bool:
    """Move ``row`` from the state it was loaded with to ``to``, setting ``fields`` with it.

    Returns False, changing nothing, when somebody else moved it first (or ``where`` no longer holds).
    Raises :class:`IllegalTransition` when the table never allows the step.
    """
    model = type(row)
    old = getattr(row, field)
    if not allows(model, field, old, to):
        raise IllegalTransition(model.__name__, field, old, to)
    rows = model._base_manager.filter(**{"pk": row.pk, field: old})
    changed = {field: to, **fields}
    # The audit entry is written beside the UPDATE: a queryset's update() sends no signals.
    with transaction.atomic():
        if not (rows.filter(where) if where is not None else rows).update(**changed):
            return False
        before = {name: getattr(row, name) for name in changed}
        for name, value in changed.items():
            setattr(row, name, value)
        record_change(row, {name: (before[name], value) for name, value in changed.items()})
    return True


def move_by_id(
    model: type[models.Model], pk: int, to: str, *, field: str = "status", where: Q | None = None, **fields: Any
) -> models.Model | None:
    """Move row ``pk`` from whichever state allows it to ``to`` by a single UPDATE; None when that found nothing.

    For races with many rivals: nothing is read before the decision. The winner gets the row, freshly loaded.
    """
    origins = [old for old, new in _TABLES[(model, field)].items() if to in new]
    rows = model._base_manager.filter(**{"pk": pk, f"{field}__in": origins})
    with transaction.atomic():
        if not (rows.filter(where) if where is not None else rows).update(**{field: to, **fields}):
            return None
        row = model._base_manager.get(pk=pk)
        record_change(row, {name: (None, value) for name, value in {field: to, **fields}.items()})
    return row


_O = Opening.Status
register(
    Opening,
    "status",
    {
        _O.OPEN: {_O.CHECKING, _O.OFFERING, _O.CLAIMED, _O.CLOSED},
        _O.CHECKING: {_O.OPEN, _O.OFFERING, _O.CLAIMED, _O.CLOSED},
        _O.OFFERING: {_O.CLAIMED, _O.CLOSED},
        _O.CLAIMED: {_O.FILLED, _O.OFFERING, _O.OPEN, _O.CLOSED},
        _O.CLOSED: {_O.OPEN},
    },
)

_W = Writeback.Status
register(
    Writeback,
    "status",
    {
        _W.WAITING: {_W.SENDING, _W.REFUSED, _W.DEAD, _W.BY_HAND, _W.DONE},
        _W.SENDING: {_W.DONE, _W.REFUSED, _W.UNKNOWN, _W.WAITING, _W.DEAD, _W.BY_HAND},
        _W.UNKNOWN: {_W.SENDING, _W.DONE, _W.REFUSED, _W.WAITING, _W.DEAD, _W.BY_HAND},
        _W.BY_HAND: {_W.DONE, _W.REFUSED},
        _W.DEAD: {_W.WAITING, _W.DONE, _W.REFUSED},
    },
)

register(
    WorkItem,
    "status",
    {WorkItem.Status.OPEN: {WorkItem.Status.DONE}, WorkItem.Status.DONE: {WorkItem.Status.OPEN}},
)

_R = PatientReview.State
register(
    PatientReview,
    "state",
    {
        _R.OPEN: {_R.LATER, _R.SAME, _R.DIFFERENT},
        _R.LATER: {_R.OPEN, _R.SAME, _R.DIFFERENT},
        # An undo: these are two people after all.
        _R.SAME: {_R.DIFFERENT},
        # Taken back: they may be one.
        _R.DIFFERENT: {_R.OPEN},
    },
)

_P = PatientWrite.Status
register(
    PatientWrite,
    "status",
    {
        _P.WAITING: {_P.SENDING, _P.DROPPED},
        _P.SENDING: {_P.WAITING, _P.UNKNOWN, _P.BY_HAND, _P.CONFLICT, _P.DONE, _P.DROPPED, _P.DEAD},
        _P.UNKNOWN: {_P.SENDING},
        _P.BY_HAND: {_P.SENDING, _P.DROPPED},
        _P.CONFLICT: {_P.SENDING, _P.WAITING, _P.DROPPED},
        _P.DEAD: {_P.WAITING, _P.DROPPED},
        # Somebody whom the EHR does not know, or no longer: asked for once more.
        _P.DROPPED: {_P.WAITING},
        _P.DONE: {_P.WAITING},
    },
)
