"""Which carriers can stand for a channel. Each is the folder of that name beside this file."""

from __future__ import annotations

from typing import Final

CARRIERS: Final[dict[str, tuple[str, ...]]] = {"sms": ("console", "twilio"), "email": ("console", "email")}
