"""The inbox: what an EHR says is a row before it is acknowledged, and is dealt with afterwards, once in effect."""

from __future__ import annotations

from datetime import datetime

from integrations.ehr import event_leases
from integrations.ehr.dealing import deal
from integrations.ehr.event_leases import due, retry
from integrations.ehr.intake import Receipt, receive

__all__ = ["Receipt", "due", "process", "receive", "retry"]


def process(event_id: int, now: datetime | None = None) -> str | None:
    """Deal with one event; return what came of it, None when it is not finished or was not ours to deal with."""
    event = event_leases.lease(event_id, now)
    return None if event is None else deal(event)
