"""Signed webhook calls as the various senders make them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any

from django.test import Client

from integrations.models import Connection

SECRET = "webhook-secret"
STANDARD_SECRET = "whsec_" + base64.b64encode(b"standard-secret-of-24-bytes!").decode()


def plain(body: bytes, secret: str = SECRET, **_: Any) -> dict[str, str]:
    """Hex HMAC-SHA256 of the body, as Medplum signs."""
    return {"X-Signature": _hex(secret, body)}


def hub(body: bytes, secret: str = SECRET, **_: Any) -> dict[str, str]:
    """As athenahealth signs."""
    return {"X-Hub-Signature": f"sha256={_hex(secret, body)}"}


def hub_256(body: bytes, secret: str = SECRET, **_: Any) -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={_hex(secret, body)}"}


def timed(body: bytes, secret: str = SECRET, *, age: float = 0) -> dict[str, str]:
    """The body and the time, as the sandbox EHR signs beside X-Signature."""
    at = int(time.time() - age)
    return {"X-Signature-V2": f"t={at},v1={_hex(secret, f'{at}.'.encode() + body)}", **plain(body, secret)}


def standard(body: bytes, secret: str = STANDARD_SECRET, *, age: float = 0, event: str = "evt-1") -> dict[str, str]:
    """As Standard Webhooks sign."""
    at = int(time.time() - age)
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.digest(key, f"{event}.{at}.".encode() + body, hashlib.sha256)
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": event, "webhook-timestamp": str(at), "webhook-signature": signature}


def _hex(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def send(connection: Connection | str, body: bytes, headers: dict[str, str] | None = None, **more: Any) -> Any:
    """POST ``body`` to the connection's webhook, signed in the plain scheme unless headers are given."""
    slug = connection if isinstance(connection, str) else connection.slug
    if headers is None:
        headers = plain(body, SECRET if isinstance(connection, str) else connection.webhook_secrets[0])
    method = more.pop("method", "post")
    path = more.pop("path", "")
    return Client().generic(
        method.upper(), f"/webhooks/ehr/{slug}/{path}", body, "application/fhir+json", headers=headers, **more
    )
