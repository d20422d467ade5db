"""Putting what a person must be told on the outbox, once.

A message is a row before it is anything else. Its dedupe key keeps one event from being told twice; its due time keeps
it out of the patient's night, unless it answers something the patient just sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from auditlog.models import LogEntry
from django.db.models import QuerySet
from django.utils import timezone

from audit.context import correlation_id
from audit.log import record_changes
from scheduling.wake import wake
from waitlist import house_words, wording
from waitlist.models import Channel, Message, Offer
from waitlist.sending import Decision, may_send
from waitlist.subjects import Address, Subject, describe, due_time

__all__ = [
    "LEFT",
    "Address",
    "Decision",
    "Subject",
    "compose",
    "describe",
    "due_time",
    "may_send",
    "put",
    "queue",
    "queue_new",
]

_S = Message.Status
#: Statuses in which the patient has read the message, or may have.
LEFT = (_S.SENDING, _S.UNKNOWN, _S.SENT, _S.DELIVERED)


def compose(
    kind: str,
    address: Address,
    subject: Subject,
    context: Mapping[str, Any],
    *,
    dedupe_key: str,
    initiated: bool = True,
    now: datetime | None = None,
    due_at: datetime | None = None,
    expires_at: datetime | None = None,
    attachment: str = "",
) -> Message:
    """Return a message that is not stored yet.

    ``context`` is :mod:`waitlist.wording`'s, without what follows from ``subject``. ``initiated`` messages wait for
    the end of quiet hours, unless ``due_at`` says when to send them.
    """
    now = now or timezone.now()
    words = house_words.in_use() if subject.words is None else subject.words
    known = {**describe(subject, _visit_in(context) or now), **context}
    rendered = wording.render(kind, address.channel, subject.language, known, words)
    return Message(
        kind=kind,
        channel=address.channel,
        initiated=initiated,
        patient=subject.patient,
        contact_point=address.contact,
        offer=subject.offer,
        opening=subject.opening,
        location=subject.location,
        address=address.value,
        address_index=address.index,
        language=subject.language,
        subject=rendered.subject,
        body=rendered.body,
        attachment=attachment if address.channel == Channel.EMAIL else "",
        dedupe_key=dedupe_key,
        due_at=due_at or (due_time(address.channel, subject, now) if initiated else now),
        expires_at=expires_at,
        correlation_id=(subject.opening.correlation_id if subject.opening else "") or correlation_id(),
    )


def _visit_in(context: Mapping[str, Any]) -> datetime | None:
    """Return the time that the words name: whether the zone must be named with it depends on the time of year."""
    first = next(iter(context.get("choices", ())), (None, None))[1]
    moment: datetime | None = context.get("start") or first
    return moment


def queue(kind: str, address: Address, subject: Subject, context: Mapping[str, Any], **options: Any) -> Message | None:
    """Put a message on the outbox; None when this was queued before. Takes what :func:`compose` takes.

    Part of the caller's transaction.
    """
    return put(compose(kind, address, subject, context, **options))


def put(composed: Message) -> Message | None:
    """Put a composed message on the outbox; None when its key is there already. Part of the caller's transaction."""
    names = [field.attname for field in Message._meta.concrete_fields if not field.primary_key]
    values = {name: getattr(composed, name) for name in names if name != "dedupe_key"}
    message, created = Message.objects.get_or_create(dedupe_key=composed.dedupe_key, defaults=values)
    if not created:
        return None
    wake("messages")
    return message


def queue_new(composed: Sequence[Message]) -> None:
    """Put many messages on the outbox at once, of which none can have been queued before."""
    if not composed:
        return
    Message.objects.bulk_create(composed)
    record_changes([(each, {"status": ("", each.status)}) for each in composed], action=LogEntry.Action.CREATE)
    wake("messages")


def offer_messages(offer: Offer) -> QuerySet[Message]:
    """Return the messages that carried the offer as it stands now."""
    return Message.objects.filter(offer=offer, kind=Message.Kind.OFFER, created_at__gte=offer.created_at)


def has_left(offer: Offer) -> bool:
    """Return whether the patient has been told of the offer, or may have been."""
    return offer_messages(offer).filter(status__in=LEFT).exists()


def take_back(offers: Sequence[Offer], why: str) -> dict[int, list[Address]]:
    """Stop the offers' messages that have not left; return by offer where others have gone, or may have.

    Call it inside a transaction: a message that is being sent at this moment is waited for.
    """
    rows = Message.objects.select_for_update(of=("self",)).filter(offer__in=offers, kind=Message.Kind.OFFER)
    made_at = {offer.pk: offer.created_at for offer in offers}
    current = [
        row
        for row in rows.order_by("pk").select_related("contact_point")
        if row.offer_id is not None and row.created_at >= made_at[row.offer_id]
    ]
    waiting = [row for row in current if row.status == _S.WAITING]
    if waiting:
        Message.objects.filter(pk__in=[row.pk for row in waiting]).update(status=_S.SUPPRESSED, error_code=why)
        record_changes([(row, {"status": (_S.WAITING, _S.SUPPRESSED), "error_code": ("", why)}) for row in waiting])
    told: dict[int, dict[str, Address]] = defaultdict(dict)
    for row in current:
        if row.status in LEFT and row.offer_id is not None:
            told[row.offer_id][row.address_index] = Address(
                row.channel, row.address, row.address_index, row.contact_point
            )
    return {offer_id: list(addresses.values()) for offer_id, addresses in told.items()}
