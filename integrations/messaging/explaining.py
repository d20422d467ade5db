"""The carriers' codes in words, as each carrier's ``codes.py`` says them."""

from __future__ import annotations

from integrations.messaging.email import codes as email
from integrations.messaging.twilio import codes as twilio


def explain(code: str) -> str:
    """Return what a code of any carrier means to staff; empty for one that is none of theirs."""
    return twilio.explain(code) or email.explain(code)
