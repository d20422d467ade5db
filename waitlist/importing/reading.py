"""From an uploaded file to a table: which kind of file it is, and in which row its headings stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from waitlist.importing import columns, csv_file, error_file, xlsx_file
from waitlist.importing.limits import DEEPEST_HEADINGS, MAX_BYTES, MAX_ROWS, SheetRow, Unreadable, too_many_rows
from waitlist.importing.xlsx_file import Sheet

_OLD = (
    "This is an old Excel file (.xls) or one with a password. Nothing was stored. Open it in Excel, save it as .xlsx "
    "without a password, and upload that."
)
_FOREIGN = (
    "This is no spreadsheet that can be read. Nothing was stored. Save the list as .xlsx or .csv and upload that."
)


@dataclass(frozen=True, slots=True)
class Table:
    """A list as read. ``heading_row`` 0: it has no headings, and the columns are named by letters.

    ``returns_to`` is the number of the list whose rows with errors these are, None for a new list; ``sheets`` are all
    of the workbook that have rows, none for a text file.
    """

    sheet_name: str
    heading_row: int
    headings: list[str]
    rows: list[SheetRow]
    returns_to: int | None = None
    sheets: tuple[Sheet, ...] = ()


def read(content: bytes, sheet: str = "") -> Table:
    """Return the list in a CSV or XLSX file, of a workbook that of ``sheet``; raises Unreadable: it says what to do."""
    if not content.strip():
        raise Unreadable("The file is empty. Nothing was stored. Choose the file that has the list in it.")
    if len(content) > MAX_BYTES:
        raise Unreadable(f"The file is larger than {MAX_BYTES // 1024 // 1024} MB. Nothing was stored. Split it.")
    sheet, rows, sheets = _sheet(content, sheet)
    if not rows:
        raise Unreadable("The file has no rows. Nothing was stored. Choose the file that has the list in it.")
    return replace(_table(sheet, rows), sheets=tuple(sheets))


def _sheet(content: bytes, wanted: str) -> tuple[str, list[SheetRow], list[Sheet]]:
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable(_OLD)
    if content.startswith(b"PK"):
        return xlsx_file.read(content, wanted)
    if content.startswith((b"%PDF", b"{\\rtf", b"\x89PNG", b"\xff\xd8\xff")) or content.lstrip()[:1] == b"<":
        raise Unreadable(_FOREIGN)
    return "", csv_file.read(content), []


def _table(sheet: str, rows: list[SheetRow]) -> Table:
    place = _headings_at(rows)
    width = max(len(row.cells) for row in rows)
    if place is None:
        headings, number, body = [f"Column {letter(each)}" for each in range(width)], 0, rows
    else:
        top = rows[place]
        names = [*top.cells, *[""] * (width - len(top.cells))]
        headings = [name or f"Column {letter(each)}" for each, name in enumerate(names)]
        # Exports repeat their headings on each printed page.
        number, body = top.number, [row for row in rows[place + 1 :] if row.cells != top.cells]
    if not body:
        raise Unreadable("The file has headings but no rows. Nothing was stored. Choose the file with the list in it.")
    if len(body) > MAX_ROWS:
        raise too_many_rows()
    return Table(sheet, number, headings, body, error_file.list_of(headings))


def _headings_at(rows: list[SheetRow]) -> int | None:
    """Return the place of the row that reads most like headings, None when the first rows are data already."""
    ours = [place for place, row in enumerate(rows[:DEEPEST_HEADINGS]) if error_file.list_of(row.cells) is not None]
    if ours:
        return ours[0]
    scores = [columns.likeness_of_headings(row.cells) for row in rows[:DEEPEST_HEADINGS]]
    best = max(range(len(scores)), key=lambda each: (scores[each], -each))
    if scores[best] >= 2:
        return best
    for place, row in enumerate(rows[:DEEPEST_HEADINGS]):
        if len(row.cells) >= 2:
            return None if columns.holds_data(row.cells) else place
    return best if scores[best] else None


def letter(place: int) -> str:
    """Return a column's letters as spreadsheets name it: 0 is A, 26 is AA."""
    name = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
