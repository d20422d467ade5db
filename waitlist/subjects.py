"""Where a message goes, what it is about, and what follows from that: language, clock, signature."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from scheduling.models import ContactPoint, Location, Opening, Patient, Practice
from waitlist import consent, pacing, wording
from waitlist.models import Offer
from waitlist.policies import policy_for

NO_HURRY = datetime.max.replace(tzinfo=UTC)


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
    """What a message is about. ``speaks``: the language of a sender who may be several patients.

    ``house``, ``policy`` and ``words`` (the practice's own) spare a query each where many messages are about the same
    opening.
    """

    patient: Patient | None = None
    location: Location | None = None
    opening: Opening | None = None
    offer: Offer | None = None
    type_id: int | None = None
    speaks: str = ""
    house: Practice | None = None
    policy: pacing.Policy | None = None
    words: wording.Changed | None = None

    @classmethod
    def of(
        cls,
        offer: Offer,
        *,
        house: Practice | None = None,
        policy: pacing.Policy | None = None,
        words: wording.Changed | None = None,
    ) -> Subject:
        """Return an offer as a subject."""
        opening, type_id = offer.opening, offer.appointment_type_id
        return cls(offer.patient, opening.location, opening, offer, type_id, house=house, policy=policy, words=words)

    @property
    def zone(self) -> ZoneInfo:
        """The clock on the patient's wall, as far as we know it."""
        if self.patient is not None and self.patient.time_zone:
            return ZoneInfo(self.patient.time_zone)
        return self.place_zone

    @property
    def place_zone(self) -> ZoneInfo:
        """The clock on the location's wall."""
        return self.location.zone if self.location is not None else ZoneInfo(self.practice.time_zone)

    @property
    def language(self) -> str:
        """The language we write in to this patient."""
        return wording.language_of(self.patient.language if self.patient else self.speaks)

    @property
    def practice(self) -> Practice:
        """The practice that writes."""
        return self.house or Practice.current()


def describe(subject: Subject, moment: datetime) -> dict[str, Any]:
    """Return what the words of any message about ``subject`` need: who signs, which phone, when it would be.

    ``moment`` is the time that the words are about where there is no offer, for the zone to be named with it.
    """
    house = subject.practice
    location = subject.location
    context: dict[str, Any] = {
        "practice": (location.signature if location else "") or house.name,
        "phone": (location.phone if location else "") or house.phone,
        "zone": _zone_to_name(subject, subject.offer.start if subject.offer else moment),
    }
    if subject.offer is not None:
        context["start"] = subject.offer.start.astimezone(subject.place_zone)
        context["code"] = subject.offer.code
    if subject.opening is not None and location is not None and location.names_providers:
        context["provider"] = subject.opening.provider.name
    return context


def _zone_to_name(subject: Subject, moment: datetime) -> str:
    if subject.patient is None or not subject.patient.time_zone:
        return ""
    there, here = moment.astimezone(subject.place_zone), moment.astimezone(subject.zone)
    return "" if there.utcoffset() == here.utcoffset() else there.tzname() or ""


def due_time(
    channel: str, subject: Subject, now: datetime, cut_off_at: datetime | None = None, *, by_night: bool = False
) -> datetime:
    """Return when a message that we start may leave. Without a cut-off there is no hurry, by e-mail neither."""
    policy = subject.policy or policy_for(subject.location.pk if subject.location else None, subject.type_id)
    return pacing.send_at(channel, now, subject.zone, policy, cut_off_at or NO_HURRY, by_night=by_night)
