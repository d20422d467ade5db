"""One history of what codes and fields mean: in the order in which it happened, with undo for each."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from config.desk.mapping_history import HistoryLine, history
from integrations import mapping, mapping_changes
from integrations.models import CodeChange, CodeMapping, MappingChange
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of

pytestmark = pytest.mark.django_db

KEY = ("code", "reason", "", "x-9", "")
PATH: dict[Any, Any] = {("path", "preferred_name", "fhirpath"): {"path": "Patient.name.given", "transform": "trim"}}


@pytest.fixture
def page(practice: Practice) -> str:
    return f"/admin/connections/{practice.connection.pk}/mappings/"


def told(lines: list[HistoryLine]) -> list[tuple[str, str, int, bool]]:
    return [(line.by, line.how, len(line.lines), bool(line.undo)) for line in lines]


def test_codes_fields_and_files_stand_in_one_list(ira: Client, practice: Practice, page: str) -> None:
    row = practice.connection
    mapping.map_code(row, "reason", "", "x-9", CodeMapping.REBOOKABLE, by="ada")
    mapping_changes.change(row, PATH, by="ben")
    both = {KEY: CodeMapping.NOT_REBOOKABLE, ("code", "status", "", "CX", ""): "cancelled"}
    mapping_changes.change(row, both, by="cleo", how=MappingChange.How.IMPORT)
    mapping.map_code(row, "reason", "", "y-1", CodeMapping.ASK_STAFF, by="dana")
    assert told(history(row)) == [
        ("dana", "mapped", 1, True),
        ("cleo", "imported", 2, True),
        ("ben", "edited", 1, True),
        ("ada", "mapped", 1, False),
    ]
    assert history(row)[-1].why_not == "changed again since"
    assert CodeChange.objects.filter(part_of__by="cleo").count() == 2
    words = text_of(ira.get(page))
    assert words.index("dana mapped") < words.index("cleo imported") < words.index("ben edited")
    assert words.index("ben edited") < words.index("ada mapped")
    assert len(history(row, limit=2)) == 2


def test_the_last_change_of_a_code_is_undone_from_the_list(ira: Client, practice: Practice, page: str) -> None:
    row = mapping.map_code(practice.connection, "reason", "", "x-9", CodeMapping.REBOOKABLE, by="ada")
    line = history(practice.connection)[0]
    answer = ira.post(line.undo, {"from": "history"})
    assert answer["Location"] == f"{page}#changes"
    assert said(ira, answer) == "“x-9”: the last change was taken back."
    row.refresh_from_db()
    assert row.target == ""
    undo, first = history(practice.connection)
    assert (undo.by, undo.how, undo.undo) == ("ira", "undone", "")
    assert (first.undo, first.undone_at is not None) == ("", True)


def test_a_later_change_in_the_list_is_undone_before_the_file(ira: Client, practice: Practice, page: str) -> None:
    connection = practice.connection
    mapping_changes.change(connection, {KEY: CodeMapping.REBOOKABLE}, by="cleo", how=MappingChange.How.IMPORT)
    mapping.map_code(connection, "reason", "", "x-9", CodeMapping.ASK_STAFF, by="ada")
    later, file = history(connection)
    assert "Undo the later change first" in said(ira, ira.post(file.undo))
    said(ira, ira.post(later.undo, {"from": "history"}))
    assert said(ira, ira.post(file.undo)) == "Undone: 1 value as before."
    assert CodeMapping.objects.get(code="x-9").target == ""
