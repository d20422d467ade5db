"""Twilio's request signature: base64 of HMAC-SHA1 over the address and the sorted form fields.

Source: Twilio, "Security: validating signatures from Twilio"; its published example is one of our tests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit


def sign(token: str, url: str, fields: Mapping[str, Sequence[str]]) -> str:
    """Return the signature of a POST to ``url`` with these form fields, each with all its values."""
    text = url + "".join(name + value for name in sorted(fields) for value in sorted(set(fields[name])))
    # SHA-1 is what Twilio signs with; as HMAC it is not affected by the collisions known of it.
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def matches(given: str, token: str, url: str, fields: Mapping[str, Sequence[str]]) -> bool:
    """Return whether ``given`` is the signature; Twilio signs some addresses with and some without their port."""
    candidates = [sign(token, form, fields) for form in _with_and_without_port(url)]
    return any(hmac.compare_digest(given.encode(), candidate.encode()) for candidate in candidates)


def _with_and_without_port(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return (
        urlunsplit(parts._replace(netloc=f"{host}:{port}")),
        urlunsplit(parts._replace(netloc=host)) if parts.port else url,
    )
