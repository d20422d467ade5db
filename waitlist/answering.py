"""Doing what a patient's text asks for, and answering it at once by the way it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from scheduling.models import ContactPoint, Location, Patient, WorkItem
from scheduling.transitions import move
from scheduling.worklist import ask_staff
from waitlist import claims, consent, entries, messages, rerouting, telling
from waitlist.claims import Outcome
from waitlist.models import Claim, ConsentRecord, Message, Offer, Reply, WaitlistEntry
from waitlist.understanding import Intent, Meaning

#: A reply without a code is about offers of this last while.
MEMORY = timedelta(days=7)
#: Another patient's offer to the same number that ended so lately could be what a bare yes is about.
DOUBT = timedelta(hours=24)
#: Bare digits answer a question of ours that was asked so lately.
QUESTION_STANDS = timedelta(hours=2)
_O = Reply.Outcome
WAITS = (WaitlistEntry.Status.WAITING, WaitlistEntry.Status.ASKED)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who may have written: everybody reached at the address, and the offers sent there lately, newest first."""

    address: messages.Address
    patients: list[Patient]
    offers: list[Offer]

    @property
    def live(self) -> list[Offer]:
        """The offers a yes could still be about."""
        return [offer for offer in self.offers if offer.status == Offer.Status.SENT and offer.answered_at is None]

    @property
    def subject(self) -> messages.Subject:
        """What an answer is about when it is about no offer."""
        patient = self.patients[0] if len(self.patients) == 1 else None
        known = [offer.patient for offer in self.offers] or self.patients
        return messages.Subject(patient, self.location, speaks=known[0].language if known else "")

    @property
    def location(self) -> Location | None:
        """The place of the latest offer: its signature and phone are what the sender knows us by."""
        return self.offers[0].opening.location if self.offers else None


def sender_of(reply: Reply, now: datetime | None = None) -> Sender:
    """Return who may have sent ``reply``."""
    system = ContactPoint.System.EMAIL if reply.channel == "email" else ContactPoint.System.PHONE
    contacts = list(
        ContactPoint.objects.filter(system=system, address_index=reply.address_index).select_related("patient")
    )
    contact = contacts[0] if len(contacts) == 1 else None
    since = (now or timezone.now()) - MEMORY
    sent = Message.objects.filter(
        kind=Message.Kind.OFFER, channel=reply.channel, address_index=reply.address_index, created_at__gte=since
    )
    rows = Offer.objects.filter(pk__in=sent.values("offer_id")).order_by("-created_at", "-pk")
    rows = rows.select_related("opening__location", "opening__provider", "patient", "entry", "appointment_type")
    address = messages.Address(reply.channel, reply.address, reply.address_index, contact)
    return Sender(address, [each.patient for each in contacts], list(rows))


def answer(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """Do what was understood; every reply ends with an outcome."""
    handlers: dict[Intent, Callable[[Reply, Sender, Meaning, datetime], None]] = {
        Intent.STOP: _stop,
        Intent.START: _start,
        Intent.HELP: _help,
        Intent.YES: _yes,
        Intent.NO: _no,
        Intent.CODE: _bare_code,
        Intent.URGENT: _urgent,
        Intent.WRONG_PERSON: _wrong_person,
        Intent.DIED: _wrong_person,
        Intent.OKAY: _okay,
    }
    handler = handlers.get(meaning.intent)
    if handler is None:
        hand_to_staff(reply, sender)
    else:
        handler(reply, sender, meaning, now)


def _end(reply: Reply, sender: Sender, outcome: str, offer: Offer | None = None) -> bool:
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


def _say(
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


# --- consent ----------------------------------------------------------------------------------------------------------
def _stop(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """An opt-out binds the address, whoever shares it, at once; it is confirmed a single time."""
    with transaction.atomic():
        line, stopped = consent.revoke_address(
            reply.channel, reply.address_index, source=ConsentRecord.Source.REPLY, patient=sender.subject.patient
        )
        if line is not None:
            _say(reply, sender, Message.Kind.STOP_RECEIPT, now)
        for message in stopped:
            tell_otherwise(message)
        _end(reply, sender, _O.OPTED_OUT)


def tell_otherwise(message: Message) -> None:
    """What became of a yes is owed to the patient: by another consented way, or by a call."""
    if message.kind not in (Message.Kind.CONFIRMED, Message.Kind.REFUSED):
        return
    if rerouting.send_elsewhere(message) is not None:
        return
    theirs = Claim.objects.filter(opening__messages=message, patient__messages=message)
    claim = theirs.order_by("-pk").first()
    if claim is not None:
        telling.ask_to_call(claim, message.kind)


def _start(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    with transaction.atomic():
        consent.restore_address(reply.channel, reply.address_index, source=ConsentRecord.Source.REPLY)
        _say(reply, sender, Message.Kind.ANSWER, now, outcome="started")
        _end(reply, sender, _O.OPTED_IN)


def _help(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    with transaction.atomic():
        _say(reply, sender, Message.Kind.HELP, now)
        _end(reply, sender, _O.HELPED)


# --- yes and no -------------------------------------------------------------------------------------------------------
def meant(sender: Sender, code: str, now: datetime) -> list[Offer]:
    """Return the offers a yes or no may be about: one when it can only mean one thing, never a guess.

    With a code those of that code, a live one before all others. Without, the live ones, and those of other patients
    at the number that ended so lately that they could be meant; where nothing is live, the latest.
    """
    if code:
        named = [offer for offer in sender.offers if offer.code == code]
        return [offer for offer in named if offer in sender.live] or named[:1]
    live = sender.live
    if not live:
        people = {offer.patient_id for offer in sender.offers}
        return sender.offers[:1] if len(people) == 1 else sender.offers
    known = {offer.patient_id for offer in live}
    lately = [
        offer
        for offer in sender.offers
        if offer.patient_id not in known
        and offer.status in (Offer.Status.EXPIRED, Offer.Status.WITHDRAWN)
        and offer.created_at >= now - DOUBT
    ]
    return live + lately


def _yes(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    offer = _the_one(reply, sender, meaning, now)
    if offer is None:
        return
    offer.refresh_from_db()
    offer.opening.refresh_from_db()
    result = claims.claim(offer.opening, offer.patient, offer=offer, entry=offer.entry, channel="sms", now=now)
    with transaction.atomic():
        if result.outcome == Outcome.FROZEN:
            _end(reply, sender, _O.STAFF, offer)  # the claim has asked staff, and nothing is sent
            return
        if result.outcome == Outcome.ALREADY_YOURS and result.claim is not None:
            said = telling.describe(result.claim) | {"outcome": result.claim.state}
            _say(reply, sender, Message.Kind.ANSWER, now, offer=offer, **said)
        elif result.outcome != Outcome.WON:
            _say(reply, sender, Message.Kind.ANSWER, now, offer=offer, outcome=str(result.outcome))
        _end(reply, sender, _O.CLAIMED if result.is_win else _O.TOO_LATE, offer)


def _no(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    offer = _the_one(reply, sender, meaning, now)
    if offer is None:
        return
    with transaction.atomic():
        offer.refresh_from_db()
        claims.decline(offer, "sms", now)
        _say(reply, sender, Message.Kind.ANSWER, now, offer=offer, outcome="declined")
        _end(reply, sender, _O.DECLINED, offer)


def _bare_code(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """Digits alone answer a question of ours; otherwise we ask what they are to mean."""
    asked = Message.objects.filter(
        kind=Message.Kind.QUESTION, address_index=reply.address_index, created_at__gte=now - QUESTION_STANDS
    )
    if asked.exists():
        _yes(reply, sender, Meaning(Intent.YES, meaning.code), now)
        return
    live = [offer for offer in sender.live if offer.code == meaning.code]
    if live:
        _ask_which(reply, sender, live, now)
    else:
        hand_to_staff(reply, sender)


def _okay(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """ "OK, thanks" books nothing: with an offer open we ask what it means, otherwise there is nothing to do."""
    if sender.live:
        _ask_which(reply, sender, sender.live, now)
    else:
        _end(reply, sender, _O.NOTED)


def _the_one(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> Offer | None:
    """Return the one offer that is meant, or deal with there being none or several and return None."""
    # With nothing open, a bare yes answers what we asked last: "do you still want this?"
    if not meaning.code and not sender.live and _about_staying(reply, sender, meaning, now):
        return None
    offers = meant(sender, meaning.code, now)
    if len(offers) == 1:
        return offers[0]
    if offers or (meaning.code and sender.live):
        _ask_which(reply, sender, [offer for offer in offers if offer in sender.live] or sender.live, now)
    elif meaning.code:
        with transaction.atomic():
            _say(reply, sender, Message.Kind.ANSWER, now, outcome="no_offer")
            _end(reply, sender, _O.TOO_LATE)
    else:
        hand_to_staff(reply, sender)
    return None


def _ask_which(reply: Reply, sender: Sender, offers: list[Offer], now: datetime) -> None:
    if not offers:
        hand_to_staff(reply, sender)
        return
    choices = [(each.code, each.start.astimezone(each.opening.location.zone)) for each in reversed(offers)]
    with transaction.atomic():
        _say(reply, sender, Message.Kind.QUESTION, now, choices=choices)
        _end(reply, sender, _O.ASKED)


def _about_staying(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> bool:
    """Take a yes or no as the answer to "do you still want this?"; False when nobody was asked."""
    asked = WaitlistEntry.objects.filter(patient__in=sender.patients, status=WaitlistEntry.Status.ASKED)
    rows = list(asked.select_related("patient"))
    if len({row.patient_id for row in rows}) != 1:
        return False
    with transaction.atomic():
        stays = meaning.intent == Intent.YES
        for entry in rows:
            if stays:
                entries.resume(entry)
            else:
                entries.leave(entry, now)
        _say(reply, sender, Message.Kind.ANSWER, now, outcome="stays" if stays else "left")
        _end(reply, sender, _O.CLAIMED if stays else _O.DECLINED)
    return True


# --- for people -------------------------------------------------------------------------------------------------------
def _urgent(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    with transaction.atomic():
        _say(reply, sender, Message.Kind.ANSWER, now, outcome="urgent")
        _ask(
            reply,
            sender,
            "reply.urgent",
            "URGENT words in a patient's text: call now",
            advice="They were told that nobody watches this number and to call 911. Read the thread and call.",
            urgency=WorkItem.Urgency.RED,
        )
        _end(reply, sender, _O.URGENT)


def _wrong_person(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """The contact reaches somebody else, or the patient has died: nothing more goes there, calls included."""
    with transaction.atomic():
        for contact in ContactPoint.objects.filter(address_index=reply.address_index).select_for_update():
            contact.state = ContactPoint.State.FROZEN
            contact.save(update_fields=["state"])
        consent.suppress_address(reply.channel, reply.address_index, "frozen")
        for offer in sender.live:
            claims.take_back(offer, "wrong_person", now)
        if meaning.intent == Intent.DIED:
            _pause(sender)
        _ask(
            reply,
            sender,
            "reply.wrong_person",
            "A text says that a number reaches the wrong person, or that the patient has died",
            advice="Nothing more is sent there, and offers sent there were taken back. Check the record in the EHR.",
        )
        _end(reply, sender, _O.WRONG_PERSON)


def _pause(sender: Sender) -> None:
    """Offer nothing to anybody at the number, by no channel, until a person has looked."""
    for entry in WaitlistEntry.objects.filter(patient__in=sender.patients, status__in=WAITS):
        entries.pause(entry)


def hand_to_staff(reply: Reply, sender: Sender) -> None:
    """A person reads what the machine does not understand."""
    with transaction.atomic():
        _ask(
            reply,
            sender,
            "reply.unclear",
            "A patient's text needs a person to read it",
            advice="Nothing was changed and no answer was sent. Read the thread, then call or act on the offer.",
        )
        _end(reply, sender, _O.STAFF, sender.live[0] if len(sender.live) == 1 else None)


def _ask(
    reply: Reply, sender: Sender, kind: str, title: str, *, advice: str, urgency: int = WorkItem.Urgency.SOON
) -> WorkItem:
    latest = sender.offers[0] if sender.offers else None
    return ask_staff(
        kind,
        title,
        advice=advice,
        dedupe_key=f"{kind}:{reply.pk}",
        urgency=urgency,
        subject=reply,
        opening=latest.opening if latest else None,
        patient=sender.subject.patient,
        location=sender.location,
    )
