"""*Pause everything*, and its end."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from audit.log import record_change
from scheduling.models import Practice
from scheduling.wake import wake


def is_paused() -> bool:
    """Return whether a person has stopped all offers and writes."""
    return Practice.objects.filter(pk=1, paused_at__isnull=False).exists()


@transaction.atomic
def pause(by: str, reason: str = "") -> bool:
    """Stop new offers, messages we start and writes. Returns False when everything was paused already."""
    practice = Practice.current()
    now = timezone.now()
    changed = Practice.objects.filter(pk=1, paused_at__isnull=True).update(
        paused_at=now, paused_by=by, pause_reason=reason[:200]
    )
    if changed:
        record_change(practice, {"paused_at": (None, now), "paused_by": ("", by), "pause_reason": ("", reason[:200])})
    return bool(changed)


@transaction.atomic
def resume(by: str) -> bool:
    """Go on. Everything that fell due meanwhile is looked at again. Returns False when nothing was paused."""
    practice = Practice.current()
    changed = Practice.objects.filter(pk=1, paused_at__isnull=False).update(
        paused_at=None, paused_by="", pause_reason=""
    )
    if changed:
        record_change(practice, {"paused_at": (practice.paused_at, None), "paused_by": (practice.paused_by, by)})
        for topic in ("checks", "messages", "writebacks"):
            wake(topic)
    return bool(changed)
