"""Inbound calls of the console carrier: the Sandbox page answering as a patient, signed with a key of this process.

The body is form-encoded like Twilio's, so that both take the same path through the product.
"""

from __future__ import annotations

import hmac

from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from integrations.messaging.gateway import DeliveryReport, Incoming

HEADER = "X-Console-Signature"
SALT = "integrations.messaging.console"


def sign(body: bytes) -> str:
    """Return the signature of a raw body, as hex."""
    return salted_hmac(SALT, body, algorithm="sha256").hexdigest()


def is_genuine(request: HttpRequest) -> bool:
    """Return whether the call carries our own signature of its raw body."""
    given = request.headers.get(HEADER, "")
    return hmac.compare_digest(given.encode(), sign(request.body).encode())


def read_incoming(request: HttpRequest) -> Incoming | None:
    """Return the patient's message, or None when the call holds none."""
    form = request.POST
    if not form.get("MessageSid") or not form.get("From"):
        return None
    return Incoming(form["MessageSid"], form["From"], form.get("Body", ""))


def read_reports(request: HttpRequest) -> list[DeliveryReport] | None:
    """Return None: what is shown on a page is delivered, and nobody reports on it."""
    return None
