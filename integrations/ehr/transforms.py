"""How a value from an EHR is tidied. Each transform either gives a value that can be kept, or says why not."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from integrations.ehr.fhir.elements import full_date
from integrations.fields import Transform
from scheduling.patients import normalise_phone

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_HL7_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})\d*(\.\d+)?([+-]\d{4})?")
_YES = frozenset({"true", "yes", "y", "1", "active", "activated", "enabled", "on"})
_NO = frozenset({"false", "no", "n", "0", "inactive", "deactivated", "disabled", "off"})


class Unfit(ValueError):
    """The value cannot be kept; the message says why and quotes nothing of it."""


def tidied(value: str, transform: str) -> Any:
    """Return ``value`` after its transform: text, a date, or True or False; raises Unfit."""
    return _HOW[Transform(transform)](value)


def _phone(value: str) -> str:
    number, is_valid = normalise_phone(value)
    if not is_valid:
        raise Unfit("it is no telephone number")
    return number


def _date(value: str) -> date:
    if match := _HL7_DATE.fullmatch(value.strip()):
        value = "-".join(match.groups()[:3])
    found = full_date(value.strip())
    if found is None:
        raise Unfit("it is no full date")
    return found


def _language(value: str) -> str:
    code = value.strip()
    if not _LANGUAGE.fullmatch(code) or len(code) > 12:
        raise Unfit("it is no language code")
    return code.replace("_", "-")


def _yes_no(value: str) -> bool:
    word = value.strip().lower()
    if word not in _YES | _NO:
        raise Unfit("it is neither yes nor no")
    return word in _YES


def _title(value: str) -> str:
    """Capitalise what came in capitals or in small letters alone; a name written in both is left as it is."""
    text = value.strip()
    return text.title() if text.isupper() or text.islower() else text


_HOW: dict[Transform, Callable[[str], Any]] = {
    Transform.NONE: str,
    Transform.TRIM: str.strip,
    Transform.LOWER: lambda value: value.strip().lower(),
    Transform.TITLE: _title,
    Transform.PHONE: _phone,
    Transform.DATE: _date,
    Transform.LANGUAGE: _language,
    Transform.YES_NO: _yes_no,
}
