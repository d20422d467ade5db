"""Putting what a person must be told on the outbox, once, and deciding again at the moment of sending.

A message is a row before it is anything else. Its dedupe key keeps one event from being told twice; its due time keeps
it out of the patient's night, unless it answers something the patient just sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.utils import timezone

from audit.context import correlation_id
from scheduling import practice
from scheduling.models import ContactPoint, Location, Opening, Patient, Practice
from scheduling.transitions import move
from scheduling.wake import wake
from waitlist import consent, pacing, wording
from waitlist.models import Channel, Message, Offer
from waitlist.policies import policy_for

_S = Message.Status
#: Statuses in which the patient has read the message, or may have.
LEFT = (_S.SENDING, _S.UNKNOWN, _S.SENT, _S.DELIVERED)
#: Kinds that answer a message from the very address: they need no opt-in, only no opt-out.
TO_WHO_WROTE = (Message.Kind.HELP, Message.Kind.QUESTION, Message.Kind.ANSWER)
NO_HURRY = datetime.max.replace(tzinfo=UTC)
#: A held or paused message is looked at again after so long.
LOOK_AGAIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message goes: a contact point, or the number a stranger wrote from."""

    channel: str
    value: str
    index: str
    contact: ContactPoint | None = None

    @classmethod
    def of(cls, contact: ContactPoint) -> Address:
        """Return a contact point as an address."""
        return cls(consent.channel_of(contact), contact.value, contact.address_index, contact)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a message is about; the language, the clock and the story it belongs to follow from it."""

    patient: Patient | None = None
    location: Location | None = None
    opening: Opening | None = None
    offer: Offer | None = None
    type_id: int | None = None
    speaks: str = ""

    @classmethod
    def of(cls, offer: Offer) -> Subject:
        """Return an offer as a subject."""
        return cls(offer.patient, offer.opening.location, offer.opening, offer, offer.appointment_type_id)

    @property
    def zone(self) -> ZoneInfo:
        """The clock on the patient's wall, as far as we know it."""
        if self.patient is not None and self.patient.time_zone:
            return ZoneInfo(self.patient.time_zone)
        return self.place_zone

    @property
    def place_zone(self) -> ZoneInfo:
        """The clock on the location's wall."""
        return self.location.zone if self.location is not None else ZoneInfo(Practice.current().time_zone)

    @property
    def language(self) -> str:
        """The language we write in to this patient."""
        return wording.language_of(self.patient.language if self.patient else self.speaks)


def queue(
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
) -> Message | None:
    """Put a message on the outbox; None when this was queued before. Part of the caller's transaction.

    ``context`` is :mod:`waitlist.wording`'s, without what follows from ``subject``. ``initiated`` messages wait for
    the end of quiet hours, unless ``due_at`` says when to send them.
    """
    now = now or timezone.now()
    rendered = wording.render(kind, address.channel, subject.language, {**describe(subject, now), **context})
    message, created = Message.objects.get_or_create(
        dedupe_key=dedupe_key,
        defaults={
            "kind": kind,
            "channel": address.channel,
            "initiated": initiated,
            "patient": subject.patient,
            "contact_point": address.contact,
            "offer": subject.offer,
            "opening": subject.opening,
            "location": subject.location,
            "address": address.value,
            "address_index": address.index,
            "language": subject.language,
            "subject": rendered.subject,
            "body": rendered.body,
            "attachment": attachment if address.channel == Channel.EMAIL else "",
            "due_at": due_at or (due_time(address.channel, subject, now) if initiated else now),
            "expires_at": expires_at,
            "correlation_id": (subject.opening.correlation_id if subject.opening else "") or correlation_id(),
        },
    )
    if not created:
        return None
    wake("messages")
    return message


def describe(subject: Subject, now: datetime) -> dict[str, Any]:
    """Return what the words of any message about ``subject`` need: who signs, which phone, when it would be."""
    house = Practice.current()
    location = subject.location
    context: dict[str, Any] = {
        "practice": (location.signature if location else "") or house.name,
        "phone": (location.phone if location else "") or house.phone,
        "zone": _zone_to_name(subject, subject.offer.start if subject.offer else now),
    }
    if subject.offer is not None:
        context["start"] = subject.offer.start.astimezone(subject.place_zone)
        context["code"] = subject.offer.code
    if subject.opening is not None and location is not None and location.names_providers:
        context["provider"] = subject.opening.provider.name
    return context


def _zone_to_name(subject: Subject, moment: datetime) -> str:
    there, here = moment.astimezone(subject.place_zone), moment.astimezone(subject.zone)
    return "" if there.utcoffset() == here.utcoffset() else there.tzname() or ""


def due_time(channel: str, subject: Subject, now: datetime, cut_off_at: datetime | None = None) -> datetime:
    """Return when a message that we start may leave. Without a cut-off there is no hurry, by e-mail neither."""
    policy = policy_for(subject.location.pk if subject.location else None, subject.type_id)
    return pacing.send_at(channel, now, subject.zone, policy, cut_off_at or NO_HURRY)


def offer_messages(offer: Offer) -> QuerySet[Message]:
    """Return the messages that carried the offer as it stands now."""
    return Message.objects.filter(offer=offer, kind=Message.Kind.OFFER, created_at__gte=offer.created_at)


def has_left(offer: Offer) -> bool:
    """Return whether the patient has been told of the offer, or may have been."""
    return offer_messages(offer).filter(status__in=LEFT).exists()


def take_back(offer: Offer, why: str) -> list[Message]:
    """Stop the offer's messages that have not left and return those that have (or may have)."""
    left = []
    for message in offer_messages(offer).select_related("contact_point"):
        if message.status == _S.WAITING and move(message, _S.SUPPRESSED, error_code=why):
            continue
        message.refresh_from_db(fields=["status"])
        if message.status in LEFT:
            left.append(message)
    return left


def addresses_of(messages: Iterable[Message]) -> list[Address]:
    """Return where messages went, each address once."""
    found = {
        (each.channel, each.address_index): Address(each.channel, each.address, each.address_index, each.contact_point)
        for each in messages
    }
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a message now: send it, wait ``until``, or suppress it because of ``reason``."""

    action: Literal["send", "wait", "suppress"]
    until: datetime | None = None
    reason: str = ""


SEND = Decision("send")


def may_send(message: Message, now: datetime | None = None) -> Decision:
    """Decide at the moment of sending, from what is true now: consent, the patient, the offer, the hour."""
    now = now or timezone.now()
    if message.kind == Message.Kind.STOP_RECEIPT:
        return SEND
    reason = _against_the_person(message, now) or _against_the_address(message) or _against_the_time(message, now)
    if reason:
        return Decision("suppress", reason=reason)
    if not message.initiated:
        return SEND
    if practice.is_paused() or _is_held(message):
        return Decision("wait", until=now + LOOK_AGAIN)
    type_id = message.offer.appointment_type_id if message.offer else None
    subject = Subject(message.patient, message.location, type_id=type_id)
    due = due_time(message.channel, subject, now, message.expires_at)
    return SEND if due <= now else Decision("wait", until=due)


def _against_the_person(message: Message, now: datetime) -> str:
    patient = message.patient
    if patient is None:
        return ""
    if patient.deceased:
        return "deceased"
    if patient.replaced_by_id is not None:
        return "replaced"
    if patient.restricted:
        return "restricted"
    # What answers the patient's own message is owed to them, whatever the record says.
    return "inactive" if not patient.active and message.initiated else ""


def _against_the_address(message: Message) -> str:
    contact = message.contact_point
    if contact is not None and contact.state != ContactPoint.State.USABLE:
        return contact.state
    if message.kind not in TO_WHO_WROTE:
        agreed = consent.consenting_at(message.channel, message.address_index)
        return "" if message.patient_id in agreed else "no_consent"
    return "opted_out" if consent.is_revoked(message.channel, message.address_index) else ""


def _against_the_time(message: Message, now: datetime) -> str:
    if message.expires_at is not None and message.expires_at <= now:
        return "expired"
    if message.kind != Message.Kind.OFFER or message.offer is None:
        return ""
    if message.offer.status != Offer.Status.SENT or message.offer.expires_at <= now:
        return "offer_over"
    opening = message.opening
    return "opening_over" if opening is not None and opening.status not in Opening.LIVE else ""


def _is_held(message: Message) -> bool:
    """An offer waits while a person decides about its opening, or while somebody's claim is being booked."""
    opening = message.opening
    if message.kind != Message.Kind.OFFER or opening is None:
        return False
    return bool(opening.held) or opening.status == Opening.Status.CLAIMED
