"""Our keys for signed logins: made, changed without a gap, and published as a JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

import json
import secrets
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from integrations.models import Connection, SigningKey

Algorithm = SigningKey.Algorithm
#: A new key is published this long before it signs. SMART asks servers not to keep a key set longer than a day.
PUBLISHED_AHEAD = timedelta(hours=24)
#: The key before stays published so long after its last signature: an assertion lives for minutes.
PUBLISHED_AFTER = timedelta(hours=1)
#: How long the EHR may keep our key set without asking again.
KEPT_SECONDS = 3600
RSA_BITS = 3072


class NoKey(LookupError):
    """The connection has no key to sign with."""


def ensure(connection: Connection, algorithm: str = Algorithm.ES384, now: datetime | None = None) -> SigningKey:
    """Return the key the connection signs with now, made at once where there is none."""
    now = now or timezone.now()
    try:
        return current(connection, now)
    except NoKey:
        return _make(connection, algorithm, now, signs_from=now)


def rotate(connection: Connection, algorithm: str = "", now: datetime | None = None) -> SigningKey:
    """Publish a new key that takes over after :data:`PUBLISHED_AHEAD`; return it.

    A rotation that is under way is not begun again: the key that is about to take over is returned. Raises NoKey when
    there is none to take over from.
    """
    now = now or timezone.now()
    present = current(connection, now)
    coming = connection.signing_keys.filter(signs_from__gt=now).order_by("signs_from").first()
    if coming is not None:
        return coming
    with transaction.atomic():
        key = _make(connection, algorithm or present.algorithm, now, signs_from=now + PUBLISHED_AHEAD)
        for old in connection.signing_keys.exclude(pk=key.pk).filter(published_until=None):
            old.published_until = key.signs_from + PUBLISHED_AFTER
            old.save(update_fields=("published_until",))
    return key


def current(connection: Connection, now: datetime | None = None) -> SigningKey:
    """Return the key to sign with; raises NoKey."""
    signing = connection.signing_keys.filter(signs_from__lte=now or timezone.now())
    key: SigningKey | None = signing.order_by("-signs_from", "-pk").first()
    if key is None:
        raise NoKey(f"The connection {connection.slug} has no signing key.")
    return key


def published(connection: Connection, now: datetime | None = None) -> QuerySet[SigningKey]:
    """Return the keys an EHR should know now, the newest first: one, or two while one takes over from the other."""
    stands = Q(published_until=None) | Q(published_until__gt=now or timezone.now())
    return connection.signing_keys.filter(stands).order_by("-signs_from", "-pk")


def key_set(connection: Connection, now: datetime | None = None) -> dict[str, Any]:
    """Return the public keys as a JWK Set."""
    return {"keys": [key.public_jwk for key in published(connection, now)]}


def _make(connection: Connection, algorithm: str, now: datetime, *, signs_from: datetime) -> SigningKey:
    kid = f"{now:%Y%m%d}-{secrets.token_hex(8)}"
    private_key, public_jwk = _new_rsa() if algorithm == Algorithm.RS384 else _new_ec()
    return SigningKey.objects.create(
        connection=connection,
        kid=kid,
        algorithm=algorithm,
        private_key=private_key,
        public_jwk={**public_jwk, "kid": kid, "alg": algorithm, "use": "sig", "key_ops": ["verify"]},
        created_at=now,
        signs_from=signs_from,
    )


def _new_rsa() -> tuple[str, dict[str, Any]]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return _pem(key), _plain(RSAAlgorithm.to_jwk(key.public_key()))


def _new_ec() -> tuple[str, dict[str, Any]]:
    key = ec.generate_private_key(ec.SECP384R1())
    return _pem(key), _plain(ECAlgorithm.to_jwk(key.public_key()))


def _plain(written: str) -> dict[str, Any]:
    jwk: dict[str, Any] = json.loads(written)
    # The library's own remark on its use; ours says it in the terms of the standard.
    jwk.pop("key_ops", None)
    return jwk


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")
