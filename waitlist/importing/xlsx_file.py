"""Excel workbooks: looked over before they are unpacked, formulas never computed."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice
from typing import Any

from openpyxl import load_workbook

from waitlist.importing import columns
from waitlist.importing.limits import (
    DEEPEST_HEADINGS,
    LONGEST_GAP,
    MAX_COLUMNS,
    MAX_PARTS,
    MAX_ROWS,
    MAX_UNPACKED,
    SheetRow,
    Unreadable,
    bare,
    clean,
    too_many_columns,
    too_many_rows,
)

logger = logging.getLogger(__name__)

#: Rows above the headings that do not count as the list's.
SPARE = 30
_BROKEN = "The workbook is damaged. Nothing was stored. Open it, save it again as .xlsx or .csv, and upload that."
_UNSAFE = (
    "The workbook unpacks to far more than a waitlist needs. Nothing was stored. Copy the list into a new workbook."
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet that has rows, as the workbook names it."""

    name: str
    hidden: bool


def read(content: bytes, wanted: str = "") -> tuple[str, list[SheetRow], list[Sheet]]:
    """Return a sheet's name, its rows that are not blank, and all sheets that have any; raises Unreadable.

    It is the sheet called ``wanted``, else the first one in sight that reads like a list, else the first that has rows.
    """
    has_formulas = _look_over(content)
    try:
        values = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        formulas = load_workbook(io.BytesIO(content), read_only=True, keep_links=False) if has_formulas else None
        heads = {sheet.title: head for sheet in values.worksheets if (head := _head(sheet))}
        sheets = [Sheet(name, values[name].sheet_state != "visible") for name in heads]
        name = wanted if wanted in heads else _likeliest(sheets, heads)
        return name, list(_rows(values[name], formulas[name] if formulas else None)) if name else [], sheets
    except Unreadable:
        raise
    except Exception as error:
        # Whatever openpyxl makes of a broken file; who uploaded it is told, and a fault of ours is found in the log.
        logger.warning("a workbook could not be read: %s", type(error).__name__)
        raise Unreadable(_BROKEN) from None


def _head(sheet: Any) -> list[list[str]]:
    """Return the first rows of a sheet that are not blank, as far as they can be read."""
    head: list[list[str]] = []
    with suppress(Unreadable):
        for row in islice(_rows(sheet, None), DEEPEST_HEADINGS + 1):
            head.append(row.cells)
    return head or ([[]] if _has_cells(sheet) else [])


def _has_cells(sheet: Any) -> bool:
    return any(value is not None for row in sheet.iter_rows(max_row=LONGEST_GAP, values_only=True) for value in row)


def _likeliest(sheets: list[Sheet], heads: dict[str, list[list[str]]]) -> str:
    names = [sheet.name for sheet in sheets if not sheet.hidden]
    lists = (name for name in names if any(columns.likeness_of_headings(cells) >= 2 for cells in heads[name][:-1]))
    return next(lists, names[0] if names else "")


def _look_over(content: bytes) -> bool:
    """Refuse what unpacks to too much or declares entities; return whether any cell has a formula."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
                raise Unreadable(_UNSAFE)
            found = False
            for part in parts:
                if not part.filename.lower().endswith((".xml", ".rels")):
                    continue
                text = archive.read(part)
                if b"<!DOCTYPE" in text or b"<!ENTITY" in text or text[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    raise Unreadable(_BROKEN)
                found = found or (part.filename.startswith("xl/worksheets/") and b"<f" in text)
            return found
    except (zipfile.BadZipFile, EOFError, RuntimeError, OSError, NotImplementedError):
        raise Unreadable(_BROKEN) from None


def _rows(sheet: Any, twin: Any) -> Iterator[SheetRow]:
    sheet.reset_dimensions()  # what the file says of its own size is often wrong
    computed = _formulas(twin)
    found = gap = 0
    for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        texts = [bare(clean(as_text(value), number)) for value in cells[: MAX_COLUMNS + 1]]
        unread = tuple(place for place in computed.get(number, ()) if place >= len(texts) or not texts[place])
        while texts and not texts[-1]:
            texts.pop()
        if not texts and not unread:
            gap += 1
            if gap > LONGEST_GAP:
                return
            continue
        if len(texts) > MAX_COLUMNS:
            raise too_many_columns()
        gap, found = 0, found + 1
        if found > MAX_ROWS + SPARE:
            raise too_many_rows()
        yield SheetRow(number, texts, unread)


def _formulas(twin: Any) -> dict[int, tuple[int, ...]]:
    """Return for each row the columns that hold a formula."""
    if twin is None:
        return {}
    twin.reset_dimensions()
    found = {}
    for number, cells in enumerate(twin.iter_rows(), start=1):
        if number > MAX_ROWS + LONGEST_GAP:
            break
        places = tuple(place for place, cell in enumerate(cells) if getattr(cell, "data_type", "") == "f")
        if places:
            found[number] = places
    return found


def as_text(value: Any) -> str:
    """Return a cell's value as somebody would write it: dates in ISO form, whole numbers without a point."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time(0, 0) else value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
