"""Every change of a connection's mappings in one list, the newest first: single codes, fields and whole files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max
from django.urls import reverse

from integrations import mapping_changes, mapping_words
from integrations.mapping_changes import Entry
from integrations.models import CodeChange, Connection, MappingChange

SHOWN = 50


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One change. ``undo`` is where it is taken back, empty where that cannot be; ``why_not`` then says why."""

    at: datetime
    by: str
    how: str
    lines: list[mapping_words.Line]
    undo: str = ""
    why_not: str = ""
    undone_at: datetime | None = None


def history(row: Connection, limit: int = SHOWN) -> list[HistoryLine]:
    """Return the last ``limit`` changes. What an import did to single codes is part of its own line."""
    found = [*_of_files_and_fields(row, limit), *_of_codes(row, limit)]
    return sorted(found, key=lambda line: line.at, reverse=True)[:limit]


def _of_files_and_fields(row: Connection, limit: int) -> list[HistoryLine]:
    changes = MappingChange.objects.filter(connection=row).select_related("undone_by", "undoes")
    return [
        HistoryLine(
            each.at,
            each.by,
            each.get_how_display(),
            mapping_words.lines(row, mapping_changes.entries_of(each), is_done=True),
            "" if hasattr(each, "undone_by") else reverse("admin:desk_mapping_undo", args=[row.pk, each.pk]),
            undone_at=each.undone_by.at if hasattr(each, "undone_by") else None,
        )
        for each in changes[:limit]
    ]


def _of_codes(row: Connection, limit: int) -> list[HistoryLine]:
    of_row = CodeChange.objects.filter(mapping__connection=row)
    changes = list(
        of_row.filter(part_of__isnull=True).select_related("mapping", "undone_by").order_by("-at", "-pk")[:limit]
    )
    standing = of_row.filter(
        undoes__isnull=True, undone_by__isnull=True, mapping__in=[each.mapping_id for each in changes]
    )
    last = dict(standing.order_by().values_list("mapping_id").annotate(Max("pk")))
    said = mapping_words.lines(row, [_entry(each) for each in changes], is_done=True)
    return [_of_code(row, each, line, last) for each, line in zip(changes, said, strict=True)]


def _of_code(row: Connection, change: CodeChange, said: mapping_words.Line, last: dict[int, int]) -> HistoryLine:
    if change.undoes_id is not None:
        return HistoryLine(change.at, change.by, "undone", [said])
    if hasattr(change, "undone_by"):
        return HistoryLine(change.at, change.by, "mapped", [said], undone_at=change.undone_by.at)
    if last.get(change.mapping_id) != change.pk:
        return HistoryLine(change.at, change.by, "mapped", [said], why_not="changed again since")
    undo = reverse("admin:desk_undo_code", args=[row.pk, change.pk])
    return HistoryLine(change.at, change.by, "mapped", [said], undo)


def _entry(change: CodeChange) -> Entry:
    mapping = change.mapping
    key = ("code", mapping.domain, mapping.system, mapping.code, str(mapping.location_id or ""))
    return Entry(key, change.before, change.after)
