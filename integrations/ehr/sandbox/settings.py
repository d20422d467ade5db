"""How one sandbox EHR is set up."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import date

BODY_LIMIT_BYTES = 2 * 1024 * 1024
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAXIMUM = 500


@dataclass
class SandboxSettings:
    """Everything that may differ between two sandboxes; the defaults suit a test."""

    host: str = "127.0.0.1"
    port: int = 0
    database: str = ":memory:"
    dialect: str = "plain"
    client_id: str = "sandbox-client"
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    control_token: str = field(default="", repr=False)
    token_seconds: int = 300
    clinic_seeded: bool = False
    today: date | None = None
    notification_attempts: int = 7
    notification_backoff_seconds: float = 1.0
    notification_timeout_seconds: float = 10.0
    requests_printed: bool = False
