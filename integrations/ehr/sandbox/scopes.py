"""SMART system scopes: what a token lets its holder do. Both ``.read``/``.write`` and the letters of version 2."""

from __future__ import annotations

import re

ALL = "system/*.read system/Appointment.write system/Patient.write system/Subscription.write"
_SCOPE = re.compile(r"system/(\*|[A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)(\?.*)?")
_READ, _WRITE = frozenset("rs"), frozenset("cud")
_LETTERS = {
    "read": "r",
    "vread": "r",
    "search-type": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "operation": "u",
}


def granted(asked: str, possible: str) -> str:
    """Of the scopes asked for those that the client may have; all that it may have when it names none."""
    if not asked:
        return possible
    return " ".join(scope for scope in asked.split() if scope in possible.split())


def allow(scopes: str, resource_type: str, interaction: str) -> bool:
    """Whether one of the scopes covers this interaction with this type of resource."""
    return any(_covers(scope, resource_type, _LETTERS[interaction]) for scope in scopes.split())


def _covers(scope: str, resource_type: str, letter: str) -> bool:
    match = _SCOPE.fullmatch(scope)
    if match is None or match[1] not in ("*", resource_type):
        return False
    letters = {"read": _READ, "write": _WRITE, "*": _READ | _WRITE}.get(match[2], frozenset(match[2]))
    return letter in letters
