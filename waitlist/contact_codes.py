"""The code that shows that a new number or e-mail address is the patient's, from the page where they wrote it.

The page says the same whatever they write: that a code is on its way. So it tells nobody which numbers we know. A
number that cannot be taken so (a guardian's, one that texts were ended for, one that reached somebody else) gets no
code and is put before staff.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from django.db import transaction
from django.db.models import F, Q

from audit.encryption import blind_index
from audit.log import record_change
from scheduling import patient_writes
from scheduling.corrections import Correction
from scheduling.models import ContactPoint, Patient
from scheduling.patient_keys import address_index
from scheduling.patient_writes import CorrectionRefused
from scheduling.transitions import move
from scheduling.worklist import ask_staff
from waitlist import consent, house_words, messages
from waitlist.events import CONSENT
from waitlist.models import Channel, ConsentRecord, ContactChange, Message, Reply
from waitlist.own_contacts import DETAILS, Change, is_for_staff, known_ways, tell

State = ContactChange.State
#: An e-mail may take its time.
LASTS = timedelta(hours=1)
#: Tries at one code of a million.
TRIES = 5
#: New contacts in a day: by one patient, and at one address, whoever asks.
A_DAY = timedelta(days=1)
PER_PATIENT, PER_ADDRESS = 5, 5


@dataclass(frozen=True, slots=True)
class Written:
    """What a patient wrote: an address in its normal form, what it stands for, and in which language they agreed to
    messages there; empty: they did not."""

    system: str
    value: str
    replaces: ContactPoint | None
    agreed_in: str


class Answer(Enum):
    """What became of a code that was typed in."""

    TAKEN = auto()
    WRONG = auto()
    FOR_STAFF = auto()


def waiting(change: Change) -> ContactChange | None:
    """Return the patient's contact that waits for its code."""
    rows = ContactChange.objects.filter(patient=change.patient, state=State.WAITING, expires_at__gt=change.now)
    return rows.select_related("replaces").first()


def last_asked(change: Change) -> ContactChange | None:
    """Return the patient's latest new contact of today, whatever became of it."""
    rows = ContactChange.objects.filter(patient=change.patient, created_at__gt=change.now - A_DAY)
    return rows.order_by("-created_at", "-pk").first()


def ask(change: Change, written: Written) -> bool:
    """Keep what the patient wrote until its code comes back, and send it; False when that was asked too often."""
    index = address_index(written.system, written.value)
    lately = ContactChange.objects.filter(created_at__gt=change.now - A_DAY)
    code = f"{secrets.randbelow(10**6):06d}"
    with transaction.atomic():
        Patient.objects.select_for_update(no_key=True).get(pk=change.patient.pk)
        if lately.filter(patient=change.patient).count() >= PER_PATIENT:
            return False
        is_plagued = lately.filter(address_index=index).count() >= PER_ADDRESS
        for earlier in ContactChange.objects.filter(patient=change.patient, state=State.WAITING):
            move(earlier, State.DROPPED, field="state")
        row = ContactChange.objects.create(
            patient=change.patient,
            location=change.location,
            system=written.system,
            address=written.value,
            address_index=index,
            replaces=written.replaces,
            wording_version=_version(written),
            code_hash=_hash(index, code),
            created_at=change.now,
            expires_at=change.now + LASTS,
        )
        if not _may_be_taken(row):
            _ask_staff(row)
        elif not is_plagued:
            _send(change, row, code)
    return True


def _version(written: Written) -> str:
    channel = Channel.EMAIL if written.system == ContactPoint.System.EMAIL else Channel.SMS
    return house_words.version_name(written.agreed_in, CONSENT, channel) if written.agreed_in else ""


def _hash(index: str, code: str) -> str:
    return blind_index(f"{index}:{code}", "code of a new contact")


def channel_of(row: ContactChange) -> str:
    """Return the channel the new contact is written to by."""
    return Channel.EMAIL if row.system == ContactPoint.System.EMAIL else Channel.SMS


def _may_be_taken(row: ContactChange) -> bool:
    """Return whether the address may become the patient's by a code: nobody there wants no messages or is another."""
    held = ContactPoint.objects.filter(patient=row.patient_id, system=row.system, address_index=row.address_index)
    if held.filter(Q(guardian=True) | ~Q(state=ContactPoint.State.USABLE)).exists():
        return False
    theirs = Reply.objects.filter(address_index=row.address_index, received_at__gte=row.created_at)
    if theirs.filter(outcome=Reply.Outcome.WRONG_PERSON).exists():
        return False
    return not consent.is_revoked(channel_of(row), row.address_index)


def _send(change: Change, row: ContactChange, code: str) -> None:
    messages.queue(
        Message.Kind.CONTACT_CODE,
        messages.Address(channel_of(row), row.address, row.address_index),
        messages.Subject(change.patient, change.location),
        {"code": code},
        dedupe_key=f"contact_code:{row.pk}",
        initiated=False,
        expires_at=row.expires_at,
        now=change.now,
    )


def confirm(change: Change, row: ContactChange, code: str) -> Answer:
    """Take a code that was typed in. Each try counts before it is compared."""
    alive = Q(state=State.WAITING, tries__lt=TRIES, expires_at__gt=change.now)
    with transaction.atomic():
        if not ContactChange.objects.filter(alive, pk=row.pk).update(tries=F("tries") + 1):
            return Answer.WRONG
        row.refresh_from_db()
        record_change(row, {"tries": (row.tries - 1, row.tries)})
    if not secrets.compare_digest(row.code_hash, _hash(row.address_index, code)):
        return Answer.WRONG
    if row.state != State.WAITING:  # the same code was sent twice, and the other one was quicker
        return Answer.TAKEN if row.state == State.CONFIRMED else Answer.WRONG
    with transaction.atomic():
        # The patient first, as everybody locks them before their contacts; and not against rows that name them, such as
        # the line of a STOP that holds the address already.
        Patient.objects.select_for_update(no_key=True).get(pk=row.patient_id)
        consent.hold([row.address_index])
        if not is_for_staff(change.patient, change.now) and _may_be_taken(row):
            with suppress(CorrectionRefused), transaction.atomic():
                if not move(row, State.CONFIRMED, field="state"):
                    return Answer.WRONG
                _take(change, row)
                return Answer.TAKEN
            row.refresh_from_db()
        if not move(row, State.STAFF, field="state"):
            return Answer.WRONG
        _ask_staff(row)
    return Answer.FOR_STAFF


def is_used_up(row: ContactChange) -> bool:
    """Return whether no more tries are taken."""
    return row.tries >= TRIES


def _take(change: Change, row: ContactChange) -> None:
    replaced = row.replaces
    known = known_ways(change, [replaced] if replaced is not None else [])
    wanted = list(_corrections(row, replaced))
    if wanted:
        patient_writes.correct(change.patient, wanted)
    contact = ContactPoint.objects.get(patient=row.patient_id, system=row.system, address_index=row.address_index)
    if row.wording_version:
        consent.grant(
            change.patient,
            contact,
            source=ConsentRecord.Source.FORM,
            wording_version=row.wording_version,
            statement=f"The patient's own page, contact change {row.pk}",
        )
    if wanted:
        tell(change, [each for each in known if each.pk != contact.pk])


def _corrections(row: ContactChange, replaced: ContactPoint | None) -> Iterable[Correction]:
    detail = DETAILS[ContactPoint.System(row.system)]
    held = ContactPoint.objects.filter(patient=row.patient_id, system=row.system, address_index=row.address_index)
    is_on_file = held.exclude(use="old").exists()
    before = replaced.value if replaced is not None and replaced.use != "old" else ""
    if not is_on_file:
        yield Correction(
            detail, row.address, before, use="" if before or row.system == ContactPoint.System.EMAIL else "mobile"
        )
    elif replaced is not None and before and not held.filter(pk=replaced.pk).exists():
        yield Correction(detail, "", before)


def _ask_staff(row: ContactChange) -> None:
    ask_staff(
        "contact.check",
        "A patient wrote a new number or e-mail address on their page, and a person must look at it",
        advice="Nothing was changed. It may be a guardian's, one that messages were ended for, or one that does not "
        "work or reached somebody else. Call the patient, then press “Correct contact details” on their page.",
        dedupe_key=f"contact.check:{row.patient_id}",
        subject=row.patient,
        patient=row.patient,
        location=row.location,
    )
