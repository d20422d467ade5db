"""The protocol every carrier fulfils: a text or an e-mail in, the carrier's id or a named error out.

One folder per carrier, the same file names inside: ``transport.py`` sends and looks up, ``webhook.py`` verifies and
reads what the carrier calls us with, ``codes.py`` says what its numbers mean. A new carrier is such a folder and its
name in ``carriers.py``; docs/adding-a-channel.md leads through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Literal, Protocol, cast

from django.conf import settings
from django.http import HttpRequest

#: Seconds a hand-over may take in total; the lease on a message outlives it.
CALL_SECONDS = 15.0
#: Longer than a hand-over may take, so that a running one never loses its lease.
LEASE = timedelta(seconds=20)

#: Why a message did not arrive: its address, an opt-out the carrier knows of, our own account or number, anything else.
Trouble = Literal["", "address", "opted_out", "sender", "other"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message for one address. ``reference`` is opaque and the same for every attempt at this message.

    ``unsubscribe``: where who gets an e-mail can end them by one click; empty for what answers a patient's own message.
    """

    reference: str
    channel: Literal["sms", "email"]
    address: str
    body: str
    subject: str = ""
    attachment: str = ""
    unsubscribe: str = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message a patient sent: ``carrier_id`` is the carrier's own id, which makes a repetition recognisable."""

    carrier_id: str
    address: str
    body: str
    media_count: int = 0
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of a message. ``trouble`` names why a failed one failed, as far as the carrier says.

    A delivered one with the trouble ``opted_out`` was complained about by who got it.
    """

    reference: str
    carrier_id: str
    outcome: Literal["under_way", "delivered", "failed"]
    trouble: Trouble = ""
    code: str = ""


class MessagingError(Exception):
    """What a hand-over ended with. ``code`` is stable and safe to log; no text holds an address or a body."""

    def __init__(self, code: str = "") -> None:
        self.code = code or type(self).__name__.lower()
        super().__init__(self.code)


class AddressUnusable(MessagingError):
    """This address will never take a message: invalid, a landline, unknown mailbox. Try the next one."""


class OptedOut(MessagingError):
    """The carrier holds an opt-out of this number; our ledger must say so too."""


class MessageRejected(MessagingError):
    """The carrier will not take this message however often it is offered; nothing is wrong with the address."""


class AddressBusy(MessagingError):
    """This address takes nothing just now: a full mailbox, a server that wants strangers to come again later."""


class CarrierBusy(MessagingError):
    """The carrier asks for patience, until ``retry_at`` when it said so. Nothing was sent."""

    def __init__(self, code: str = "", *, retry_at: datetime | None = None) -> None:
        super().__init__(code)
        self.retry_at = retry_at


class CarrierDown(MessagingError):
    """The carrier cannot be reached or failed before it took the message. Nothing was sent."""


class CarrierRefusesUs(MessagingError):
    """Our account or its credentials are not accepted: no message can go out until a person mends it."""


class HandoverUnknown(MessagingError):
    """The message was handed over and no usable answer came: it may have been sent."""


class Carrier(Protocol):
    """A way to send on one channel. No method runs inside a transaction; each may raise :class:`MessagingError`.

    ``leaves_the_building`` is False where messages stay in our own database. ``can_be_asked`` says whether
    :meth:`find` can tell what became of a message whose answer was lost. ``usual_rate`` is how many segments of texts,
    or e-mails, it takes from us in a second until the practice enters another number; None where that is not known.
    """

    name: str
    leaves_the_building: bool
    can_be_asked: bool
    usual_rate: int | None

    def send(self, message: Outgoing) -> str:
        """Hand over one message and return the carrier's id, which may be empty."""

    def find(self, message: Outgoing, *, sent_after: datetime, known: frozenset[str]) -> str | None:
        """Return the carrier's id of this message if it was taken after ``sent_after``, else None.

        ``known`` are carrier ids that belong to other messages of ours.
        """

    def incoming_since(self, since: datetime) -> Iterator[Incoming]:
        """Yield what patients sent since then, oldest first; some of it may be known already."""


class Webhook(Protocol):
    """A carrier's ``webhook.py``: pure readings of a call, without effects of their own."""

    def is_genuine(self, request: HttpRequest) -> bool:
        """Return whether the carrier made this call."""

    def read_incoming(self, request: HttpRequest) -> Incoming | None:
        """Return the patient's message, or None when the call holds none that can be read."""

    def read_reports(self, request: HttpRequest) -> list[DeliveryReport] | None:
        """Return what became of messages of ours, perhaps nothing new; None when the call cannot be read."""


def name_for(channel: str) -> str:
    """Return the carrier that the settings name for ``sms`` or ``email``."""
    name: str = settings.SMS_CHANNEL if channel == "sms" else settings.EMAIL_CHANNEL
    return name


def carrier_for(channel: str) -> Carrier:
    """Open the channel's carrier."""
    module = import_module(f"integrations.messaging.{name_for(channel)}.transport")
    carrier: Carrier = module.open_carrier(channel)
    return carrier


def webhook_for(channel: str) -> Webhook:
    """Return how calls of the channel's carrier are read."""
    return cast("Webhook", import_module(f"integrations.messaging.{name_for(channel)}.webhook"))
