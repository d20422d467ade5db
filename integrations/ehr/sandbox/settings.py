"""How one sandbox EHR is set up."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import date
from typing import Any

BODY_LIMIT_BYTES = 2 * 1024 * 1024
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAXIMUM = 500


@dataclass
class SandboxSettings:
    """Everything that may differ between two sandboxes; the defaults suit a test.

    ``client_keys`` is a JWKS, ``client_keys_url`` where to fetch one. ``granted_scopes`` are all that a client can get;
    empty: whatever it asks for, and nothing is forbidden. ``token_requests``: how many requests a token is good for.
    ``certificate`` and the others are paths of PEM files; with ``client_ca`` only clients with a certificate of it get
    in. Without ``is_discoverable`` there is no smart-configuration. ``deletes_told``: subscriptions by criteria hear of
    deletes too. ``gather_seconds``: how long events of a topic are gathered into one
    notification. ``hold_seconds``: how long a time is held that is not booked.
    ``rate_limit``: how many requests of all clients together pass in ``rate_window_seconds``; logins are apart.
    """

    host: str = "127.0.0.1"
    port: int = 0
    database: str = ":memory:"
    dialect: str = "plain"
    client_id: str = "sandbox-client"
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    client_keys: dict[str, Any] | None = None
    client_keys_url: str = ""
    granted_scopes: str = ""
    is_discoverable: bool = True
    deletes_told: bool = False
    certificate: str = ""
    certificate_key: str = ""
    client_ca: str = ""
    control_token: str = field(default="", repr=False)
    token_seconds: int = 300
    token_requests: int | None = None
    clinic_seeded: bool = False
    today: date | None = None
    hold_seconds: int = 600
    rate_limit: int | None = None
    rate_window_seconds: int = 60
    retry_after_is_date: bool = False
    gather_seconds: float = 0
    notification_attempts: int = 7
    notification_backoff_seconds: float = 1.0
    notification_timeout_seconds: float = 10.0
    requests_printed: bool = False

    @property
    def client_has_keys(self) -> bool:
        return bool(self.client_keys or self.client_keys_url)

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"
