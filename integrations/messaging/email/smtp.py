"""Django's way to a mail server with one deadline for a whole delivery, from the greeting to the last answer.

Its own timeout is one of each step, and begins anew with every byte: a server that answers slowly could keep a worker
for minutes, and our lease on the message would run out under it.
"""

from __future__ import annotations

import io
import smtplib
import time
from typing import Any

from django.core.mail.backends import smtp

from integrations.messaging.gateway import CALL_SECONDS

#: The longest that one of a server's addresses is waited for, as several may be tried.
CONNECT_SECONDS = 5.0


class DeadlinePassed(TimeoutError):
    """The delivery took longer than it may."""


class _Answers(io.RawIOBase):
    """What the server says, read within the time that is left."""

    def __init__(self, client: _WithDeadline) -> None:
        self._client = client

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self._client.socket_in_time().recv_into(buffer))


class _WithDeadline:
    """A client of :mod:`smtplib` whose every step gets what is left of :data:`CALL_SECONDS`."""

    sock: Any
    file: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ends_at = time.monotonic() + CALL_SECONDS
        super().__init__(*args, **kwargs)

    def socket_in_time(self) -> Any:
        """Return the socket, set to give up when the time is over."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise DeadlinePassed
        self.sock.settimeout(left)
        return self.sock

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        return super()._get_socket(host, port, min(timeout, CONNECT_SECONDS))  # type: ignore[misc]

    def send(self, s: Any) -> None:
        if self.sock:
            self.socket_in_time()
        super().send(s)  # type: ignore[misc]

    def getreply(self) -> Any:
        if self.file is None and self.sock:
            self.file = io.BufferedReader(_Answers(self))
        return super().getreply()  # type: ignore[misc]


class _Client(_WithDeadline, smtplib.SMTP):
    pass


class _ClientBehindTls(_WithDeadline, smtplib.SMTP_SSL):
    pass


class EmailBackend(smtp.EmailBackend):
    """Opened anew for each e-mail."""

    @property
    def connection_class(self) -> Any:
        return _ClientBehindTls if self.use_ssl else _Client
