"""Scopes of SMART: what a token lets its holder do, in either notation (``.read`` and ``.write``, or letters)."""

from __future__ import annotations

import re

_SCOPE = re.compile(r"(?P<context>\w+)/(?P<type>\*|\w+)\.(?P<rights>\*|read|write|c?r?u?d?s?)")
_LONG = {"read": "rs", "write": "cud", "*": "cruds"}


def covers(granted: str, wanted: str) -> bool:
    """Return whether one scope contains another; ``*`` stands for every kind of resource."""
    if granted == wanted:
        return True
    have, want = _SCOPE.fullmatch(granted.partition("?")[0]), _SCOPE.fullmatch(wanted)
    if have is None or want is None or have["context"] != want["context"]:
        return False
    is_all = have["type"] == "*" or have["type"] == want["type"]
    return is_all and _rights(want["rights"]) <= _rights(have["rights"])


def allow(scopes: str, wanted: str) -> bool:
    """Return whether one of the scopes, divided by spaces, contains ``wanted``."""
    return any(covers(each, wanted) for each in scopes.split())


def with_right_to_register(scopes: str) -> str:
    """Return the scopes with the right to register patients among them, in the notation they are written in.

    The right to correct a patient's details comes with it: ``system/Patient.write``, or ``.cu`` in letters.
    """
    if not scopes or allow(scopes, "system/Patient.c"):
        return scopes  # an empty list asks for whatever the vendor grants
    found = [match["rights"] for each in scopes.split() if (match := _SCOPE.fullmatch(each.partition("?")[0]))]
    by_letter = any(rights not in ("read", "write", "*") for rights in found)
    return f"{scopes} system/Patient.{'cu' if by_letter else 'write'}"


def _rights(written: str) -> set[str]:
    return set(_LONG.get(written, written))
