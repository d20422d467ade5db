"""An import from upload to being added: the verbs behind its pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from scheduling import reviews
from scheduling.counting import counted
from scheduling.models import AppointmentType, Location, Patient
from scheduling.transitions import move
from waitlist.importing import checking, columns, reading, values, working
from waitlist.importing.parsing import Words, days_first
from waitlist.importing.reading import Table
from waitlist.models import ImportBatch, ImportRow

_S, _V = ImportBatch.Status, ImportRow.Verdict
#: Words for kinds of visit that are asked about at once.
MOST_ASKED = 20
#: Days after which the file and its rows are deleted.
KEPT_DAYS = 14
EDITABLE = (_S.PREVIEW, _S.ADDED)


def upload(
    content: bytes,
    file_name: str,
    user: User,
    location: Location | None,
    kind: AppointmentType | None,
    *,
    table: Table | None = None,
) -> ImportBatch:
    """Store a file with its rows and a guess at its columns; raises ``limits.Unreadable``, having stored nothing.

    ``table`` is what the file says, where it was read already.
    """
    table = table or reading.read(content)
    with transaction.atomic():
        batch = ImportBatch.objects.create(
            location=location,
            appointment_type=kind,
            file_name=file_name[-200:],
            content=content,
            uploaded_by=user,
            forget_at=timezone.now() + timedelta(days=KEPT_DAYS),
            **_told_by(table),
        )
        _store_rows(batch, table)
    return batch


def _told_by(table: Table) -> dict[str, Any]:
    """Return the columns of ImportBatch that say how a table stands in its file, with a guess at what it means."""
    cells = [row.cells for row in table.rows]
    fields = columns.guess(table.headings, cells)
    dates = [place for place, name in enumerate(fields) if name in columns.DATES]
    shown = {place: columns.shows_day_first(column(cells, place)) for place in dates}
    # Whoever writes one column day first writes the others so, where those leave it open.
    in_doubt = True in shown.values() and False not in shown.values()
    return {
        "sheet_name": table.sheet_name,
        "sheets": [[sheet.name, sheet.hidden] for sheet in table.sheets],
        "heading_row": table.heading_row,
        "headings": table.headings,
        "fields": fields,
        "day_first": [place for place, first in shown.items() if first or (first is None and in_doubt)],
        "row_count": len(table.rows),
    }


def _store_rows(batch: ImportBatch, table: Table) -> None:
    rows = [ImportRow(batch=batch, number=row.number, cells=row.cells, unread=list(row.unread)) for row in table.rows]
    ImportRow.objects.bulk_create(rows, batch_size=1000)


def choose_sheet(batch: ImportBatch, name: str) -> bool:
    """Read another sheet of the workbook instead: its columns are guessed anew, what was corrected is given up.

    False for a sheet that is not there, and when the list is being worked on, was added or is deleted. Raises
    ``limits.Unreadable``, having changed nothing.
    """
    is_there = any(name == each for each, _ in batch.sheets)
    if not is_there or batch.content is None or batch.status not in (_S.COLUMNS, _S.PREVIEW):
        return False
    table = reading.read(bytes(batch.content), name)
    with transaction.atomic():
        told = _told_by(table)
        if not move(batch, _S.COLUMNS, where=Q(added_at=None), note="", checked_count=0, **told):
            return False
        reviews.withdraw(checking.KIND, batch.rows.values_list("pk", flat=True))
        batch.rows.all().delete()
        _store_rows(batch, table)
    return True


def confirm_columns(batch: ImportBatch, values: Mapping[str, Any]) -> bool:
    """Take over what the columns mean and what was said of consent, and have the rows checked.

    ``values`` are columns of ImportBatch. False when the list is being worked on or was added already.
    """
    with transaction.atomic():
        if not _go_to_checking(batch):
            return False
        for name, value in values.items():
            setattr(batch, name, value)
        batch.save(update_fields=list(values))
        # Another meaning makes another row of it: what was decided about people stays open until it is checked.
        batch.rows.exclude(verdict__in=checking.SETTLED).update(verdict=_V.NEW)
    working.run_now_or_wake(batch)
    return True


def check_again(batch: ImportBatch) -> bool:
    """Have every open row looked at again; False when the list is being worked on."""
    with transaction.atomic():
        if not _go_to_checking(batch):
            return False
        batch.rows.exclude(verdict__in=checking.SETTLED).update(verdict=_V.NEW)
    working.run_now_or_wake(batch)
    return True


def correct(batch: ImportBatch, corrections: Mapping[int, Mapping[str, str]]) -> int:
    """Store what staff wrote instead, by row number and field, and check those rows again; return how many.

    Many at once are checked by a worker. 0 when the list is being worked on.
    """
    with edited(batch) as rows:
        if rows is None:
            return 0
        touched = list(rows.filter(number__in=corrections).exclude(verdict=_V.ADDED))
        for row in touched:
            told = {
                name: _unmistakable(batch, name, text)
                for name, text in corrections[row.number].items()
                if name in columns.FIELDS
            }
            row.corrections = {**row.corrections, **told}
            row.verdict = _V.NEW
        ImportRow.objects.bulk_update(touched, ("corrections", "verdict"), batch_size=500)
        # What a review compares is no longer what the row says.
        reviews.withdraw(checking.KIND, [row.pk for row in touched])
        if len(touched) <= working.AT_ONCE:
            checking.check(batch, touched, timezone.localdate())
        elif not _go_to_checking(batch):
            transaction.set_rollback(True)
            return 0
    if batch.status == _S.CHECKING:
        working.run_now_or_wake(batch)
    return len(touched)


def _unmistakable(batch: ImportBatch, name: str, text: str) -> str:
    """Return a date written day first, as its column is, so that it stays that day if the column's order is changed."""
    if name in days_first(batch):
        with suppress(values.Wrong):
            return values.read_date(text, day_first=True, past=name == "birth_date").isoformat()
    return text


def say_who(batch: ImportBatch, number: int, patient: Patient | None) -> bool:
    """Note that a row is ``patient``, or with None that it is another person than those proposed."""
    return _decide(batch, {number: patient})


def accept_alike(batch: ImportBatch, proposals: Mapping[int, Patient]) -> int:
    """Note that these rows, by number, are the patients proposed; return how many."""
    return len(proposals) if _decide(batch, proposals) else 0


def _decide(batch: ImportBatch, chosen: Mapping[int, Patient | None]) -> bool:
    same, different = ImportRow.Choice.SAME, ImportRow.Choice.DIFFERENT
    with edited(batch) as rows:
        if rows is None:
            return False
        touched = [
            row
            for row in rows.filter(number__in=chosen, verdict=_V.LOOK)
            if (wanted := chosen[row.number]) is None or wanted.pk in row.candidates
        ]
        for row in touched:
            row.patient = chosen[row.number]
            row.choice = same if row.patient is not None else different
        ImportRow.objects.bulk_update(touched, ("choice", "patient"), batch_size=500)
        reviews.settle_described(checking.KIND, {row.pk: row.patient_id for row in touched})
        checking.check(batch, touched, timezone.localdate())
    return bool(touched)


def leave_out(batch: ImportBatch, number: int) -> bool:
    """Leave a row out; False when it was added meanwhile."""
    return _set_verdict(batch, number, _V.LEFT_OUT)


def take_back_in(batch: ImportBatch, number: int) -> bool:
    """Look at a row again that was left out."""
    return _set_verdict(batch, number, _V.NEW)


def start_adding(batch: ImportBatch, by: str, expected: int) -> str:
    """Have the ready rows added, all or none; return "" or why nothing was begun.

    ``expected``: how many the person was shown. A second press finds the list being added, or added.
    """
    ready = batch.rows.filter(verdict=_V.READY).count()
    if batch.status == _S.ADDING:
        return "It is being added already. Nothing is added twice."
    if not ready or batch.status not in EDITABLE:
        return "No row is ready to be added. Nothing was changed."
    if ready != expected:
        return f"Ready now: {counted(ready, 'row')}, not {expected}. Nothing was added. Look at them, then press again."
    now = timezone.now()
    if not move(
        batch, _S.ADDING, added_by=by[:150], due_at=now, lease_until=None, attempts=0, checked_count=0, note=""
    ):
        return "Somebody else pressed it in the same moment. Nothing is added twice."
    working.run_now_or_wake(batch)
    return ""


def discard(batch: ImportBatch) -> bool:
    """Throw the file away before anything of it was added; False when it was, or is being worked on."""
    with transaction.atomic():
        if batch.status not in (_S.COLUMNS, _S.PREVIEW) or not move(batch, _S.DISCARDED, due_at=None):
            return False
        working.forget(batch)
    return True


def _go_to_checking(batch: ImportBatch) -> bool:
    if batch.status not in (_S.COLUMNS, *EDITABLE):
        return False
    return move(batch, _S.CHECKING, due_at=timezone.now(), lease_until=None, attempts=0, checked_count=0, note="")


def _set_verdict(batch: ImportBatch, number: int, verdict: str) -> bool:
    with edited(batch) as rows:
        if rows is None:
            return False
        row = rows.filter(number=number).exclude(verdict=_V.ADDED).first()
        if row is None:
            return False
        ImportRow.objects.filter(pk=row.pk).update(verdict=verdict)
        row.verdict = verdict
        reviews.withdraw(checking.KIND, [row.pk])
        # A row that was its duplicate may stand for both now.
        alike = rows.filter(person_index=row.person_index, verdict=_V.DUPLICATE) if row.person_index else rows.none()
        checking.check(batch, [row, *alike.exclude(pk=row.pk)], timezone.localdate())
    return True


@contextmanager
def edited(batch: ImportBatch) -> Iterator[QuerySet[ImportRow] | None]:
    """Give the rows of a batch that may be edited, the batch locked against being added meanwhile; None if not."""
    with transaction.atomic():
        locked = ImportBatch.objects.select_for_update().filter(pk=batch.pk, status__in=EDITABLE)
        yield ImportRow.objects.filter(batch=batch) if locked.first() is not None else None


def column(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    """Return a column's cells, without those of rows that are too short."""
    return [row[place] for row in rows if place < len(row)]


def cells(batch: ImportBatch) -> list[list[str]]:
    """Return the cells of every row, in order."""
    return list(batch.rows.order_by("number").values_list("cells", flat=True))


def counts(batch: ImportBatch) -> dict[str, int]:
    """Return how many rows have each verdict."""
    rows = batch.rows.order_by().values_list("verdict").annotate(count=Count("pk"))
    return {**dict.fromkeys(_V.values, 0), **dict(rows)}


def unknown_types(batch: ImportBatch, fields: Iterable[str], words: Words) -> dict[str, int]:
    """Return the file's own words for kinds of visit that we have no such name for, with how often they stand there.

    Spellings that are read alike are one, as first written. What staff said that one means is asked again with that
    answer, so that a wrong one can be changed; of those without an answer the most frequent are asked first.
    """
    places = [place for place, name in enumerate(fields) if name == "appointment_type"]
    found: Counter[str] = Counter()
    written: dict[str, str] = {}
    for text in column(cells(batch), places[0]) if places else ():
        if text and words.type_named(text) is None:
            found[written.setdefault(values.words(text), text)] += 1
    most = found.most_common()
    still_open = [text for text, _ in most if words.type_of(text) is None][MOST_ASKED:]
    return {text: count for text, count in most if text not in still_open}
