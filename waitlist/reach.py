"""How those who wait can be told of a time: by text, by e-mail, by a call only, or not at all, and why not by text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import TextChoices

from scheduling.models import ContactPoint, Patient, Practice
from waitlist import consent
from waitlist.models import Channel, ConsentRecord, WaitlistEntry

#: Names and numbers are not decrypted to count their owners.
NAMES = ("given_name", "family_name", "preferred_name")


class Way(TextChoices):
    """The best way to a patient."""

    TEXT = "text", "by text"
    EMAIL = "email", "by e-mail only"
    CALL = "call", "by a call only"
    NOBODY = "nobody", "not at all"


class Barrier(TextChoices):
    """Why a patient cannot be texted."""

    NO_NUMBER = "no_number", "no phone number in the EHR"
    DEAD_NUMBER = "dead_number", "the number does not work or is somebody else's"
    LANDLINE = "landline", "the number takes no texts"
    GUARDIAN = "guardian", "a minor who is not texted, or without a guardian's number"
    OPTED_OUT = "opted_out", "took consent back"
    NO_CONSENT = "no_consent", "no consent on record"


@dataclass(frozen=True, slots=True)
class Reach:
    """How one patient can be reached; ``barrier`` is "" for those who can be texted."""

    way: Way
    barrier: Barrier | None


def waiting(user: AbstractBaseUser | AnonymousUser) -> list[Patient]:
    """Return the patients on the waitlist that ``user`` may see and that may be offered times, without their names."""
    entries = WaitlistEntry.objects.for_user(user).filter(status=WaitlistEntry.Status.WAITING)
    rows = Patient.objects.filter(pk__in=entries.values("patient"), active=True, deceased=False, restricted=False)
    return list(rows.filter(replaced_by__isnull=True).defer(*NAMES).order_by("pk"))


def survey(patients: Iterable[Patient], day: date) -> dict[int, Reach]:
    """Return how each patient can be reached on ``day``, in a fixed number of queries."""
    people = {patient.pk: patient for patient in patients}
    ways = consent.every_way(people.values(), day)
    rows = ContactPoint.objects.filter(patient_id__in=people, system=ContactPoint.System.PHONE).defer("value")
    phones: dict[int, list[ContactPoint]] = defaultdict(list)
    for row in rows.order_by():
        phones[row.patient_id].append(row)
    revoked = _revoked({row.address_index for each in phones.values() for row in each})
    known = _Known(day, Practice.current(), revoked)
    return {pk: _reach(person, ways[pk], phones[pk], known) for pk, person in people.items()}


@dataclass(frozen=True, slots=True)
class _Known:
    """What holds for everybody: the day, the practice with its ages, opted-out numbers."""

    day: date
    house: Practice
    revoked: set[str]


def _reach(patient: Patient, ways: list[ContactPoint], phones: list[ContactPoint], known: _Known) -> Reach:
    channels = {consent.channel_of(contact) for contact in ways}
    if Channel.SMS in channels:
        return Reach(Way.TEXT, None)
    usable = [phone for phone in phones if phone.usable_on(known.day)]
    barrier = _barrier(patient, phones, usable, known)
    if Channel.EMAIL in channels:
        return Reach(Way.EMAIL, barrier)
    return Reach(Way.CALL if usable else Way.NOBODY, barrier)


def _barrier(patient: Patient, phones: list[ContactPoint], usable: list[ContactPoint], known: _Known) -> Barrier:
    if not phones:
        return Barrier.NO_NUMBER
    if not usable:
        return Barrier.DEAD_NUMBER
    texted = [phone for phone in usable if phone.can_text]
    if not texted:
        return Barrier.LANDLINE
    theirs = [phone for phone in texted if consent.suits(phone, patient, known.day, known.house)]
    if not theirs:
        return Barrier.GUARDIAN
    return Barrier.OPTED_OUT if any(phone.address_index in known.revoked for phone in theirs) else Barrier.NO_CONSENT


def _revoked(indexes: set[str]) -> set[str]:
    """Return the numbers whose newest line takes consent back."""
    lines = consent.spoken(channel=Channel.SMS, address_index__in=indexes)
    newest = dict(lines.values_list("address_index", "action"))
    return {index for index, action in newest.items() if action == ConsentRecord.Action.REVOKED}
