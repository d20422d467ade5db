"""Every change of a connection's mappings in one list, the newest first: single codes, fields and whole files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from integrations import mapping, mapping_changes, mapping_state, mapping_words
from integrations.mapping_changes import Entry
from integrations.models import CodeChange, Connection, MappingChange

SHOWN = 50
CHANGED_SINCE = "changed again since"


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One change. ``undo`` is where it is taken back, empty where that cannot be; ``why_not`` then says why.

    ``of_code``: of one code, by itself; it takes the right to change codes, anything else that to change fields, too.
    """

    at: datetime
    by: str
    how: str
    lines: list[mapping_words.Line]
    undo: str = ""
    why_not: str = ""
    undone_at: datetime | None = None
    of_code: bool = False


def history(row: Connection, limit: int = SHOWN) -> list[HistoryLine]:
    """Return the last ``limit`` changes. What an import did to single codes is part of its own line."""
    found = [*_of_files_and_fields(row, limit), *_of_codes(row, limit)]
    return sorted(found, key=lambda line: line.at, reverse=True)[:limit]


def _of_files_and_fields(row: Connection, limit: int) -> list[HistoryLine]:
    changes = MappingChange.objects.filter(connection=row).select_related("undone_by")
    state = mapping_state.current(row)
    return [_of_file_or_field(row, each, state) for each in changes[:limit]]


def _of_file_or_field(row: Connection, change: MappingChange, state: mapping_state.State) -> HistoryLine:
    said = mapping_words.lines(row, mapping_changes.entries_of(change), is_done=True)
    how = change.get_how_display()
    if hasattr(change, "undone_by"):
        return HistoryLine(change.at, change.by, how, said, undone_at=change.undone_by.at)
    if mapping_changes.changed_since(change, state):
        return HistoryLine(change.at, change.by, how, said, why_not=CHANGED_SINCE)
    return HistoryLine(change.at, change.by, how, said, reverse("admin:desk_mapping_undo", args=[row.pk, change.pk]))


def _of_codes(row: Connection, limit: int) -> list[HistoryLine]:
    by_hand = CodeChange.objects.filter(mapping__connection=row, part_of__isnull=True)
    changes = list(by_hand.select_related("mapping", "undone_by").order_by("-at", "-pk")[:limit])
    all_of: dict[int, list[CodeChange]] = {}
    for each in CodeChange.objects.filter(mapping__in=[each.mapping_id for each in changes]):
        all_of.setdefault(each.mapping_id, []).append(each)
    said = mapping_words.lines(row, [_entry(each) for each in changes], is_done=True)
    return [_of_code(row, each, line, all_of[each.mapping_id]) for each, line in zip(changes, said, strict=True)]


def _of_code(row: Connection, change: CodeChange, said: mapping_words.Line, all_of: list[CodeChange]) -> HistoryLine:
    how = "mapped" if change.undoes_id is None else "undone"
    if hasattr(change, "undone_by"):
        return HistoryLine(change.at, change.by, how, [said], undone_at=change.undone_by.at, of_code=True)
    if not mapping.may_undo(change, all_of):
        return HistoryLine(change.at, change.by, how, [said], why_not=CHANGED_SINCE, of_code=True)
    undo = reverse("admin:desk_undo_code", args=[row.pk, change.pk])
    return HistoryLine(change.at, change.by, how, [said], undo, of_code=True)


def _entry(change: CodeChange) -> Entry:
    mapping = change.mapping
    key = ("code", mapping.domain, mapping.system, mapping.code, str(mapping.location_id or ""))
    return Entry(key, change.before, change.after)
