"""The rows of an imported list as its page shows them, and whom *Same person in several rows* is about."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from scheduling.models import Patient
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.test_import_errors_come_back import BAD
from tests.desk.test_import_pages import GOOD, at, brought
from waitlist.admin import import_rows
from waitlist.models import ImportBatch, ImportRow


def row_of(patient: Patient, *, phone: str = "", given: str = "", born: str = "") -> str:
    number = phone or patient.contact_points.get(system="phone").value
    name = given or patient.given_name
    return f"{patient.family_name},{name},{born or patient.birth_date},{number},Follow-up,,"


def shown(client: Client, batch: ImportBatch, **query: Any) -> Any:
    return client.get(at(batch, "change"), query).context["shown"]


@pytest.fixture
def sam(practice: Practice) -> Patient:
    return factories.patient(given_name="Sam", family_name="Ortiz", locations=[practice.riverside])


def test_rows_come_by_what_they_need_in_the_order_of_the_file(dana: Client, practice: Practice) -> None:
    batch = brought(dana, GOOD, *BAD, row_of(practice.patient))
    ImportRow.objects.filter(number=2).update(number=12)  # the first row that was stored is not the first of the file
    first = shown(dana, batch)
    assert [(each.label, each.tone, each.count) for each in first.figures] == [
        ("with errors", "danger", 2),
        ("to look at", "wait", 1),
        ("ready", "accent", 1),
    ]
    assert (first.verdict, [line.row.number for line in first.lines]) == ("error", [3, 4])
    assert (first.ready, first.alike, first.has_errors) == (1, 0, True)
    ImportRow.objects.filter(number=3).update(number=33)
    assert [line.row.number for line in shown(dana, batch, show="error").lines] == [4, 33]
    look = shown(dana, batch, show="look")
    assert ([line.row.number for line in look.lines], look.alike, len(look.patients)) == ([5], 1, 1)
    ready = shown(dana, batch, show="ready")
    assert ([line.row.number for line in ready.lines], ready.alike, ready.patients) == ([12], 0, [])
    for query in ("duplicate", "nonsense"):
        assert shown(dana, batch, show=query).verdict == "error", "of which there are some"


def test_what_was_added_is_called_so_until_it_is_undone(dana: Client, practice: Practice) -> None:
    batch = brought(dana, GOOD, "Li,Bo,3/16/1980,2125550104,Follow-up,,")
    dana.post(at(batch, "step", "leave-out"), {"row": "3"})
    dana.post(at(batch, "step", "add"), {"expected": "1"})

    def words() -> dict[str, tuple[list[str], list[tuple[str, str]]]]:
        found = {each.verdict: each.label for each in shown(dana, batch).figures}
        return {
            verdict: (label, [(line.word, line.tone) for line in shown(dana, batch, show=verdict).lines])
            for verdict, label in found.items()
        }

    assert words() == {"left_out": ("left out", [("left out", "stop")]), "added": ("added", [("added", "ok")])}
    dana.post(at(batch, "step", "undo"))
    assert words() == {
        "left_out": ("left out", [("left out", "stop")]),
        "added": ("taken off again", [("taken off again", "stop")]),
    }


def test_a_row_is_shown_as_it_is_read(dana: Client, practice: Practice, sam: Patient) -> None:
    batch = brought(dana, ",,3/15/1980,2125550102,Talk,,", GOOD, row_of(practice.patient))
    error, ready, look = (shown(dana, batch, show=verdict).lines[0] for verdict in ("error", "ready", "look"))
    assert (error.name, error.kind, error.candidates, error.hidden) == ("no name", "Talk", [], 0)
    assert {fix.label for fix in error.fixes} >= {"Kind of visit"}
    assert error.says == [says for field, says in error.row.problems if not field]
    assert (ready.name, ready.born, ready.reached, ready.kind) == ("Al Ng", "Mar 15, 1980", "2125550102", "Follow-up")
    assert (ready.fixes, ready.is_put_off) == ([], False)
    assert (look.candidates, look.hidden) == ([practice.patient], 0)
    assert look.says
    # Whom an earlier look proposed is nobody's business once the row is settled.
    ImportRow.objects.filter(pk=ready.row.pk).update(candidates=[sam.pk])
    assert shown(dana, batch, show="ready").lines[0].candidates == []


@pytest.mark.parametrize(
    ("fields", "agrees"),
    [
        ({}, True),
        ({"phone": "2125550177"}, False),
        ({"given": "Ronnie"}, False),
    ],
)
def test_only_who_agrees_in_all_is_taken_with_the_others(
    dana: Client, people: dict[str, User], practice: Practice, fields: dict[str, str], agrees: bool
) -> None:
    batch = brought(dana, row_of(practice.patient, **fields))
    assert batch.rows.get().verdict == "look"
    assert import_rows.alike(batch, people["dana"]) == ({2: practice.patient} if agrees else {})


def test_a_row_that_is_settled_or_may_be_two_people_is_not_taken_with_the_others(
    dana: Client, people: dict[str, User], practice: Practice, sam: Patient
) -> None:
    batch = brought(dana, row_of(practice.patient), row_of(sam))
    dana_sees = people["dana"]
    assert list(import_rows.alike(batch, dana_sees)) == [2, 3]
    one = batch.rows.get(number=2)
    for fields in (
        {"candidates": [practice.patient.pk, sam.pk]},
        {"choice": ImportRow.Choice.DIFFERENT},
        {"verdict": "left_out"},
        {"candidates": [practice.their_patient.pk]},
        {"corrections": {"birth_date": "13/45/1980"}},
    ):
        ImportRow.objects.filter(pk=one.pk).update(**fields)
        assert import_rows.alike(batch, dana_sees) == {3: sam}, fields
        one.save()
    assert list(import_rows.alike(batch, dana_sees)) == [2, 3]


def test_only_fields_of_the_page_are_corrections_and_none_is_longer_than_a_cell() -> None:
    posted = {
        "fix-3-birth_date": " 3/16/1980 ",
        "fix-3-phone": "5" * 301,
        "fix-4-note": "x",
        "fix-4-pk": "1",
        "4-note": "y",
        "fix-x-note": "z",
        "csrfmiddlewaretoken": "t",
    }
    assert import_rows.corrections(posted) == {
        3: {"birth_date": "3/16/1980", "phone": "5" * 300},
        4: {"note": "x"},
    }
