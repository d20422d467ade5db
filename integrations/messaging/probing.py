"""While a carrier refuses us or is down: one message at a time finds out whether it works again."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from integrations.models import CarrierState
from scheduling.wake import wake
from waitlist.models import Message

#: How often one message is tried while the carrier refuses us. A refused call costs nothing and reaches nobody.
REFUSED_EVERY = timedelta(seconds=60)
#: How often one call is made while it is down, for all messages together.
DOWN_EVERY = timedelta(seconds=20)
_SHUT = Q(refused_since__isnull=False) | Q(down_since__isnull=False)


def is_shut(channel: str) -> bool:
    """Return whether the channel's carrier refuses us or is known to be down."""
    return CarrierState.objects.filter(_SHUT, channel=channel).exists()


def next_try(channel: str, now: datetime) -> datetime | None:
    """Return when the carrier may be tried again; None where it works, or where the caller is the one to try."""
    state = CarrierState.objects.filter(_SHUT, channel=channel).first()
    if state is None:
        return None
    mine = CarrierState.objects.filter(pk=state.pk, probe_at=state.probe_at).filter(probe_at__lte=now)
    if mine.update(probe_at=now + (REFUSED_EVERY if state.refused_since else DOWN_EVERY)):
        return None
    return max(state.probe_at or now, now + timedelta(seconds=1))


def let_go(channel: str, now: datetime) -> None:
    """Take up at once what the carrier has held up."""
    held = Message.objects.filter(channel=channel, status=Message.Status.WAITING, due_at__gt=now)
    held.exclude(error_code="").update(due_at=now)
    wake("messages")
