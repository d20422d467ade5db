"""OAuth2 client credentials by secret or key (SMART Backend Services), tokens kept in memory only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from . import scopes
from .assertions import ALGORITHMS, AssertionDesk, AssertionRefused, KeySet
from .messages import Request, Response, json_response
from .outcomes import FhirError
from .settings import SandboxSettings

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def smart_configuration(settings: SandboxSettings, base_url: str) -> Response:
    """``.well-known/smart-configuration`` for clients that find their token endpoint by themselves."""
    methods, capabilities = [], ["permission-v1", "permission-v2"]
    algorithms: dict[str, Any] = {}
    if settings.client_secret:
        methods += ["client_secret_basic", "client_secret_post"]
        capabilities.append("client-confidential-symmetric")
    if settings.client_has_keys:
        methods.append("private_key_jwt")
        capabilities.append("client-confidential-asymmetric")
        algorithms = {"token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS)}
    configuration = {
        "issuer": f"{base_url}/fhir",
        "token_endpoint": f"{base_url}/oauth/token",
        "token_endpoint_auth_methods_supported": methods,
        **algorithms,
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": (settings.granted_scopes or scopes.ALL).split(),
        "capabilities": capabilities,
    }
    return json_response(200, configuration)


@dataclass
class Token:
    """``uses_left`` None: as often as one likes. ``scopes`` empty: everything is allowed."""

    expires_at: float
    uses_left: int | None
    scopes: str


class TokenDesk:
    """Gives out bearer tokens and recognises them again. A restart forgets them all."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._tokens: dict[bytes, Token] = {}
        self._assertions = AssertionDesk(settings.client_id, KeySet(settings.client_keys, settings.client_keys_url))

    def issue(self, request: Request) -> Response:
        """The token endpoint. Errors are OAuth2 JSON (RFC 6749, 5.2)."""
        if request.method != "POST":
            return _refusal(405, "invalid_request", "POST is needed.")
        form = {name: values[-1] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        refusal = self._refused_login(request, form)
        if refusal is not None:
            return refusal
        if form.get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type", "grant_type must be client_credentials.")
        allowed = form.get("scope") or scopes.ALL
        if self._settings.granted_scopes:
            allowed = scopes.granted(form.get("scope", ""), self._settings.granted_scopes)
            if not allowed:
                return _refusal(400, "invalid_scope", "None of these scopes can be granted.")
        answer = {
            "access_token": self._new_token(allowed if self._settings.granted_scopes else ""),
            "token_type": "Bearer",
            "expires_in": self._settings.token_seconds,
            "scope": allowed,
        }
        return json_response(200, answer, headers=_NO_STORE)

    def _refused_login(self, request: Request, form: dict[str, str]) -> Response | None:
        if self._settings.client_has_keys and ("client_assertion" in form or "client_assertion_type" in form):
            try:
                self._assertions.check(form, f"{request.base_url}/oauth/token")
            except AssertionRefused as refused:
                return _refusal(401, "invalid_client", str(refused))
            return None
        if self._is_known(*_credentials(request, form)):
            return None
        refusal = _refusal(401, "invalid_client", "The client id or secret is wrong.")
        refusal.headers["WWW-Authenticate"] = 'Basic realm="sandbox EHR"'
        return refusal

    def _new_token(self, allowed: str) -> str:
        token = secrets.token_urlsafe(32)
        with self._lock:
            now = time.monotonic()
            # Long-expired tokens go; recent ones stay so that their holder hears "expired" and not "unknown".
            self._tokens = {key: known for key, known in self._tokens.items() if known.expires_at > now - 3600}
            expires_at = now + self._settings.token_seconds
            self._tokens[_digest(token)] = Token(expires_at, self._settings.token_requests, allowed)
        return token

    def check(self, request: Request) -> Token:
        """The living token that a request carries, used once more. Raises ``FhirError`` 401 when there is none."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.casefold() != "bearer" or not text:
            raise unauthorised("login", "A bearer token is needed.")
        with self._lock:
            token = self._tokens.get(_digest(text.strip()))
            if token is None:
                raise unauthorised("login", "The token is not known. Ask for a new one.")
            if token.expires_at <= time.monotonic() or token.uses_left == 0:
                raise unauthorised("expired", "The token has expired. Ask for a new one.")
            if token.uses_left is not None:
                token.uses_left -= 1
        return token

    def revoke_all(self) -> None:
        with self._lock:
            self._tokens.clear()

    def _is_known(self, client_id: str, client_secret: str) -> bool:
        given = f"{client_id}\0{client_secret}".encode()
        expected = f"{self._settings.client_id}\0{self._settings.client_secret}".encode()
        return bool(self._settings.client_secret) and hmac.compare_digest(given, expected)


def check_scope(token: Token, resource_type: str, interaction: str) -> None:
    """Raises ``FhirError`` 403 when the token was granted for other things."""
    if token.scopes and not scopes.allow(token.scopes, resource_type, interaction):
        raise FhirError(403, "forbidden", f"The scopes of this token do not cover {interaction} of {resource_type}.")


def unauthorised(code: str, text: str) -> FhirError:
    return FhirError(401, code, text, headers={"WWW-Authenticate": 'Bearer realm="sandbox EHR", error="invalid_token"'})


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.casefold() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client_id, _, client_secret = base64.b64decode(encoded).decode().partition(":")
    except ValueError:
        return "", ""
    return unquote_plus(client_id), unquote_plus(client_secret)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _refusal(status: int, error: str, description: str) -> Response:
    return json_response(status, {"error": error, "error_description": description}, headers=_NO_STORE)
