"""When each periodic job last ran, so that the ones that still run notice the ones that do not."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from integrations.models import Heartbeat

#: A job is late when this many of its turns were left out, and never for less than the shortest alarm.
TURNS_MISSED = 10
SHORTEST_ALARM = timedelta(seconds=30)


def beat(name: str, every_seconds: float, now: datetime | None = None) -> None:
    """Note that the job ran now, and by how much it came late."""
    now = now or timezone.now()
    row = Heartbeat.objects.filter(name=name).first()
    if row is None:
        Heartbeat.objects.get_or_create(name=name, defaults={"at": now})
        return
    late = now - row.at - timedelta(seconds=every_seconds)
    late_by_ms = max(int(late / timedelta(milliseconds=1)), 0)
    # A gap long enough to alarm stays on record until somebody has looked at it; see take_lateness.
    if is_alarming(timedelta(milliseconds=row.late_by_ms), every_seconds):
        late_by_ms = max(late_by_ms, row.late_by_ms)
    Heartbeat.objects.filter(pk=row.pk).update(at=now, late_by_ms=late_by_ms)


def is_alarming(gap: timedelta, every_seconds: float) -> bool:
    """Return whether a job that runs every so many seconds has been away for too long."""
    return gap > max(timedelta(seconds=every_seconds * TURNS_MISSED), SHORTEST_ALARM)


def silence(name: str, now: datetime | None = None) -> timedelta | None:
    """Return how long ago the job last ran, or None when it never did."""
    last = Heartbeat.objects.filter(name=name).values_list("at", flat=True).first()
    return None if last is None else (now or timezone.now()) - last


def take_lateness(name: str) -> timedelta:
    """Return the longest gap since it was last asked for, and forget it."""
    row = Heartbeat.objects.filter(name=name).first()
    if row is None:
        return timedelta()
    Heartbeat.objects.filter(pk=row.pk, late_by_ms=row.late_by_ms).update(late_by_ms=0)
    return timedelta(milliseconds=row.late_by_ms)
