"""What a failed call by requests proves: that nobody was reached, or nothing."""

from __future__ import annotations

import requests


def never_reached(error: BaseException | None) -> bool:
    """Tell a connection that was never made, which cannot have had an effect, from one that broke afterwards."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    if not isinstance(error, requests.exceptions.ConnectionError):
        return False
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "SSLError"}
