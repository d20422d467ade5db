"""So many requests per minute, whoever sends them."""

from __future__ import annotations

import collections
import math
import threading
import time
from email.utils import formatdate

from .outcomes import FhirError
from .settings import SandboxSettings


class RateLimit:
    """A sliding window over the requests that were let through. Refused ones do not count."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._let_through: collections.deque[float] = collections.deque()

    def check(self) -> None:
        """Raises ``FhirError`` 429, with ``Retry-After`` in seconds or as a date, when there were too many."""
        limit, window = self._settings.rate_limit, self._settings.rate_window_seconds
        if limit is None:
            return
        with self._lock:
            now = time.monotonic()
            while self._let_through and self._let_through[0] <= now - window:
                self._let_through.popleft()
            if len(self._let_through) < limit:
                self._let_through.append(now)
                return
            seconds = math.ceil(self._let_through[0] + window - now) if self._let_through else window
        again = formatdate(time.time() + seconds, usegmt=True) if self._settings.retry_after_is_date else str(seconds)
        raise FhirError(
            429, "throttled", f"No more than {limit} requests in {window} s.", headers={"Retry-After": again}
        )
