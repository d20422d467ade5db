"""How a reply ends: with one outcome and, where there is something to say, one message."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from scheduling.transitions import move
from waitlist import consent, messages, rerouting
from waitlist.models import ConsentRecord, Offer, Reply
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


def opt_out(reply: Reply, sender: Sender) -> bool:
    """Write to the address no more; what is owed to whoever waits for news goes another way. False: known before."""
    line, stopped = consent.revoke_address(
        reply.channel, reply.address_index, source=ConsentRecord.Source.REPLY, patient=sender.subject.patient
    )
    for message in stopped:
        rerouting.tell_otherwise(message)
    return line is not None


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
