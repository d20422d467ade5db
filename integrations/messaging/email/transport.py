"""E-mail over whichever backend Django is set to: SMTP, or any provider of django-anymail."""

from __future__ import annotations

import hashlib
import logging
import smtplib
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from anymail.exceptions import AnymailAPIError, AnymailError, AnymailRecipientsRefused
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend

from integrations.calls import refuse_inside_transaction
from integrations.messaging.connections import never_reached
from integrations.messaging.email import smtp
from integrations.messaging.gateway import (
    AddressBusy,
    AddressUnusable,
    CarrierBusy,
    CarrierDown,
    CarrierRefusesUs,
    HandoverUnknown,
    Incoming,
    MessageRejected,
    MessagingError,
    Outgoing,
)

logger = logging.getLogger(__name__)

#: The one reply code that speaks of the server as a whole, at whatever step it comes (RFC 5321).
SERVER_CLOSES = 421


class EmailCarrier:
    """Sends one e-mail per call. Mail servers cannot be asked afterwards, so a lost answer goes to staff."""

    name = "email"
    leaves_the_building = True
    can_be_asked = False
    usual_rate: int | None = None

    def send(self, message: Outgoing) -> str:
        """Hand the e-mail over; return the provider's id of it, or its Message-ID, the same for every attempt."""
        refuse_inside_transaction()
        email = build(message)
        backend = _server_or_provider()
        try:
            backend.open()
        except (OSError, smtplib.SMTPException) as error:
            raise _before_handover(error) from None
        try:
            sent = backend.send_messages([email])
        except (OSError, smtplib.SMTPException, AnymailError) as error:
            raise _at_handover(error) from None
        finally:
            _say_goodbye(backend)
        if not sent:
            raise MessageRejected("not_accepted")
        given = getattr(getattr(email, "anymail_status", None), "message_id", None)
        return given if isinstance(given, str) and given else message_id(message.reference)

    def find(self, message: Outgoing, *, sent_after: datetime, known: frozenset[str]) -> str | None:
        """Return None; never called, as mail servers cannot be asked."""
        return None

    def incoming_since(self, since: datetime) -> Iterator[Incoming]:
        """Yield nothing: patients answer an e-mail by its link."""
        return iter(())


def _server_or_provider() -> BaseEmailBackend:
    is_server = settings.EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend"
    return smtp.EmailBackend() if is_server else get_connection()


def _say_goodbye(backend: BaseEmailBackend) -> None:
    try:
        backend.close()
    except Exception as error:
        # The message is with the server by now; a goodbye that fails, however it does, changes nothing about it.
        logger.info("a mail server could not be left properly: %s", type(error).__name__)


def build(message: Outgoing) -> EmailMessage:
    """Return the e-mail with its headers and, where there is one, its calendar file."""
    headers = {
        "Message-ID": message_id(message.reference),
        # Out-of-office answers to a machine help nobody.
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    if message.unsubscribe:  # RFC 8058: the mailbox shows a button, which posts
        headers |= {
            "List-Unsubscribe": f"<{message.unsubscribe}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    sender = settings.DEFAULT_FROM_EMAIL
    if settings.EMAIL_BOUNCES_TO and not settings.EMAIL_PROVIDER:
        # The envelope's sender gets the notices of what did not arrive; who reads the e-mail sees the practice.
        headers["From"], sender = sender, settings.EMAIL_BOUNCES_TO
    email = EmailMessage(
        subject=message.subject, body=message.body, from_email=sender, to=[message.address], headers=headers
    )
    # Comes back with a provider's calls, also with one that comes before its answer to us.
    email.metadata = {"reference": message.reference}  # type: ignore[attr-defined]
    if message.attachment:
        email.attach("appointment.ics", message.attachment, "text/calendar")
    return email


def message_id(reference: str) -> str:
    """Return the Message-ID of a reference: opaque, and stable over attempts so that mailboxes show one."""
    host = urlsplit(settings.PUBLIC_BASE_URL).hostname or "localhost"
    return f"<{hashlib.sha256(reference.encode()).hexdigest()[:32]}@{host}>"


def _before_handover(error: Exception) -> MessagingError:
    if isinstance(error, smtplib.SMTPAuthenticationError | smtplib.SMTPNotSupportedError):
        return CarrierRefusesUs("mail_login_refused")
    return CarrierDown("mail_server_unreachable")


def _at_handover(error: Exception) -> MessagingError:
    """Name what the server or provider said; silence after the hand-over began is unknown."""
    if isinstance(error, AnymailError):
        return _by_provider(error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _by_reply_code(max((code for code, _ in error.recipients.values()), default=550), AddressUnusable)
    if isinstance(error, smtplib.SMTPSenderRefused):
        return _by_reply_code(error.smtp_code, CarrierRefusesUs, for_now=CarrierBusy)
    if isinstance(error, smtplib.SMTPResponseException):
        return _by_reply_code(error.smtp_code, MessageRejected)
    return HandoverUnknown("mail_answer_lost")


def _by_provider(error: AnymailError) -> MessagingError:
    if isinstance(error, AnymailRecipientsRefused):
        return AddressUnusable("mail_address_refused")
    if never_reached(error.__cause__):
        return CarrierDown("mail_server_unreachable")
    if isinstance(error, AnymailAPIError):
        return _by_status(error.status_code)
    return MessageRejected("mail_cannot_be_built")


def _by_reply_code(
    code: int, permanent: type[MessagingError], for_now: type[MessagingError] = AddressBusy
) -> MessagingError:
    if code == SERVER_CLOSES:
        return CarrierBusy(f"smtp_{code}")
    return for_now(f"smtp_{code}") if 400 <= code < 500 else permanent(f"smtp_{code}")


def _by_status(status: int | None) -> MessagingError:
    if status is None or status >= 500:
        return HandoverUnknown("mail_answer_lost")
    if status == 429:
        return CarrierBusy("mail_429")
    if status in {401, 402, 403}:  # 402: the account is out of credit
        return CarrierRefusesUs(f"mail_{status}")
    return MessageRejected(f"mail_{status}")


def open_carrier(channel: str) -> EmailCarrier:
    """Return the configured mail server or provider."""
    return EmailCarrier()
