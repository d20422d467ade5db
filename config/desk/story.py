"""The slot story: everything that happened to an opening, from every layer, in the order of time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Q

from integrations.models import ApiCall, InboundEvent
from scheduling.admin.display import span
from scheduling.models import Opening, TimelineEntry

#: A story of thousands of steps would be a fault; the page shows the newest of them.
MOST_STEPS = 400
#: Neighbours further apart than this are lines of their own.
ONE_RUN = timedelta(minutes=1)
_READS, _MESSAGES = "reads", "messages"
#: What a carrier's call ended with, by what was asked of it; by its result alone where that says enough.
_CARRIER_SAID = {
    ("SEND", "ok"): "taken",
    ("FIND", "ok"): "this is what I have",
    ("LIST", "ok"): "this is what came",
    ("", "AddressUnusable"): "this address takes nothing",
    ("", "AddressBusy"): "this address takes nothing just now",
    ("", "OptedOut"): "they ended messages",
    ("", "MessageRejected"): "not this message",
    ("", "CarrierBusy"): "not now, later",
    ("", "CarrierDown"): "nothing, it is not reached",
    ("", "CarrierRefusesUs"): "your account is not accepted",
    ("", "HandoverUnknown"): "nothing, it may have been taken",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the story. ``tone`` and ``icon`` are names of :mod:`scheduling.admin.display`.

    Neighbours of the same ``series`` and actor are told as one line.
    """

    at: datetime
    text: str
    actor: str
    icon: str
    tone: str
    detail: str = ""
    since_start: str = ""
    series: str = ""


_TROUBLE = ("refused", "dead", "mismatch", "unknown", "failed", "retry", "silent", "late")
_GOOD = ("confirmed", "filled", "done", "won")


def story_of(opening: Opening) -> list[Step]:
    """Return the steps of ``opening``, oldest first, each with its distance from the first."""
    steps = sorted([*_told(opening), *_calls(opening), *_events(opening)], key=lambda step: step.at)
    if not steps:
        return []
    begin = steps[0].at
    return [_with_distance(step, step.at - begin) for step in _joined(steps[-MOST_STEPS:])]


def latest_steps(limit: int) -> list[Step]:
    """Return what happened lately to any opening and at the EHR, the newest first; for a trial's Sandbox page."""
    told = [_told_step(row) for row in TimelineEntry.objects.order_by("-at", "-pk")[:limit]]
    called = [_call_step(row) for row in ApiCall.objects.order_by("-at", "-pk")[:limit]]
    return _joined(sorted([*told, *called], key=lambda step: step.at, reverse=True)[:limit])


def _joined(steps: list[Step]) -> list[Step]:
    """Tell runs of the same thing in one line: four reads of the EHR, the seven messages of a wave."""
    runs: list[list[Step]] = []
    for step in steps:
        last = runs[-1][-1] if runs else None
        if last and step.series and (step.series, step.actor) == (last.series, last.actor) and _is_near(step, last):
            runs[-1].append(step)
        else:
            runs.append([step])
    return [_as_one(run) for run in runs]


def _is_near(one: Step, other: Step) -> bool:
    return abs(one.at - other.at) < ONE_RUN


def _as_one(run: list[Step]) -> Step:
    if len(run) == 1:
        return run[0]
    if run[0].series == _READS:
        return replace(run[0], detail="; ".join(step.detail for step in run))
    counts = Counter(step.text.rstrip(".") for step in run)
    texts = (f"{text} ({number} times)." if number > 1 else f"{text}." for text, number in counts.items())
    return replace(run[0], text=" ".join(texts))


def _with_distance(step: Step, distance: timedelta) -> Step:
    return replace(step, since_start=f"+{span(distance)}" if distance else "start")


def _told(opening: Opening) -> list[Step]:
    rows = TimelineEntry.objects.filter(opening=opening).order_by("-at", "-pk")[:MOST_STEPS]
    return [_told_step(row) for row in rows]


def _told_step(row: TimelineEntry) -> Step:
    series = _MESSAGES if row.kind == "message.sent" else ""
    return Step(row.at, row.summary, row.actor, _icon(row.kind), _tone(row.kind), series=series)


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
        series=_READS if row.method == "GET" and row.result == "ok" else "",
    )


def _answer(call: ApiCall) -> str:
    if call.system != "ehr":
        return _CARRIER_SAID.get((call.method, call.result)) or _CARRIER_SAID.get(("", call.result)) or call.result
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
