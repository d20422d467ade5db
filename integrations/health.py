"""Silence, lateness and failure, noticed: each becomes a work item that closes by itself when the trouble is over.

:func:`watch` runs every minute. What it finds is a work item with a key of its own, so that the same trouble is told
once and its end is seen.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from integrations import alerts, heartbeat
from integrations.ehr import watching
from integrations.messaging import outage, refusal
from integrations.models import CarrierState, InboundEvent
from integrations.sweep import EVERY_SECONDS
from integrations.trouble import Trouble
from scheduling import practice
from scheduling.counting import counted
from scheduling.models import Opening, WorkItem, Writeback
from scheduling.worklist import ask_staff, finish_for
from waitlist.models import Message

#: Staff are told of a carrier that does not answer after this long.
OUTAGE_SHOWS_AFTER = timedelta(minutes=5)
#: Work that fell due is overdue when nobody has taken it up for so long.
OVERDUE_AFTER = timedelta(minutes=2)


def watch(now: datetime | None = None) -> list[str]:
    """Look at everything, open and close the work items about it, raise alerts; return the keys of what is wrong."""
    now = now or timezone.now()
    found = [*watching.troubles(now), *_carriers(now), *_overdue(now), *_late_sweep()]
    for trouble in found:
        _ask(trouble)
    _close_what_is_over({trouble.key for trouble in found})
    heartbeat.beat("watch", 60, now)
    alerts.raise_alerts(now)
    return [trouble.key for trouble in found]


def _carriers(now: datetime) -> list[Trouble]:
    refused = CarrierState.objects.filter(refused_since__isnull=False)
    failing = CarrierState.objects.filter(failing_since__lte=now - OUTAGE_SHOWS_AFTER, refused_since__isnull=True)
    return [refusal.trouble(state.channel) for state in refused] + [
        Trouble(
            f"health.carrier:{state.channel}",
            "health.carrier",
            f"Messages by {'text' if state.channel == 'sms' else 'e-mail'} cannot be sent",
            "They are kept and go out when it works again; offers try e-mail or a call meanwhile. "
            "If it lasts, have an administrator look at the carrier's account.",
            red=True,
        )
        for state in failing
        if not outage.may_be_chance(state)
    ]


def _overdue(now: datetime) -> list[Trouble]:
    """Due rows that nobody takes up: the workers are not running, or not enough of them."""
    late = now - OVERDUE_AFTER
    waiting = {
        "inbox": InboundEvent.objects.filter(status=InboundEvent.Status.RECEIVED, due_at__lte=late),
        "checks": Opening.objects.filter(status__in=Opening.CLAIMABLE, check_due_at__lte=late),
        "attention": Opening.objects.filter(attention_due_at__lte=late),
        "messages": Message.objects.filter(status=Message.Status.WAITING, due_at__lte=late),
        "writebacks": Writeback.objects.filter(
            Q(status=Writeback.Status.WAITING) | Q(status=Writeback.Status.UNKNOWN), due_at__lte=late
        ),
    }
    paused = practice.is_paused()
    return [
        Trouble(
            f"health.overdue:{topic}",
            "health.overdue",
            f"Work is not being taken up: {topic}",
            "Nothing is lost, but it is late. Have an administrator check that the workers are running.",
        )
        for topic, rows in waiting.items()
        if not (paused and topic in ("checks", "messages", "writebacks")) and rows.exists()
    ]


def _late_sweep() -> list[Trouble]:
    gap = heartbeat.take_lateness("sweep")
    return [_stood_still(gap)] if heartbeat.is_alarming(gap, EVERY_SECONDS) else []


def notice_missing_sweep(now: datetime | None = None) -> bool:
    """Tell staff when the scheduler stands still; called by workers that were woken without it.

    Nothing else could: whoever watches is started by the same scheduler.
    """
    gap = heartbeat.silence("sweep", now)
    if gap is None or not heartbeat.is_alarming(gap, EVERY_SECONDS):
        return False
    trouble = _stood_still(gap)
    if not WorkItem.objects.filter(dedupe_key=trouble.key, status=WorkItem.Status.OPEN).exists():
        _ask(trouble)
        alerts.raise_alerts(now)
    return True


def _stood_still(gap: timedelta) -> Trouble:
    return Trouble(
        "health.late",
        "health.late",
        f"The scheduler stood still for {_spoken(gap)}",
        "Nothing is lost: everything due is taken up when it runs, and most of it meanwhile. "
        "If it happens again, have an administrator check the beat process.",
    )


def _ask(trouble: Trouble) -> None:
    ask_staff(
        trouble.kind,
        trouble.title,
        advice=trouble.advice,
        dedupe_key=trouble.key,
        urgency=WorkItem.Urgency.RED if trouble.red else WorkItem.Urgency.SOON,
    )


def _spoken(gap: timedelta) -> str:
    seconds = int(gap.total_seconds())
    return counted(seconds // 60, "minute") if seconds >= 120 else counted(seconds, "second")


def _close_what_is_over(keys: set[str]) -> None:
    """Finish the items whose trouble is over. A scheduler that stood still is past by nature: people read it."""
    ours = WorkItem.objects.filter(kind__startswith="health.", status=WorkItem.Status.OPEN).exclude(kind="health.late")
    for key in ours.exclude(dedupe_key__in=keys).values_list("dedupe_key", flat=True):
        finish_for(key, "It is over.")


def readiness(now: datetime | None = None) -> dict[str, str]:
    """Return how the background work fares, for ``/readyz``: plain words per job, no data.

    It never makes a web process unready: requests are served while beat is late, and their rows wait.
    """
    gap = heartbeat.silence("sweep", now)
    if gap is None:
        return {"sweep": "not seen yet"}
    return {"sweep": "late" if heartbeat.is_alarming(gap, EVERY_SECONDS) else "ok"}
