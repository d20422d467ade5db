"""Everything that is mapped at one connection as plain data: what a file holds, what a change changes, what undo needs.

Keys are tuples of text, values are text or, for paths, ``{"path": …, "transform": …}``:

- ``("setting", "missing_reason")``
- ``("code", domain, system, code, location)``: the target, empty where it is not mapped, or where an id of a
  clinician or place names what it did from the first; ``location`` is our row's key, empty for all locations
- ``("owner", field)``: ehr or practice
- ``("path", field, kind)``: where the field stands, its usual place included
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from integrations import mapping
from integrations.ehr.fhir import paths as fhirpath
from integrations.ehr.hl7v2 import paths as hl7v2
from integrations.field_mapping import PathKind, default_path, map_field, own_mappings, set_owner
from integrations.fields import FIELDS, Field, Transform
from integrations.models import CodeMapping, Connection, MappingChange
from scheduling.models import Location, Source
from scheduling.patients import ours

Key = tuple[str, ...]
State = dict[Key, Any]
#: Of more meanings than this, none is listed to who writes one that does not exist.
MOST_LISTED = 20
MISSING_REASON: Key = ("setting", "missing_reason")


class Impossible(ValueError):
    """A value that cannot be set; the message says why, in words for the page."""


def current(connection: Connection) -> State:
    """Return all that is mapped now, usual places included."""
    state: State = {
        MISSING_REASON: Connection.objects.values_list("missing_reason", flat=True).get(pk=connection.pk),
    }
    rows, named_first = CodeMapping.objects.filter(connection=connection), mapping.originals(connection)
    for domain, system, code, place, target in rows.values_list("domain", "system", "code", "location_id", "target"):
        # An id that means what the EHR meant by it from the first is not mapped by anybody.
        is_own = bool(target) and target == named_first.get((domain, code))
        state["code", domain, system, code, str(place or "")] = "" if is_own else target
    owned = ours(connection.source)
    for field in FIELDS.values():
        if not field.fixed:
            state["owner", field.key] = "practice" if field.key in owned else "ehr"
    for kind in PathKind.values:
        own = own_mappings(connection, kind)
        for field in FIELDS.values():
            row = own.get(field.key)
            state["path", field.key, kind] = (
                {"path": row.path, "transform": row.transform} if row else usual(field, kind)
            )
    return state


def usual(field: Field, kind: str) -> dict[str, str]:
    """Return where a field stands unless the practice says otherwise."""
    return {"path": default_path(field, kind), "transform": str(field.transform)}


def nothing(key: Key) -> Any:
    """Return the value of a key of which nobody said anything."""
    if key[0] == "code":
        return ""
    if key[0] == "owner":
        return "ehr"
    if key[0] == "path":
        return usual(FIELDS[key[1]], key[2])
    return Connection.MissingReason.OFFER.value


def fingerprint(state: Mapping[Key, Any]) -> str:
    """Return what differs as soon as anything in ``state`` does; codes that mean nothing count for nothing."""
    told = sorted(([*key], value) for key, value in state.items() if value != "")
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def check(key: Key, value: Any) -> None:
    """Raise Impossible for a value that cannot be set."""
    if key[0] == "setting":
        _one_of(value, Connection.MissingReason.values)
    elif key[0] == "owner":
        _one_of(value, ("ehr", "practice"))
        if value == "practice" and FIELDS[key[1]].fixed:
            raise Impossible(FIELDS[key[1]].fixed)
    elif key[0] == "code":
        if value and value not in (known := mapping.allowed_targets(key[1])):
            listed = f" It can mean {', '.join(sorted(known))}." if 0 < len(known) <= MOST_LISTED else ""
            raise Impossible(f"“{value}” is nothing that a code of this kind can mean.{listed}")
    else:
        _one_of(value["transform"], Transform.values)
        _check_path(key[2], value["path"], default_path(FIELDS[key[1]], key[2]))


def _check_path(kind: str, path: str, usual_path: str) -> None:
    if path == usual_path:
        return
    try:
        if kind == PathKind.HL7V2:
            hl7v2.parsed(path)
        else:
            fhirpath.check(path)
    except (hl7v2.BadPath, fhirpath.BadPath) as problem:
        raise Impossible(str(problem)) from None


def _one_of(value: str, known: Any) -> None:
    if value not in known:
        raise Impossible(f"“{value}” is not one of {', '.join(known)}.")


def put(connection: Connection, key: Key, value: Any, part_of: MappingChange) -> None:
    """Set one value of a change, with all that follows from it; raises Impossible. Call it in a transaction."""
    check(key, value)
    if key[0] == "setting":
        connection.missing_reason = value
        connection.save(update_fields=["missing_reason"])
    elif key[0] == "owner":
        set_owner(connection, key[1], value)
    elif key[0] == "path":
        map_field(connection, key[1], key[2], value["path"], value["transform"])
    else:
        _, domain, system, code, place = key
        told: Any = {"by": part_of.by, "location": Location.objects.get(pk=place) if place else None}
        if value:
            mapping.map_code(connection, domain, system, code, value, **told, part_of=part_of)
        else:
            mapping.unmap(connection, domain, system, code, **told, part_of=part_of)


def lock(connection: Connection) -> Connection:
    """Return the connection, its mappings locked until the transaction ends, so that what is compared is changed."""
    row = Connection.objects.select_for_update().get(pk=connection.pk)
    row.source = Source.objects.select_for_update().get(pk=row.source_id)
    list(CodeMapping.objects.select_for_update().filter(connection=row).values_list("pk"))
    return row
