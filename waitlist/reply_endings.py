"""How a reply ends: with one outcome and, where there is something to say, one message."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from scheduling.transitions import move
from waitlist import messages
from waitlist.models import Offer, Reply
from waitlist.senders import Sender


def end(reply: Reply, sender: Sender, outcome: str, offer: Offer | None = None) -> bool:
    """Give the reply its outcome, and say whose it was and what it was about where that is certain."""
    return move(
        reply,
        outcome,
        field="outcome",
        handled_at=timezone.now(),
        lease_until=None,
        offer=offer,
        patient=offer.patient if offer else sender.subject.patient,
        location=offer.opening.location if offer else sender.location,
    )


def say(
    reply: Reply,
    sender: Sender,
    kind: str,
    now: datetime,
    *,
    offer: Offer | None = None,
    **context: Any,
) -> None:
    subject = messages.Subject.of(offer) if offer is not None else sender.subject
    messages.queue(
        kind, sender.address, subject, context, dedupe_key=f"reply:{reply.pk}:{kind}", initiated=False, now=now
    )
