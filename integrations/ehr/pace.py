"""How many calls an EHR gets per minute, from all workers together.

The vendor's limit is kept by spacing: calls of everyday work leave at nine tenths of it, evenly. The rest is for what
a patient waits for, such as a fresh look or a booking, which may run ahead of the others' turn. In no minute do more
calls leave than the limit says.
"""

from __future__ import annotations

import math
import time
from datetime import timedelta

from django.utils import timezone

from integrations.ehr.gateway import Throttled
from integrations.models import CallPace

#: The share of the limit that everyday work may use.
EVERYDAY = 0.9
#: A call waits its turn for so long, in seconds; after that whoever makes it comes again later.
PATIENCE_SECONDS = 5.0
PATIENCE_WHEN_URGENT_SECONDS = 12.0


def wait_turn(connection_id: int, per_minute: int | None, *, is_urgent: bool) -> None:
    """Return when the call may leave; raises Throttled, with a time to come again, when its turn is too far away."""
    if not per_minute:
        return
    patience = PATIENCE_WHEN_URGENT_SECONDS if is_urgent else PATIENCE_SECONDS
    while (wait := _take(connection_id, per_minute, is_urgent)) > 0:
        patience -= wait
        if patience < 0:
            detail = f"Our own limit of {per_minute} calls per minute is used up for now."
            raise Throttled(detail, retry_at=timezone.now() + timedelta(seconds=wait))
        time.sleep(wait)


def used_percent(connection_id: int, per_minute: int | None) -> int | None:
    """Return how much of the limit is used up at this moment, 0 to 100; None without a limit."""
    if not per_minute:
        return None
    next_at = CallPace.objects.filter(connection_id=connection_id).values_list("next_at", flat=True).first()
    ahead = (next_at - timezone.now()).total_seconds() if next_at else 0.0
    return max(0, min(100, round(100 * ahead / (_interval(per_minute) * _reserve(per_minute)))))


def _take(connection_id: int, per_minute: int, is_urgent: bool) -> float:
    """Take the next turn and return 0.0, or return how many seconds it is away."""
    interval = _interval(per_minute)
    ahead_allowed = interval * _reserve(per_minute) if is_urgent else 0.0
    while True:
        pace = CallPace.objects.filter(connection_id=connection_id).first()
        now = timezone.now()
        if pace is None:
            CallPace.objects.bulk_create([CallPace(connection_id=connection_id, next_at=now)], ignore_conflicts=True)
            continue
        turn = max(pace.next_at, now)
        away = (turn - now).total_seconds() - ahead_allowed
        if away > 0:
            return away
        # Somebody else may have taken it meanwhile: the one whose update finds the turn as it was has it.
        mine = CallPace.objects.filter(connection_id=connection_id, next_at=pace.next_at)
        if mine.update(next_at=turn + timedelta(seconds=interval)):
            return 0.0


def _interval(per_minute: int) -> float:
    """Seconds between two everyday calls, rounded up, so that no rounding lets one more into a minute."""
    return math.ceil(60_000 / max(per_minute - _reserve(per_minute), 1)) / 1000


def _reserve(per_minute: int) -> int:
    """How many urgent calls may run ahead."""
    return max(1, round(per_minute * (1 - EVERYDAY)))
