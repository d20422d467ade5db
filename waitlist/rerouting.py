"""A message that cannot arrive where it was sent: the same news to the patient's next address.

The next phone number comes first, then e-mail. Nothing goes where the same news has been or is going already, and
nothing to an address without consent.
"""

from __future__ import annotations

import re
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from scheduling.models import ContactPoint
from scheduling.wake import wake
from waitlist import consent, links, messages, wording
from waitlist.messages import Subject
from waitlist.models import Channel, Message

_LINK = re.compile(r"(?<=/o/)([A-Za-z0-9_-]{20,64})(?=/)")
#: Statuses in which a message has arrived, may have, or still will.
HOPEFUL = (*messages.LEFT, Message.Status.WAITING)
#: Separates a dedupe key from the address a message was sent on to.
MARK = ">"


def send_elsewhere(message: Message, *, skip_channel: str = "", now: datetime | None = None) -> Message | None:
    """Queue the news of ``message`` for the next address, or return the message that carries it there already.

    ``skip_channel``: its carrier is down. None: nothing is left but a call. Part of the caller's transaction.
    """
    now = now or timezone.now()
    hopeful = _same_news(message).filter(status__in=HOPEFUL).exclude(channel=skip_channel).first()
    if hopeful is not None:
        return hopeful
    tried = set(_same_news(message).values_list("address_index", flat=True)) | {message.address_index}
    for contact in _next_addresses(message, now):
        if contact.address_index not in tried and consent.channel_of(contact) != skip_channel:
            return _copy_to(message, contact, now)
    return None


def _same_news(message: Message) -> QuerySet[Message]:
    """The other messages that tell this patient the same."""
    rows = Message.objects.filter(patient=message.patient, kind=message.kind).exclude(pk=message.pk)
    if message.offer is not None:
        # An offer made again tells something new, in messages of its own.
        return rows.filter(offer=message.offer, created_at__gte=message.offer.created_at)
    root = _root(message)
    return rows.filter(Q(dedupe_key=root) | Q(dedupe_key__startswith=f"{root}{MARK}"))


def _next_addresses(message: Message, now: datetime) -> list[ContactPoint]:
    """The patient's usable addresses with consent: those of the same kind first, then by rank."""
    patient = message.patient
    if patient is None:
        return []
    agreed = {
        channel: consent.consented_addresses(channel, [patient.pk]).get(patient.pk, set())
        for channel in (Channel.SMS, Channel.EMAIL)
    }
    day = now.date()
    found = [
        contact
        for contact in patient.contact_points.order_by("rank", "pk")
        if contact.address_index in agreed[Channel(consent.channel_of(contact))]
        and consent.suits(contact, patient, day)
    ]
    return sorted(found, key=lambda contact: consent.channel_of(contact) != message.channel)


def _copy_to(message: Message, contact: ContactPoint, now: datetime) -> Message:
    channel = consent.channel_of(contact)
    copied, created = Message.objects.get_or_create(
        dedupe_key=f"{_root(message)}{MARK}{contact.address_index[:16]}",
        defaults={
            "kind": message.kind,
            "channel": channel,
            "initiated": message.initiated,
            "patient": message.patient,
            "contact_point": contact,
            "offer": message.offer,
            "opening": message.opening,
            "location": message.location,
            "address": contact.value,
            "address_index": contact.address_index,
            "language": message.language,
            "subject": _subject(message) if channel == Channel.EMAIL else "",
            "body": _body(message, channel),
            "due_at": _due(message, channel, now),
            "expires_at": message.expires_at,
            "correlation_id": message.correlation_id,
        },
    )
    if created:
        wake("messages")
    return copied


def _root(message: Message) -> str:
    return message.dedupe_key.partition(MARK)[0][:100]


def _subject(message: Message) -> str:
    signed = messages.describe(Subject(message.patient, message.location), message.created_at)
    return wording.render(message.kind, Channel.EMAIL, message.language, signed).subject


def _body(message: Message, channel: str) -> str:
    """The same words, with the link of the way it takes: an e-mail's asks for the birth year."""
    if message.channel in (channel, Channel.EMAIL):
        return message.body
    return _LINK.sub(lambda found: links.email_token(found.group()), message.body)


def _due(message: Message, channel: str, now: datetime) -> datetime:
    if not message.initiated:
        return now
    type_id = message.offer.appointment_type_id if message.offer else None
    return messages.due_time(
        channel, Subject(message.patient, message.location, type_id=type_id), now, message.expires_at
    )
