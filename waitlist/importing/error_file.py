"""The rows that could not be taken, as a file to correct and upload again."""

from __future__ import annotations

import csv
import io

from waitlist.importing.parsing import cells_of
from waitlist.models import ImportBatch, ImportRow

#: What a spreadsheet program would run as a formula, or read as the beginning of another cell.
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")
ROW, WRONG = "Row", "What is wrong"


def write(batch: ImportBatch) -> str:
    """Return the erroneous rows as CSV: the file's own columns, corrections included, then what is wrong with each."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([neutral(text) for text in (*batch.headings, ROW, WRONG)])
    for row in batch.rows.filter(verdict=ImportRow.Verdict.ERROR).order_by("number"):
        told = cells_of(batch, row)
        texts = [*row.cells, *[""] * (len(batch.headings) - len(row.cells))]
        texts = [told.get(name, text) if name else text for name, text in zip(batch.fields, texts, strict=False)]
        wrong = " ".join(says for _, says in row.problems)
        writer.writerow([neutral(text) for text in (*texts, str(row.number), wrong)])
    return out.getvalue()


def neutral(text: str) -> str:
    """Return a cell that no spreadsheet program takes for a formula."""
    return f"'{text}" if text.startswith(DANGEROUS) else text
