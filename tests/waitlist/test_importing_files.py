"""Spreadsheets as practices keep them: whatever stands around the list, the list is read; what is dangerous is not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import pytest
from django.utils import timezone
from openpyxl import Workbook

from waitlist.importing import columns, reading, values, xlsx_file
from waitlist.importing.limits import LONGEST_GAP, MAX_CELL, MAX_COLUMNS, MAX_ROWS, Unreadable
from waitlist.importing.values import Wrong
from waitlist.models import WaitlistEntry


def workbook(*rows: list[Any], merge: str = "") -> bytes:
    """An XLSX file with these rows; ``merge`` is a range of cells that are one."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Waiting"
    for row in rows:
        sheet.append(row)
    if merge:
        sheet.merge_cells(merge)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_workbook_with_a_title_above_its_headings_and_blank_rows_below() -> None:
    content = workbook(
        ["Waiting list, Harbor Family Practice", None, None, None],
        [],
        ["Apellidos", "Nombre", "Fecha de nacimiento", "Teléfono celular"],
        ["Álvarez", "Robin", date(1980, 3, 14), 2125550101],
        ["O'Neil-Smith", "Zoë", 29221, "(212) 555-0102"],
        *[[None, None, None, None]] * 40,
        merge="A1:D1",
    )
    table = reading.read(content)
    assert (table.sheet_name, table.heading_row) == ("Waiting", 3)
    assert [(row.number, row.cells) for row in table.rows] == [
        (4, ["Álvarez", "Robin", "1980-03-14", "2125550101"]),
        (5, ["O'Neil-Smith", "Zoë", "29221", "(212) 555-0102"]),
    ]
    assert columns.guess(table.headings, [row.cells for row in table.rows]) == [
        "family_name",
        "given_name",
        "birth_date",
        "phone",
    ]
    assert values.read_birth_date("29221", date(2026, 1, 1)) == date(1980, 1, 1)


def several(**sheets: list[list[Any]]) -> bytes:
    """A workbook of several sheets; one whose name begins with "Hidden" is."""
    book = Workbook()
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name.startswith("Hidden") else "visible"
        for row in rows:
            sheet.append(row)
    book.remove(book.worksheets[0])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


LIST = [["Last name", "First name", "DOB"], ["Okoye", "Ada", "3/14/1980"]]


def test_of_several_sheets_the_one_that_reads_like_a_list_is_read_and_all_with_rows_are_named() -> None:
    other = [LIST[0], ["Silva", "Ana", "3/15/1980"]]
    content = several(Hidden=LIST, ReadMe=[["How to use this"], ["Ask Maria"]], Empty=[], Waitlist=other, Old=LIST)
    table = reading.read(content)
    assert (table.sheet_name, [row.cells[0] for row in table.rows]) == ("Waitlist", ["Silva"])
    assert [(sheet.name, sheet.hidden) for sheet in table.sheets] == [
        ("Hidden", True),
        ("ReadMe", False),
        ("Waitlist", False),
        ("Old", False),
    ]
    assert reading.read(content, "Old").rows[0].cells == LIST[1]
    assert reading.read(content, "Hidden").sheet_name == "Hidden"
    # Headings without a row below them are no list; without any list it is the first sheet that has rows.
    assert reading.read(several(Template=LIST[:1], Waitlist=other)).sheet_name == "Waitlist"
    assert reading.read(several(Empty=[], Notes=[["a", "b"], ["c", "d"]], More=[["e"]])).sheet_name == "Notes"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "cp1252", "utf-16", "utf-16-le"])
def test_text_is_read_in_every_encoding_that_programs_write(encoding: str) -> None:
    text = "Nombre completo;Nacimiento;Correo electrónico\r\nPeña, José;14/03/1980;jose@example.org\r\n"
    table = reading.read(text.encode(encoding))
    assert table.rows[0].cells == ["Peña, José", "14/03/1980", "jose@example.org"]
    assert columns.guess(table.headings, [table.rows[0].cells]) == ["full_name", "birth_date", "email"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(delimiter: str) -> None:
    rows = [["Patient", "DOB", "Notes"], ['"Alvarez, Robin"', "3/14/1980", "mornings"], ["Ng; Al", "3/15/1980", ""]]
    text = "\n".join(delimiter.join(row) for row in rows)
    if delimiter == ";":
        text = text.replace("Ng; Al", '"Ng; Al"')
    assert [row.cells[0] for row in reading.read(text.encode()).rows] == ["Alvarez, Robin", "Ng; Al"]


def test_excels_own_first_line_names_the_delimiter() -> None:
    table = reading.read(b"sep=|\nName|DOB\nAlvarez, Robin|3/14/1980\n")
    assert [(row.number, row.cells[0]) for row in table.rows] == [(3, "Alvarez, Robin")]


def test_a_list_without_headings_is_told_by_what_stands_in_it() -> None:
    table = reading.read(b"Alvarez,Robin,3/14/1980,2125550101\nNg,Al,3/15/1980,2125550102\n")
    assert (table.heading_row, table.headings[:2], len(table.rows)) == (0, ["Column A", "Column B"], 2)
    assert columns.guess(table.headings, [row.cells for row in table.rows])[2:] == ["birth_date", "phone"]


def test_headings_that_a_printout_repeats_are_no_rows() -> None:
    table = reading.read(b"Name,DOB\nA B,3/14/1980\nName,DOB\nC D,3/15/1980\n")
    assert [row.cells[0] for row in table.rows] == ["A B", "C D"]


def test_a_formula_is_not_computed_and_its_cell_is_named() -> None:
    content = workbook(["Name", "DOB", "Phone"], ["A B", "1980-03-14", '=CONCATENATE("212","5550101")'])
    (row,) = reading.read(content).rows
    assert (row.cells, row.unread) == (["A B", "1980-03-14"], (2,))
    # A row of nothing but formulas is one, too: nobody on the list is passed over in silence.
    content = workbook(["Name", "DOB"], ["A B", "1980-03-14"], ["=A2", "=B2"])
    assert [(row.number, row.unread) for row in reading.read(content).rows] == [(2, ()), (3, (0, 1))]


#: As a workbook keeps them: no cell knows a zone.
DAY, MOMENT = datetime.fromisoformat("1980-03-14"), datetime.fromisoformat("2026-01-05T08:30")


def test_values_stand_as_somebody_would_write_them() -> None:
    content = workbook(
        ["Name", "DOB", "Phone", "Seen", "Notes", "Text OK", "", ""],
        ["A B", DAY, 2125550101.0, MOMENT, 2.5, True, None, None],
        ["C D", date(1980, 3, 15), None, time(9, 0), "  two\nlines\t", False],
        ["'=1", None, None, None, None, None, "", " "],
    )
    assert [row.cells for row in reading.read(content).rows] == [
        ["A B", "1980-03-14", "2125550101", "2026-01-05 08:30", "2.5", "yes"],
        ["C D", "1980-03-15", "", "09:00:00", "two lines", "no"],
        ["=1"],
    ]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("'=1+1", "=1+1"),
        ("'t Hooft", "'t Hooft"),
        ("A-1", "A-1"),
        ("O'Neil", "O'Neil"),
        ("a\u200db", "a\u200db"),  # part of how some names are written
        ("A\u202e\x07B\u00a0 C", "A B C"),
    ],
)
def test_a_cell_keeps_what_belongs_to_a_name(cell: str, text: str) -> None:
    assert reading.read(f"Name,DOB\n{cell},3/14/1980\n".encode()).rows[0].cells[0] == text


@pytest.mark.parametrize(("value", "text"), [(2125550101.0, "2125550101"), (2.5, "2.5"), (1e20, "1e+20"), (None, "")])
def test_a_whole_number_has_no_point(value: Any, text: str) -> None:
    assert xlsx_file.as_text(value) == text


def test_a_list_goes_on_after_a_gap_but_not_after_an_endless_one() -> None:
    row, blank = ["A B", "1980-03-14"], list[Any]()
    content = workbook(["Name", "DOB"], row, *[blank] * LONGEST_GAP, row, *[blank] * (LONGEST_GAP + 1), row)
    assert [each.number for each in reading.read(content).rows] == [2, LONGEST_GAP + 3]


def as_text(*rows: list[Any]) -> bytes:
    return "\n".join(",".join(row) for row in rows).encode()


@pytest.mark.parametrize("make", [as_text, workbook])
def test_as_many_columns_as_are_taken_and_no_more(make: Callable[..., bytes]) -> None:
    head = ["Name", "DOB", *[f"More {each}" for each in range(MAX_COLUMNS - 2)]]
    row = ["A B", "3/14/1980", *["x"] * (MAX_COLUMNS - 2)]
    assert len(reading.read(make(head, row)).headings) == MAX_COLUMNS
    with pytest.raises(Unreadable, match=f"more than {MAX_COLUMNS} columns"):
        reading.read(make(head, [*row, "y"]))


def test_a_cell_of_a_thousand_characters_is_one_and_a_longer_one_is_a_mistake() -> None:
    assert len(reading.read(f"Name,DOB,Notes\nA B,3/14/1980,{'x' * MAX_CELL}\n".encode()).rows[0].cells[2]) == MAX_CELL
    with pytest.raises(Unreadable, match="A cell of row 2 holds more than 1,000 characters"):
        reading.read(f"Name,DOB,Notes\nA B,3/14/1980,{'x' * (MAX_CELL + 1)}\n".encode())


def test_a_list_of_more_rows_than_the_limit_is_refused_and_the_limit_is_not() -> None:
    head, row = b"Name,DOB\n", b"A B,3/14/1980\n"
    assert len(reading.read(head + row * MAX_ROWS).rows) == MAX_ROWS
    with pytest.raises(Unreadable, match=r"more than 10,000 rows\. Nothing was stored"):
        reading.read(head + row * (MAX_ROWS + 1))


def _repacked(content: bytes, name: str, change: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, change(old.read(part)) if part == name else old.read(part))
    return out.getvalue()


def _with_parts(content: bytes, number: int) -> bytes:
    out = io.BytesIO(content)
    with zipfile.ZipFile(out, "a") as archive:
        for each in range(number):
            archive.writestr(f"more/{each}.txt", b"")
    return out.getvalue()


SHEET = "xl/worksheets/sheet1.xml"
GOOD = workbook(["Name", "DOB"], ["A B", "1980-03-14"])


BROKEN: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "empty": (b"", "empty"),
    "blank": (b"   \n", "empty"),
    "headings": (b"Name,DOB\n", "headings but no rows"),
    "old excel": (b"\xd0\xcf\x11\xe0" + b"x" * 600, "old Excel file"),
    "pdf": (b"%PDF-1.7 ...", "no spreadsheet"),
    "html": (b"<html><table></table></html>", "no spreadsheet"),
    "torn": (b"PK\x03\x04 broken", "damaged"),
    "bytes": (b"Name,DOB\n\x00\x01\x02\n", "neither a spreadsheet"),
    "quote": (b'Name,DOB\n"A B,3/14/1980\n' + b"C D,3/14/1980\n" * 200, "quotation mark"),
    "columns": (b"Name,DOB\n" + b"x," * 80 + b"x\n", "columns"),
    "large": (lambda: b"Name,DOB\n" + b"x" * 6_000_000, "larger than 5 MB"),
    "bomb": (lambda: _repacked(GOOD, SHEET, lambda part: part + b" " * 90_000_000), "unpacks to far more"),
    "entity": (
        lambda: _repacked(
            GOOD, SHEET, lambda part: part.replace(b"<worksheet", b'<!DOCTYPE a [<!ENTITY x "y">]><worksheet', 1)
        ),
        "damaged",
    ),
    "document type": (
        lambda: _repacked(GOOD, SHEET, lambda part: part.replace(b"<worksheet", b"<!DOCTYPE a><worksheet", 1)),
        "damaged",
    ),
    # As which a part could hide what it declares.
    "other letters": (lambda: _repacked(GOOD, SHEET, lambda part: part.decode().encode("utf-16")), "damaged"),
    "long cell above all": (lambda: workbook(["x" * 2000], ["Name", "DOB"]), "A cell of row 1 holds more than"),
    "parts": (lambda: _with_parts(GOOD, 301), "unpacks to far more"),
    "cut off": (lambda: _repacked(GOOD, SHEET, lambda part: part[:-40]), "damaged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_says_what_to_do(name: str) -> None:
    made, says = BROKEN[name]
    content = made if isinstance(made, bytes) else made()
    with pytest.raises(Unreadable, match=says) as refusal:
        reading.read(content)
    assert "Nothing was stored." in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "day_first", "day"),
    [
        ("3/14/1980", False, date(1980, 3, 14)),
        ("03-14-80", False, date(1980, 3, 14)),
        ("14/3/1980", True, date(1980, 3, 14)),
        ("4.3.1980", False, date(1980, 3, 4)),
        ("1980-03-14 00:00", False, date(1980, 3, 14)),
        ("19800314", False, date(1980, 3, 14)),
        ("March 14, 1980", False, date(1980, 3, 14)),
        ("14 de marzo de 1980", False, date(1980, 3, 14)),
        ("14th Mar 1980", False, date(1980, 3, 14)),
        ("1980 March 14", False, date(1980, 3, 14)),
    ],
)
def test_dates_are_read_in_the_forms_people_write(text: str, day_first: bool, day: date) -> None:
    assert values.read_birth_date(text, date(2026, 1, 1), day_first=day_first) == day


@pytest.mark.parametrize(
    "text",
    [
        "14/3/1980",
        "2/30/1980",
        "3/14/15",
        "someday",
        "3/14/2031",
        "1/1/1880",
        "=1+1",
        "3/14/198",
        "123/4/1980",
        "March 1980",
        "14 March or April 1980",
        "14 March 1980 or 15 March 1980",
        "14 March 1980 or so they said",
        "99999",
        "²",
        f"1/1/{timezone.now().year % 100:02}",
    ],
)
def test_a_date_that_leaves_a_doubt_is_asked_about(text: str) -> None:
    with pytest.raises(Wrong):
        values.read_birth_date(text, date(2026, 1, 1))


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("31/12/1980", "day"),
        ("13/1/1980", "day"),
        ("12/31/1980", "month"),
        ("1/13/1980", "month"),
        ("3/4/1980", "either"),
        ("12/1/1980", "either"),
        ("3/3/1980", ""),
        ("1980-03-14", ""),
        ("14.3.1980", ""),
        ("3/14/1980 8:30", "month"),
        ("soon", ""),
    ],
)
def test_a_date_in_numbers_shows_its_order_where_it_can_be_one_only(text: str, order: str) -> None:
    assert values.order_of(text) == order


def test_a_newborn_and_the_very_old_have_birth_dates_and_nobody_beyond() -> None:
    today = date(2026, 6, 15)
    assert values.read_birth_date("6/15/2026", today) == today
    assert values.read_birth_date("1/1/1906", today) == date(1906, 1, 1)
    for text, why in (("6/16/2026", "lies ahead"), ("12/31/1905", "more than 120 years")):
        with pytest.raises(Wrong, match=why):
            values.read_birth_date(text, today)
    # Of other days two digits of a year are of this century.
    assert values.read_date("6/1/27", day_first=False, past=False) == date(2027, 6, 1)
    assert values.read_date("1 jun 27", day_first=False, past=False) == date(2027, 6, 1)
    assert values.read_date("46000", day_first=False, past=False) == date(2025, 12, 9)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (values.read_phone, "Cell: (212) 555-0101", "+12125550101"),
        (values.read_phone, "12125550101", "+12125550101"),
        (values.read_email, " MAILTO:Robin@Example.org ", "robin@example.org"),
        (values.read_language, "Español", "es"),
        (values.read_language, "English (US)", "en"),
        (values.read_language, "Haitian Creole", "ht"),
        (values.read_urgency, "ASAP", WaitlistEntry.Urgency.URGENT),
        (values.read_urgency, "media", WaitlistEntry.Urgency.SOON),
        (values.read_urgency, "low", WaitlistEntry.Urgency.ROUTINE),
        (values.read_yes, "Sí", True),
        (values.read_yes, "X", True),
        (values.read_yes, "declined", False),
        (values.read_yes, "-", False),
        (values.split_name, "Alvarez Ruiz,  Robin J", ("Robin J", "Alvarez Ruiz")),
        (values.split_name, "Robin J Alvarez", ("Robin J", "Alvarez")),
        (values.split_name, "Alvarez", ("", "Alvarez")),
    ],
)
def test_cells_are_read_as_people_write_them(read: Callable[[str], Any], text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (values.read_phone, "555-0101"),
        (values.read_phone, "none"),
        (values.read_email, "robin@example"),
        (values.read_email, "robin@example.org, al@example.org"),
        (values.read_email, f"{'r' * 250}@example.org"),
        (values.read_language, "Klingon"),
        (values.read_language, "?"),
        (values.read_urgency, "4"),
        (values.read_yes, "perhaps"),
    ],
)
def test_a_cell_that_can_mean_several_things_or_none_is_not_guessed(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(Wrong):
        read(text)


def test_a_columns_order_of_dates_is_known_only_where_its_values_show_it() -> None:
    assert columns.shows_day_first(["03/04/1980", "14/03/1980"]) is True
    assert columns.shows_day_first(["03/04/1980", "03/14/1980"]) is False
    assert columns.shows_day_first(["03/04/1980", "05/06/1981"]) is None
    assert columns.shows_day_first(["14/03/1980", "03/14/1980"]) is False


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("PATIENT NAME", "full_name"),
        ("Last Name*", "family_name"),
        ("D.O.B.", "birth_date"),
        ("Cell #", "phone"),
        ("Correo electrónico", "email"),
        ("Preferred Provider", "provider"),
        ("Fecha de solicitud", "joined_on"),
        ("OK to text?", "consent"),
        ("Insurance", ""),
        ("Seen by", ""),
    ],
)
def test_headings_in_both_languages_are_understood(heading: str, field: str) -> None:
    assert columns.field_of(heading) == field


@pytest.mark.parametrize(
    ("headings", "fields"),
    [
        (["Cell", "Home phone", "Mobile"], ["phone", "other_phone", ""]),
        (["Mobile", "Cell", "Last name"], ["phone", "other_phone", "family_name"]),
        # A heading that is known to the letter goes before one that only has a known word in it.
        (["Phone of the sister", "Phone", "DOB", "Date of birth"], ["other_phone", "phone", "birth_date", ""]),
        (["Name", "Last name", "First name"], ["", "family_name", "given_name"]),
        (["Nombre", "Nombre completo", "Apellidos"], ["given_name", "", "family_name"]),
        (["Nombre", "Nombre completo"], ["", "full_name"]),
        (["Nombre", "Apellidos"], ["given_name", "family_name"]),
    ],
)
def test_no_field_is_guessed_twice_and_a_name_is_read_in_one_way(headings: list[str], fields: list[str]) -> None:
    assert columns.guess(headings, []) == fields


def test_columns_without_a_known_heading_are_told_by_most_of_what_stands_in_them() -> None:
    rows = [
        ["a@example.org", "2125550101", "(212) 555-0111", "2125550121", "es", "", "Ng"],
        ["b@example.org", "2125550102", "", "2125550122", "English", "", "2125550199"],
        ["none", "ask", "212-555-0113", "2125550123", "es", ""],
    ]
    rows += [["c@example.org", "2125550104", "212-555-0114", "2125550124", "en"]] * 3
    assert columns.guess(list("ABCDEFG"), rows) == ["email", "phone", "other_phone", "", "language", "", ""]
    # Days of the last years are when somebody was put on the list, or anything else.
    this_year = timezone.now().year
    assert columns.guess(list("AB"), [["3/14/1980", f"1/5/{this_year}"], ["14/3/80", f"1/5/{this_year - 1}"]]) == [
        "birth_date",
        "",
    ]
    # What a heading says goes before what stands below it.
    assert columns.guess(["Notes", *"BCDEFG"], rows)[:2] == ["note", "phone"]
    assert columns.guess(["A", "Celular", *"CDEFG"], rows)[1:4] == ["phone", "other_phone", ""]


@pytest.mark.parametrize("cell", ["2125550101", "robin@example.org", "3/14/1980", "14 de marzo de 1980"])
def test_a_first_row_with_data_in_it_is_no_row_of_headings(cell: str) -> None:
    table = reading.read(f"Alvarez,{cell}\nNg,{cell}\n".encode())
    assert (table.heading_row, [row.cells[0] for row in table.rows]) == (0, ["Alvarez", "Ng"])


def test_headings_in_words_of_nobodys_are_headings_and_a_title_alone_is_none() -> None:
    table = reading.read(b"Foo,Bar\nAlvarez,3/14/1980\n")
    assert (table.heading_row, table.headings) == (1, ["Foo", "Bar"])
    assert reading.read(b"Our list\nAlvarez,3/14/1980\n").heading_row == 0
    assert reading.read(b"Our list\nFoo,Bar\nAlvarez,3/14/1980\n").headings == ["Foo", "Bar"]


def test_long_notes_above_the_list_are_no_headings_whatever_words_stand_in_them() -> None:
    notes = "Ask each patient before you write them down here,Their phone may have changed since they were here"
    table = reading.read(f"{notes}\nPatient,DOB\nA B,3/14/1980\n".encode())
    assert (table.heading_row, table.headings) == (2, ["Patient", "DOB"])
