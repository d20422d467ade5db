"""Staff's screens of the waitlist. Importing the modules registers them."""

from waitlist.admin import (
    consent,
    entries,
    imports,
    messages,
    offers,
    policies,
    replies,
    reviews,
    words,
    wrong_person,
)

__all__ = [
    "consent",
    "entries",
    "imports",
    "messages",
    "offers",
    "policies",
    "replies",
    "reviews",
    "words",
    "wrong_person",
]
