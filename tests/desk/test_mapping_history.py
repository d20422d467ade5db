"""One history of what codes and fields mean: in the order in which it happened, with undo for each."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from config.desk.mapping_history import HistoryLine, history
from integrations import mapping, mapping_changes, mapping_state
from integrations.models import CodeChange, CodeMapping, MappingChange
from tests import factories
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
    assert (undo.by, undo.how, bool(undo.undo)) == ("ira", "undone", True)
    assert (first.undo, first.undone_at is not None) == ("", True)


def test_a_later_change_in_the_list_is_undone_before_the_file(ira: Client, practice: Practice, page: str) -> None:
    connection = practice.connection
    mapping_changes.change(connection, {KEY: CodeMapping.REBOOKABLE}, by="cleo", how=MappingChange.How.IMPORT)
    mapping.map_code(connection, "reason", "", "x-9", CodeMapping.ASK_STAFF, by="ada")
    later, file = history(connection)
    assert (file.undo, file.why_not) == ("", "changed again since")
    pressed = f"{page}{MappingChange.objects.get().pk}/undo/"  # on a page that was open before
    assert "Undo the later change first" in said(ira, ira.post(pressed))
    said(ira, ira.post(later.undo, {"from": "history"}))
    assert said(ira, ira.post(history(connection)[-1].undo)) == "Undone: 1 value as before."
    assert CodeMapping.objects.get(code="x-9").target == ""


def undone(ira: Client, line: HistoryLine) -> str:
    return said(ira, ira.post(line.undo, {"from": "history"} if line.of_code else {}))


def test_the_undo_of_a_code_is_undone_until_something_newer_stands_on_it(ira: Client, practice: Practice) -> None:
    connection = practice.connection
    row = mapping.map_code(connection, "reason", "", "x-9", CodeMapping.REBOOKABLE, by="ada")
    mapping.map_code(connection, "reason", "", "x-9", CodeMapping.ASK_STAFF, by="ben")
    undone(ira, history(connection)[0])
    undone(ira, history(connection)[0])
    row.refresh_from_db()
    assert row.target == CodeMapping.ASK_STAFF
    lines = history(connection)
    assert told(lines) == [("ira", "undone", 1, True), ("ira", "undone", 1, False), *told(lines)[2:]]
    assert [(line.by, bool(line.undone_at), line.why_not) for line in lines[1:]] == [
        ("ira", True, ""),
        ("ben", True, ""),
        ("ada", False, "changed again since"),
    ]
    # Back by two: what was brought back first, then the one before it.
    assert mapping.undoable(row) == CodeChange.objects.latest("pk")
    undone(ira, lines[0])
    undone(ira, next(line for line in history(connection) if line.by == "ada"))
    row.refresh_from_db()
    assert row.target == ""
    again = CodeChange.objects.filter(undoes__isnull=False).order_by("pk")[2]
    assert not mapping.undo(again, "ira")
    assert "changed again since" in [line.why_not for line in history(connection)]


def test_an_import_undone_leaves_what_was_before_it_to_be_undone(ira: Client, practice: Practice) -> None:
    connection = practice.connection
    row = mapping.map_code(connection, "reason", "", "x-9", CodeMapping.REBOOKABLE, by="ada")
    mapping_changes.change(connection, {KEY: CodeMapping.ASK_STAFF}, by="cleo", how=MappingChange.How.IMPORT)
    file, first = history(connection)
    assert (first.undo, first.why_not) == ("", "changed again since")
    undone(ira, file)
    undo, file, first = history(connection)
    assert (bool(undo.undo), bool(file.undone_at), bool(first.undo)) == (True, True, True)
    # And what was undone as a whole is had back as a whole, after which the first one waits again.
    undone(ira, undo)
    assert (history(connection)[-1].why_not, history(connection)[1].undone_at is not None) == (
        "changed again since",
        True,
    )
    undone(ira, history(connection)[0])
    undone(ira, history(connection)[-1])
    row.refresh_from_db()
    assert row.target == ""


def test_a_code_of_a_file_that_was_taken_back_alone_is_had_back_and_the_file_then_undone(
    ira: Client, practice: Practice
) -> None:
    connection = practice.connection
    mapping_changes.change(connection, {KEY: CodeMapping.REBOOKABLE}, by="cleo", how=MappingChange.How.IMPORT)
    assert mapping.undo(CodeChange.objects.get(), "ben")
    alone, file = history(connection)
    assert (file.undo, file.why_not) == ("", "changed again since")
    undone(ira, alone)
    assert undone(ira, history(connection)[-1]) == "Undone: 1 value as before."
    assert CodeMapping.objects.get(code="x-9").target == ""


def test_who_hears_of_it_is_said_before_a_file_is_undone(ira: Client, practice: Practice) -> None:
    connection = practice.connection
    mapping_changes.change(connection, {KEY: CodeMapping.REBOOKABLE}, by="cleo", how=MappingChange.How.IMPORT)
    gone = factories.appointment(
        practice.patient, practice.chen, practice.riverside, source=practice.source, status="cancelled",
        status_code="cancelled", reason_code="x-9",
    )  # fmt: skip
    opening = practice.opening(freed_by=gone, status="offering", waves_sent=1)
    factories.offer(opening, practice.entry())
    (line,) = history(connection)
    words = text_of(ira.post(line.undo))
    assert "the time may be offered not mapped" in words
    assert "1 offer is withdrawn, and whoever has one is told." in words
    assert CodeMapping.objects.get(code="x-9").target == "rebookable"
    assert said(ira, ira.post(line.undo, {"sure": "1"})) == "Undone: 1 value as before."
    assert CodeMapping.objects.get(code="x-9").target == ""
    # The same for a single code, and for the undo of its undo.
    mapping.map_code(connection, "reason", "", "x-9", CodeMapping.REBOOKABLE, by="ada")
    mapping.undo(mapping.undoable(CodeMapping.objects.get(code="x-9")), "ada")  # type: ignore[arg-type]
    mapping.undo(CodeChange.objects.latest("pk"), "ada")
    assert "1 offer that rests on" in text_of(ira.post(history(connection)[0].undo, {"from": "history"}))
    assert CodeMapping.objects.get(code="x-9").target == "rebookable"


def test_undo_is_for_those_who_may_change_and_of_their_own_connection(
    ira: Client, dana: Client, practice: Practice, page: str
) -> None:
    mapping.map_code(practice.connection, "reason", "", "x-9", CodeMapping.REBOOKABLE, by="ada")
    mapping_changes.change(practice.connection, PATH, by="ben")
    other = factories.connection("oak")
    assert history(other) == []
    for line in history(practice.connection):
        assert dana.post(line.undo).status_code == 403
        there = line.undo.replace(f"/{practice.connection.pk}/", f"/{other.pk}/", 1)
        assert ira.post(there).status_code == 404
    assert len(history(practice.connection)) == 2


def test_what_it_meant_before_may_be_gone(ira: Client, practice: Practice) -> None:
    kind = factories.appointment_type()
    row = mapping.map_code(practice.connection, "type", "", "FUP", kind.code, by="ada")
    mapping.map_code(practice.connection, "type", "", "FUP", practice.followup.code, by="ada")
    key = ("code", "type", "", "OLD", "")
    mapping_changes.change(practice.connection, {key: kind.code}, by="ben")
    mapping_changes.change(practice.connection, {key: practice.followup.code}, by="ben")
    kind.delete()
    file, _, code, _ = history(practice.connection)
    assert undone(ira, code) == "Nothing was changed. What it meant before does not exist any more."
    assert undone(ira, file).startswith("Nothing was undone: “")
    row.refresh_from_db()
    assert row.target == practice.followup.code
    assert mapping_state.current(practice.connection)[key] == practice.followup.code


def test_older_changes_are_had_by_a_link(ira: Client, practice: Practice, page: str) -> None:
    for number in range(3):
        mapping.map_code(practice.connection, "reason", "", f"x-{number}", CodeMapping.REBOOKABLE, by="ada")
    first = ira.get(f"{page}?shown=2")
    assert (len(first.context["changes"]), first.context["older"]) == (2, 8)
    assert "Show older changes" in text_of(first)
    assert "Show older changes" not in text_of(ira.get(f"{page}?shown=3"))
    assert len(ira.get(f"{page}?shown=x").context["changes"]) == 3
