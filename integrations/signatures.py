"""Signatures of webhook calls, checked over the bytes as they came, in constant time, with every secret that is valid.

Senders sign differently; the header they use says how. Where several are present the one that also covers the time
decides alone, so that nobody can strip it from a call they recorded.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

STANDARD = "webhook-signature"
TIMED = "X-Signature-V2"
HUB = ("X-Hub-Signature-256", "X-Hub-Signature")
PLAIN = "X-Signature"
EVENT_ID = "X-Event-Id"
#: A signature header longer than this holds no signature of ours.
LONGEST = 4096
MOST_CANDIDATES = 10


class SignatureRefused(Exception):
    """The call is not from whom it says, or too old. ``reason`` is counted, ``detail`` says what to mend."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a call says about itself: signatures it offers over ``signed``, each hex or base64."""

    signed: bytes
    candidates: tuple[bytes, ...]
    timestamp: int | None = None
    event_id: str = ""
    is_standard: bool = False


def verify(
    headers: Mapping[str, str], body: bytes, secrets: Iterable[str], *, now: float, tolerance_seconds: int
) -> str:
    """Return the event's id (empty when the sender gives none); raises SignatureRefused.

    ``now`` is in Unix seconds. Without secrets every call is refused, after the same work as with one.
    """
    claimed = read(headers, body)
    keys = [_key(secret, claimed.is_standard) for secret in secrets if secret] or [b""]
    is_genuine = False
    for key in keys:
        expected = hmac.digest(key, claimed.signed, hashlib.sha256)
        for candidate in claimed.candidates:
            # No early end: how many secrets there are, and which one fitted, is nobody's business.
            is_genuine |= hmac.compare_digest(expected, candidate) and key != b""
    if not is_genuine:
        raise SignatureRefused("bad_signature", "The signature is missing or wrong. It is made over the raw bytes.")
    if claimed.timestamp is not None and abs(now - claimed.timestamp) > tolerance_seconds:
        raise SignatureRefused(
            "stale_timestamp", "The signed time is too far from ours. Check the sender's clock, and send it again."
        )
    return claimed.event_id


def read(headers: Mapping[str, str], body: bytes) -> Claimed:
    """Return what the headers claim; raises SignatureRefused when they claim nothing."""
    if standard := headers.get(STANDARD):
        return _standard(headers, standard, body)
    event_id = headers.get(EVENT_ID, "").strip()
    if timed := headers.get(TIMED):
        return _timed(timed, body, event_id)
    for name in HUB:
        if hub := headers.get(name):
            scheme, _, digest = hub.strip().partition("=")
            return Claimed(body, _hexadecimal([digest] if scheme.lower() == "sha256" else []), event_id=event_id)
    if plain := headers.get(PLAIN):
        return Claimed(body, _hexadecimal([plain.strip().removeprefix("sha256=")]), event_id=event_id)
    raise SignatureRefused(
        "missing_signature",
        "The call is not signed. Sign the raw body by HMAC-SHA256 and send it as X-Signature, X-Hub-Signature-256, "
        "X-Signature-V2 or webhook-signature.",
    )


def _standard(headers: Mapping[str, str], value: str, body: bytes) -> Claimed:
    event_id, timestamp = headers.get("webhook-id", "").strip(), headers.get("webhook-timestamp", "").strip()
    signed = f"{event_id}.{timestamp}.".encode() + body
    offered = [each.partition(",")[2] for each in value[:LONGEST].split() if each.startswith("v1,")]
    candidates = [_base64(each) for each in offered[:MOST_CANDIDATES]]
    found = tuple(each for each in candidates if each)
    return Claimed(signed, found, _seconds(timestamp), event_id, is_standard=True)


def _timed(value: str, body: bytes, event_id: str) -> Claimed:
    pairs = [part.strip().partition("=") for part in value[:LONGEST].split(",")]
    timestamp = next((text for name, _, text in pairs if name == "t"), "")
    candidates = _hexadecimal([text for name, _, text in pairs if name == "v1"])
    return Claimed(f"{timestamp}.".encode() + body, candidates, _seconds(timestamp), event_id)


def _seconds(text: str) -> int:
    """Return the Unix time; one that cannot be read lies so far in the past that it is refused as stale."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0


def _hexadecimal(values: list[str]) -> tuple[bytes, ...]:
    found = []
    for value in values[:MOST_CANDIDATES]:
        try:
            found.append(bytes.fromhex(value.strip()))
        except ValueError:
            continue
    return tuple(found)


def _base64(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _key(secret: str, is_standard: bool) -> bytes:
    """Return the key of a secret; Standard Webhooks write theirs as ``whsec_`` and base64."""
    if is_standard and secret.startswith("whsec_"):
        decoded = _base64(secret.removeprefix("whsec_"))
        if decoded:
            return decoded
    return secret.encode()
