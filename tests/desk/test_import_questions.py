"""What is asked when a spreadsheet is brought in: what may be answered, what is marked, and what is kept of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from scheduling.models import Location, LocationAccess
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of
from tests.desk.test_import_pages import ADD, GOOD, HEAD, at, brought, guessed
from waitlist.importing.limits import MAX_ROWS
from waitlist.models import ImportBatch, WaitlistEntry


def file(*rows: str, head: str = HEAD) -> SimpleUploadedFile:
    return SimpleUploadedFile("list.csv", "\n".join([head, *rows]).encode())


def asked(client: Client) -> Any:
    return client.get(ADD).context["form"]


def labels(field: Any) -> list[str]:
    return [str(label) for _, label in field.choices]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_whose_list_it_is_is_chosen_among_ones_own_locations(dana: Client, maria: Client, practice: Practice) -> None:
    shut = factories.location(name="Shut", active=False)
    user = User.objects.get(username="dana")
    LocationAccess.objects.create(user=user, location=shut)
    field = asked(dana).fields["location"]
    assert (labels(field), field.initial, field.required) == (["Riverside"], practice.riverside, True)
    dana.post(ADD, {"file": file(GOOD), "location": shut.pk})
    assert not ImportBatch.objects.exists()
    # With two of their own they must say which.
    LocationAccess.objects.create(user=user, location=practice.lakeview)
    field = asked(dana).fields["location"]
    assert (labels(field)[1:], field.initial, field.required) == (["Lakeview", "Riverside"], None, True)
    assert "This field is required." in text_of(dana.post(ADD, {"file": file(GOOD)}))
    # Who works everywhere may bring the whole practice's.
    field = asked(maria).fields["location"]
    assert (labels(field)[0], field.required) == ("The whole practice: anywhere", False)
    maria.post(ADD, {"file": file(GOOD), "location": ""})
    assert ImportBatch.objects.get().location is None
    Location.objects.exclude(pk=practice.riverside.pk).update(active=False)
    field = asked(maria).fields["location"]
    assert (labels(field), field.initial) == (["Riverside"], practice.riverside)


def test_one_kind_of_visit_may_hold_for_all_rows(dana: Client, practice: Practice) -> None:
    stopped = factories.appointment_type(name="Old kind", active=False)
    field = asked(dana).fields["appointment_type"]
    assert labels(field)[0] == "A column of the file says so"
    assert "Old kind" not in labels(field)
    sent = {"file": file("Ng,Al,3/15/1980", head="Last,First,DOB"), "location": practice.riverside.pk}
    assert "Select a valid choice." in text_of(dana.post(ADD, {**sent, "appointment_type": stopped.pk}))
    sent["file"] = file("Ng,Al,3/15/1980", head="Last,First,DOB")
    dana.post(ADD, {**sent, "appointment_type": practice.followup.pk})
    batch = ImportBatch.objects.get()
    assert batch.appointment_type == practice.followup
    answer = dana.post(at(batch, "columns"), {**guessed(dana, batch), "consent": "none"})
    assert answer.headers["Location"] == at(batch, "change")
    assert "Follow-up" in text_of(dana.get(at(batch, "change")))


def test_what_a_file_may_be_is_said_before_and_what_is_wrong_with_it_after(dana: Client, practice: Practice) -> None:
    page = dana.get(ADD)
    assert f"Excel (.xlsx) or text (.csv), at most {MAX_ROWS:,} rows and 5 MB." in text_of(page)
    assert 'accept=".xlsx,.csv,.txt,.tsv"' in page.content.decode()
    assert "Import a spreadsheet" in text_of(page)
    missing = text_of(dana.post(ADD, {"location": practice.riverside.pk}))
    assert "Choose a file of at most 5 MB. Nothing was stored." in missing
    empty = SimpleUploadedFile("list.csv", b"")
    said_of_it = text_of(dana.post(ADD, {"file": empty, "location": practice.riverside.pk}))
    assert "The file is empty. Choose the one that has the list in it." in said_of_it


# --- what the columns mean --------------------------------------------------------------------------------------------


@pytest.fixture
def batch(dana: Client, practice: Practice) -> ImportBatch:
    rows = (
        "Ng,Al,03/04/1980,2125550102,F/U,1/5/2026",
        "Yu,Mei,03/04/1980,2125550103,F/U,45662",
        "Li,Bo,05/06/1981,2125550104,Follow-up,1/15/2026",
        "Xu,Wei,07/08/1982,2125550105,Wound,",
        "Hu,Lin,09/10/1983,2125550106,,",
    )
    sent = {"file": file(*rows, head="Last,First,DOB,Phone,Visit,Since"), "location": practice.riverside.pk}
    dana.post(ADD, sent)
    return ImportBatch.objects.get()


def form_of(client: Client, batch: ImportBatch, **answers: Any) -> Any:
    page = client.post(at(batch, "columns"), {**guessed(client, batch), **answers})
    return page.context["form"]


def test_each_column_is_shown_with_samples_its_guess_and_how_its_dates_are_read(
    dana: Client, batch: ImportBatch
) -> None:
    answer = dana.get(at(batch, "columns"))
    form = answer.context["form"]
    shown = {line.heading: (line.samples, line.field.value(), line.order and line.order.value()) for line in form.lines}
    assert shown == {
        "Last": (["Ng", "Yu", "Li"], "family_name", None),
        "First": (["Al", "Mei", "Bo"], "given_name", None),
        "DOB": (["03/04/1980", "05/06/1981", "07/08/1982"], "birth_date", "month"),
        "Phone": (["2125550102", "2125550103", "2125550104"], "phone", None),
        "Visit": (["F/U", "Follow-up", "Wound"], "appointment_type", None),
        "Since": (["1/5/2026", "45662 (the day Jan 5, 2025)", "1/15/2026"], "joined_on", "month"),
    }
    asks = {line.heading: line.asks for line in form.lines if line.asks}
    assert asks == {"DOB": "Its dates can be read both ways, such as 03/04/1980. Say which it is."}
    assert form.fields["order_2"].label == "Dates in DOB"
    assert labels(form.fields["order_2"]) == ["month/day/year", "day/month/year"]
    assert labels(form.fields["column_0"])[0] == "Leave it out"
    page = text_of(answer)
    for words in (
        "For example “form 2026-03”. Needed for a form.",
        "The latest day, where there are several. Needed for a form and for spoken consent.",
        "They agreed to e-mail as well",
        "What the columns mean",
    ):
        assert words in page


def test_words_for_visits_that_are_not_ours_are_asked_about_with_how_often_they_stand(
    dana: Client, practice: Practice, batch: ImportBatch
) -> None:
    factories.appointment_type(name="Old kind", active=False)
    form = dana.get(at(batch, "columns")).context["form"]
    assert [(line.label, line.help_text) for line in form.type_lines] == [
        ("“F/U”", "Stands in 2 rows."),
        ("“Wound”", "Stands in 1 row."),
    ]
    field = form.type_lines[0].field
    assert labels(field)[0] == "None of ours: these rows are errors"
    assert "Old kind" not in labels(field)
    told = {**guessed(dana, batch), "consent": "none", "type_word_0": practice.followup.pk}
    dana.post(at(batch, "columns"), told)
    batch.refresh_from_db()
    assert list(batch.type_words.values()) == [practice.followup.pk]
    # Asked again, what was said before stands there, and can be said otherwise or taken back.
    again = dana.get(at(batch, "columns")).context["form"]
    assert [(line.label, line.value()) for line in again.type_lines] == [
        ("“F/U”", practice.followup.pk),
        ("“Wound”", None),
    ]
    other = factories.appointment_type(name="Wound check")
    dana.post(at(batch, "columns"), {**told, "type_word_0": other.pk, "type_word_1": other.pk})
    batch.refresh_from_db()
    assert list(batch.type_words.values()) == [other.pk, other.pk]
    dana.post(at(batch, "columns"), {**told, "type_word_0": "", "type_word_1": other.pk})
    batch.refresh_from_db()
    assert list(batch.type_words.values()) == [other.pk]


def test_spellings_that_are_read_alike_are_one_question(dana: Client, practice: Practice) -> None:
    visits = ((1, "F/U"), (2, "f/u"), (3, "Wound"), (4, "F/U"))
    rows = [f"Ng,Al,3/{number}/1980,212555010{number},{word}" for number, word in visits]
    sent = {"file": file(*rows, head="Last,First,DOB,Phone,Visit"), "location": practice.riverside.pk}
    dana.post(ADD, sent)
    batch = ImportBatch.objects.get()
    form = dana.get(at(batch, "columns")).context["form"]
    assert [(line.label, line.help_text) for line in form.type_lines] == [
        ("“F/U”", "Stands in 3 rows."),
        ("“Wound”", "Stands in 1 row."),
    ]
    dana.post(at(batch, "columns"), {**guessed(dana, batch), "consent": "none", "type_word_0": practice.followup.pk})
    assert batch.rows.filter(verdict="error").count() == 1


def test_more_words_than_are_asked_at_once_come_when_the_first_are_answered(
    dana: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waitlist.importing.batches.MOST_ASKED", 2)
    words = ["A", "A", "A", "B", "B", "C", "C", "D"]
    rows = [f"Ng,Al,3/{day}/1980,visit {word}" for day, word in enumerate(words, 1)]
    dana.post(ADD, {"file": file(*rows, head="Last,First,DOB,Visit"), "location": practice.riverside.pk})
    batch = ImportBatch.objects.get()

    def asked_for(**answers: Any) -> list[str]:
        dana.post(at(batch, "columns"), {**guessed(dana, batch), "consent": "none", **answers})
        return [line.label for line in dana.get(at(batch, "columns")).context["form"].type_lines]

    assert asked_for() == ["“visit A”", "“visit B”"]
    assert asked_for(type_word_0=practice.followup.pk) == ["“visit A”", "“visit B”", "“visit C”"]


def test_what_was_answered_is_kept_and_stands_there_again(dana: Client, batch: ImportBatch) -> None:
    told = {
        **guessed(dana, batch),
        "column_3": "",
        "order_2": "day",
        "consent": "form",
        "consent_form": "form 2026-03",
        "consent_on": "2026-03-01",
        "emails_agreed": "on",
    }
    assert dana.post(at(batch, "columns"), told).headers["Location"] == at(batch, "change")
    batch.refresh_from_db()
    assert batch.fields == ["family_name", "given_name", "birth_date", "", "appointment_type", "joined_on"]
    assert batch.day_first == [2]
    kept = (batch.consent, batch.consent_form, batch.consent_on, batch.emails_agreed)
    assert kept == ("form", "form 2026-03", date(2026, 3, 1), True)
    form = dana.get(at(batch, "columns")).context["form"]
    for name in ("column_0", "column_3", "order_2", "order_5", "consent", "consent_form"):
        assert form[name].value() == {**told, "order_5": "month"}[name]
    assert (form["consent_on"].value(), form["emails_agreed"].value()) == (date(2026, 3, 1), True)


TO_COME = (timezone.localdate() + timedelta(days=2)).isoformat()


@pytest.mark.parametrize(
    ("answers", "marked"),
    [
        ({}, {"consent": "Say where consent to texts came from. If you do not know, there is none."}),
        (
            {"consent": "form"},
            {"consent_form": "Say which form they signed.", "consent_on": "Say when it was signed or said."},
        ),
        (
            {"consent": "form", "consent_form": "A", "consent_on": TO_COME},
            {"consent_on": "This day is still to come."},
        ),
        ({"consent": "spoken"}, {"consent_on": "Say when it was signed or said."}),
        ({"consent": "none", "consent_on": TO_COME}, {"consent_on": "This day is still to come."}),
        (
            {"consent": "form", "consent_form": "x" * 41, "consent_on": "2026-03-01"},
            {"consent_form": "Ensure this value"},
        ),
    ],
)
def test_consent_is_stated_whole_or_not_at_all(
    dana: Client, batch: ImportBatch, answers: dict[str, str], marked: dict[str, str]
) -> None:
    form = form_of(dana, batch, **answers)
    found = {field.name: field.errors[0] for field in form.marked}
    assert set(found) == set(marked)
    for name, says in marked.items():
        assert found[name].startswith(says)
    batch.refresh_from_db()
    assert (batch.status, batch.consent) == ("columns", "")


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"column_1": "family_name"}, ["Two columns are “Last name”. Choose one of them."]),
        (
            {"column_0": "", "column_1": ""},
            ["No column is the name. Choose “Whole name”, or “Last name” and “First name”."],
        ),
        ({"column_2": ""}, ["No column is “Birth date”. Without it, people of one name cannot be told apart."]),
        ({"column_4": ""}, ["Nothing says what they wait for. Choose a column as “Kind of visit”."]),
    ],
)
def test_columns_without_which_nobody_can_be_found_are_asked_for(
    dana: Client, batch: ImportBatch, answers: dict[str, str], says: list[str]
) -> None:
    assert list(form_of(dana, batch, consent="none", **answers).non_field_errors()) == says


# --- what the page of the rows sends ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["²", "x", "", "-1", "2" * 10, "9" * 30])
def test_a_row_that_is_none_of_the_list_changes_nothing(dana: Client, practice: Practice, number: str) -> None:
    batch = brought(dana, GOOD, "Yu,Mei,1980,2125550103,Follow-up,,")
    busy = "Nothing changed: somebody else is working on this list. Look at it again."
    for step in ("decide", "later", "leave-out", "take-in"):
        assert said(dana, dana.post(at(batch, "step", step), {"row": number})) == busy
    answer = dana.post(at(batch, "step", "correct"), {f"fix-{number}-birth_date": "3/16/1980"})
    assert said(dana, answer) == "Nothing was written to be checked."
    answer = dana.post(at(batch, "step", "add"), {"expected": number})
    assert "on the list" not in said(dana, answer).partition(".")[0]
    assert not WaitlistEntry.objects.exists()
