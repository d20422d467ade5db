"""How a patient is reached, changed by the patient: what may be changed on their page, and what follows.

A new number or e-mail address is not theirs because somebody with the link says so: nothing on record changes before
its code came back (:mod:`waitlist.contact_codes`). What counts goes to the EHRs as what staff correct does, and the
contacts known before hear that something changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from auditlog.models import LogEntry
from django.db import transaction
from django.utils import timezone

from scheduling import patient_writes
from scheduling.corrections import Correction, Detail
from scheduling.models import ContactPoint, Location, Patient, Practice, WorkItem
from scheduling.patient_writes import CorrectionRefused
from scheduling.worklist import CAN_RING, ask_staff
from waitlist import consent, messages
from waitlist.links import REQUEST_LINK_LASTS
from waitlist.models import ContactChange, Message, WrongPersonReport
from waitlist.rerouting import HOPEFUL

#: How long after a change we may hear that nobody was told of it: a carrier's last word on a message takes days.
NEWS_TAKES = timedelta(days=4)
_A = LogEntry.Action
#: Stands where :func:`numbers_before` finds none. A number that came by the change would ring whoever made it.
NO_NUMBER_BEFORE = "none was on record before the change: ask them when they come in, or by letter"
DETAILS = {ContactPoint.System.PHONE: Detail.PHONE, ContactPoint.System.EMAIL: Detail.EMAIL}


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes something, at which of our places, and when."""

    patient: Patient
    location: Location | None
    now: datetime


def is_for_staff(patient: Patient, now: datetime) -> bool:
    """Return whether only a person may change how this patient is reached.

    So it is for minors, whose guardians decide; for records that are closed, restricted or replaced; and where a link
    may be in the hands of somebody whom a wrong number reached.
    """
    age = patient.age_on(consent.day_at(None, now))
    if not patient.may_be_offered or (age is not None and age < Practice.current().adult_at_age):
        return True
    frozen = patient.contact_points.filter(state=ContactPoint.State.FROZEN).exclude(use="old")
    lately = WrongPersonReport.objects.filter(
        patient=patient, undone_at__isnull=True, reported_at__gt=now - REQUEST_LINK_LASTS
    )
    return frozen.exists() or lately.exists()


def is_shared(patient: Patient) -> bool:
    """Return whether somebody else of ours is reached where this patient is: then a link does not say who holds it."""
    own = patient.contact_points.exclude(use="old").values("address_index")
    others = ContactPoint.objects.filter(address_index__in=own).exclude(patient=patient).exclude(use="old")
    return others.filter(patient__replaced_by__isnull=True).exists()


def points(patient: Patient) -> list[ContactPoint]:
    """Return the patient's own numbers and e-mail addresses, best first; not a guardian's, and none that is past."""
    return list(patient.contact_points.filter(guardian=False).exclude(use="old").order_by("rank", "pk"))


def can_be_removed(contact: ContactPoint, now: datetime) -> bool:
    """Return whether the patient can still be reached without it: by a text, an e-mail or a call."""
    day = consent.day_at(None, now)
    return any(each.usable_on(day) for each in points(contact.patient) if each.pk != contact.pk)


def remove(change: Change, contact: ContactPoint) -> bool:
    """Use a number or e-mail address no more; False, changing nothing, where no other way would be left."""
    with transaction.atomic():
        # Whoever removes two at once must not end with none.
        Patient.objects.select_for_update(no_key=True).get(pk=change.patient.pk)
        if not can_be_removed(contact, change.now):
            return False
        return _correct(change, Correction(DETAILS[ContactPoint.System(contact.system)], "", contact.value), [contact])


def change_address(change: Change, parts: dict[str, str]) -> bool:
    """Keep a new postal address, by its parts; False where it is on file already."""
    place = " ".join(parts[name] for name in ("city", "state", "postal_code") if parts[name])
    return _correct(change, Correction(Detail.ADDRESS, f"{parts['line']}, {place}", parts=parts))


def choose_language(change: Change, language: str) -> None:
    """Write to the patient in this language from now on. That harms nobody, so nobody is told."""
    if language != change.patient.language:
        patient_writes.correct(change.patient, [Correction(Detail.LANGUAGE, language)])


def _correct(change: Change, wanted: Correction, also_told: Iterable[ContactPoint] = ()) -> bool:
    known = known_ways(change, also_told)
    try:
        with transaction.atomic():
            patient_writes.correct(change.patient, [wanted])
            tell(change, known)
    except CorrectionRefused:
        return False
    return True


def known_ways(change: Change, also: Iterable[ContactPoint] = ()) -> list[ContactPoint]:
    """Return where the patient may be written to before something changes, with those of ``also`` they agreed to."""
    found = {each.pk: each for each in consent.ways(change.patient, consent.day_at(change.location, change.now))}
    for each in also:
        is_usable = each.state == ContactPoint.State.USABLE and not each.guardian
        if is_usable and consent.allowed(change.patient, each, consent.channel_of(each)):
            found.setdefault(each.pk, each)
    return list(found.values())


def tell(change: Change, known: Sequence[ContactPoint]) -> None:
    """Say at the contacts known before that something changed, and not what; where nobody can be told, staff call."""
    subject = messages.Subject(change.patient, change.location)
    for contact in known:
        messages.queue(
            Message.Kind.CONTACT_CHANGED,
            messages.Address.of(contact),
            subject,
            {},
            dedupe_key=f"contact_changed:{contact.pk}:{change.now.timestamp():.6f}",
            initiated=False,
            now=change.now,
        )
    if not known:
        _ask_to_call(change.patient, change.location)


def not_heard(message: Message) -> None:
    """One of the contacts known before did not get the news; where none did, staff call. No new contact is told."""
    moment = message.dedupe_key.rpartition(":")[2]
    told = Message.objects.filter(kind=message.kind, patient=message.patient, dedupe_key__endswith=f":{moment}")
    if message.patient is not None and not told.filter(status__in=HOPEFUL).exclude(pk=message.pk).exists():
        _ask_to_call(message.patient, message.location)


def numbers_before(item: WorkItem) -> list[ContactPoint]:
    """Return the numbers that were on record before the patient's page changed them, the best first.

    One that came by the page is left out, whoever may hold it; one that was given up there may still ring.
    """
    if item.patient is None:
        return []
    since, day = item.created_at - NEWS_TAKES, timezone.localdate()
    typed = ContactChange.objects.filter(
        patient=item.patient, state=ContactChange.State.CONFIRMED, created_at__gt=since
    )
    by_page = set(typed.values_list("address_index", flat=True))
    found = []
    for each in item.patient.contact_points.filter(CAN_RING).order_by("rank", "pk"):
        is_new, was_used = _changed_since(each, since)
        came = each.address_index in by_page and is_new
        if not came and (each.usable_on(day) or was_used):
            found.append(each)
    return found


def _changed_since(contact: ContactPoint, since: datetime) -> tuple[bool, bool]:
    """Return whether a contact is on record, or in use again, only since then; and whether it went out of use since."""
    entries = list(LogEntry.objects.get_for_object(contact).filter(timestamp__gt=since))
    uses = [entry.changes_dict["use"] for entry in entries if entry.action == _A.UPDATE and "use" in entry.changes_dict]
    is_new = any(entry.action == _A.CREATE for entry in entries) or any(before == "old" for before, _ in uses)
    return is_new, any(after == "old" for _, after in uses)


def _ask_to_call(patient: Patient, location: Location | None) -> None:
    ask_staff(
        "contact.changed",
        "A patient changed how they are reached on their page, and could not be told of it",
        advice="Call them, to be sure that it was them. Listed are only numbers that were on record before. Who "
        "changed what is in the history of their contact points.",
        dedupe_key=f"contact.changed:{patient.pk}",
        subject=patient,
        patient=patient,
        location=location,
    )
