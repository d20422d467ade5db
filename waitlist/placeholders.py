"""The marks in the words of a message, and what becomes of them. Pure; nothing in a text is ever executed.

``{name}`` stands for a value. ``[words {name}]`` is left out unless every value in it is there; in
``[words {name}|other words]`` the first of the parts whose values are all there is taken. Values are put in once: what
looks like a mark inside a value stays as it is. Anything else is text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAME = re.compile(r"\{([a-z_]+)\}")
_MARK = re.compile(r"\[([^\[\]]*)\]|\{([a-z_]+)\}")
OTHERWISE = "|"
#: What each placeholder becomes, in words for whoever writes.
PLACEHOLDERS: Final[dict[str, str]] = {
    "practice": "how the place signs",
    "time": "day and time of the visit, with the zone where the patient's differs",
    "code": "the digits that tell this offer from others",
    "link": "the address of the patient's page",
    "provider": "the clinician's name, where the location allows it; else nothing",
    "phone": "the number a person answers; nothing where none is entered",
    "reference": "the booking's reference",
    "keep": "the later appointment of a move-up, while it still stands; else nothing",
    "replaces": "the later appointment that is cancelled for a confirmed move-up; else nothing",
    "by": "when to call if nothing was heard; nothing where no such time is set",
    "choices": "the open offers, each with its code",
    "answer": "the text message of the same answer",
    "words": "what the person of your staff wrote",
    "patient": "the patient's name, on the page of the call and nowhere else",
    "until": "how long the offer stands",
    "signature": "the closing lines of every e-mail",
}
#: What people write when they mean a placeholder.
MEANT: Final[dict[str, str]] = {
    **dict.fromkeys(("date", "when", "start", "day", "hour", "fecha", "hora", "cuando", "cita"), "time"),
    **dict.fromkeys(("clinic", "office", "name", "consultorio", "clinica", "nombre"), "practice"),
    **dict.fromkeys(("doctor", "clinician", "doctora", "medico", "with_provider"), "provider"),
    **dict.fromkeys(("url", "page", "enlace", "website"), "link"),
    **dict.fromkeys(("telephone", "number", "call", "telefono"), "phone"),
    **dict.fromkeys(("number_code", "codigo", "offer"), "code"),
    **dict.fromkeys(("ref", "booking", "referencia"), "reference"),
}


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
