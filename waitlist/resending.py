"""A dead letter among the messages, sent again because a person says so."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from scheduling.story import tell
from scheduling.transitions import move
from scheduling.wake import wake
from waitlist import states  # noqa: F401  registers the table of allowed steps
from waitlist.models import Message


def send_again(message: Message, by: str) -> bool:
    """Put a dead letter back on the outbox, from its first try. False when it is none any more.

    Consent, the patient and the hour are checked again when it is sent; a text that was handed over without an
    answer may then reach the patient twice.
    """
    if message.status != Message.Status.DEAD:
        return False
    with transaction.atomic():
        if not move(message, Message.Status.WAITING, due_at=timezone.now(), attempts=0, error_code=""):
            return False
        if message.opening_id:
            tell(message.opening, "message.retried", f"A message is sent again by {by}.", message_id=message.pk)
    wake("messages")
    return True
