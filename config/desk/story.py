"""The slot story: everything that happened to an opening, from every layer, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from integrations.models import ApiCall, InboundEvent
from scheduling.admin.display import span
from scheduling.models import Opening, TimelineEntry

#: A story of thousands of steps would be a fault; the page shows the newest of them.
MOST_STEPS = 400


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the story. ``tone`` and ``icon`` are names of :mod:`scheduling.admin.display`."""

    at: datetime
    text: str
    actor: str
    icon: str
    tone: str
    detail: str = ""
    since_start: str = ""


_TROUBLE = ("refused", "dead", "mismatch", "unknown", "failed", "retry", "silent", "late")
_GOOD = ("confirmed", "filled", "done", "won")


def story_of(opening: Opening) -> list[Step]:
    """Return the steps of ``opening``, oldest first, each with its distance from the first."""
    steps = [*_told(opening), *_calls(opening), *_events(opening)]
    steps.sort(key=lambda step: step.at)
    if not steps:
        return []
    begin = steps[0].at
    return [_with_distance(step, step.at - begin) for step in steps[-MOST_STEPS:]]


def latest_steps(limit: int) -> list[Step]:
    """Return what happened lately to any opening and at the EHR, the newest first; for a trial's Sandbox page."""
    told = [_told_step(row) for row in TimelineEntry.objects.order_by("-at", "-pk")[:limit]]
    called = [_call_step(row) for row in ApiCall.objects.order_by("-at", "-pk")[:limit]]
    return sorted([*told, *called], key=lambda step: step.at, reverse=True)[:limit]


def _with_distance(step: Step, distance: timedelta) -> Step:
    text = f"+{span(distance)}" if distance else "start"
    return Step(step.at, step.text, step.actor, step.icon, step.tone, step.detail, text)


def _told(opening: Opening) -> list[Step]:
    rows = TimelineEntry.objects.filter(opening=opening).order_by("-at", "-pk")[:MOST_STEPS]
    return [_told_step(row) for row in rows]


def _told_step(row: TimelineEntry) -> Step:
    return Step(row.at, row.summary, row.actor, _icon(row.kind), _tone(row.kind), row.kind)


def _icon(kind: str) -> str:
    if kind.startswith(("writeback", "check", "event")):
        return "ehr"
    if kind.startswith(("message", "reply")):
        return "phone"
    return {"accent": "dot", "ok": "check", "danger": "alert"}[_tone(kind)]


def _tone(kind: str) -> str:
    last = kind.rpartition(".")[2]
    if any(word in last for word in _TROUBLE):
        return "danger"
    return "ok" if any(word in last for word in _GOOD) else "accent"


def _calls(opening: Opening) -> list[Step]:
    mine = Q(writeback__opening=opening)
    if opening.correlation_id:
        mine |= Q(correlation_id=opening.correlation_id)
    rows = ApiCall.objects.filter(mine, system="ehr").order_by("-at", "-pk")[:MOST_STEPS]
    return [_call_step(row) for row in rows]


def _call_step(row: ApiCall) -> Step:
    return Step(
        row.at,
        f"{'EHR' if row.system == 'ehr' else 'Carrier'} says: {_answer(row)}",
        row.actor,
        "ehr" if row.system == "ehr" else "phone",
        "accent" if row.result == "ok" else "danger",
        f"{row.method} {row.resource} in {row.duration_ms} ms",
    )


def _answer(call: ApiCall) -> str:
    if call.status is None:
        return f"nothing ({call.result.replace('_', ' ')})"
    if call.result != "ok":
        return f"{call.result.replace('_', ' ')} ({call.status})"
    return "here it is" if call.method == "GET" else "done"


def _events(opening: Opening) -> list[Step]:
    if not opening.correlation_id:
        return []
    rows = InboundEvent.objects.filter(correlation_id=opening.correlation_id).defer("body").order_by("received_at")
    return [
        Step(row.received_at, "The EHR reported a change.", row.get_via_display(), "ehr", "accent", row.outcome)
        for row in rows
    ]
