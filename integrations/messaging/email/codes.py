"""What mail servers' answers mean for the next step. Source: RFC 3463 and the registry of enhanced status codes."""

from __future__ import annotations

import re

from integrations.messaging.gateway import Trouble

_CODE = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
#: No such mailbox, address or domain; the mailbox is switched off or has moved.
_ADDRESS = re.compile(r"5\.(?:1\.(?:0|1|2|3|4|6|10)|2\.1|4\.4)")


def status_in(text: str) -> str:
    """Return the first enhanced status code in a server's answer, such as ``5.1.1``; empty when it holds none."""
    found = _CODE.search(text)
    return found.group() if found else ""


def trouble_of(status: str, *, without: Trouble = "other") -> Trouble:
    """Return what a permanent failure says of the address; ``without`` a code, what else is known of it."""
    if not status:
        return without
    return "address" if _ADDRESS.fullmatch(status) else "other"
