"""The sweep: every second it starts what a lost message of the broker left lying.

It only asks whether anything is due, one cheap question per topic, and wakes the topic's worker. So a broker that
was wiped, a worker that was killed or a wake-up that was never published costs a second or two, never a row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from integrations import alerts, demographics, heartbeat, mapping_mirror, outbox
from integrations.ehr import availability, history, inbox, load_requests, reconcile
from integrations.messaging import delivery
from scheduling.wake import wake
from waitlist import attention
from waitlist.importing import working

#: Seconds between two sweeps, as the schedule has it.
EVERY_SECONDS = 1.0


def sweep(now: datetime | None = None) -> list[str]:
    """Wake every topic that has due rows and return their names."""
    now = now or timezone.now()
    heartbeat.beat("sweep", EVERY_SECONDS, now)
    found = [topic for topic, is_due in TOPICS.items() if is_due(now)]
    for topic in found:
        wake(topic)
    return found


def _inbox_is_due(now: datetime) -> bool:
    return bool(inbox.due(now, limit=1))


def _messages_are_due(now: datetime) -> bool:
    return delivery.is_due(now) or alerts.is_due(now)


def _writes_are_due(now: datetime) -> bool:
    return outbox.is_due(now) or demographics.is_due(now)


def _loads_are_due(now: datetime) -> bool:
    return load_requests.is_due(now) or history.is_due(now)


TOPICS: dict[str, Callable[[datetime], bool]] = {
    "inbox": _inbox_is_due,
    "attention": attention.is_due,
    "checks": availability.is_due,
    "writebacks": _writes_are_due,
    "messages": _messages_are_due,
    "mappings": mapping_mirror.is_due,
    working.TOPIC: working.is_due,
    "reconciles": reconcile.is_due,
    "loads": _loads_are_due,
}
