"""The sandbox's clock: milliseconds since 1970 in UTC, never the same twice for two stored versions."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


def format_instant(milliseconds: int) -> str:
    """FHIR instant in UTC with three decimals, for example ``2026-03-04T15:30:00.123Z``."""
    seconds, fraction = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{fraction:03d}Z"


def parse_instant(text: str) -> int:
    """Milliseconds of a FHIR instant or dateTime. Raises ``ValueError`` for no date, or one without offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z or -05:00")
    return round(moment.timestamp() * 1000)


class Clock:
    """Strictly increasing stamps, so that a poller never meets two versions at the same instant."""

    def __init__(self, latest: int = 0) -> None:
        self._latest = latest
        self._lock = threading.Lock()

    def tick(self) -> int:
        """A new stamp, later than every earlier one."""
        with self._lock:
            self._latest = max(self._latest + 1, time.time_ns() // 1_000_000)
            return self._latest

    def reserve(self, count: int) -> int:
        """The first of ``count`` stamps in a row that end now if possible: bulk loads must not run the clock ahead."""
        with self._lock:
            first = max(self._latest + 1, time.time_ns() // 1_000_000 - count)
            self._latest = first + count - 1
            return first

    def now(self) -> int:
        """The present, never behind a stamp already given."""
        with self._lock:
            return max(self._latest, time.time_ns() // 1_000_000)
