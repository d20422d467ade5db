"""One kept connection to a receiver of notifications."""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit


class Outgoing:
    """Posts to one address after another; the connection stays open while the origin stays the same."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._connection: http.client.HTTPConnection | None = None
        self._origin = ""

    def post(self, endpoint: str, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer. Raises ``OSError``, ``http.client.HTTPException`` or ``ValueError``."""
        parts = urlsplit(endpoint)
        origin = f"{parts.scheme}://{parts.netloc}"
        if self._connection is None or origin != self._origin:
            self.hang_up()
            timeout, host = self._timeout_seconds, parts.hostname or ""
            if parts.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, parts.port, timeout=timeout)
            self._origin = origin
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = self._connection
        reused = connection.sock is not None
        try:
            response = _exchange(connection, target, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # A kept connection that the receiver has closed meanwhile is no refusal: once more on a new one.
            if not reused:
                raise
            connection.close()
            response = _exchange(connection, target, body, headers)
        response.read(1_000_000)
        if not response.isclosed():
            self.hang_up()
        return response.status

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _exchange(
    connection: http.client.HTTPConnection, target: str, body: bytes, headers: dict[str, str]
) -> http.client.HTTPResponse:
    connection.request("POST", target, body, headers)
    return connection.getresponse()
