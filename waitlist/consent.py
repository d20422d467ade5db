"""The consent ledger: who agreed to be written to, where, in which words, and who took it back.

Lines are only ever added. What they say together is read by :mod:`waitlist.ledger`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit.context import current_actor
from audit.log import record_created
from scheduling.models import ContactPoint, Location, Patient, PatientMerge, Practice
from scheduling.transitions import move
from waitlist.ledger import Line, consenting_patients
from waitlist.models import Channel, ConsentRecord, ContactChange, Message


def channel_of(contact_point: ContactPoint) -> str:
    """Return the channel a contact point is written to by."""
    return Channel.EMAIL if contact_point.system == ContactPoint.System.EMAIL else Channel.SMS


def allowed(patient: Patient, contact_point: ContactPoint, channel: str) -> bool:
    """Return whether the patient agreed to messages on ``channel`` at this address."""
    return patient.pk in consenting_at(channel, contact_point.address_index)


def consenting_at(channel: str, address_index: str) -> set[int]:
    """Return the ids of the patients who agreed to messages at an address."""
    return _consenting(channel, [address_index])[address_index]


def is_revoked(channel: str, address_index: str) -> bool:
    """Return whether the newest line of an address takes consent back: nobody may be written to there."""
    action = spoken(channel=channel, address_index=address_index).values_list("action", flat=True).last()
    return action == ConsentRecord.Action.REVOKED


def spoken(**lookups: Any) -> QuerySet[ConsentRecord]:
    """Return lines, the oldest first, without what was stated in error: that takes no STOP back."""
    return ConsentRecord.objects.filter(**lookups).exclude(action=ConsentRecord.Action.WITHDRAWN).order_by("pk")


def consented_addresses(channel: str, patient_ids: Iterable[int]) -> dict[int, set[str]]:
    """Return for each patient the address indexes they agreed to be written to at. Two queries."""
    system = ContactPoint.System.EMAIL if channel == Channel.EMAIL else ContactPoint.System.PHONE
    pairs = list(
        ContactPoint.objects.filter(patient_id__in=list(patient_ids), system=system)
        .order_by()
        .values_list("patient_id", "address_index")
    )
    consenting = _consenting(channel, {index for _, index in pairs})
    found: dict[int, set[str]] = defaultdict(set)
    for patient_id, index in pairs:
        if patient_id in consenting[index]:
            found[patient_id].add(index)
    return dict(found)


def ways(patient: Patient, day: date) -> list[ContactPoint]:
    """Return where the patient may be written to on ``day``: at most one phone and one e-mail address, best first.

    By age, as :func:`suits` says. A number that cannot receive texts is left out.
    """
    return every_way([patient], day)[patient.pk]


def every_way(patients: Iterable[Patient], day: date, house: Practice | None = None) -> dict[int, list[ContactPoint]]:
    """Return :func:`ways` of many patients, in a fixed number of queries; ``house`` where the caller has it."""
    people = {patient.pk: patient for patient in patients}
    contacts = list(ContactPoint.objects.filter(patient_id__in=people).order_by("rank", "pk"))
    agreed = _consenting_by_channel({contact.address_index for contact in contacts})
    house = house or Practice.current()
    found: dict[int, dict[str, ContactPoint]] = {pk: {} for pk in people}
    for contact in contacts:
        channel = channel_of(contact)
        consenting = agreed.get((channel, contact.address_index), set())
        if contact.patient_id in consenting and suits(contact, people[contact.patient_id], day, house):
            found[contact.patient_id].setdefault(channel, contact)
    return {pk: [by_channel[each] for each in Channel if each in by_channel] for pk, by_channel in found.items()}


def suits(contact: ContactPoint, patient: Patient, day: date, house: Practice) -> bool:
    """Return whether the patient may be written to at the contact on ``day``, as far as contact and age go."""
    if not contact.usable_on(day) or not (contact.can_text or contact.system == ContactPoint.System.EMAIL):
        return False
    return suits_age(contact, patient, day, house)


def suits_age(contact: ContactPoint, patient: Patient, day: date, house: Practice) -> bool:
    """Return whether it is for the patient's own contact, or for a guardian's, to be written to on ``day``.

    A child is written to at a guardian's contact only, a grown patient never there. In between, by the practice's ages,
    nothing is sent: a person decides whom to talk to.
    """
    age = patient.age_on(day)
    if age is None or age >= house.adult_at_age:
        return not contact.guardian
    return contact.guardian and age < house.guardian_until_age


def day_at(location: Location | None, now: datetime) -> date:
    """Return the day it is at a location: ages change at its midnight."""
    return now.astimezone(location.zone if location else ZoneInfo(Practice.current().time_zone)).date()


def hold(address_indexes: Iterable[str]) -> None:
    """Keep consent and STOP at these addresses apart until the caller's transaction ends: the second sees the first.

    Whoever grants because nobody said STOP calls it before looking. What waits for its code is no contact yet.
    """
    indexes = set(address_indexes)
    for rows in (ContactPoint.objects, ContactChange.objects):
        list(
            rows.select_for_update(no_key=True)
            .filter(address_index__among=indexes)
            .order_by("pk")
            .values_list("pk", flat=True)
        )


@transaction.atomic
def grant(
    patient: Patient,
    contact_point: ContactPoint,
    *,
    source: str,
    wording_version: str = "",
    statement: str = "",
) -> ConsentRecord:
    """Record that the patient agreed to messages at one of their addresses."""
    hold([contact_point.address_index])
    return ConsentRecord.objects.create(
        channel=channel_of(contact_point),
        address_index=contact_point.address_index,
        patient=patient,
        action=ConsentRecord.Action.GRANTED,
        wording_version=wording_version,
        statement=statement,
        source=source,
        recorded_by=_who(),
        at=timezone.now(),
    )


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody says of many consents at once: how they were given, in which words, and where that is written."""

    source: str
    wording_version: str
    text: str
    by: str


@transaction.atomic
def grant_many(given: Iterable[tuple[Patient, ContactPoint]], statement: Statement) -> list[ConsentRecord]:
    """Record that these patients agreed to messages at these addresses; return the new lines.

    What was stated about a list never takes back what an owner of an address said: one whose last word was STOP is
    left out, and a STOP in the same moment has the last word. So is a consent that is on record already.
    """
    pairs = list(given)
    indexes = {contact.address_index for _, contact in pairs}
    hold(indexes)
    agreed = _consenting_by_channel(indexes)
    stopped = stopped_addresses(indexes)
    now = timezone.now()
    lines = {
        (patient.pk, contact.address_index): ConsentRecord(
            channel=channel_of(contact),
            address_index=contact.address_index,
            patient=patient,
            action=ConsentRecord.Action.GRANTED,
            wording_version=statement.wording_version[:40],
            statement=statement.text[:200],
            source=statement.source,
            recorded_by=statement.by[:150],
            at=now,
        )
        for patient, contact in pairs
        if contact.address_index not in stopped
        and patient.pk not in agreed.get((channel_of(contact), contact.address_index), set())
    }
    rows = ConsentRecord.objects.bulk_create(lines.values(), batch_size=1000)
    record_created(rows)
    return rows


def stopped_addresses(address_indexes: Iterable[str]) -> set[str]:
    """Return those of these addresses whose newest line takes consent back."""
    last = dict(spoken(address_index__among=set(address_indexes)).values_list("address_index", "action"))
    return {index for index, action in last.items() if action == ConsentRecord.Action.REVOKED}


@transaction.atomic
def revoke_address(
    channel: str, address_index: str, *, source: str, patient: Patient | None = None, statement: str = ""
) -> tuple[ConsentRecord | None, list[Message]]:
    """Record that nobody is to be written to at an address any more, and stop what was about to be sent there.

    Returns the new line, None when the last one said so already, and the messages that were stopped.
    """
    hold([address_index])
    line = None
    if not is_revoked(channel, address_index):
        line = ConsentRecord.objects.create(
            channel=channel,
            address_index=address_index,
            patient=patient,
            action=ConsentRecord.Action.REVOKED,
            statement=statement,
            source=source,
            recorded_by=_who(),
            at=timezone.now(),
        )
    return line, suppress_address(channel, address_index, "opted_out")


def suppress_address(channel: str, address_index: str, why: str) -> list[Message]:
    """Stop every message waiting for an address but those that always leave, and return those that were stopped."""
    waiting = Message.objects.filter(channel=channel, address_index=address_index, status=Message.Status.WAITING)
    return [
        message
        for message in waiting.exclude(kind__in=Message.ALWAYS_LEAVE)
        if move(message, Message.Status.SUPPRESSED, error_code=why)
    ]


@transaction.atomic
def restore_address(channel: str, address_index: str, *, source: str) -> ConsentRecord | None:
    """Record that an address takes its revocation back; None when there was none to take back."""
    hold([address_index])
    if not is_revoked(channel, address_index):
        return None
    return ConsentRecord.objects.create(
        channel=channel,
        address_index=address_index,
        action=ConsentRecord.Action.GRANTED,
        source=source,
        recorded_by=_who(),
        at=timezone.now(),
    )


def _consenting(channel: str, address_indexes: Iterable[str]) -> dict[str, set[int]]:
    found = _consenting_by_channel(address_indexes)
    return defaultdict(set, {index: agreed for (each, index), agreed in found.items() if each == channel})


def _consenting_by_channel(address_indexes: Iterable[str]) -> dict[tuple[str, str], set[int]]:
    lines: dict[tuple[str, str], list[Line]] = defaultdict(list)
    rows = ConsentRecord.objects.filter(address_index__in=list(address_indexes)).order_by("pk")
    for channel, index, patient_id, action in rows.values_list("channel", "address_index", "patient_id", "action"):
        lines[channel, index].append((patient_id, action))
    agreed = {key: consenting_patients(each) for key, each in lines.items()}
    bound = bound_by_other_records(set().union(*agreed.values()))
    return (
        {(channel, index): people - bound[channel] for (channel, index), people in agreed.items()} if bound else agreed
    )


def bound_by_other_records(patient_ids: set[int]) -> dict[str, set[int]]:
    """Return by channel whose opt-out stands at the address of a record that theirs has replaced.

    Who said STOP said it for themselves, not for one of their two records. A yes is not passed on.
    """
    stands_for: dict[int, set[int]] = defaultdict(set)
    front = {pk: {pk} for pk in patient_ids}
    while front:
        merges = PatientMerge.objects.filter(kept_id__in=front, undone_at__isnull=True)
        beyond: dict[int, set[int]] = defaultdict(set)
        for retired, kept in merges.values_list("retired_id", "kept_id"):
            if not front[kept] <= stands_for[retired]:
                beyond[retired] |= front[kept]
                stands_for[retired] |= front[kept]
        front = beyond
    if not stands_for:
        return {}
    contacts = ContactPoint.objects.filter(patient_id__in=stands_for).exclude(use="old")
    bound: dict[str, set[int]] = defaultdict(set)
    for contact in contacts.order_by("pk"):
        if is_revoked(channel_of(contact), contact.address_index):
            bound[channel_of(contact)] |= stands_for[contact.patient_id]
    return bound


def _who() -> str:
    return current_actor().name[:150]
