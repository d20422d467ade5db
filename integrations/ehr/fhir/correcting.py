"""A patient's corrected details written into the JSON that was read: nothing else of it is touched or lost."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Final

from integrations.ehr.fhir import people
from integrations.ehr.fhir.build import LANGUAGES
from integrations.ehr.fhir.elements import Json, is_true
from scheduling.corrections import ADDRESS_PARTS, Correction, Detail, normal

#: The elements of a Patient that corrections change.
ELEMENTS: Final = ("telecom", "address", "communication", "name")


def corrected(resource: Json, corrections: Iterable[Correction]) -> Json:
    """Return the resource with the corrections in it; the one that was given stays as it is."""
    changed = copy.deepcopy(resource)
    for name in ELEMENTS:
        if isinstance(changed.get(name), dict):  # a single object where a list belongs
            changed[name] = [changed[name]]
    for each in corrections:
        _WRITERS[each.detail](changed, each)
    # What nobody corrected stays in the very form it came in.
    return {
        name: resource[name] if name in resource and value in (resource[name], [resource[name]]) else value
        for name, value in changed.items()
    }


def operations(before: Json, after: Json) -> list[Json]:
    """Return the JSON Patch from one to the other: each change preceded by a test of what it changes."""
    found: list[Json] = []
    for name in ELEMENTS:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None:
            found.append({"op": "add", "path": f"/{name}", "value": new})
        elif not isinstance(old, list) or not isinstance(new, list):
            found += [_test(f"/{name}", old), {"op": "replace", "path": f"/{name}", "value": new}]
        else:
            found += _of_list(f"/{name}", old, new)
    return found


def _of_list(path: str, old: list[Any], new: list[Any]) -> list[Json]:
    found = [_test(path, old)] if len(new) > len(old) else []
    for place, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            found += [_test(f"{path}/{place}", one), *_of_object(f"{path}/{place}", one, other)]
    return found + [{"op": "add", "path": f"{path}/-", "value": each} for each in new[len(old) :]]


def _of_object(path: str, old: Json, new: Json) -> list[Json]:
    gone: list[Json] = [{"op": "remove", "path": f"{path}/{_escaped(name)}"} for name in old if name not in new]
    return gone + [
        {"op": "replace" if name in old else "add", "path": f"{path}/{_escaped(name)}", "value": value}
        for name, value in new.items()
        if name not in old or old[name] != value
    ]


def _test(path: str, value: Any) -> Json:
    return {"op": "test", "path": path, "value": value}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _objects(resource: Json, name: str) -> list[Json]:
    return [each for each in resource.get(name) or [] if isinstance(each, dict)]


def _add(resource: Json, name: str, element: Json) -> None:
    resource[name] = [*(resource.get(name) or []), element]


def _contact(resource: Json, each: Correction) -> None:
    systems = ("phone", "sms") if each.detail == Detail.PHONE else ("email",)
    old = normal(each.detail, each.old)
    for point in _objects(resource, "telecom"):
        value = point.get("value")
        is_current = point.get("system") in systems and point.get("use") != "old" and isinstance(value, str)
        if is_current and old and normal(each.detail, str(value)) == old:
            point["value"] = each.new
            return
    added = {"system": systems[0], "value": each.new, "use": each.use}
    _add(resource, "telecom", {name: value for name, value in added.items() if value})


def _address(resource: Json, each: Correction) -> None:
    parts = {name: each.parts.get(name, "") for name in ADDRESS_PARTS}
    told = {
        "line": [parts["line"]] if parts["line"] else [],
        "city": parts["city"],
        "state": parts["state"],
        "postalCode": parts["postal_code"],
    }
    told = {name: value for name, value in told.items() if value} or {"text": each.new}
    old = normal(each.detail, each.old)
    fits = (one for one in _objects(resource, "address") if old and normal(each.detail, people.address(one)) == old)
    held = next(fits, None)
    if held is None:
        _add(resource, "address", {"use": "home", **told})
        return
    for name in ("line", "_line", "city", "district", "state", "postalCode", "text"):
        held.pop(name, None)
    held.update(told)


def _language(resource: Json, each: Correction) -> None:
    spoken = _objects(resource, "communication")
    held = next((one for one in spoken if normal(each.detail, people.language_of(one)) == each.new[:2].lower()), None)
    for one in spoken:
        if one is not held and is_true(one.get("preferred")):
            one["preferred"] = False
    if held is not None:
        held["preferred"] = True
        return
    concept = {"coding": [{"system": LANGUAGES, "code": each.new}]}
    _add(resource, "communication", {"language": concept, "preferred": True})


def _preferred_name(resource: Json, each: Correction) -> None:
    held = people.preferred_name_in(resource)
    if held is None:
        _add(resource, "name", {"use": "nickname", "given": [each.new]})
    else:
        held["given"] = [each.new]


_WRITERS: Final[dict[Detail, Callable[[Json, Correction], None]]] = {
    Detail.PHONE: _contact,
    Detail.EMAIL: _contact,
    Detail.ADDRESS: _address,
    Detail.LANGUAGE: _language,
    Detail.PREFERRED_NAME: _preferred_name,
}
