"""The rows that could not be taken, as a file to correct and upload again: it says itself which list it belongs to."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from waitlist.importing.columns import FIELDS
from waitlist.importing.parsing import cells_of
from waitlist.models import ImportBatch, ImportRow

#: What a spreadsheet program would run as a formula, or read as the beginning of another cell.
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")
ROW, WRONG = "Row of list {}", "What is wrong"
_ROW = re.compile(ROW.format(r"(\d{1,9})"), re.IGNORECASE)


def write(batch: ImportBatch) -> str:
    """Return the erroneous rows as CSV: the file's own columns, corrections included, then what is wrong with each."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([neutral(text) for text in (*batch.headings, ROW.format(batch.pk), WRONG)])
    for row in batch.rows.filter(verdict=ImportRow.Verdict.ERROR).order_by("number"):
        told = cells_of(batch, row)
        texts = [*row.cells, *[""] * (len(batch.headings) - len(row.cells))]
        texts = [told.get(name, text) if name else text for name, text in zip(batch.fields, texts, strict=False)]
        wrong = " ".join(f"{FIELDS[name]}: {says}" if name in FIELDS else says for name, says in row.problems)
        writer.writerow([neutral(text) for text in (*texts, str(row.number), wrong)])
    return out.getvalue()


def list_of(headings: Sequence[str]) -> int | None:
    """Return the number of the list whose rows stand below these headings, None when they are not ours."""
    return next((int(found[1]) for cell in headings if (found := _ROW.fullmatch(cell.strip()))), None)


def place_of_numbers(headings: Sequence[str]) -> int:
    """Return in which column the rows' numbers stand, of headings that :func:`list_of` knows."""
    return next(place for place, cell in enumerate(headings) if _ROW.fullmatch(cell.strip()))


def neutral(text: str) -> str:
    """Return a cell that no spreadsheet program takes for a formula."""
    return f"'{text}" if text.startswith(DANGEROUS) else text
