"""Ending e-mails by one click: the link in their headers (RFC 8058), made of the message and kept nowhere.

A token is the message's number with a check of 128 bits by a key of ours: whoever reads the database cannot make one,
and whoever guesses gets one answer for all wrong ones. It can do nothing but end e-mails to the address it went to.
"""

from __future__ import annotations

import base64
import hmac
import re

from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac

from audit.context import Actor, acting_as
from waitlist import consent, rerouting
from waitlist.models import Channel, ConsentRecord, Message

STATEMENT = "the link for ending e-mails"
_SALT = "waitlist.unsubscribing"
_NUMBER_BYTES, _CHECK_BYTES = 8, 16
_SHAPE = re.compile(r"[A-Za-z0-9_-]{32}")


def address_for(message: Message) -> str:
    """Return the address at which e-mails like this one are ended; empty for a text and for an answer."""
    if message.channel != Channel.EMAIL or not message.initiated:
        return ""
    return f"{settings.PUBLIC_BASE_URL.rstrip('/')}/u/{token_of(message)}/"


def token_of(message: Message) -> str:
    """Return the token of a stored message, 32 characters."""
    number = message.pk.to_bytes(_NUMBER_BYTES)
    return base64.urlsafe_b64encode(number + _check(number, message.address_index)).decode()


def find(token: str) -> Message | None:
    """Return the e-mail behind a link, or None: one answer for all wrong tokens."""
    if not _SHAPE.fullmatch(token):
        return None
    raw = base64.urlsafe_b64decode(token)
    number, check = raw[:_NUMBER_BYTES], raw[_NUMBER_BYTES:]
    rows = Message.objects.select_related("patient", "location").defer("body", "subject", "attachment", "address")
    message = rows.filter(pk=int.from_bytes(number), channel=Channel.EMAIL).first()
    if message is None or not hmac.compare_digest(check, _check(number, message.address_index)):
        return None
    return message


def is_ended(message: Message) -> bool:
    """Return whether nobody is written to at the message's address any more."""
    return consent.is_revoked(message.channel, message.address_index)


def end(message: Message) -> None:
    """Write to the message's address no more.

    It binds the address, whoever shares it. What became of a yes is told another consented way, or by a call.
    """
    actor = Actor.for_patient(message.patient_id) if message.patient_id else Actor.for_service("link in an e-mail")
    with acting_as(actor), transaction.atomic():
        _, stopped = consent.revoke_address(
            message.channel,
            message.address_index,
            source=ConsentRecord.Source.REPLY,
            patient=message.patient,
            statement=STATEMENT,
        )
        for each in stopped:
            rerouting.tell_otherwise(each)


def _check(number: bytes, address_index: str) -> bytes:
    return salted_hmac(_SALT, number + address_index.encode(), algorithm="sha256").digest()[:_CHECK_BYTES]
