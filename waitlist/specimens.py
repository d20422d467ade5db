"""Made-up values to show a message with: the usual ones, and the longest there may be. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from waitlist.events import Event

CONTACT_CODE = "contact_code"
_ZONE = ZoneInfo("America/New_York")
#: As long as a real link to a patient's page: 22 characters behind the address.
_TOKEN = "eXaMpLe-0nLy-n0-pAt1eN"  # noqa: S105 - an example, of nobody
_START = datetime(2026, 11, 24, 14, 30, tzinfo=_ZONE)
_LONG_START = datetime(2026, 11, 25, 12, 30, tzinfo=_ZONE)
_LATER = datetime(2026, 12, 16, 10, 45, tzinfo=_ZONE)


def usual(event: Event, practice: str, phone: str, site: str) -> dict[str, Any]:
    """Return what most of these messages hold. ``site`` is the address patients' pages are at."""
    return {
        "practice": practice,
        "phone": phone,
        "start": _START,
        "code": "473812" if event.key == CONTACT_CODE else "47",
        "patient": "Robin Example",
        "words": "It was Tuesday at 2:30. You are welcome to come ten minutes early.",
        "until": datetime(2026, 11, 24, 13, 30, tzinfo=_ZONE),
        "link": f"{site.rstrip('/')}/o/{_TOKEN}/",
        "reference": "AC3DE7",
        "call_after": datetime(2026, 11, 23, 21, 15, tzinfo=_ZONE),
        "choices": [("47", _START), ("48", datetime(2026, 11, 28, 9, 0, tzinfo=_ZONE))] if _asks(event) else [],
        # What an answer by e-mail says is the text of one.
        "outcome": event.key.partition(".")[2] or ("stays" if event.key == "answer" else ""),
    }


def longest(event: Event, practice: str, phone: str, site: str, *, names_providers: bool) -> dict[str, Any]:
    """Return a message with everything in it that may be, each as long as it gets. A move-up, in another time zone."""
    return {
        **usual(event, practice, phone, site),
        "start": _LONG_START,
        "zone": "EST",
        **({} if event.key == CONTACT_CODE else {"code": "4738"}),
        "keep": _LATER,
        "replaces": _LATER,
        "provider": "Dr. Maximiliana Wolfeschlegelstein-Montgomery" if names_providers else "",
    }


def _asks(event: Event) -> bool:
    return "choices" in event.uses
