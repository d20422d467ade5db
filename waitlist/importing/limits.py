"""How large a file may be, and the one error of a file that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BYTES = 5 * 1024 * 1024
MAX_ROWS = 10_000
MAX_COLUMNS = 60
#: Characters of one cell; more is an unclosed quotation mark, not a name.
MAX_CELL = 1_000
#: What a workbook may unpack to.
MAX_UNPACKED = 80 * 1024 * 1024
MAX_PARTS = 300
#: Blank rows in a row after which a sheet is taken to be over.
LONGEST_GAP = 500
#: Rows in which the headings are looked for; above them stand titles and notes.
DEEPEST_HEADINGS = 15
#: Invisible, but part of how names are written in some scripts.
JOINERS = "\u200c\u200d"


class Unreadable(Exception):
    """The file cannot be read; the text says to staff why and what to do, and quotes nothing of the file."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row that is not blank: its number in the file, its cells as text, the columns whose formula has no value."""

    number: int
    cells: list[str]
    unread: tuple[int, ...] = ()


#: What a spreadsheet takes for the beginning of a formula.
FORMULA_STARTS = ("=", "+", "-", "@")


def bare(cell: str) -> str:
    """Take away the apostrophe that spreadsheets, and our own files, put before what could be taken for a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in FORMULA_STARTS else cell


def too_many_rows() -> Unreadable:
    """Return the refusal of a file that is too long."""
    return Unreadable(
        f"The file has more than {MAX_ROWS:,} rows. Nothing was stored. Split it into several files and upload each."
    )


def too_many_columns() -> Unreadable:
    """Return the refusal of a file that is too wide."""
    return Unreadable(
        f"The file has more than {MAX_COLUMNS} columns. Nothing was stored. Delete the columns that the waitlist does "
        "not need and upload it again."
    )


def clean(text: str, number: int) -> str:
    """Return a cell on one line without control characters; raises Unreadable for an endless one."""
    if len(text) > MAX_CELL:
        raise Unreadable(
            f"A cell of row {number} holds more than {MAX_CELL:,} characters; often a quotation mark is missing there. "
            "Nothing was stored. Correct the row and upload the file again."
        )
    plain = "".join(letter if letter.isprintable() or letter in JOINERS else " " for letter in text)
    return " ".join(plain.split())
