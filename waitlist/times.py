"""Dates, clock times and phone numbers as people say them, in English and in Spanish. Pure.

Every moment comes in on the clock it is to be read from: with the location's ``ZoneInfo`` as its ``tzinfo``.
"""

from __future__ import annotations

import re
from datetime import datetime, time
from zoneinfo import ZoneInfo

_DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
}
_MONTHS = {
    "en": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
    "es": (
        *("enero", "febrero", "marzo", "abril", "mayo", "junio"),
        *("julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"),
    ),
}
#: Short forms for texts. "sab" stands without its accent: á is not among the letters of a text's one segment, and with
#: it each text that names a Saturday would be billed, and may be torn apart, as three.
_SHORT_DAYS = {
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "es": ("lun", "mar", "mié", "jue", "vie", "sab", "dom"),
}
_SHORT_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "es": ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"),
}
#: From this hour on, the part of the day.
_PARTS = {
    "en": ((0, "in the morning"), (12, "in the afternoon"), (18, "in the evening"), (21, "at night")),
    "es": ((0, "de la mañana"), (12, "de la tarde"), (19, "de la noche")),
}
#: Zone abbreviations of America, summer and winter: short form, English and Spanish name.
_AMERICAN = {
    **dict.fromkeys(("EST", "EDT"), ("ET", "Eastern time", "hora del Este")),
    **dict.fromkeys(("CST", "CDT"), ("CT", "Central time", "hora del Centro")),
    **dict.fromkeys(("MST", "MDT"), ("MT", "Mountain time", "hora de la Montaña")),
    **dict.fromkeys(("PST", "PDT"), ("PT", "Pacific time", "hora del Pacífico")),
    **dict.fromkeys(("AKST", "AKDT"), ("AKT", "Alaska time", "hora de Alaska")),
    **dict.fromkeys(("HST", "HDT"), ("HT", "Hawaii time", "hora de Hawái")),
    **dict.fromkeys(("AST", "ADT"), ("AT", "Atlantic time", "hora del Atlántico")),
}
#: Keeps winter time all year, so in summer it is not what its neighbours call Mountain time.
_ARIZONA = ("Arizona time", "Arizona time", "hora de Arizona")
_US_NUMBER = re.compile(r"\+?1?[\s.-]*\(?(\d{3})\)?[\s.-]*(\d{3})[\s.-]*(\d{4})")


def say(moment: datetime, language: str, *, zone: bool = False) -> str:
    """Return "Tuesday, November 24 at 2:00 in the afternoon", with the zone's name behind it where asked for."""
    day, month = _DAYS[language][moment.weekday()], _MONTHS[language][moment.month - 1]
    clock = say_clock(moment, language)
    said = f"{day} {moment.day} de {month}, {clock}" if language == "es" else f"{day}, {month} {moment.day} at {clock}"
    return f"{said} ({zone_name(moment, language)})" if zone else said


def weekday_name(weekday: int, language: str) -> str:
    """Return the name of a weekday, 0 for Monday, as it stands within a sentence."""
    return _DAYS[language][weekday]


def say_clock(moment: datetime | time, language: str) -> str:
    """Return "2:00 in the afternoon" or "a las 2:00 de la tarde"."""
    hour = moment.hour % 12 or 12
    clock = f"{hour}:{moment.minute:02d}"
    part = [name for start, name in _PARTS[language] if moment.hour >= start][-1]
    if moment.minute == 0 and moment.hour in (0, 12):
        part = {"en": ("midnight", "noon"), "es": ("de la medianoche", "del mediodía")}[language][moment.hour // 12]
    if language == "es":
        return f"{'a la' if hour == 1 else 'a las'} {clock} {part}"
    return f"{clock} {part}"


def say_hours(start: time, end: time, language: str) -> str:
    """Return "8:00 in the morning to 10:30 in the morning" or "de 8:00 de la mañana a 10:30 de la mañana".

    The last minute of a day is midnight.
    """
    last = time(0) if (end.hour, end.minute) == (23, 59) else end
    since, until = (say_clock(each, language).removeprefix("a las ").removeprefix("a la ") for each in (start, last))
    return f"de {since} a {until}" if language == "es" else f"{since} to {until}"


def say_short(moment: datetime, language: str, *, zone: bool = False) -> str:
    """Return "Tue Nov 24, 2:00 PM", for texts; with "ET" or the like behind it where asked for."""
    day, month = _SHORT_DAYS[language][moment.weekday()], _SHORT_MONTHS[language][moment.month - 1]
    date = f"{day} {moment.day} {month}" if language == "es" else f"{day} {month} {moment.day}"
    clock = f"{moment.hour % 12 or 12}:{moment.minute:02d} {'AM' if moment.hour < 12 else 'PM'}"
    return f"{date}, {clock} {short_zone_name(moment)}" if zone else f"{date}, {clock}"


def zone_name(moment: datetime, language: str) -> str:
    """Return what people call the zone of a moment: "Eastern time", "Madrid time"."""
    known = _known(moment)
    if known:
        return known[2 if language == "es" else 1]
    city = _key(moment).rpartition("/")[2].replace("_", " ") or moment.tzname() or ""
    return f"hora de {city}" if language == "es" else f"{city} time"


def short_zone_name(moment: datetime) -> str:
    """Return the zone's name for a text: "ET", or the city's where there is no such form."""
    known = _known(moment)
    return known[0] if known else zone_name(moment, "en")


def _known(moment: datetime) -> tuple[str, str, str] | None:
    key = _key(moment)
    if key in ("America/Phoenix", "US/Arizona"):
        return _ARIZONA
    if not key.startswith(("America/", "US/", "Canada/", "Pacific/Honolulu")):
        return None  # elsewhere the same letters mean another zone
    return _AMERICAN.get(moment.tzname() or "")


def _key(moment: datetime) -> str:
    return moment.tzinfo.key if isinstance(moment.tzinfo, ZoneInfo) else ""


def say_phone(number: str) -> str:
    """Return a number of the North American plan as "(212) 555-0100"; any other as it was entered."""
    match = _US_NUMBER.fullmatch(number.strip())
    return f"({match[1]}) {match[2]}-{match[3]}" if match else number.strip()
