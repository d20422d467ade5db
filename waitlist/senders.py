"""Who may have sent a text, and which offers it may be about. Never a guess."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, QuerySet
from django.utils import timezone

from scheduling import families
from scheduling.matching import successor
from scheduling.models import ContactPoint, Location, Patient
from waitlist import messages
from waitlist.entries import LIVE
from waitlist.models import Message, Offer, Reply, WaitlistEntry

#: A reply without a code is about offers of this last while.
MEMORY = timedelta(days=7)
#: Another patient's offer to the same number that ended so lately could be what a bare yes is about.
DOUBT = timedelta(hours=24)
#: Statuses in which nobody has read a message.
NOT_LEFT = (Message.Status.WAITING, Message.Status.SUPPRESSED)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who may have written: everybody reached at the address, and the offers that went there lately, newest first.

    Of merged records, ``patients`` has the one in use. ``place`` is where they belong when there is no offer, None
    where that is not certain.
    """

    address: messages.Address
    patients: list[Patient]
    offers: list[Offer]
    place: Location | None = None

    @property
    def live(self) -> list[Offer]:
        """The offers a yes could still be about."""
        return [offer for offer in self.offers if offer.status == Offer.Status.SENT and offer.answered_at is None]

    @property
    def names(self) -> list[str]:
        """The names of everybody reached at the address."""
        return [f"{each.given_name} {each.preferred_name} {each.family_name}" for each in self.patients]

    @property
    def subject(self) -> messages.Subject:
        """What an answer is about when it is about no offer."""
        patient = self.patients[0] if len(self.patients) == 1 else None
        known = [offer.patient for offer in self.offers] or self.patients
        return messages.Subject(patient, self.location, speaks=known[0].language if known else "")

    @property
    def location(self) -> Location | None:
        """The place of the latest offer, else their own: its signature and phone are what the sender knows us by."""
        return self.offers[0].opening.location if self.offers else self.place


def sender_of(reply: Reply, now: datetime | None = None) -> Sender:
    """Return who may have sent ``reply``."""
    system = ContactPoint.System.EMAIL if reply.channel == "email" else ContactPoint.System.PHONE
    contacts = list(
        ContactPoint.objects.filter(system=system, address_index=reply.address_index).select_related(
            "patient__replaced_by"
        )
    )
    # A number the EHR has given up for one patient may be another one's by now.
    contacts = [contact for contact in contacts if contact.use != "old"] or contacts
    contact = contacts[0] if len(contacts) == 1 else None
    since = (now or timezone.now()) - MEMORY
    told = _told(reply, Message.Kind.OFFER, since).filter(created_at__gte=F("offer__created_at"))
    rows = Offer.objects.filter(pk__in=told.values("offer_id")).order_by("-created_at", "-pk")
    rows = rows.select_related(
        "opening__location", "opening__provider", "patient__replaced_by", "entry", "appointment_type"
    )
    address = messages.Address(reply.channel, reply.address, reply.address_index, contact)
    patients, offers = families.in_use(each.patient for each in contacts), list(rows)
    return Sender(address, patients, offers, place=None if offers else _place_of(reply, patients))


def _told(reply: Reply, kind: str, since: datetime) -> QuerySet[Message]:
    """Return the messages of a kind that whoever wrote has read, or may have: nobody answers one that did not leave."""
    rows = Message.objects.filter(kind=kind, channel=reply.channel, address_index=reply.address_index)
    return rows.filter(created_at__gte=since).exclude(status__in=NOT_LEFT)


def is_asked_to_stay(reply: Reply, sender: Sender, now: datetime) -> bool:
    """Return whether somebody at the address was asked lately if they still wait, and has not answered."""
    asked = WaitlistEntry.objects.filter(patient__in=sender.patients, status=WaitlistEntry.Status.ASKED)
    return asked.exists() and _told(reply, Message.Kind.STILL_WANTED, now - MEMORY).exists()


def _place_of(reply: Reply, patients: list[Patient]) -> Location | None:
    """Return the one location that the thread and what the patients wait for point to, None for none or several.

    A reply placed at one location is shown to its staff only, so that a doubt leaves it to everybody.
    """
    thread = Message.objects.filter(channel=reply.channel, address_index=reply.address_index, location__isnull=False)
    last = thread.order_by("-created_at", "-pk").values_list("location", flat=True).first()
    found = {last} if last is not None else set()
    waiting = WaitlistEntry.objects.filter(patient__in=patients, status__in=LIVE)
    for entry in waiting.prefetch_related("locations", "patient__locations"):
        places = {place.pk for place in entry.locations.all()} or {place.pk for place in entry.patient.locations.all()}
        if not places:
            return None
        found |= places
    return Location.objects.get(pk=found.pop()) if len(found) == 1 else None


def meant(sender: Sender, code: str, now: datetime) -> list[Offer]:
    """Return the offers a yes or no may be about: one when it can only mean one thing, never a guess.

    With a code those of that code, a live one before all others. Without, the live ones, and those of other people
    at the number that ended so lately that they could be meant; where nothing is live, the latest.
    """
    if code:
        named = [offer for offer in sender.offers if offer.code == code]
        return [offer for offer in named if offer in sender.live] or named[:1]
    live = sender.live
    if not live:
        people = {successor(offer.patient).pk for offer in sender.offers}
        return sender.offers[:1] if len(people) == 1 else sender.offers
    known = {successor(offer.patient).pk for offer in live}
    lately = [
        offer
        for offer in sender.offers
        if successor(offer.patient).pk not in known
        and offer.status in (Offer.Status.EXPIRED, Offer.Status.WITHDRAWN)
        and offer.created_at >= now - DOUBT
    ]
    return live + lately
