"""Changing what is mapped: all of a change or nothing of it, on record with before and after, and undone as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction

from audit.log import record
from audit.models import AccessRecord
from integrations import field_health, mapping_state
from integrations.ehr import load_requests
from integrations.mapping_state import Impossible, Key, State
from integrations.models import Connection, MappingChange
from scheduling.counting import counted

How = MappingChange.How


@dataclass(frozen=True, slots=True)
class Entry:
    """One value that changes."""

    key: Key
    before: Any
    after: Any

    @property
    def kind(self) -> str:
        """Whether something is added, changed or removed; where a field stands can only change."""
        if self.key[0] != "code" or (self.before and self.after):
            return "changed"
        return "added" if self.after else "removed"


class Stale(Exception):
    """Somebody changed the mappings since they were looked at; nothing was changed."""


class Overtaken(Exception):
    """What is to be undone was changed again since; nothing was changed. ``keys`` says what."""

    def __init__(self, keys: list[Key]) -> None:
        super().__init__(f"changed again since: {counted(len(keys), 'value')}")
        self.keys = keys


def difference(state: Mapping[Key, Any], wanted: Mapping[Key, Any]) -> list[Entry]:
    """Return what it takes to get from ``state`` to ``wanted``, in a stable order; other keys stay as they are."""
    entries = []
    for key, after in wanted.items():
        before = state.get(key, mapping_state.nothing(key))
        if before != after:
            entries.append(Entry(key, before, after))
    return sorted(entries, key=lambda entry: entry.key)


def change(
    connection: Connection, wanted: Mapping[Key, Any], *, by: str, how: str = How.EDIT, seen: str = ""
) -> MappingChange | None:
    """Bring the mappings to ``wanted`` in one transaction; None when they are so already.

    ``seen`` is the fingerprint of the mappings that the person looked at: Stale is raised when they differ by now.
    Raises Impossible when any of the values cannot be set; nothing is changed then.
    """
    with transaction.atomic():
        row = mapping_state.lock(connection)
        state = mapping_state.current(row)
        if seen and seen != mapping_state.fingerprint(state):
            raise Stale
        return _write(row, difference(state, wanted), by, how)


def undo(earlier: MappingChange, by: str) -> MappingChange | None:
    """Bring back what was before a change; None when somebody has undone it already.

    Raises Overtaken when any of its values was changed again since, and Impossible when one cannot be set any more.
    """
    try:
        with transaction.atomic():
            row = mapping_state.lock(earlier.connection)
            if MappingChange.objects.filter(undoes=earlier).exists():
                return None
            if later := changed_since(earlier, mapping_state.current(row)):
                raise Overtaken(later)
            return _write(row, backwards(earlier), by, How.UNDO, undoes=earlier)
    except IntegrityError:
        if MappingChange.objects.filter(undoes=earlier).exists():
            return None
        raise


def entries_of(row: MappingChange) -> list[Entry]:
    """Return what a change changed."""
    return [Entry(tuple(each["what"]), each["before"], each["after"]) for each in row.entries]


def backwards(row: MappingChange) -> list[Entry]:
    """Return what the undo of a change changes."""
    return [Entry(each.key, each.after, each.before) for each in entries_of(row)]


def changed_since(row: MappingChange, state: State) -> list[Key]:
    """Return what of a change has another value by now, where ``state`` is what is mapped now."""
    return [each.key for each in entries_of(row) if _value(state, each.key) != each.after]


def _value(state: State, key: Key) -> Any:
    return state.get(key, mapping_state.nothing(key))


def _write(
    connection: Connection, entries: list[Entry], by: str, how: str, undoes: MappingChange | None = None
) -> MappingChange | None:
    if not entries:
        return None
    stored = [{"what": [*each.key], "before": each.before, "after": each.after} for each in entries]
    row = MappingChange.objects.create(connection=connection, by=by[:150], how=how, entries=stored, undoes=undoes)
    for entry in entries:
        mapping_state.put(connection, entry.key, entry.after, row)
    record(AccessRecord.Action.CHANGE, subject=row, detail={"connection": connection.slug, "changes": len(entries)})
    _read_again(connection, {entry.key[1] for entry in entries if entry.key[0] in ("path", "owner")}, by)
    return row


def _read_again(connection: Connection, changed: Collection[str], by: str) -> None:
    """Patients whose version we hold are skipped by a load: after another path they are read again all the same.

    A load that runs at this moment may have read the mapping before: the one asked for here begins after it.
    """
    if not changed:
        return
    field_health.start_anew(connection, changed, by)
    if connection.loaded_at is not None or connection.load_progress:
        Connection.objects.filter(pk=connection.pk).update(patients_stale=True)
        transaction.on_commit(partial(load_requests.ask, connection))


__all__ = [
    "Entry",
    "Impossible",
    "Overtaken",
    "Stale",
    "backwards",
    "change",
    "changed_since",
    "difference",
    "entries_of",
    "undo",
]
