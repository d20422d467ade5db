"""The rows of a spreadsheet as its page shows them, and what is read from the page's forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.paginator import Page, Paginator
from django.utils import timezone
from django.utils.formats import date_format

from scheduling.admin.scope import fetch_or_404
from scheduling.models import Patient
from waitlist.importing import batches, columns, reviewing
from waitlist.importing.parsing import Words, cells_of, parse
from waitlist.importing.people import Person, named_alike
from waitlist.models import ImportBatch, ImportRow

ROWS_A_PAGE = 50
MOST_PROPOSALS = 1000
_V = ImportRow.Verdict
#: Verdict to word and tone, for one row as for many; what needs a person comes first.
WORDS = {
    _V.ERROR: ("with errors", "danger"),
    _V.LOOK: ("to look at", "wait"),
    _V.DUPLICATE: ("duplicate", "stop"),
    _V.READY: ("ready", "accent"),
    _V.LEFT_OUT: ("left out", "stop"),
    _V.ADDED: ("added", "ok"),
}
#: What became of rows that were added, once the list is undone.
TAKEN_OFF = ("taken off again", "stop")
_FROM = "fix-"


@dataclass(frozen=True, slots=True)
class Figure:
    """How many rows have a verdict."""

    verdict: str
    label: str
    tone: str
    count: int


@dataclass(frozen=True, slots=True)
class Fix:
    """A field to write anew: the input's name, what is asked, what stands there, and what is wrong."""

    name: str
    label: str
    text: str
    says: str


@dataclass(frozen=True, slots=True)
class RowLine:
    """One row as the page shows it. ``hidden``: candidates at locations the person does not see.

    ``is_put_off``: it waits among the patient reviews.
    """

    row: ImportRow
    name: str
    born: str
    reached: str
    kind: str
    word: str
    tone: str
    says: list[str]
    fixes: list[Fix]
    candidates: list[Patient]
    hidden: int
    is_put_off: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of rows with the figures above it."""

    figures: list[Figure]
    verdict: str
    page: Page[Any]
    lines: list[RowLine]
    ready: int
    alike: int
    has_errors: bool

    @property
    def patients(self) -> list[Patient]:
        """Patients of ours who are named on the page."""
        return [patient for line in self.lines for patient in line.candidates]


def shown(batch: ImportBatch, user: AbstractBaseUser | AnonymousUser, verdict: str, page: str) -> Shown:
    """Return the rows of one verdict, by default the one that needs a person most."""
    counts = batches.counts(batch)
    words = {**WORDS, _V.ADDED: TAKEN_OFF} if batch.status == ImportBatch.Status.UNDONE else WORDS
    figures = [Figure(each, label, tone, counts[each]) for each, (label, tone) in words.items() if counts[each]]
    if verdict not in counts or not counts[verdict]:
        verdict = figures[0].verdict if figures else ""
    rows = batch.rows.filter(verdict=verdict).order_by("number").select_related("patient")
    found = Paginator(rows, ROWS_A_PAGE).get_page(page)
    return Shown(
        figures,
        verdict,
        found,
        _lines(batch, list(found), user),
        counts[_V.READY],
        len(alike(batch, user)) if verdict == _V.LOOK else 0,
        bool(counts[_V.ERROR]),
    )


def _word(batch: ImportBatch, row: ImportRow) -> tuple[str, str]:
    """Return what a row's state is called, and its tone."""
    if row.verdict == _V.ADDED and batch.status == ImportBatch.Status.UNDONE:
        return TAKEN_OFF
    return row.get_verdict_display(), WORDS.get(_V(row.verdict), ("", "wait"))[1]


def _lines(batch: ImportBatch, rows: list[ImportRow], user: AbstractBaseUser | AnonymousUser) -> list[RowLine]:
    wanted = {pk for row in rows for pk in row.candidates if row.verdict == _V.LOOK}
    seen = Patient.objects.for_user(user).filter(pk__in=wanted).prefetch_related("contact_points").in_bulk()
    put_off = reviewing.asked_about(rows)
    words, today = Words(batch), timezone.localdate()
    people = {row.pk: parse(batch, row, words, today).person for row in rows}
    return [_line(batch, row, seen, people[row.pk], is_put_off=row.pk in put_off) for row in rows]


def _line(
    batch: ImportBatch, row: ImportRow, seen: dict[int, Patient], person: Person | None, *, is_put_off: bool
) -> RowLine:
    cells = cells_of(batch, row)
    name = cells.get("full_name") or f"{cells.get('given_name', '')} {cells.get('family_name', '')}".strip()
    proposed = row.candidates if row.verdict == _V.LOOK else []
    candidates = [seen[pk] for pk in proposed if pk in seen]
    fixes = [
        Fix(f"{_FROM}{row.number}-{field}", columns.FIELDS[field], cells.get(field, ""), says)
        for field, says in row.problems
        if field and row.verdict == _V.ERROR
    ]
    return RowLine(
        row,
        name or "no name",
        date_format(person.birth_date, "M j, Y") if person is not None else cells.get("birth_date", ""),
        ", ".join(cells[field] for field in ("phone", "other_phone", "email") if cells.get(field)),
        cells.get("appointment_type") or (batch.appointment_type.name if batch.appointment_type else ""),
        *_word(batch, row),
        [says for field, says in row.problems if not field or row.verdict != _V.ERROR],
        fixes,
        candidates,
        len(proposed) - len(candidates),
        is_put_off,
    )


def alike(batch: ImportBatch, user: AbstractBaseUser | AnonymousUser) -> dict[int, Patient]:
    """Return the rows, by number, whose one candidate agrees in names, birth date and an address."""
    rows = [
        row
        for row in batch.rows.filter(verdict=_V.LOOK, choice=ImportRow.Choice.OPEN).order_by("number")[:MOST_PROPOSALS]
        if len(row.candidates) == 1
    ]
    wanted = [row.candidates[0] for row in rows]
    seen = Patient.objects.for_user(user).filter(pk__in=wanted).prefetch_related("contact_points").in_bulk()
    words, today = Words(batch), timezone.localdate()
    return {row.number: seen[row.candidates[0]] for row in rows if _is_alike(batch, row, seen, words, today)}


def _is_alike(batch: ImportBatch, row: ImportRow, seen: dict[int, Patient], words: Words, today: date) -> bool:
    person, patient = parse(batch, row, words, today).person, seen.get(row.candidates[0])
    return person is not None and patient is not None and named_alike(person, patient)


def corrections(posted: Mapping[str, Any]) -> dict[int, dict[str, str]]:
    """Return what was written in the page's fields, by row number and field."""
    found: dict[int, dict[str, str]] = {}
    for name, text in posted.items():
        text_of_number, _, field = name.removeprefix(_FROM).partition("-")
        number = whole(text_of_number)
        if name.startswith(_FROM) and number is not None and field in columns.FIELDS:
            found.setdefault(number, {})[field] = " ".join(str(text).split())[:300]
    return found


def whole(text: str) -> int | None:
    """Return a number of rows or of one row as the page sends it; None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def number_of(posted: Mapping[str, Any]) -> int | None:
    """Return the row a button was pressed in."""
    return whole(str(posted.get("row", "")))


def choice(posted: Mapping[str, Any], user: AbstractBaseUser | AnonymousUser) -> tuple[int | None, Patient | None]:
    """Return the row and the patient that it is said to be; None for another person. 404 for a foreign patient."""
    wanted = str(posted.get("patient", ""))
    patient = fetch_or_404(Patient.objects.all(), user, wanted) if wanted else None
    return number_of(posted), patient
