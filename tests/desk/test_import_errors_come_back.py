"""The rows with errors, downloaded, corrected in a spreadsheet program and uploaded: they are the same list's rows."""

from __future__ import annotations

import csv
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from openpyxl import Workbook

from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of
from tests.desk.test_import_pages import ADD, GOOD, HEAD, NONE, at, brought, guessed
from waitlist.importing import error_file
from waitlist.importing.returned import is_rewritten
from waitlist.models import ImportBatch, ImportRow, WaitlistEntry

BAD = ("Yu,Mei,13/45/1980,2125550103,Follow-up,,", "Roe,Jo,3/17/1980,555,Follow-up,,Acme")
Sheet = list[list[str]]


def downloaded(client: Client, batch: ImportBatch) -> Sheet:
    content = client.get(at(batch, "errors")).content.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(content)))


def as_csv(sheet: Sheet, delimiter: str = ",") -> SimpleUploadedFile:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(sheet)
    return SimpleUploadedFile("errors.csv", out.getvalue().encode())


def as_xlsx(sheet: Sheet) -> SimpleUploadedFile:
    book, out = Workbook(), io.BytesIO()
    for row in sheet:
        book.active.append(row)  # type: ignore[union-attr]
    book.save(out)
    return SimpleUploadedFile("errors.xlsx", out.getvalue())


def corrections(batch: ImportBatch) -> dict[int, dict[str, str]]:
    return dict(batch.rows.exclude(verdict="added").order_by("number").values_list("number", "corrections"))


@pytest.mark.parametrize("form", [as_csv, as_xlsx])
@pytest.mark.parametrize("place", ["the list's page", "the page for new lists"])
def test_corrected_rows_go_back_into_their_list(dana: Client, practice: Practice, form: object, place: str) -> None:
    batch = brought(dana, GOOD, *BAD)
    sheet = downloaded(dana, batch)
    assert sheet[0][-2:] == [f"Row of list {batch.pk}", "What is wrong"]
    assert sheet[1][-2:] == ["3", "Birth date: This is no date. Write for example 3/14/1980."]
    sheet[1][2], sheet[2][3] = "3/16/1980", "2125550104"
    file = form(sheet)  # type: ignore[operator]
    if place == "the list's page":
        answer = dana.post(at(batch, "corrected"), {"file": file})
    else:
        answer = dana.post(ADD, {"file": file, "location": practice.riverside.pk})
    assert answer.url.startswith(at(batch, "change"))
    assert said(dana, answer) == "2 corrected rows checked: no error is left in them."
    assert ImportBatch.objects.get() == batch
    assert corrections(batch) == {2: {}, 3: {"birth_date": "3/16/1980"}, 4: {"phone": "2125550104"}}
    dana.post(at(batch, "step", "add"), {"expected": "3"})
    assert WaitlistEntry.objects.count() == 3


def test_columns_may_be_moved_and_only_what_was_written_anew_is_taken(dana: Client, practice: Practice) -> None:
    batch = brought(dana, *BAD)
    sheet = [list(reversed(row)) for row in downloaded(dana, batch)]
    phone = sheet[0].index("Celular")
    sheet[2][phone] = "2125550104"
    sheet.append(["", "", "Acme", "", "Follow-up", "2125550105", "3/18/1980", "New", "Person"])
    answer = dana.post(at(batch, "corrected"), {"file": as_csv(sheet, ";")})
    assert said(dana, answer) == (
        "1 corrected row checked: no error is left in them. "
        "1 row is in the file as before. 1 row is not of this list, and nothing of that was taken."
    )
    assert corrections(batch) == {2: {}, 3: {"phone": "2125550104"}}


def test_rows_of_the_file_that_are_none_of_the_list_are_left_aside(dana: Client, practice: Practice) -> None:
    batch = brought(dana, *BAD)
    sheet = downloaded(dana, batch)
    sheet[1][2] = "3/16/1980"
    sheet[2][2] = "1980-03-17"  # as a spreadsheet program writes what stood there
    added, strange = [*sheet[1]], [*sheet[1]]
    added[-2], strange[-2] = "", "99"
    answer = dana.post(at(batch, "corrected"), {"file": as_csv([*sheet, added, strange, ["Roe"]])})
    assert said(dana, answer).startswith("1 corrected row checked")
    assert corrections(batch) == {2: {"birth_date": "3/16/1980"}, 3: {}}


def test_what_was_corrected_on_the_page_meanwhile_stays(dana: Client, practice: Practice) -> None:
    both_wrong = "Yu,Mei,13/45/1980,555,Follow-up,,"
    batch = brought(dana, both_wrong, BAD[1])
    sheet = downloaded(dana, batch)
    told = {"fix-2-birth_date": "3/16/1980", "fix-2-phone": "555", "fix-3-phone": "2125550104"}
    dana.post(at(batch, "step", "correct"), told)
    sheet[1][3], sheet[2][3] = "2125550103", "2125550999"
    answer = dana.post(at(batch, "corrected"), {"file": as_csv(sheet)})
    assert said(dana, answer) == (
        "1 corrected row checked: no error is left in them. 1 row is right, added or left out by now and stayed so."
    )
    assert corrections(batch)[2] == {"birth_date": "3/16/1980", "phone": "2125550103"}
    assert corrections(batch)[3] == {"phone": "2125550104"}


def test_a_date_is_read_in_the_order_of_its_column(dana: Client, practice: Practice) -> None:
    batch = brought(dana, "Ng,Al,25/3/1980,2125550102,Follow-up,,", "Yu,Mei,31/2/1980,2125550103,Follow-up,,")
    assert batch.day_first == [2]
    sheet = downloaded(dana, batch)
    sheet[1][2] = "4/3/1980"
    dana.post(at(batch, "corrected"), {"file": as_csv(sheet)})
    assert corrections(batch)[3] == {"birth_date": "1980-03-04"}


def test_a_correction_on_the_page_is_read_in_the_order_of_its_column_too(dana: Client, practice: Practice) -> None:
    batch = brought(dana, "Ng,Al,25/3/1980,2125550102,Follow-up,,", "Yu,Mei,31/2/1980,2125550103,Follow-up,,")
    page = text_of(dana.get(at(batch, "change")))
    assert "Birth date : This is no date. Write for example 14/3/1980." in page
    dana.post(at(batch, "step", "correct"), {"fix-3-birth_date": "4/3/1980", "show": "error"})
    assert "born Mar 4, 1980" in text_of(dana.get(at(batch, "change"), {"show": "ready"}))
    # It stays that day, whatever is said of the column afterwards.
    dana.post(at(batch, "columns"), {**guessed(dana, batch), "order_2": "month", **NONE})
    assert "born Mar 4, 1980" in text_of(dana.get(at(batch, "change"), {"show": "ready"}))


def test_a_file_that_names_a_row_twice_or_is_of_another_list_changes_nothing(dana: Client, practice: Practice) -> None:
    batch, other = brought(dana, *BAD), brought(dana, "Roe,Jo,1980,2125550109,Follow-up,,")
    sheet = downloaded(dana, batch)
    sheet[1][2] = "3/16/1980"
    twice = dana.post(at(batch, "corrected"), {"file": as_csv([*sheet, sheet[1]])})
    assert said(dana, twice).startswith("Row 2 stands in the file twice. Nothing was changed.")
    assert said(dana, dana.post(at(other, "corrected"), {"file": as_csv(sheet)})).startswith("This is not the file")
    plain = SimpleUploadedFile("list.csv", f"{HEAD}\n{GOOD}".encode())
    assert said(dana, dana.post(at(batch, "corrected"), {"file": plain})).startswith("This is not the file")
    assert said(dana, dana.post(at(batch, "corrected"), {})).startswith("Choose a file")
    assert {**corrections(batch), **corrections(other)} == {2: {}, 3: {}}
    assert dana.get(at(batch, "corrected")).status_code == 405


def test_rows_of_a_list_of_another_location_or_a_deleted_one_are_not_taken(
    maria: Client, dana: Client, practice: Practice
) -> None:
    batch = brought(maria, *BAD)
    sheet = downloaded(maria, batch)
    sheet[1][2] = "3/16/1980"
    ImportBatch.objects.update(location=practice.lakeview)
    assert dana.post(at(batch, "corrected"), {"file": as_csv(sheet)}).status_code == 404
    answer = dana.post(ADD, {"file": as_csv(sheet), "location": practice.riverside.pk})
    assert f"rows with errors of list {batch.pk}, which is deleted or not yours to change" in text_of(answer)
    assert ImportBatch.objects.count() == 1
    assert corrections(batch)[2] == {}


@pytest.mark.parametrize(
    ("old", "new", "by_itself"),
    [
        ("00123", "123", True),
        ("00123", "124", False),
        ("123456789012", "1.23457E+11", True),
        ("03/04/1980", "1980-04-03", True),
        ("03/04/1980", "1980-03-04", True),
        ("3/14/80", "1980-03-14", True),
        ("03/04/1980", "1980-05-03", False),
        ("13/45/1980", "1980-03-14", False),
        ("", "123", False),
    ],
)
def test_what_a_spreadsheet_program_writes_by_itself_is_no_correction(old: str, new: str, by_itself: bool) -> None:
    assert is_rewritten(old, new) is by_itself


def test_the_file_says_of_each_row_what_stands_there_by_now_and_what_is_wrong_with_it(
    dana: Client, practice: Practice
) -> None:
    head = HEAD + ",Remark"
    batch = brought(dana, "Roe,Jo,3/17/1980,555,Follow-up", *BAD, "Poe,Al,3/18/1980,,Follow-up,,", head=head)
    # A row that is short of cells has empty ones; one corrected, though not well, has what was written last.
    dana.post(at(batch, "step", "correct"), {"fix-3-birth_date": "14/14/1980"})
    ImportRow.objects.filter(batch=batch, number=5).update(problems=[["", "Nobody can be reached."]], verdict="error")
    first, *rows = downloaded(dana, batch)
    assert first == [*head.split(","), f"Row of list {batch.pk}", "What is wrong"]
    assert [row[-2] for row in rows] == ["2", "3", "4", "5"]
    assert {len(row) for row in rows} == {len(first)}
    assert rows[0][:-1] == ["Roe", "Jo", "3/17/1980", "555", "Follow-up", "", "", "", "2"]
    assert rows[1][2] == "14/14/1980"
    assert rows[1][-1] == "Birth date: This is no date. Write for example 3/14/1980."
    assert rows[3][-1] == "Nobody can be reached."


def test_a_heading_that_a_program_put_spaces_around_is_known_again() -> None:
    headings = ["Name", " Row of list 7 ", "What is wrong"]
    assert (error_file.list_of(headings), error_file.place_of_numbers(headings)) == (7, 1)
    assert error_file.list_of(["Name", "Row of list seven"]) is None
