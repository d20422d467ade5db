"""Which tables were asked how often: what everybody waits for must not come to ask more without being noticed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.test.utils import CaptureQueriesContext

_ASKED = re.compile(r'^SELECT .*? FROM "?(\w+)"?', re.DOTALL)


@contextmanager
def asked() -> Iterator[Counter[str]]:
    """Count the SELECTs made inside, by the first table each names; what it yields is filled at the end."""
    found: Counter[str] = Counter()
    with CaptureQueriesContext(connection) as captured:
        yield found
    found.update(match[1] for each in captured if (match := _ASKED.match(each["sql"])))
