"""A carrier and a mail server outside the product, each with a record of its own of what it took."""

from __future__ import annotations

import asyncio
import email
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message as Mail
from typing import Any

from aiosmtpd.controller import Controller

from tests.flows.stack import Stack, free_port
from tests.integrations.messaging.conftest import ACCOUNT, NUMBER, TOKEN, CarrierClient

#: Seconds the mail server keeps a client waiting; longer than the product has patience.
SILENCE = 60


class Mailbox:
    """Takes every mail; of those that :meth:`be_silent_to` names it takes the mail and never says so."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Mail]] = []
        self._silent_to: tuple[str, str] | None = None

    def be_silent_to(self, address: str, *, about: str) -> None:
        """Take the next mail to ``address`` that has a file ``about`` attached, and do not answer."""
        self._silent_to = (address, about)

    def mails(self, address: str) -> list[Mail]:
        """Everything that was taken for an address, oldest first."""
        return [mail for to, mail in self.taken if to == address]

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = email.message_from_bytes(envelope.content)
        self.taken += [(address, mail) for address in envelope.rcpt_tos]
        if any(self._silent_to == (address, name) for address in envelope.rcpt_tos for name in files_of(mail)):
            self._silent_to = None
            await asyncio.sleep(SILENCE)
        return "250 OK"


def files_of(mail: Mail) -> list[str]:
    """Names of the files attached to a mail."""
    return [name for part in mail.walk() if (name := part.get_filename())]


@dataclass
class Outside:
    """Where texts and e-mails of a stack end up."""

    carrier: CarrierClient
    mailbox: Mailbox = field(default_factory=Mailbox)

    def texts(self, number: str) -> list[str]:
        """Words of every text that the carrier took for a number, oldest first."""
        taken = self.carrier.messages(to=number)
        return [text["body"] for text in taken if text["direction"].startswith("outbound")]


@contextmanager
def reached_by(stack: Stack) -> Iterator[Outside]:
    """Run a carrier and a mail server, and have ``stack``, which must not have started, use them."""
    options = ("--account", ACCOUNT, "--token", TOKEN, "--number", NUMBER, "--public-url", stack.url)
    process = subprocess.Popen([sys.executable, "-m", "tests.carrier", *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    outside = Outside(CarrierClient(json.loads(process.stdout.readline())["url"]))
    mail_server = Controller(outside.mailbox, hostname="127.0.0.1", port=free_port())
    mail_server.start()
    stack.use(
        INSTALLATION="live",
        SMS_CHANNEL="twilio",
        SMS_BASE_URL=outside.carrier.url,
        SMS_ACCOUNT=ACCOUNT,
        SMS_TOKEN=TOKEN,
        SMS_FROM=NUMBER,
        EMAIL_CHANNEL="email",
        EMAIL_URL=f"smtp://127.0.0.1:{mail_server.port}",
    )
    try:
        yield outside
    finally:
        mail_server.stop()
        process.kill()
        process.wait()
        process.stdout.close()
