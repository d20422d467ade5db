"""Texts that patients sent while we were down: fetched from the carrier, which kept them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from integrations.messaging import calls
from integrations.messaging.gateway import MessagingError, carrier_for
from integrations.models import CarrierState
from waitlist import replies

CHANNEL = "sms"
EVERY = timedelta(minutes=2)
#: Texts are listed with a delay, and a webhook may still be on its way: what is read twice changes nothing.
OVERLAP = timedelta(minutes=10)
#: When a worker died over the list it is asked for again after this; what is stored twice is stored once.
LEASE = timedelta(seconds=25)


def fetch_missed(now: datetime | None = None) -> int:
    """Store what the carrier has of patients' texts since the last time; return how many it listed.

    The first run only notes the time: what came before this installation is not its own.
    """
    now = now or timezone.now()
    carrier = carrier_for(CHANNEL)
    if not carrier.leaves_the_building:
        return 0
    state = calls.state_of(CHANNEL)
    if state.inbound_seen_at is None:
        CarrierState.objects.filter(pk=state.pk).update(inbound_seen_at=now, inbound_due_at=now + EVERY)
        return 0
    free = CarrierState.objects.filter(pk=state.pk, inbound_due_at=state.inbound_due_at)
    if (state.inbound_due_at is not None and state.inbound_due_at > now) or not free.update(inbound_due_at=now + LEASE):
        return 0
    try:
        with calls.recorded(CHANNEL, "LIST", f"inbound/{settings.SMS_CHANNEL}"):
            texts = list(carrier.incoming_since(state.inbound_seen_at - OVERLAP))
    except MessagingError:
        return 0
    for text in texts:
        replies.receive(CHANNEL, text.carrier_id, text.address, text.body, text.media_count)
    # Only now: a text that could not be stored is listed again.
    CarrierState.objects.filter(pk=state.pk).update(inbound_seen_at=now, inbound_due_at=now + EVERY)
    return len(texts)
