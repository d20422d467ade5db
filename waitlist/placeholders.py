"""The marks in the words of a message, and what becomes of them. Pure; nothing in a text is ever executed.

``{name}`` stands for a value. ``[words {name}]`` is left out unless every value in it is there; in
``[words {name}|other words]`` the first of the parts whose values are all there is taken. Values are put in once: what
looks like a mark inside a value stays as it is. Anything else is text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"\{([a-z_]+)\}")
_MARK = re.compile(r"\[([^\[\]]*)\]|\{([a-z_]+)\}")
OTHERWISE = "|"


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with its marks replaced; a name without a value becomes nothing."""

    def become(mark: re.Match[str]) -> str:
        if mark[2]:
            return values.get(mark[2], "")
        parts = mark[1].split(OTHERWISE)
        taken = next((part for part in parts if all(values.get(name) for name in _NAME.findall(part))), "")
        return _NAME.sub(lambda name: values[name[1]], taken)

    return _MARK.sub(become, text)


def names(text: str) -> list[str]:
    """Return the names of all placeholders, each once, in the order they appear."""
    return list(dict.fromkeys(_NAME.findall(text)))


def always(text: str) -> set[str]:
    """Return the names that are shown whatever else is missing: those outside of brackets."""
    return set(_NAME.findall(re.sub(r"\[[^\[\]]*\]", "", text)))


def left_over(text: str) -> str:
    """Return the brackets and braces that belong to no mark, in the order they appear: a mistake in writing."""
    rest = _MARK.sub(lambda mark: _NAME.sub("", mark[1] or ""), text)
    return "".join(letter for letter in rest if letter in "{}[]")
