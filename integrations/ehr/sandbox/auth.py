"""OAuth2 client credentials by secret (SMART Backend Services), tokens kept in memory only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from urllib.parse import parse_qs, unquote_plus

from .messages import Request, Response, json_response
from .outcomes import FhirError
from .settings import SandboxSettings

SCOPES = "system/*.read system/Appointment.write system/Subscription.write"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def smart_configuration(base_url: str) -> Response:
    """``.well-known/smart-configuration`` for clients that find their token endpoint by themselves."""
    configuration = {
        "issuer": f"{base_url}/fhir",
        "token_endpoint": f"{base_url}/oauth/token",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": SCOPES.split(),
        "capabilities": ["client-confidential-symmetric", "permission-v1"],
    }
    return json_response(200, configuration)


class TokenDesk:
    """Gives out bearer tokens and recognises them again. A restart forgets them all."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._expiries: dict[bytes, float] = {}

    def issue(self, request: Request) -> Response:
        """The token endpoint. Errors are OAuth2 JSON (RFC 6749, 5.2)."""
        if request.method != "POST":
            return _refusal(405, "invalid_request", "POST is needed.")
        form = {name: values[-1] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        client_id, client_secret = _credentials(request, form)
        if not self._is_known(client_id, client_secret):
            refusal = _refusal(401, "invalid_client", "The client id or secret is wrong.")
            refusal.headers["WWW-Authenticate"] = 'Basic realm="sandbox EHR"'
            return refusal
        if form.get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type", "grant_type must be client_credentials.")
        token = secrets.token_urlsafe(32)
        seconds = self._settings.token_seconds
        with self._lock:
            now = time.monotonic()
            # Long-expired tokens go; recent ones stay so that their holder hears "expired" and not "unknown".
            self._expiries = {key: expiry for key, expiry in self._expiries.items() if expiry > now - 3600}
            self._expiries[_digest(token)] = now + seconds
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": seconds,
            "scope": form.get("scope") or SCOPES,
        }
        return json_response(200, answer, headers=_NO_STORE)

    def check(self, request: Request) -> None:
        """Raises ``FhirError`` 401 unless the request carries a living token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.casefold() != "bearer" or not token:
            raise unauthorised("login", "A bearer token is needed.")
        with self._lock:
            expiry = self._expiries.get(_digest(token.strip()))
        if expiry is None:
            raise unauthorised("login", "The token is not known. Ask for a new one.")
        if expiry <= time.monotonic():
            raise unauthorised("expired", "The token has expired. Ask for a new one.")

    def revoke_all(self) -> None:
        with self._lock:
            self._expiries.clear()

    def _is_known(self, client_id: str, client_secret: str) -> bool:
        given = f"{client_id}\0{client_secret}".encode()
        expected = f"{self._settings.client_id}\0{self._settings.client_secret}".encode()
        return bool(self._settings.client_secret) and hmac.compare_digest(given, expected)


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
