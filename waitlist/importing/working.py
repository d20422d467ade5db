"""What a worker does for a list: checks its rows, adds those that are ready, and deletes it when its time has come.

A small list is dealt with at once by whoever presses the button; a large one by a worker, which leaves its progress
on the row. Either way the batch is due until the hop is done, so that a process that dies costs a lease, not the list.
However many rows there are, they are prepared in chunks, and all of them come onto the list by the one move to *added*.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from scheduling import reviews
from scheduling.transitions import move, register
from scheduling.wake import wake
from waitlist.importing import adding, checking, newcomers
from waitlist.importing.newcomers import Overtaken, Ready
from waitlist.importing.parsing import Words
from waitlist.models import ImportBatch, ImportRow

_S, _V = ImportBatch.Status, ImportRow.Verdict
register(
    ImportBatch,
    "status",
    {
        _S.COLUMNS: {_S.COLUMNS, _S.CHECKING, _S.DISCARDED},
        _S.CHECKING: {_S.PREVIEW, _S.ADDED, _S.COLUMNS, _S.DISCARDED},
        _S.PREVIEW: {_S.COLUMNS, _S.CHECKING, _S.ADDING, _S.DISCARDED},
        _S.ADDING: {_S.ADDED, _S.CHECKING, _S.PREVIEW},
        _S.ADDED: {_S.CHECKING, _S.ADDING, _S.UNDONE},
    },
)
TOPIC = "imports"
#: Rows that are checked while somebody waits for the page.
AT_ONCE = 300
CHUNK = 500
LEASE = timedelta(minutes=2)
MOST_ATTEMPTS = 5
CHANGED = "Something changed meanwhile, so nothing was added. The rows were checked again: look at them, then add."
FAILED = (
    "The machine failed at this list several times. Nothing was added. Try again, and tell whoever runs the system."
)


def run_now_or_wake(batch: ImportBatch) -> None:
    """Take the next hop at once where that is quick, else call a worker."""
    if batch.row_count <= AT_ONCE:
        take_up(batch.pk)
        batch.refresh_from_db()
    else:
        wake(TOPIC)


def due(now: datetime | None = None, limit: int = 5) -> list[int]:
    """Return the ids of the batches with a hop to take."""
    now = now or timezone.now()
    rows = _due(now).order_by("due_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`due` would find anything."""
    return _due(now or timezone.now()).exists()


def drain() -> int:
    """Take every hop that is due; return how many."""
    return sum(take_up(pk) for pk in due())


def take_up(batch_id: int, now: datetime | None = None) -> bool:
    """Take one batch's hop; False when another worker has it, or there is none."""
    now = now or timezone.now()
    mine = _due(now).filter(pk=batch_id)
    if not mine.update(lease_until=now + LEASE, attempts=F("attempts") + 1):
        return False
    batch = ImportBatch.objects.select_related("location", "appointment_type", "uploaded_by").get(pk=batch_id)
    if batch.attempts > MOST_ATTEMPTS:
        before = _S.COLUMNS if batch.status == _S.CHECKING else _S.PREVIEW
        back = _S.ADDED if batch.added_at else before
        with transaction.atomic():
            given_up = move(batch, back, due_at=None, lease_until=None, note=FAILED)
            if given_up:
                newcomers.take_back(batch)
        return given_up
    if batch.status == _S.CHECKING:
        _check_all(batch)
    elif batch.status == _S.ADDING:
        _add(batch)
    return True


def forget_old(now: datetime | None = None, limit: int = 20) -> int:
    """Delete the files and rows whose time has come; return of how many batches.

    A row that was put off to the patient reviews is kept, by itself, until it is answered there.
    """
    now = now or timezone.now()
    rows = ImportBatch.objects.filter(forget_at__lte=now).exclude(status__in=(_S.CHECKING, _S.ADDING))
    done = 0
    for batch in rows.order_by("forget_at")[:limit]:
        with transaction.atomic():
            waiting = reviews.waiting_subjects(checking.KIND, batch.rows.values_list("pk", flat=True))
            if waiting:
                _forget_all_but(batch, waiting, now)
            else:
                forget(batch)
        done += 1
    return done


def _due(now: datetime) -> QuerySet[ImportBatch]:
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    return ImportBatch.objects.filter(free, due_at__lte=now, status__in=(_S.CHECKING, _S.ADDING))


def _renew(batch: ImportBatch, **progress: Any) -> bool:
    """Renew our lease and note how far we have come; False when another worker took the list over."""
    until = timezone.now() + LEASE
    ours = ImportBatch.objects.filter(pk=batch.pk, status=batch.status, lease_until=batch.lease_until)
    if not ours.update(lease_until=until, **progress):
        return False
    batch.lease_until = until
    return True


def _check_all(batch: ImportBatch) -> None:
    """Check the rows that have no verdict yet, a chunk at a time; what a dead worker had checked stays checked."""
    words, today = Words(batch), timezone.localdate()
    while rows := list(batch.rows.filter(verdict=_V.NEW).order_by("number")[:CHUNK]):
        checking.check(batch, rows, today, words)
        if not _renew(batch, checked_count=batch.rows.exclude(verdict=_V.NEW).count()):
            return
    move(batch, _S.ADDED if batch.added_at else _S.PREVIEW, due_at=None, lease_until=None)


def _add(batch: ImportBatch) -> None:
    """Prepare the ready rows, then add them. Whatever changed since sends the list back to its preview."""
    try:
        if _prepare(batch):
            adding.add_ready(batch)
    except Overtaken:
        batch.refresh_from_db()
        with transaction.atomic():
            if move(batch, _S.CHECKING, due_at=timezone.now(), lease_until=None, attempts=0, note=CHANGED):
                newcomers.take_back(batch)
                batch.rows.exclude(verdict__in=checking.SETTLED).update(verdict=_V.NEW)
        _check_all(batch)


def _prepare(batch: ImportBatch) -> bool:
    """Look at the ready rows once more and make the people nobody knows, a chunk at a time.

    Who was made by a worker that died is not made again. False when another worker took the list over; raises
    Overtaken when a row is not ready any more.
    """
    words, today, last = Words(batch), timezone.localdate(), 0
    ready = batch.rows.filter(verdict=_V.READY).order_by("number")
    while rows := list(ready.filter(number__gt=last, made_patient=False)[:CHUNK]):
        last = rows[-1].number
        with transaction.atomic():
            if not _renew(batch, checked_count=ready.filter(number__lte=last).count()):
                return False
            checking.check(batch, rows, today, words)
            if any(row.verdict != _V.READY for row in rows):
                raise Overtaken
            newcomers.make(batch, [Ready.of(batch, row, words, today) for row in rows], words, today)
    return _renew(batch)


def forget(batch: ImportBatch) -> None:
    """Delete the file and its rows; which entry came of the list stays in the audit trail."""
    reviews.withdraw(checking.KIND, batch.rows.values_list("pk", flat=True))
    batch.rows.all().delete()
    batch.headings, batch.type_words, batch.forget_at = [], {}, None
    batch.save(update_fields=["headings", "type_words", "forget_at"])
    _forget_file(batch)


def _forget_all_but(batch: ImportBatch, waiting: set[int], now: datetime) -> None:
    batch.rows.exclude(pk__in=waiting).delete()
    batch.forget_at = now + reviews.LATER
    batch.save(update_fields=["forget_at"])
    _forget_file(batch)


def _forget_file(batch: ImportBatch) -> None:
    batch.content, batch.file_name, batch.sheet_name, batch.sheets = None, "", "", []
    batch.save(update_fields=["content", "file_name", "sheet_name", "sheets"])
