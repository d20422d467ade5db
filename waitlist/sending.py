"""Whether a message may leave, decided at the moment of sending from what is true then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.utils import timezone

from scheduling import practice, shadow
from scheduling.models import ContactPoint, Opening, Practice
from waitlist import consent
from waitlist.models import Message, Offer, WaitlistEntry
from waitlist.overtaken import is_overtaken
from waitlist.subjects import Subject, due_time

#: Kinds that answer a message from the very address, or say nothing but a code: they need no opt-in, only no opt-out.
TO_WHO_WROTE = (
    Message.Kind.HELP,
    Message.Kind.QUESTION,
    Message.Kind.ANSWER,
    Message.Kind.STAFF,
    Message.Kind.CONTACT_CODE,
)
#: What ends an offer.
ENDS = (Message.Kind.FILLED, Message.Kind.WITHDRAWN)
#: A held or paused message is looked at again after so long.
LOOK_AGAIN = timedelta(seconds=60)


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
    if message.kind in Message.ALWAYS_LEAVE:
        return SEND
    if message.test_by:
        return _may_send_test(message, now)
    reason = _against_the_person(message, now) or _against_the_address(message, now) or _against_the_time(message, now)
    if reason:
        return Decision("suppress", reason=reason)
    if _is_in_shadow(message):
        return Decision("wait", until=now + LOOK_AGAIN)
    if not message.initiated:
        return SEND
    if practice.is_paused() or _is_held(message):
        return Decision("wait", until=now + LOOK_AGAIN)
    type_id = message.offer.appointment_type_id if message.offer else None
    subject = Subject(message.patient, message.location, type_id=type_id)
    due = due_time(message.channel, subject, now, message.expires_at, by_night=may_come_by_night(message))
    return SEND if due <= now else Decision("wait", until=due)


def _may_send_test(message: Message, now: datetime) -> Decision:
    if message.expires_at is not None and message.expires_at <= now:
        return Decision("suppress", reason="expired")
    is_revoked = consent.is_revoked(message.channel, message.address_index)
    return Decision("suppress", reason="opted_out") if is_revoked else SEND


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


def _against_the_address(message: Message, now: datetime) -> str:
    contact = message.contact_point
    if contact is not None and contact.state != ContactPoint.State.USABLE:
        return contact.state
    if contact is None and _is_frozen_for_somebody(message):
        return "frozen"
    if message.kind not in TO_WHO_WROTE:
        if contact is not None and contact.use == "old" and message.kind != Message.Kind.CONTACT_CHANGED:
            return "gone"
        if message.patient_id not in consent.consenting_at(message.channel, message.address_index):
            return "no_consent"
        return "" if _is_for_the_right_hands(message, now) else "age"
    return "opted_out" if consent.is_revoked(message.channel, message.address_index) else ""


def _is_for_the_right_hands(message: Message, now: datetime) -> bool:
    """A birthday may have passed since it was written, or the EHR may have set a birth date right."""
    patient, contact = message.patient, message.contact_point
    if patient is None or contact is None:
        return True
    return consent.suits_age(contact, patient, consent.day_at(message.location, now), Practice.current())


def _is_frozen_for_somebody(message: Message) -> bool:
    """What goes to all who share a number goes to whoever it should not reach, too."""
    at_the_address = ContactPoint.objects.filter(address_index=message.address_index).exclude(use="old")
    return at_the_address.filter(state=ContactPoint.State.FROZEN).exists()


def _against_the_time(message: Message, now: datetime) -> str:
    if message.expires_at is not None and message.expires_at <= now:
        return "expired"
    if message.kind != Message.Kind.OFFER or message.offer is None:
        return "overtaken" if is_overtaken(message) else ""
    if message.offer.status != Offer.Status.SENT or message.offer.expires_at <= now:
        return "offer_over"
    opening = message.opening
    return "opening_over" if opening is not None and opening.status not in Opening.LIVE else ""


def may_come_by_night(message: Message) -> bool:
    """Return whether a text may disturb the night that its time does not outlast, as the patient asked for.

    So may the end of such an offer, and the answer that is owed to a yes: in the morning it would be too late.
    """
    offer = message.offer
    if offer is None or message.kind not in (Message.Kind.OFFER, *ENDS):
        return False
    is_owed = message.kind in ENDS and offer.status == Offer.Status.TOO_LATE
    return is_owed or WaitlistEntry.objects.filter(offers=offer, texts_by_night=True).exists()


def _is_in_shadow(message: Message) -> bool:
    """Nothing about a shadow run's openings is told, and nobody starts or says anything to those known only there."""
    if message.opening is not None:
        return shadow.is_on(message.opening.source_id)
    return (message.initiated or message.kind == Message.Kind.STAFF) and shadow.covers(message.patient_id)


def _is_held(message: Message) -> bool:
    """An offer waits while a person decides about its opening, or while somebody's claim is being booked."""
    opening = message.opening
    if message.kind != Message.Kind.OFFER or opening is None:
        return False
    return bool(opening.held) or opening.status == Opening.Status.CLAIMED
