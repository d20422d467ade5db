"""How a connection fares, known to all workers: since when it fails, and until when nobody calls it."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from integrations.models import Connection

#: Nobody calls a failing EHR for as long as it has been failing, within these bounds.
SHORTEST_QUIET = timedelta(seconds=1)
LONGEST_QUIET = timedelta(seconds=20)
#: What an EHR may ask for at most; beyond it we look again by ourselves.
LONGEST_PATIENCE = timedelta(hours=1)
#: How stale ``last_success_at`` may be: a write per call would cost more than it tells.
NOTED_EVERY = timedelta(seconds=30)


def note_success(connection_id: int, known: Connection) -> None:
    """A call was answered. ``known`` is the connection as read before the call; an unchanged state costs nothing."""
    now = timezone.now()
    recent = known.last_success_at is not None and known.last_success_at > now - NOTED_EVERY
    if recent and known.failing_since is None and known.quiet_until is None:
        return
    rows = Connection.objects.filter(pk=connection_id)
    rows.update(last_success_at=now)
    # A call that began before somebody else was asked for patience does not end that patience.
    over = Q(quiet_until__isnull=True) | Q(quiet_until__lte=now)
    rows.filter(over).exclude(failing_since__isnull=True, quiet_until__isnull=True).update(
        failing_since=None, quiet_until=None, last_error=""
    )


def note_trouble(connection_id: int, code: str, retry_at: datetime | None = None) -> datetime:
    """A call found the EHR down or was asked for patience; return until when no worker calls it.

    Without a time of the EHR's own the pause grows with the outage, capped and jittered.
    """
    now = timezone.now()
    rows = Connection.objects.filter(pk=connection_id)
    rows.update(failing_since=Coalesce("failing_since", now), last_error=code[:300])
    if retry_at is None:
        failing_since = rows.values_list("failing_since", flat=True).get() or now
        pause = min(max(now - failing_since, SHORTEST_QUIET), LONGEST_QUIET)
        retry_at = now + pause * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
    retry_at = min(retry_at, now + LONGEST_PATIENCE)
    # The longer of two pauses stands, whichever worker heard it first.
    rows.filter(Q(quiet_until__isnull=True) | Q(quiet_until__lt=retry_at)).update(quiet_until=retry_at)
    return retry_at


def note_refused_login(connection_id: int, detail: str) -> None:
    """The EHR does not let us in; calls go on, since it may be one resource only."""
    now = timezone.now()
    Connection.objects.filter(pk=connection_id).update(
        failing_since=Coalesce("failing_since", now), last_error=detail[:300]
    )
