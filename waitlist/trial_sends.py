"""Sending words to oneself: a message like any other on its way, made of example values, marked as a test."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from scheduling.models import ContactPoint
from scheduling.patients import address_index, normalise_phone
from scheduling.wake import wake
from waitlist.events import Event
from waitlist.models import Channel, Message
from waitlist.wording import Rendered

#: Stands in front of what is sent, so that nobody takes it for an offer.
MARK = "TEST: "
#: A test that could not leave in this time is of no use.
WORTH = timedelta(minutes=30)


def send(event: Event, channel: str, language: str, words: Rendered, address: str, *, by: str) -> Message:
    """Put a test on the outbox for ``address`` and return it. Whether ``by`` may write there is the caller's to know.

    It needs no consent, since nobody but the sender gets it; an opt-out of the address binds it all the same.
    """
    is_mail = channel == Channel.EMAIL
    system = ContactPoint.System.EMAIL if is_mail else ContactPoint.System.PHONE
    now = timezone.now()
    with transaction.atomic():
        message = Message.objects.create(
            kind=event.key.partition(".")[0],
            channel=channel,
            initiated=False,
            address=address if is_mail else normalise_phone(address)[0],
            address_index=address_index(system, address),
            language=language,
            subject=f"{MARK}{words.subject}" if is_mail else "",
            body=words.body if is_mail else f"{MARK}{words.body}",
            dedupe_key=f"test:{uuid4().hex}",
            due_at=now,
            expires_at=now + WORTH,
            test_by=by[:150],
        )
        wake("messages")
    return message
