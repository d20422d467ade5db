"""A patient's corrected details written into the JSON that was read: nothing else of it is touched or lost.

While corrections are written, what is taken out of a list leaves an empty place, so that the others keep theirs: a
patch names elements by their place.
"""

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
#: Stands where an element was taken out.
_GONE: Final = object()


def corrected(resource: Json, corrections: Iterable[Correction]) -> Json:
    """Return the resource with the corrections in it; the one that was given stays as it is."""
    return _without_gaps(_with_gaps(resource, corrections))


def operations(resource: Json, corrections: Iterable[Correction]) -> list[Json]:
    """Return the corrections as a JSON Patch: each change preceded by a test of what it changes."""
    after = _with_gaps(resource, corrections)
    kept = _without_gaps(after)
    found: list[Json] = []
    for name in ELEMENTS:
        old, new = resource.get(name), after.get(name)
        if old == new:
            continue
        if old is None:
            found.append({"op": "add", "path": f"/{name}", "value": new})
        elif name not in kept:
            found += [_test(f"/{name}", old), {"op": "remove", "path": f"/{name}"}]
        elif not isinstance(old, list) or not isinstance(new, list):
            found += [_test(f"/{name}", old), {"op": "replace", "path": f"/{name}", "value": kept[name]}]
        else:
            found += _of_list(f"/{name}", old, new)
    return found


def _without_gaps(resource: Json) -> Json:
    """Return the resource without the empty places; of a list with nothing else in it nothing is left."""
    found: Json = {}
    for name, value in resource.items():
        kept = [each for each in value if each is not _GONE] if isinstance(value, list) else value
        if kept == value or kept:
            found[name] = kept
    return found


def _with_gaps(resource: Json, corrections: Iterable[Correction]) -> Json:
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


def _of_list(path: str, old: list[Any], new: list[Any]) -> list[Json]:
    found = [_test(path, old)] if len(new) > len(old) else []
    gone: list[Json] = []
    for place, (one, other) in enumerate(zip(old, new, strict=False)):
        if one == other:
            continue
        found.append(_test(f"{path}/{place}", one))
        if other is _GONE:
            gone.append({"op": "remove", "path": f"{path}/{place}"})
        else:
            found += _of_object(f"{path}/{place}", one, other)
    # From the last on, since those behind a removed one move up.
    return found + gone[::-1] + [{"op": "add", "path": f"{path}/-", "value": each} for each in new[len(old) :]]


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


def _places(resource: Json, name: str) -> list[tuple[int, Json]]:
    return [(place, each) for place, each in enumerate(resource.get(name) or []) if isinstance(each, dict)]


def _take_out(resource: Json, name: str, places: Iterable[int]) -> None:
    for place in places:
        resource[name][place] = _GONE


def _add(resource: Json, name: str, element: Json) -> None:
    resource[name] = [*(resource.get(name) or []), element]


def _contact(resource: Json, each: Correction) -> None:
    systems = ("phone", "sms") if each.detail == Detail.PHONE else ("email",)
    held = [place for place, point in _places(resource, "telecom") if _is_held(point, each, systems)]
    if each.removes:
        _take_out(resource, "telecom", held)
    elif held:
        for place in held:  # a number that stands there twice, such as for calls and for texts
            resource["telecom"][place]["value"] = each.new
    else:
        added = {"system": systems[0], "value": each.new, "use": each.use}
        _add(resource, "telecom", {name: value for name, value in added.items() if value})


def _is_held(point: Json, each: Correction, systems: tuple[str, ...]) -> bool:
    """Whether this is the number or e-mail address that a correction replaces or removes."""
    value, old = point.get("value"), normal(each.detail, each.old)
    is_current = point.get("system") in systems and point.get("use") != "old" and isinstance(value, str)
    return is_current and bool(old) and normal(each.detail, str(value)) == old


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
    fits = [
        place for place, one in _places(resource, "address") if old and normal(each.detail, people.address(one)) == old
    ]
    if each.removes:
        _take_out(resource, "address", fits)
        return
    if not fits:
        _add(resource, "address", {"use": "home", **told})
        return
    held = resource["address"][fits[0]]
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
