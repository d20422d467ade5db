"""A message that cannot arrive where it was sent: the same news to the patient's next address, in the words of its way.

The next phone number comes first, then e-mail. Nothing goes where the same news has been or is going already, and
nothing to an address without consent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from scheduling.models import ContactPoint, Practice
from waitlist import consent, given_up, links, messages, sending, staff_answers, telling
from waitlist.messages import Subject
from waitlist.models import Channel, Claim, Message, Offer
from waitlist.offering import kept_until_confirmed
from waitlist.withdrawal import look_for_untold

_TOKEN = re.compile(r"(?<=/o/)([A-Za-z0-9_-]{20,64})(?=/)")
FROM_TEXT_TO_EMAIL = (Channel.SMS, Channel.EMAIL)
#: Statuses in which a message has arrived, may have, or still will.
HOPEFUL = (*messages.LEFT, Message.Status.WAITING)
_OF_A_CLAIM = (Message.Kind.CONFIRMED, Message.Kind.REFUSED)
#: Separates a dedupe key from the address a message was sent on to.
MARK = ">"


def send_elsewhere(message: Message, *, skip_channel: str = "", now: datetime | None = None) -> Message | None:
    """Queue the news of ``message`` for the next address, or return the message that carries it there already.

    An offer's text goes to the next number although its e-mail is out: texts are what is answered in time.
    ``skip_channel``: its carrier is down. None: nothing is left but a call. Part of the caller's transaction.
    """
    now = now or timezone.now()
    hopeful = list(_same_news(message).filter(status__in=HOPEFUL).exclude(channel=skip_channel).order_by("pk"))
    is_enough = hopeful and not _is_text_of_an_offer(message)
    by_same_way = next((each for each in hopeful if each.channel == message.channel), None)
    if by_same_way is not None or is_enough:
        return by_same_way or hopeful[0]
    tried = set(_same_news(message).values_list("address_index", flat=True)) | {message.address_index}
    for contact in _next_addresses(message, now):
        channel = consent.channel_of(contact)
        is_carried = any(each.channel == channel for each in hopeful)
        if contact.address_index not in tried and channel != skip_channel and not is_carried:
            return _copy_to(message, contact, now)
    return next(iter(hopeful), None)


def _is_text_of_an_offer(message: Message) -> bool:
    return message.kind == Message.Kind.OFFER and message.channel == Channel.SMS


def tell_otherwise(message: Message) -> None:
    """What became of a yes, or of a wish to cancel, is owed to the patient: by another consented way, or by a call.

    So is a person's answer. An offer that cannot be told is left to others.
    """
    look_for_untold(message)
    if message.kind == Message.Kind.STAFF:
        staff_answers.not_told(message)
        return
    if message.kind not in (*_OF_A_CLAIM, *given_up.CALLS) or send_elsewhere(message) is not None:
        return
    cancelled = given_up.behind(message)
    if cancelled is not None:
        given_up.ask_to_call(cancelled, message.kind)
        return
    theirs = Claim.objects.filter(opening__messages=message, patient__messages=message)
    claim = theirs.order_by("-pk").first()
    if claim is not None:
        telling.ask_to_call(claim, message.kind)


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
    day, house = consent.day_at(message.location, now), Practice.current()
    found = [
        contact
        for contact in patient.contact_points.order_by("rank", "pk")
        if contact.address_index in agreed[Channel(consent.channel_of(contact))]
        and consent.suits(contact, patient, day, house)
    ]
    return sorted(found, key=lambda contact: consent.channel_of(contact) != message.channel)


def _copy_to(message: Message, contact: ContactPoint, now: datetime) -> Message:
    address, key = messages.Address.of(contact), f"{_root(message)}{MARK}{contact.address_index[:16]}"
    common: dict[str, Any] = {
        "dedupe_key": key,
        "initiated": message.initiated,
        "due_at": _due(message, address.channel, now),
        "expires_at": message.expires_at,
        "now": now,
    }
    words = _words(message, address.channel, now)
    copied = messages.queue(message.kind, address, words.subject, words.context, attachment=words.attachment, **common)
    return copied or Message.objects.get(dedupe_key=key)


def _root(message: Message) -> str:
    return message.dedupe_key.partition(MARK)[0][:100]


@dataclass(frozen=True, slots=True)
class Words:
    """What the news is about and what its words need, whichever way it takes."""

    subject: Subject
    context: dict[str, Any]
    attachment: str = ""


def _words(message: Message, channel: str, now: datetime) -> Words:
    """Return what is needed to say it anew in the words of its new way, from what is true by now."""
    claim = _claim_behind(message)
    if claim is not None:
        return Words(telling.subject_of(claim), telling.describe(claim), telling.attachment(claim, message.kind, now))
    cancelled = given_up.behind(message)
    if cancelled is not None:
        return Words(given_up.subject_of(cancelled.appointment), given_up.describe(cancelled))
    offer = message.offer
    if offer is None:
        return Words(Subject(message.patient, message.location, message.opening), _choices(message))
    context = {"link": _link(message, channel), "keep": kept_until_confirmed(offer)}
    return Words(Subject.of(offer), context if message.kind == Message.Kind.OFFER else {})


def _claim_behind(message: Message) -> Claim | None:
    """Return the claim that a message about one tells of."""
    if message.kind not in (Message.Kind.RECEIVED, Message.Kind.CONFIRMED, Message.Kind.REFUSED):
        return None
    rows = Claim.objects.select_related(
        "opening__location", "opening__provider", "patient", "entry__move_up", "offer__move_up", "appointment__location"
    )
    return rows.filter(opening=message.opening, patient=message.patient).order_by("-pk").first()


def _choices(message: Message) -> dict[str, Any]:
    """Name the times a question back was about: those the patient can still say yes to."""
    live = Offer.objects.filter(patient=message.patient, status__in=Offer.LIVE).select_related("opening__location")
    return {"choices": [(each.code, each.start.astimezone(each.opening.location.zone)) for each in live]}


def _link(message: Message, channel: str) -> str:
    """Return the link of the way it takes, empty for none.

    A text's token leads to an e-mail's and never back: an e-mail's goes into a text as it is, and asks for the birth
    year there too.
    """
    found = _TOKEN.search(message.body)
    if found is None:
        return ""
    token = found.group()
    return links.address_of(links.email_token(token) if (message.channel, channel) == FROM_TEXT_TO_EMAIL else token)


def _due(message: Message, channel: str, now: datetime) -> datetime:
    if not message.initiated:
        return now
    type_id = message.offer.appointment_type_id if message.offer else None
    subject = Subject(message.patient, message.location, type_id=type_id)
    by_night = sending.may_come_by_night(message)
    return messages.due_time(channel, subject, now, message.expires_at, by_night=by_night)
