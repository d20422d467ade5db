"""Texts that patients send: stored at once, read soon, each with one stated outcome."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from audit.context import Actor, acting_as, correlated
from scheduling.contention import is_deadlock
from scheduling.models import ContactPoint
from scheduling.patients import address_index, normalise_phone
from scheduling.wake import wake
from waitlist import answering, escalating, senders
from waitlist.models import Channel, Reply
from waitlist.understanding import understand

__all__ = ["drain", "handle", "is_due", "receive", "understand"]

logger = logging.getLogger(__name__)

#: A worker that died with a reply is replaced after this long. Reading one calls nobody, so it takes far less.
LEASE = timedelta(seconds=20)
#: Whoever it gave way to has its turn first.
GIVES_WAY = timedelta(seconds=1)
#: After so many tries a person reads it.
MOST_ATTEMPTS = 5
BATCH = 50


def receive(
    channel: str, carrier_id: str, address: str, body: str, media_count: int = 0, *, now: datetime | None = None
) -> Reply:
    """Store what a patient sent, before anybody reads it; the same ``carrier_id`` again is the same row."""
    system = ContactPoint.System.EMAIL if channel == Channel.EMAIL else ContactPoint.System.PHONE
    value = address.strip().lower() if channel == Channel.EMAIL else normalise_phone(address)[0]
    try:
        with transaction.atomic():
            reply = Reply.objects.create(
                channel=channel,
                carrier_id=carrier_id,
                address=value,
                address_index=address_index(system, value),
                body=body,
                media_count=media_count,
                received_at=now or timezone.now(),
            )
    except IntegrityError:
        return Reply.objects.get(carrier_id=carrier_id)
    wake("attention")
    return reply


def is_due(now: datetime | None = None) -> bool:
    """Return whether a reply waits to be read."""
    return _due(now or timezone.now()).exists()


def _due(now: datetime) -> QuerySet[Reply]:
    unleased = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    return Reply.objects.filter(unleased, outcome=Reply.Outcome.NEW)


def drain(now: datetime | None = None) -> int:
    """Read the replies that wait, the oldest first; return how many."""
    now = now or timezone.now()
    ids = list(_due(now).order_by("received_at", "pk").values_list("pk", flat=True)[:BATCH])
    return sum(handle(reply_id, now) for reply_id in ids)


def handle(reply_id: int, now: datetime | None = None) -> bool:
    """Read one reply and do what it asks; False when another worker has it.

    Doing it twice is safe: a claim, a refusal and a consent line each know that they were made before.
    """
    now = now or timezone.now()
    leased = _due(now).filter(pk=reply_id).update(lease_until=now + LEASE, attempts=F("attempts") + 1)
    if not leased:
        return False
    reply = Reply.objects.get(pk=reply_id)
    sender = senders.sender_of(reply)
    with correlated(), acting_as(_actor(sender)):
        try:
            if reply.attempts > MOST_ATTEMPTS:
                escalating.hand_to_staff(reply, sender)
            else:
                answering.answer(reply, sender, understand(reply.body, reply.media_count, sender.names), now)
        except Exception as error:
            # Another try follows when the lease ends; the others are read meanwhile.
            if is_deadlock(error):
                _put_back(reply, now)
                return True
            logger.exception("reply %s could not be handled: %s", reply_id, type(error).__name__)
    return True


def _put_back(reply: Reply, now: datetime) -> None:
    """The database ended our work in favour of another worker's: it is read again soon, and the try does not count.

    That there was one is kept: what it may have done, such as a claim, is not to be answered a second time.
    """
    logger.warning("reply %s gave way to another worker and is read again", reply.pk)
    mine = Reply.objects.filter(pk=reply.pk, outcome=Reply.Outcome.NEW, attempts=reply.attempts)
    mine.update(lease_until=now + GIVES_WAY, attempts=max(reply.attempts - 1, 1))


def _actor(sender: senders.Sender) -> Actor:
    if len(sender.patients) == 1:
        return Actor.for_patient(sender.patients[0].pk)
    return Actor.for_service("text from a shared or unknown number")
