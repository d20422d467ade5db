"""When to ask an EHR again that does not answer, has asked for patience, or does not let us in."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django.utils import timezone

from integrations.ehr.gateway import GatewayError, LoginRefused, Throttled, Unavailable
from integrations.models import Connection

#: An EHR that is down is asked again after this long at first, and never more rarely than the last.
FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(seconds=60)

#: Errors that say nothing about what was asked, only that the EHR cannot be asked now.
NO_ANSWER = (Unavailable, Throttled, LoginRefused)


def answers(connection: Connection, now: datetime | None = None) -> bool:
    """Return whether calls to the EHR make sense now."""
    now = now or timezone.now()
    return connection.state == Connection.State.ACTIVE and not (connection.quiet_until and connection.quiet_until > now)


def ask_again_at(connection: Connection, error: GatewayError | None = None, now: datetime | None = None) -> datetime:
    """Return when to try again: what the EHR said, else after a wait that grows with the outage.

    All that wait for one EHR wait for the same moment, with a little jitter so that they do not come at once.
    """
    now = now or timezone.now()
    connection.refresh_from_db(fields=("state", "quiet_until", "failing_since"))
    moments = [now + _wait(connection, now)]
    if isinstance(error, Throttled) and error.retry_at is not None:
        moments = [error.retry_at]
    if connection.quiet_until is not None and connection.quiet_until > now:
        moments = [connection.quiet_until]
    if connection.state != Connection.State.ACTIVE:
        moments.append(now + LONGEST_WAIT)
    return max(moments) + timedelta(seconds=random.uniform(0, 0.5))  # noqa: S311 - spreads load, guards nothing


def _wait(connection: Connection, now: datetime) -> timedelta:
    failing_for = now - connection.failing_since if connection.failing_since else timedelta()
    return min(max(failing_for / 2, FIRST_WAIT), LONGEST_WAIT)
