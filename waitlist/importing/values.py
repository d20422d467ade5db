"""Single cells: dates, numbers and words as people write them in spreadsheets, read without guessing.

Pure. A reader returns a value or raises :class:`Wrong`, whose text says what to write instead.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from datetime import date, timedelta
from typing import Final

from scheduling.patients import normalise_phone
from waitlist.models import WaitlistEntry

OLDEST_YEARS = 120
_EXCEL_EPOCH = date(1899, 12, 30)
#: Whole days since the epoch that a date cell without its format shows: 1905 to 2064.
_SERIALS = range(2_000, 60_000)
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "jan january ene enero",
            "feb february febrero",
            "mar march marzo",
            "apr april abr abril",
            "may mayo",
            "jun june junio",
            "jul july julio",
            "aug august ago agosto",
            "sep sept september septiembre setiembre",
            "oct october octubre",
            "nov november noviembre",
            "dec december dic diciembre",
        ),
        start=1,
    )
    for name in names.split()
}
_NUMBERS = re.compile(r"(\d{1,4})\s*([/.\-])\s*(\d{1,2})\s*\2\s*(\d{1,4})(?:[ T]\d{1,2}:\d{2}.*)?")
_EMAIL = re.compile(r"[^@\s,;<>()\"]+@[^@\s,;<>()\"]+\.[^@\s,;<>()\"]{2,}")
_LANGUAGES: Final = {
    **dict.fromkeys(("en", "eng", "english", "ingles", "e"), "en"),
    **dict.fromkeys(("es", "spa", "esp", "spanish", "espanol", "castellano", "s", "sp"), "es"),
    "vi": "vi",
    "vietnamese": "vi",
    "zh": "zh",
    "chinese": "zh",
    "mandarin": "zh",
    "ru": "ru",
    "russian": "ru",
    "pt": "pt",
    "portuguese": "pt",
    "fr": "fr",
    "french": "fr",
    "ht": "ht",
    "haitian creole": "ht",
    "creole": "ht",
    "ar": "ar",
    "arabic": "ar",
    "ko": "ko",
    "korean": "ko",
    "tl": "tl",
    "tagalog": "tl",
    "pl": "pl",
    "polish": "pl",
}
_URGENCIES: Final = {
    **dict.fromkeys(
        ("urgent", "high", "1", "stat", "asap", "emergency", "yes", "urgente", "alta", "si", "p1"),
        WaitlistEntry.Urgency.URGENT,
    ),
    **dict.fromkeys(("soon", "medium", "2", "pronto", "media", "p2"), WaitlistEntry.Urgency.SOON),
    **dict.fromkeys(
        ("routine", "normal", "low", "3", "no", "rutina", "baja", "standard", "regular", "p3"),
        WaitlistEntry.Urgency.ROUTINE,
    ),
}
_YES: Final = frozenset(
    ("yes", "y", "true", "1", "x", "ok", "si", "s", "given", "granted", "consented", "agreed", "checked", "acepta")
)
_NO: Final = frozenset(["no", "n", "false", "0", "none", "declined", "refused", "denied", "rechaza"])


class Wrong(Exception):
    """A cell cannot be read; the text says what to write, and does not repeat the cell."""


def words(text: str) -> str:
    """Return words in lower case without accents and signs."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join(re.findall(r"[^\W_]+", "".join(each for each in decomposed if not unicodedata.combining(each))))


# --- dates ------------------------------------------------------------------------------------------------------------


def read_date(text: str, *, day_first: bool, past: bool) -> date:
    """Return a date. ``past``: it is long ago, as birth dates are, so two digits of a year do not tell the century.

    Takes ISO form, numbers in the column's order, months by name in English and Spanish, and Excel's day numbers.
    """
    found = _by_numbers(text, day_first, past) or _by_name(text, past) or _by_digits(text)
    if found is None:
        raise Wrong(f"This is no date. Write for example {'14/3/1980' if day_first else '3/14/1980'}.")
    return found


def read_birth_date(text: str, today: date, *, day_first: bool = False) -> date:
    """Return a birth date that can be one."""
    born = read_date(text, day_first=day_first, past=True)
    if born > today:
        raise Wrong("This date lies ahead. Write the day of birth.")
    if born.year < today.year - OLDEST_YEARS:
        raise Wrong(f"This is more than {OLDEST_YEARS} years ago. Check the year.")
    return born


def order_of(text: str) -> str:
    """Return what a date written in numbers shows of its order: "day" or "month" first, "either", or "" for none."""
    match = _NUMBERS.fullmatch(text.strip())
    if match is None or len(match[1]) > 2 or match[2] == ".":
        return ""
    first, second = int(match[1]), int(match[3])
    if first > 12 and second <= 12:
        return "day"
    if second > 12 and first <= 12:
        return "month"
    return "either" if first != second else ""


def _by_numbers(text: str, day_first: bool, past: bool) -> date | None:
    match = _NUMBERS.fullmatch(text.strip())
    if match is None:
        return None
    first, second, third = match[1], match[3], match[4]
    if len(first) == 4:
        return _made(int(first), int(second), int(third))
    if len(first) > 2 or len(third) not in (2, 4):
        return None
    year = _year(third, past)
    # Written with points it is the European order, whatever the column's.
    if day_first or match[2] == ".":
        return _made(year, int(second), int(first))
    return _made(year, int(first), int(second))


def _by_name(text: str, past: bool) -> date | None:
    parts = [part for part in words(text).split() if part not in ("de", "del", "of", "the")]
    parts = [re.sub(r"^(\d{1,2})(st|nd|rd|th)$", r"\1", part) for part in parts]
    months = [part for part in parts if part in _MONTHS]
    numbers = [part for part in parts if part.isdigit()]
    if len(months) != 1 or len(numbers) != 2 or len(parts) not in (3, 4):
        return None
    day, year = (numbers[1], numbers[0]) if len(numbers[0]) == 4 else (numbers[0], numbers[1])
    return _made(_year(year, past), _MONTHS[months[0]], int(day))


def _by_digits(text: str) -> date | None:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit():
        return None
    if len(digits) == 8:
        return _made(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    if int(digits) in _SERIALS and len(digits) in (4, 5):
        return _EXCEL_EPOCH + timedelta(days=int(digits))
    return None


def _year(digits: str, past: bool) -> int:
    if len(digits) == 4:
        return int(digits)
    if not past:
        return 2000 + int(digits)
    if int(digits) > date.today().year % 100:  # noqa: DTZ011  the century of a year needs no zone
        return 1900 + int(digits)
    raise Wrong("Two digits leave open which century is meant. Write the year with four digits.")


def _made(year: int, month: int, day: int) -> date | None:
    with suppress(ValueError):
        return date(year, month, day) if year >= 1850 else None
    return None


# --- addresses and words ----------------------------------------------------------------------------------------------


def read_phone(text: str) -> str:
    """Return a phone number in E.164 form."""
    value, valid = normalise_phone(re.sub(r"^(tel|phone|cell|c|h|m)[:.]\s*", "", text.strip(), flags=re.IGNORECASE))
    if not valid:
        raise Wrong("This is no phone number. Write ten digits, or leave it empty.")
    return value


def read_email(text: str) -> str:
    """Return an e-mail address in lower case."""
    plain = text.strip().lower().removeprefix("mailto:")
    if not _EMAIL.fullmatch(plain) or len(plain) > 254:
        raise Wrong("This is no e-mail address. Write one such as name@example.org, or leave it empty.")
    return plain


def read_language(text: str) -> str:
    """Return a language tag."""
    found = _LANGUAGES.get(words(text)) or _LANGUAGES.get(words(text).split(" ")[0] if words(text) else "")
    if found is None:
        raise Wrong("This language is not known here. Write English or Spanish, or leave it empty.")
    return found


def read_urgency(text: str) -> int:
    """Return one of ``WaitlistEntry.Urgency``."""
    found = _URGENCIES.get(words(text))
    if found is None:
        raise Wrong("Write urgent, soon or routine, or leave it empty for routine.")
    return int(found)


def read_yes(text: str) -> bool:
    """Return whether a cell says yes; empty is no."""
    plain = words(text)
    if plain in _YES:
        return True
    if not plain or plain in _NO:
        return False
    raise Wrong("Write yes or no. Empty counts as no.")


def split_name(text: str) -> tuple[str, str]:
    """Return given and family name of "Alvarez, Robin", or of "Robin Alvarez", whose last word is the family's."""
    family, comma, given = text.partition(",")
    if comma:
        return " ".join(given.split()), " ".join(family.split())
    parts = text.split()
    return (" ".join(parts[:-1]), parts[-1]) if len(parts) > 1 else ("", text.strip())


def looks_like_phone(text: str) -> bool:
    """Return whether a cell can only be a phone number."""
    digits = sum(letter.isdigit() for letter in text)
    return 10 <= digits <= 15 and not re.search(r"[a-df-wyz@:]", text.lower()) and normalise_phone(text)[1]


def looks_like_email(text: str) -> bool:
    """Return whether a cell is an e-mail address."""
    return bool(_EMAIL.fullmatch(text.strip()))


def looks_like_language(text: str) -> bool:
    """Return whether a cell names a language, by more than a letter."""
    return len(text) > 1 and words(text) in _LANGUAGES


def looks_like_date(text: str) -> bool:
    """Return whether a cell is a date in numbers or with a month's name."""
    return bool(_NUMBERS.fullmatch(text.strip())) or _safe_name(text)


def looks_like_birth_date(text: str) -> bool:
    """Return whether a cell is a date of at least two years ago."""
    with suppress(Wrong):
        found = _by_numbers(text, False, True) or _by_numbers(text, True, True) or _by_name(text, True)
        return found is not None and found.year < date.today().year - 1  # noqa: DTZ011
    return False


def _safe_name(text: str) -> bool:
    with suppress(Wrong):
        return _by_name(text, False) is not None
    return False
