"""The sandbox EHR's control interface: what its own front desk would do by hand."""

from __future__ import annotations

from typing import Any

import requests

TIMEOUT_SECONDS = 20


class SandboxControl:
    """Speaks to ``<origin>/_sandbox``; raises :class:`requests.RequestException` when it refuses or is away."""

    def __init__(self, base_url: str, token: str) -> None:
        self._root = base_url.removesuffix("/fhir") + "/_sandbox"
        self._session = requests.Session()
        self._session.headers["X-Sandbox-Control"] = token

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON answer to a GET."""
        return self._answer(self._session.get(f"{self._root}/{path}", params=query, timeout=TIMEOUT_SECONDS))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON answer to a POST of ``body``."""
        return self._answer(self._session.post(f"{self._root}/{path}", json=body or {}, timeout=TIMEOUT_SECONDS))

    def delete(self, path: str) -> Any:
        """Return the JSON answer to a DELETE."""
        return self._answer(self._session.delete(f"{self._root}/{path}", timeout=TIMEOUT_SECONDS))

    @staticmethod
    def _answer(response: requests.Response) -> Any:
        response.raise_for_status()
        return response.json() if response.content else None
