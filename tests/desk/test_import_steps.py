"""What is said after each button of an imported list, and in which tone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import plain
from tests.desk.test_import_errors_come_back import BAD, as_csv, downloaded
from tests.desk.test_import_pages import GOOD, HEAD, at, brought
from waitlist.importing import working
from waitlist.models import ImportBatch, WaitlistEntry

BUSY = ("warning", "Nothing changed: somebody else is working on this list. Look at it again.")
OTHER = "Li,Bo,3/16/1980,2125550104,Follow-up,,"


def pressed(client: Client, batch: ImportBatch, step: str, **sent: Any) -> tuple[str, str]:
    """Press a button and return the tone and the words of what is said."""
    return heard(client.post(at(batch, "step", step), sent, follow=True))


def heard(answer: Any) -> tuple[str, str]:
    found = re.findall(r'<li class="(\w+)">(.*?)</li>', answer.content.decode(), re.DOTALL)
    tone, words = next(each for each in found if each[0] in ("success", "info", "warning", "error"))
    return tone, plain(words)


def known_twice(practice: Practice) -> list[str]:
    """Rows of two whom the practice knows."""
    people = (
        practice.patient,
        factories.patient(given_name="Sam", family_name="Ortiz", locations=[practice.riverside]),
    )
    return [
        ",".join(
            (
                each.family_name,
                each.given_name,
                str(each.birth_date),
                each.contact_points.get(system="phone").value,
                "Follow-up,,",
            )
        )
        for each in people
    ]


def test_while_somebody_else_works_on_it_each_button_says_so(dana: Client, practice: Practice) -> None:
    batch = brought(dana, GOOD, *BAD)
    ImportBatch.objects.update(status="adding")
    for step, sent in {
        "check": {},
        "correct": {"fix-3-birth_date": "3/16/1980"},
        "decide": {"row": "2"},
        "later": {"row": "2"},
        "leave-out": {"row": "2"},
        "take-in": {"row": "2"},
        "sheet": {"sheet": "Other"},
        "discard": {},
    }.items():
        assert pressed(dana, batch, step, **sent) == BUSY, step
    already = "It is being added already. Nothing is added twice."
    assert pressed(dana, batch, "add", expected="1") == ("warning", already)
    tone, words = pressed(dana, batch, "undo")
    assert (tone, words.partition(":")[0]) == ("error", "Nothing was undone")
    assert not WaitlistEntry.objects.exists()


def test_corrections_say_how_many_are_right_by_now(dana: Client, practice: Practice, monkeypatch: Any) -> None:
    batch = brought(dana, *BAD)
    assert pressed(dana, batch, "correct") == ("warning", "Nothing was written to be checked.")
    sent = {"fix-2-birth_date": "3/16/1980", "fix-3-phone": "556"}
    tone, words = pressed(dana, batch, "correct", **sent)
    assert (tone, words) == ("warning", "1 corrected row of 2 still to be mended; the others are right now.")
    sent = {"fix-3-phone": "2125550105"}
    assert pressed(dana, batch, "correct", **sent) == ("success", "1 corrected row checked: no error is left in them.")
    batch = brought(dana, *BAD)
    both = {"fix-2-birth_date": "3/16/1980", "fix-3-phone": "2125550105"}
    with monkeypatch.context() as patch:
        patch.setattr(working, "AT_ONCE", 0)
        assert pressed(dana, batch, "correct", **both) == ("info", "2 corrected rows are being checked.")


@pytest.mark.parametrize(
    ("changes", "tone", "says"),
    [
        ({}, "warning", "2 rows are in the file as before."),
        (
            {1: "3/16/1980"},
            "warning",
            "1 corrected row checked: no error is left in them. 1 row is in the file as before.",
        ),
        ({1: "3/16/1980", 2: "3/18/1980"}, "success", "2 corrected rows checked: no error is left in them."),
    ],
)
def test_what_came_back_is_counted(
    dana: Client, practice: Practice, changes: dict[int, str], tone: str, says: str
) -> None:
    batch = brought(dana, BAD[0], BAD[0].replace("Yu", "Yi"))
    sheet = downloaded(dana, batch)
    for row, text in changes.items():
        sheet[row][2] = text
    assert heard(dana.post(at(batch, "corrected"), {"file": as_csv(sheet)}, follow=True)) == (tone, says)


def test_of_what_came_back_nothing_is_taken_that_is_settled_or_of_no_row(dana: Client, practice: Practice) -> None:
    batch = brought(dana, BAD[0], BAD[0].replace("Yu", "Yi"))
    head, first, second = downloaded(dana, batch)
    pressed(dana, batch, "leave-out", row="2")
    settled = heard(dana.post(at(batch, "corrected"), {"file": as_csv([head, first])}, follow=True))
    assert settled == ("warning", "1 row is right, added or left out by now and stayed so.")
    second[-2] = "99"
    foreign = heard(dana.post(at(batch, "corrected"), {"file": as_csv([head, second])}, follow=True))
    assert foreign == ("warning", "1 row is not of this list, and nothing of that was taken.")


def test_who_a_row_is_is_said_back(dana: Client, practice: Practice) -> None:
    rows = known_twice(practice)
    batch = brought(dana, *rows)
    person = practice.patient
    same = pressed(dana, batch, "decide", row="2", patient=str(person.pk))
    assert same == ("success", "Row 2 is this patient. Nothing was merged; only the entry will be theirs.")
    other = pressed(dana, batch, "decide", row="3")
    assert other == ("success", "Row 3 is somebody else: they will be a patient of their own.")
    assert pressed(dana, batch, "decide", row="") == BUSY
    batch = brought(dana, *rows)
    assert pressed(dana, batch, "alike") == ("success", "2 rows are the patients proposed. Nothing was merged.")
    assert pressed(dana, batch, "alike") == BUSY


def test_rows_left_out_taken_in_and_put_off_are_named(dana: Client, practice: Practice) -> None:
    batch = brought(dana, GOOD, known_twice(practice)[0])
    assert pressed(dana, batch, "leave-out", row="2") == ("success", "Row 2 is left out.")
    assert pressed(dana, batch, "take-in", row="2") == ("success", "Row 2 was checked again.")
    later = pressed(dana, batch, "later", row="3")
    assert later == ("success", "Row 3 waits among the patient reviews. What is answered there counts here.")


@pytest.mark.parametrize(("rows", "are"), [((GOOD,), "1 is"), ((GOOD, OTHER), "2 are")])
def test_adding_and_undoing_say_how_many(dana: Client, practice: Practice, rows: tuple[str, ...], are: str) -> None:
    batch = brought(dana, *rows)
    count = str(len(rows))
    assert pressed(dana, batch, "add", expected=count) == ("success", f"{are} on the list. You can still undo it.")
    assert pressed(dana, batch, "discard") == BUSY
    assert pressed(dana, batch, "undo") == (
        "success",
        f"Undone: {are} off the list again, and the consent that was stated of them counts no more.",
    )
    tone, words = pressed(dana, batch, "undo")
    assert (tone, words.partition(":")[0]) == ("error", "Nothing was undone")


def test_a_list_too_long_to_be_added_at_once_is_added_by_a_worker(
    dana: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = brought(dana, GOOD)
    monkeypatch.setattr(working, "AT_ONCE", 0)
    assert pressed(dana, batch, "add", expected="1") == (
        "info",
        "They are being added. You can leave this page; all of them are added, or none.",
    )
    assert not WaitlistEntry.objects.exists()


def test_what_changed_while_it_was_added_is_said_and_nobody_is_added(dana: Client, practice: Practice) -> None:
    batch = brought(dana, GOOD, OTHER)
    practice.followup.active = False
    practice.followup.save()
    assert pressed(dana, batch, "add", expected="2") == ("warning", working.CHANGED)
    assert not WaitlistEntry.objects.exists()


def test_checking_again_says_nothing_but_shows_the_rows(dana: Client, practice: Practice) -> None:
    batch = brought(dana, GOOD.replace("Follow-up", "Talk"), head=HEAD)
    assert batch.rows.get().verdict == "error"
    factories.appointment_type(name="Talk")
    dana.post(at(batch, "step", "check"))
    assert batch.rows.get().verdict == "ready"


def test_a_list_thrown_away_says_that_nobody_was_put_on_it(dana: Client, practice: Practice) -> None:
    assert pressed(dana, brought(dana, GOOD), "discard") == (
        "success",
        "Discarded: the file and its rows are deleted. Nobody was put on the list.",
    )
