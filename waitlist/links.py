"""Links in messages: unguessable, kept only as a hash, and told apart by the way they were sent.

A chain of one-way steps makes three values of one secret: the token in a text, the token in an e-mail, which is the
first one hashed, and what the database keeps, which is the second one hashed. Whoever reads the e-mail cannot get at
the link of the text, and whoever reads the database at neither.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from scheduling.models import ContactPoint, Location
from waitlist.models import Offer, RequestLink, WaitlistEntry, WrongPersonReport

#: 128 bits, in 22 characters: more would cost a text its one segment and a guesser nothing that matters.
SECRET_BYTES = 16
#: A patient who was asked whether they still wait may take their time.
REQUEST_LINK_LASTS = timedelta(days=60)
#: Decrypting who the patient is costs more than looking up a late answer does, and hardly any page asks.
_NOT_NEEDED = tuple(f"patient__{name}" for name in ("given_name", "family_name", "preferred_name", "birth_date"))
_SHAPE = re.compile(r"[A-Za-z0-9_-]{20,64}")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one offer: for texts, for e-mails, and the hash (64 hex digits) that is stored."""

    text: str
    email: str
    hash: str


@dataclass(frozen=True, slots=True)
class Found:
    """The offer behind a link. ``asks_birth_year``: the link went by e-mail, where others may read it."""

    offer: Offer
    asks_birth_year: bool


@dataclass(frozen=True, slots=True)
class FoundRequest:
    """The entry behind a link to a patient's own request, and the place whose offer's link led there, if one did."""

    entry: WaitlistEntry
    asks_birth_year: bool
    location: Location | None = None


def make_token() -> Tokens:
    """Return new tokens of 128 random bits."""
    text = secrets.token_urlsafe(SECRET_BYTES)
    email = email_token(text)
    return Tokens(text, email, _hash(email))


def email_token(text_token: str) -> str:
    """Return the token an e-mail carries, given the one that went by text."""
    return base64.urlsafe_b64encode(hashlib.sha256(text_token.encode()).digest()).decode().rstrip("=")


def stored_hash(text_token: str) -> str:
    """Return what the database keeps for the token that went by text."""
    return _hash(email_token(text_token))


def find_offer(token: str) -> Found | None:
    """Return the offer of a link with its opening, patient and type, or None: one answer for all wrong tokens."""
    if not _SHAPE.fullmatch(token):
        return None
    by_text, by_email = stored_hash(token), _hash(token)
    rows = Offer.objects.select_related("opening", "patient", "appointment_type").defer(*_NOT_NEEDED)
    offer = rows.filter(_right_hands("patient", by_text, by_email)).first()
    return Found(offer, offer.token_hash == by_email) if offer is not None else None


def make_request_link(entry: WaitlistEntry, now: datetime) -> Tokens:
    """Store a new link to the patient's own request and return its tokens."""
    tokens = make_token()
    RequestLink.objects.create(entry=entry, token_hash=tokens.hash, expires_at=now + REQUEST_LINK_LASTS)
    return tokens


def find_request(token: str, now: datetime) -> FoundRequest | None:
    """Return the entry of a link that :func:`make_request_link` made, or None: one answer for all wrong tokens."""
    if not _SHAPE.fullmatch(token):
        return None
    by_text, by_email = stored_hash(token), _hash(token)
    rows = RequestLink.objects.filter(_right_hands("entry__patient", by_text, by_email), expires_at__gt=now)
    link = rows.select_related("entry__patient", "entry__appointment_type").first()
    return FoundRequest(link.entry, link.token_hash == by_email) if link is not None else None


def _right_hands(patient: str, by_text: str, by_email: str) -> Q:
    """Match the row of a token unless the way it went has reached somebody else since, by a report that stands.

    Whoever that is could answer, cancel and leave the list in the patient's name.
    """
    astray = WrongPersonReport.objects.filter(
        patient=OuterRef(patient), undone_at__isnull=True, reported_at__gte=OuterRef("created_at")
    )
    phone, email = (astray.filter(system=system) for system in (ContactPoint.System.PHONE, ContactPoint.System.EMAIL))
    either = Q(~Exists(phone), token_hash=by_text) | Q(~Exists(email), token_hash=by_email)
    return Q(token_hash__in=(by_text, by_email)) & either  # the first for the index


def request_address_of(token: str) -> str:
    """Return the public address of the patient's own request behind a token."""
    return f"{settings.PUBLIC_BASE_URL.rstrip('/')}/r/{token}/"


def address_of(token: str) -> str:
    """Return the public address of the page behind a token."""
    return f"{settings.PUBLIC_BASE_URL.rstrip('/')}/o/{token}/"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
