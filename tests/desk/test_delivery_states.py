"""What became of a message stands beside it, in words: on its own page, in the list, in the thread, at the opening."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from integrations.messaging.twilio import codes
from tests.desk.conftest import Practice
from tests.desk.test_dead_letters import message
from waitlist import why_not_sent

SAID = {
    "twilio_21211": "this number takes no texts (Twilio 21211)",
    "twilio_30003": "the phone was off or out of reach (Twilio 30003)",
    "twilio_30008": "the carrier could not deliver it (Twilio 30008)",
    "twilio_429": "the carrier is busy: it goes later (Twilio 429)",
    "twilio_503": "the carrier is down (Twilio 503)",
    "undelivered": "the carrier could not deliver it, and does not say why",
    "smtp_450": "the mail server asks us to come later (SMTP 450)",
    "smtp_550": "the mail server refused it (SMTP 550)",
    "mail_5.1.1": "there is no such mailbox (status 5.1.1)",
    "mail_5.2.2": "it came back (status 5.2.2)",
    "mail_503": "the mail provider refused it (HTTP 503)",
    "mail_answer_lost": "its answer was lost: it may have arrived",
    "opted_out": "they sent STOP, or ended e-mails",
    "no_words_yet": "no words yet",
    "": "",
}


@pytest.mark.parametrize("code", SAID)
def test_each_code_is_said_in_words(code: str) -> None:
    assert why_not_sent.say(code) == SAID[code]


def test_every_number_with_a_consequence_says_it() -> None:
    known = codes.ADDRESS_UNUSABLE | codes.OPTED_OUT | codes.BUSY | codes.REFUSES_US
    assert all("could not deliver" not in why_not_sent.say(f"twilio_{number}") for number in known)


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        ("sent", "", ("sent",)),
        ("delivered", "", ("delivered",)),
        ("failed", "twilio_21211", ("failed", "this number takes no texts (Twilio 21211)")),
    ],
)
def test_it_is_shown_wherever_the_message_is(
    dana: Client, practice: Practice, status: str, code: str, shown: tuple[str, ...]
) -> None:
    row = message(practice, status, error_code=code)
    assert row.opening is not None
    pages = (
        reverse("admin:waitlist_message_changelist"),
        reverse("admin:waitlist_message_change", args=[row.pk]),
        reverse("admin:desk_thread", args=[practice.patient.pk]),
        reverse("admin:desk_opening", args=[row.opening.pk]),
    )
    for path in pages:
        page = dana.get(path).content.decode()
        assert all(words in page for words in shown), path
        assert "twilio_21211" not in page
