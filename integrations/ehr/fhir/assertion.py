"""The signed statement by which we log in without a secret (SMART Backend Services, RFC 7523)."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import jwt
from django.utils import timezone

from integrations.ehr import signing_keys
from integrations.models import Connection

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: SMART allows five minutes at most; the rest is room for a clock that differs from ours.
LIFE = timedelta(minutes=4)


def client_assertion(connection: Connection, token_url: str, now: datetime | None = None) -> str:
    """Return a JWT that proves to ``token_url`` who we are, good for one login; raises signing_keys.NoKey."""
    now = now or timezone.now()
    key = signing_keys.current(connection, now)
    claims = {
        "iss": connection.client_id,
        "sub": connection.client_id,
        "aud": token_url,
        "exp": int((now + LIFE).timestamp()),
        "iat": int(now.timestamp()),
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, key.private_key, algorithm=key.algorithm, headers={"kid": key.kid})
