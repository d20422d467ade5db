"""The inbox: what an EHR says is a row before it is acknowledged, and is dealt with afterwards, once in effect."""

from __future__ import annotations

from datetime import datetime

from integrations.ehr import event_leases, together
from integrations.ehr.dealing import deal
from integrations.ehr.event_leases import due, retry
from integrations.ehr.intake import Receipt, receive

__all__ = ["Receipt", "due", "process", "receive", "retry"]


def process(event_id: int, now: datetime | None = None) -> str | None:
    """Deal with one event; return what came of it, None when it is not finished or was not ours to deal with.

    Where one call can fetch what several events are about, those that wait are dealt with along with it.
    """
    event = event_leases.lease(event_id, now)
    if event is None:
        return None
    others = together.company(event)
    answers = together.ask([event, *others]) if others else together.Answers()
    outcome = deal(event, answers)
    for other in others:
        if event_leases.keep(other):
            deal(other, answers)
    return outcome
