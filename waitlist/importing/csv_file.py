"""Text files: encoding and delimiter are found out, since programs export them each in its own way."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator

from waitlist.importing.limits import (
    MAX_CELL,
    MAX_COLUMNS,
    MAX_ROWS,
    SheetRow,
    Unreadable,
    bare,
    clean,
    too_many_columns,
)
from waitlist.importing.limits import too_many_rows as too_many

DELIMITERS = ",;\t|"
SAMPLE_ROWS = 30
_NO_TEXT = "The file is neither a spreadsheet (.xlsx) nor text (.csv). Nothing was stored. Save it as one of the two."


def read(content: bytes) -> list[SheetRow]:
    """Return the rows that are not blank; raises Unreadable."""
    text = decode(content)
    first, _, rest = text.partition("\n")
    skipped = 0
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:  # Excel's own first line
        delimiter, text, skipped = first.strip()[4], rest, 1
    else:
        delimiter = find_delimiter(text)
    return list(_rows(text, delimiter, skipped))


def decode(content: bytes) -> str:
    """Return the text: by its byte order mark, else UTF-8, else Windows' Western European."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _decoded(content, "utf-16")
    if content[:200].count(b"\0") > len(content[:200]) // 4:
        return _decoded(content, "utf-16-le" if content[1:2] == b"\0" else "utf-16-be")
    if b"\0" in content:
        raise Unreadable(_NO_TEXT)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def find_delimiter(text: str) -> str:
    """Return the delimiter by which most rows have the same number of cells, more than one."""

    def agreement(delimiter: str) -> tuple[int, int]:
        try:
            widths = Counter(
                len(cells) for cells, _ in zip(_reader(text[:200_000], delimiter), range(SAMPLE_ROWS), strict=False)
            )
        except csv.Error:
            return (0, 0)
        width, count = max(((w, c) for w, c in widths.items() if w > 1), key=lambda each: each[1], default=(0, 0))
        return (count, width)

    return max(DELIMITERS, key=agreement)


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError:
        raise Unreadable(_NO_TEXT) from None


def _reader(text: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(max(MAX_CELL * 4, 131_072))
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _rows(text: str, delimiter: str, skipped: int) -> Iterator[SheetRow]:
    found = 0
    reader = enumerate(_reader(text, delimiter), start=1 + skipped)
    while True:
        try:
            number, raw = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise Unreadable(
                "The file breaks off inside a quotation mark. Nothing was stored. Export it again and upload that."
            ) from None
        cells = [bare(clean(cell, number)) for cell in raw]
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            continue
        if len(cells) > MAX_COLUMNS:
            raise too_many_columns()
        found += 1
        if found > MAX_ROWS + SAMPLE_ROWS:
            raise too_many()
        yield SheetRow(number, cells)
