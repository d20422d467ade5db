"""Headers that prove where a notification comes from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

STANDARD_WEBHOOKS = "standard-webhooks"
HUB = "x-hub-signature"
HEX = "x-signature"
NONE = "none"
#: An empty name is the sandbox's own scheme, X-Signature and X-Signature-V2 together.
SCHEMES = ("", HEX, HUB, STANDARD_WEBHOOKS, NONE)


def notification_headers(scheme: str, secret: str, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Signed headers in the subscription's scheme; without a secret only the event's id and time (unix seconds).

    The schemes of vendors bring nothing else: their receivers know an event by its content.
    """
    key = secret.encode()
    digest = hmac.new(key, body, hashlib.sha256).hexdigest() if secret else ""
    if scheme == NONE:
        return {}
    if scheme == HUB:
        return {"X-Hub-Signature": f"sha256={digest}"} if secret else {}
    if scheme == HEX:
        return {"X-Signature": digest} if secret else {}
    if scheme == STANDARD_WEBHOOKS:
        return _standard(secret, event_id, timestamp, body)
    headers = {"X-Event-Id": event_id, "X-Event-Timestamp": str(timestamp)}
    if secret:
        timed = hmac.new(key, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers["X-Signature"] = digest
        headers["X-Signature-V2"] = f"t={timestamp},v1={timed}"
    return headers


def standard_webhooks_key(secret: str) -> bytes:
    """Standard Webhooks write a secret as ``whsec_`` and base64; any other text is taken as it is."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _standard(secret: str, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    headers = {"webhook-id": event_id, "webhook-timestamp": str(timestamp)}
    if secret:
        signed = f"{event_id}.{timestamp}.".encode() + body
        digest = hmac.new(standard_webhooks_key(secret), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
    return headers
