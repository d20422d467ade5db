"""From an event to the offers it leads to, in one go.

What an event opens is looked at, checked and offered by the worker that dealt with the event, which knows the rows:
no step waits for the broker. Each step still takes its row by the same conditional UPDATE as ever, and what a worker
that dies leaves behind is due, and found by the sweep.
"""

from __future__ import annotations

from collections.abc import Callable

from audit.context import service
from integrations.ehr import availability, inbox
from scheduling.wake import in_hand
from waitlist import attention

#: What follows from an event, in this order; each step may cause the next one.
STEPS: dict[str, Callable[[int], object]] = {
    "attention": service("worker: waitlist")(attention.take_up),
    "checks": service("worker: availability")(availability.look),
}


def process(event_id: int) -> str | None:
    """Deal with one event and with the openings it touched; return what :func:`integrations.ehr.inbox.process` does."""
    with in_hand(*STEPS) as woken:
        outcome = inbox.process(event_id)
        for topic, step in STEPS.items():
            while woken[topic]:
                step(woken[topic].pop(0))
    return outcome
