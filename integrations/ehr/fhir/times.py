"""Instants as EHRs write them. A time that could mean two moments, or none, is never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from integrations.ehr.fhir.elements import Unreadable

#: Gives the zone naive times are in; None when nobody knows it.
ZoneFinder = Callable[[], ZoneInfo | None]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_EARLIEST, _LATEST = 1900, 2200


def instant(value: Any, zone: ZoneFinder, what: str) -> datetime | None:
    """Return the moment in UTC, or None when there is no value; raises Unreadable.

    A time without offset is local time at the appointment's location. One that the clocks skip in spring, or show
    twice in autumn, goes to a person.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not _TIME.fullmatch(value.strip()):
        raise Unreadable(f"its {what} is not a date with a time")
    written = value.strip()
    if written[17:19] == "60":  # a leap second, which Python does not know
        written = f"{written[:17]}59{written[19:]}"
    try:
        moment = datetime.fromisoformat(_six_digits(written))
    except ValueError:
        raise Unreadable(f"its {what} is not a date with a time") from None
    if not _EARLIEST <= moment.year <= _LATEST:
        raise Unreadable(f"its {what} lies outside any calendar")
    return (moment if moment.tzinfo else _local(moment, zone(), what)).astimezone(UTC)


def moment(value: Any, what: str = "time") -> datetime:
    """Return the moment in UTC of a time that has to be there, with its offset; raises Unreadable."""
    found = instant(value, lambda: None, what)
    if found is None:
        raise Unreadable(f"its {what} is missing")
    return found


def _six_digits(written: str) -> str:
    if "." not in written:
        return written
    return re.sub(r"\.(\d{1,6})\d*", lambda match: "." + match.group(1).ljust(6, "0"), written)


def _local(naive: datetime, zone: ZoneInfo | None, what: str) -> datetime:
    if zone is None:
        raise Unreadable(f"its {what} has no offset, and no time zone is known for its location")
    return in_zone(naive, zone, what)


def in_zone(naive: datetime, zone: ZoneInfo, what: str = "time") -> datetime:
    """Return the moment a wall clock in ``zone`` shows ``naive``; raises Unreadable where that is none or two."""
    first, second = naive.replace(tzinfo=zone, fold=0), naive.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
        raise Unreadable(f"its {what} has no offset and falls into the hour that the clocks skip in spring")
    raise Unreadable(f"its {what} has no offset and falls into the hour that the clocks repeat in autumn")
