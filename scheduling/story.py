"""The slot story: every step of an opening, told as it happens."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from audit.context import correlation_id, current_actor
from scheduling.models import Opening, TimelineEntry


def tell(opening: Opening | None, kind: str, summary: str, *, at: datetime | None = None, **data: Any) -> TimelineEntry:
    """Add a step to the story of ``opening``.

    ``summary`` is one sentence for the front desk without anything that identifies a patient; ``data`` holds ids and
    figures. The actor and the correlation id come from the context the caller runs in.
    """
    return TimelineEntry.objects.create(
        opening=opening,
        at=at or timezone.now(),
        kind=kind,
        summary=summary[:300],
        data=data,
        actor=current_actor().name,
        correlation_id=(opening.correlation_id if opening else "") or correlation_id(),
    )
