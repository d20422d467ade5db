"""Two transactions that wait for each other: the database ends one of them, which then has done nothing.

That is no fault. Whoever was ended begins again once the other one has had its turn, and nobody is asked about it.
"""

from __future__ import annotations

from django.db import OperationalError

#: PostgreSQL's name for a transaction that it ended for that.
DEADLOCK = "40P01"


def is_deadlock(error: BaseException) -> bool:
    """Return whether the database ended a transaction since two waited for each other."""
    return isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", "") == DEADLOCK
