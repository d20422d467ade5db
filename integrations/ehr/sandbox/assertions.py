"""Logins by a signed assertion instead of a secret: ``private_key_jwt`` as in SMART Backend Services (RFC 7523)."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from typing import Any

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS384", "ES384")
LONGEST_LIFE_SECONDS = 300
#: How far the client's clock may be ahead of ours.
SKEW_SECONDS = 5
KEYS_KEPT_SECONDS = 300.0
FETCH_SECONDS = 5.0
KEY_SET_LIMIT_BYTES = 100_000


class AssertionRefused(Exception):
    """The assertion does not prove who the client is; the text says why, for whoever builds the client."""


class KeySet:
    """The client's public keys: given at registration, or fetched from its address when a new key id turns up."""

    def __init__(self, keys: dict[str, Any] | None, url: str) -> None:
        self._url = url
        self._keys: dict[str, Any] = keys or {}
        self._lock = threading.Lock()
        self._fetched_at = -KEYS_KEPT_SECONDS

    def key(self, kid: str) -> dict[str, Any]:
        """The JWK with this id. Raises ``AssertionRefused``."""
        with self._lock:
            if self._url and time.monotonic() - self._fetched_at > KEYS_KEPT_SECONDS:
                self._fetch()
            found = self._find(kid)
            if found is None and self._url:
                self._fetch()
                found = self._find(kid)
        if found is None:
            raise AssertionRefused(f"There is no key {kid} in the client's key set.")
        return found

    def _find(self, kid: str) -> dict[str, Any] | None:
        keys = self._keys.get("keys")
        listed = [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
        return next((key for key in listed if key.get("kid") == kid), None)

    def _fetch(self) -> None:
        if not self._url.startswith(("http://", "https://")):
            raise AssertionRefused("The client's key set has no http or https address.")
        try:
            with urllib.request.urlopen(self._url, timeout=FETCH_SECONDS) as answer:  # noqa: S310 - scheme checked
                keys = json.loads(answer.read(KEY_SET_LIMIT_BYTES))
        except (OSError, ValueError):
            raise AssertionRefused("The client's key set cannot be fetched.") from None
        self._keys = keys if isinstance(keys, dict) else {}
        self._fetched_at = time.monotonic()


class AssertionDesk:
    """Checks assertions of one client and remembers which were used."""

    def __init__(self, client_id: str, keys: KeySet) -> None:
        self._client_id, self._keys = client_id, keys
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}

    def check(self, form: dict[str, str], token_url: str) -> None:
        """Raises ``AssertionRefused`` unless the form proves by a key of the client who asks."""
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise AssertionRefused(f"client_assertion_type must be {ASSERTION_TYPE}.")
        if form.get("client_id", self._client_id) != self._client_id:
            raise AssertionRefused("client_id is not the client of the assertion.")
        claims = self._verified(form.get("client_assertion", ""), token_url)
        if not claims["iss"] == claims["sub"] == self._client_id:
            raise AssertionRefused("iss and sub must both be the client id.")
        now = time.time()
        if claims["exp"] > now + LONGEST_LIFE_SECONDS + SKEW_SECONDS:
            raise AssertionRefused("exp must be at most five minutes ahead.")
        self._use_once(claims["jti"], float(claims["exp"]), now)

    def _verified(self, assertion: str, token_url: str) -> dict[str, Any]:
        # Loaded only here: without keys the sandbox needs nothing but the standard library.
        import jwt  # noqa: PLC0415

        try:
            header = jwt.get_unverified_header(assertion)
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS:
                raise AssertionRefused(f"alg must be one of {', '.join(ALGORITHMS)}.")
            if not isinstance(kid, str):
                raise AssertionRefused("kid must name the key.")
            key = jwt.PyJWK(self._keys.key(kid), algorithm)
            claims: dict[str, Any] = jwt.decode(
                assertion,
                key,
                algorithms=[algorithm],
                audience=token_url,
                options={"require": ["iss", "sub", "aud", "exp", "jti"]},
            )
        except jwt.PyJWTError as error:
            raise AssertionRefused(f"The assertion is not valid: {error}.") from None
        return claims

    def _use_once(self, jti: Any, expires: float, now: float) -> None:
        with self._lock:
            self._used = {used: until for used, until in self._used.items() if until > now}
            if str(jti) in self._used:
                raise AssertionRefused("This jti was used before.")
            self._used[str(jti)] = expires
