"""A file of rows with errors comes back corrected: what was written anew in it goes into the list it was taken from."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product

from waitlist.importing import batches, columns, error_file, values
from waitlist.importing.limits import SheetRow, Unreadable
from waitlist.importing.parsing import cells_of
from waitlist.importing.reading import Table
from waitlist.models import ImportBatch, ImportRow

_V = ImportRow.Verdict
#: A long number as a spreadsheet program shows it: its digits are lost.
_ROUNDED = re.compile(r"\d([.,]\d+)?e\+?\d+", re.IGNORECASE)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(slots=True)
class Outcome:
    """How many rows were corrected, and how many of the file were not taken and why."""

    corrected: list[int] = field(default_factory=list)
    unchanged: int = 0
    settled: int = 0
    foreign: int = 0


def take_in(batch: ImportBatch, table: Table) -> Outcome | None:
    """Correct the batch's rows by a returned file and have them checked; None when the list is being worked on.

    Only rows that still have errors are touched, and in them only what was written anew in the file: a correction
    made on the page meanwhile stays. Raises Unreadable, having changed nothing, where the file names a row twice.
    """
    told = _by_number(table)
    outcome = Outcome(foreign=len(table.rows) - len(told))
    rows = {row.number: row for row in batch.rows.filter(number__in=told)}
    places = _places(batch, table)
    corrections: dict[int, dict[str, str]] = {}
    for number, cells in told.items():
        row = rows.get(number)
        if row is None:
            outcome.foreign += 1
        elif row.verdict != _V.ERROR:
            outcome.settled += 1
        elif anew := _written_anew(batch, row, places, cells):
            corrections[number] = anew
        else:
            outcome.unchanged += 1
    if corrections and not batches.correct(batch, corrections):
        return None
    outcome.corrected = sorted(corrections)
    return outcome


def _by_number(table: Table) -> dict[int, list[str]]:
    """Return the file's rows by the number each has in its list; those without one are no rows of it."""
    place = error_file.place_of_numbers(table.headings)
    found: dict[int, list[str]] = {}
    for row in table.rows:
        number = _number(row, place)
        if number is None:
            continue
        if number in found:
            raise Unreadable(
                f"Row {number} stands in the file twice. Nothing was changed. Leave one of them, and upload it again."
            )
        found[number] = row.cells
    return found


def _number(row: SheetRow, place: int) -> int | None:
    text = row.cells[place].strip() if place < len(row.cells) else ""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _places(batch: ImportBatch, table: Table) -> dict[str, int]:
    """Return the file's column for each field: by its heading, in the list's order where two are called the same."""
    free: dict[str, list[int]] = {}
    for place, heading in enumerate(table.headings):
        free.setdefault(columns.plain(heading), []).append(place)
    found = {}
    for heading, name in zip(batch.headings, batch.fields, strict=True):
        places = free.get(columns.plain(heading))
        if places:
            place = places.pop(0)
            if name:
                found[name] = place
    return found


def _written_anew(batch: ImportBatch, row: ImportRow, places: dict[str, int], cells: list[str]) -> dict[str, str]:
    stands = cells_of(batch, row)
    original = dict(zip(batch.fields, row.cells, strict=False))
    found = {}
    for name, place in places.items():
        text = cells[place] if place < len(cells) else ""
        before = (stands.get(name, ""), original.get(name, ""))
        if text not in before and not any(is_rewritten(old, text) for old in before):
            found[name] = text
    return found


def is_rewritten(old: str, new: str) -> bool:
    """Return whether a spreadsheet program wrote ``new`` for ``old`` by itself when it opened and saved the file."""
    if not old:
        return False
    if _ROUNDED.fullmatch(new):
        return True
    if new.isdigit() and old.isdigit() and new == old.lstrip("0"):
        return True
    return bool(_ISO.fullmatch(new)) and new in _readings(old)


def _readings(text: str) -> set[str]:
    """Return the days, in ISO form, that a written date may be."""
    found = set()
    for day_first, past in product((False, True), repeat=2):
        with suppress(values.Wrong):
            found.add(values.read_date(text, day_first=day_first, past=past).isoformat())
    return found
