"""What comes back by mail: notices that an e-mail did not arrive (RFC 3464), and complaints about one (RFC 5965).

A notice names our e-mail by its Message-ID, which only its recipient and the servers on its way have seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

from integrations.messaging.email import codes
from integrations.messaging.gateway import DeliveryReport

_ID = re.compile(r"<[^<>\s]{1,110}>")


def read_notice(raw: bytes) -> DeliveryReport | None:
    """Return what a mail says became of one of our e-mails; None when it is no notice, or names none."""
    mail = message_from_bytes(raw, policy=policy.default)
    parts = {part.get_content_type(): part for part in mail.walk()}
    carrier_id = _original_id(parts)
    if not carrier_id:
        return None
    if "message/feedback-report" in parts:
        return DeliveryReport("", carrier_id, "delivered", "opted_out", "mail_complained")
    status = parts.get("message/delivery-status")
    return _by_status(status, carrier_id) if status is not None else None


def _by_status(part: Message, carrier_id: str) -> DeliveryReport | None:
    for block in _blocks(part):
        action, status = str(block.get("Action", "")).strip().lower(), codes.status_in(str(block.get("Status", "")))
        if action == "failed":
            return DeliveryReport("", carrier_id, "failed", codes.trouble_of(status), f"mail_{status or 'failed'}")
        if action == "delivered":
            return DeliveryReport("", carrier_id, "delivered")
    return None  # delayed, relayed: the end is not known yet


def _blocks(part: Message) -> Iterator[Message]:
    payload = part.get_payload()
    if isinstance(payload, list):
        yield from (block for block in payload if isinstance(block, Message))


def _original_id(parts: dict[str, EmailMessage]) -> str:
    """Return the Message-ID in what the notice gives back of our e-mail."""
    returned = parts.get("message/rfc822")
    original = next(_blocks(returned), None) if returned is not None else None
    headers = parts.get("text/rfc822-headers")
    if headers is not None:
        content = headers.get_payload(decode=True)
        original = message_from_bytes(content) if isinstance(content, bytes) else None
    found = _ID.search(str(original.get("Message-ID", ""))) if original is not None else None
    return found.group() if found else ""
