"""Consent that is asked for: on paper with a link, on the page behind it, and by voice during a call.

The page behind a printed link knows the patient, but shows nothing of them and confirms nothing: whatever somebody
writes there, the answer is the same. Only a birth year and a phone number that are both on record give consent; all
else is put before staff. So a form that was lost tells nobody anything, and consents to nothing by itself.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.utils import timezone

from audit.context import Actor, acting_as, current_actor
from audit.log import record_change
from scheduling.models import ContactPoint, Patient, Practice, WorkItem
from scheduling.patients import address_index
from scheduling.worklist import ask_staff
from waitlist import consent, house_words, wording
from waitlist.events import CONSENT
from waitlist.models import Channel, ConsentLink, ConsentRecord
from waitlist.pages import birth_year
from waitlist.pages.birth_year import Check

LASTS = timedelta(days=90)
#: Seconds between the two keys of spoken consent.
BETWEEN_KEYS = 15 * 60
TOKEN_BYTES = 16
_SHAPE = re.compile(r"[A-Za-z0-9_-]{20,64}")
_SALT = "waitlist.spoken-consent"


def words(language: str, channel: str = Channel.SMS) -> str:
    """Return what is agreed to, in the practice's own words where it has some. It names no place and nobody."""
    house = Practice.current()
    current = house_words.current(language, CONSENT, channel)
    return wording.fill_in(current, channel, language, {"practice": house.name, "phone": house.phone}).body.strip()


def version(language: str) -> str:
    """Return what tells these very words from all others."""
    return house_words.version_name(language, CONSENT, Channel.SMS)


def make_link(patient: Patient, now: datetime | None = None) -> tuple[ConsentLink, str]:
    """Store a new link for a patient's form; return it with the address that is printed."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    link = ConsentLink.objects.create(
        patient=patient,
        token_hash=_hash(token),
        made_by=current_actor().name[:150],
        expires_at=(now or timezone.now()) + LASTS,
    )
    return link, f"{settings.PUBLIC_BASE_URL.rstrip('/')}/c/{token}/"


def find_link(token: str, now: datetime | None = None) -> ConsentLink | None:
    """Return the link behind a token, or None: one answer for all wrong and old ones."""
    if not _SHAPE.fullmatch(token):
        return None
    rows = ConsentLink.objects.select_related("patient")
    return rows.filter(token_hash=_hash(token), expires_at__gt=now or timezone.now()).first()


def answer(link: ConsentLink, year: str, phone: str, language: str, now: datetime | None = None) -> None:
    """Take what was written on a link's page in ``language``, once.

    Consent comes of it only where everything is as on record; all else is put before staff.
    """
    with acting_as(Actor.for_patient(link.patient_id)), transaction.atomic():
        mine = ConsentLink.objects.filter(pk=link.pk, answered_at=None)
        now = now or timezone.now()
        if not mine.update(answered_at=now):
            return
        record_change(link, {"answered_at": (None, now)})
        contact = _contact(link.patient, phone)
        is_them = birth_year.check(link.patient, year, subject=link) == Check.RIGHT
        if contact is not None:
            consent.hold([contact.address_index])
        if is_them and contact is not None and not consent.is_revoked(Channel.SMS, contact.address_index):
            consent.grant(
                link.patient,
                contact,
                source=ConsentRecord.Source.FORM,
                wording_version=version(language),
                statement=f"Page behind printed form {link.pk}",
            )
        else:
            _ask_staff(link)


def first_key(contact: ContactPoint, language: str) -> str:
    """Return proof that the words were read out and somebody said yes, for :func:`second_key`."""
    return signing.dumps([contact.pk, current_actor().name, version(language)], salt=_SALT)


def second_key(proof: str, patient: Patient) -> ConsentRecord | None:
    """Record spoken consent: None without a first key of the same person a moment ago, for one of this patient."""
    try:
        contact_id, name, read_out = signing.loads(proof, salt=_SALT, max_age=BETWEEN_KEYS)
    except signing.BadSignature:
        return None
    contact = patient.contact_points.filter(pk=contact_id, state=ContactPoint.State.USABLE).first()
    if contact is None or name != current_actor().name:
        return None
    return consent.grant(
        patient,
        contact,
        source=ConsentRecord.Source.SPOKEN,
        wording_version=read_out,
        statement="Read out during a call, confirmed by a second key",
    )


def textable(patient: Patient) -> list[ContactPoint]:
    """Return the patient's numbers that can be texted, those first that are at their age: a child's guardian's."""
    today, house = timezone.localdate(), Practice.current()
    rows = patient.contact_points.filter(system=ContactPoint.System.PHONE, can_text=True).order_by("rank", "pk")
    usable = [row for row in rows if row.usable_on(today)]
    return sorted(usable, key=lambda row: not consent.suits(row, patient, today, house))


def _contact(patient: Patient, phone: str) -> ContactPoint | None:
    index = address_index(ContactPoint.System.PHONE, phone)
    return next((row for row in textable(patient) if row.address_index == index), None)


def _ask_staff(link: ConsentLink) -> WorkItem:
    return ask_staff(
        "consent.check",
        "A consent form was answered, and something in it is not what we have on record",
        advice="No consent was recorded. Call the patient, correct the number in the EHR if it is old, and "
        "press “Record consent” on their page.",
        dedupe_key=f"consent.check:{link.patient_id}",
        subject=link.patient,
        patient=link.patient,
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
