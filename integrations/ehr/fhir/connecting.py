"""HTTP connections that go only where they may and never outlive a call's deadline.

A read timeout starts anew with every byte that trickles in, so each call also has a watch that cuts its connection
when its total time is over. Whether a request had begun to leave is remembered: a call that never got that far
certainly had no effect.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import tempfile
import threading
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from integrations.ehr.addresses import allowed_addresses
from integrations.ehr.gateway import Refused

CONNECT_SECONDS = 3.0
#: Connections a process keeps open to one EHR.
POOL_SIZE = 16


class Call:
    """One request on its way: its deadline, how far it got, and the connection it uses."""

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.began_to_leave = False
        self.reused = False
        self.answered = False
        self.timed_out = False
        self._connection: HTTPConnection | None = None
        self._watch = threading.Timer(seconds, self._cut)
        self._watch.daemon = True

    @property
    def remaining(self) -> float:
        """Seconds left, never less than a hundredth."""
        return max(self.deadline - time.monotonic(), 0.01)

    def __enter__(self) -> Call:
        _current.call = self
        self._watch.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._watch.cancel()
        _current.call = None

    def uses(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def _cut(self) -> None:
        self.timed_out = True
        sock = self._connection.sock if self._connection is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Current(threading.local):
    call: Call | None = None


_current = _Current()


class _Guarded(HTTPConnection):
    """Opens its socket to an address that was judged, and tells the call how far it got."""

    def _new_conn(self) -> socket.socket:
        call = _current.call
        left = min(call.remaining, CONNECT_SECONDS) if call else CONNECT_SECONDS
        addresses = allowed_addresses(self.host, self.port, left)
        error: OSError | None = None
        for address in addresses:
            try:
                # A numeric address: what is connected to is what was judged, whatever the name says by now.
                return socket.create_connection((address, self.port), left)
            except OSError as problem:
                error = problem
        if isinstance(error, TimeoutError):
            raise ConnectTimeoutError(self, "The EHR did not take the connection in time.") from error
        raise NewConnectionError(self, "The EHR did not take the connection.") from error

    def request(self, *arguments: Any, **named: Any) -> None:
        call = _current.call
        if call is not None:
            call.uses(self)
            call.reused = self.sock is not None
        if self.sock is None:
            self.connect()
        else:
            self.sock.settimeout(self.timeout)
        if call is not None:
            call.began_to_leave = True
        super().request(*arguments, **named)


class _GuardedTls(_Guarded, HTTPSConnection):
    """The same over TLS; the certificate is checked against the name, not the address."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTls


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """A certificate with its chain and its private key, both PEM, that we show to an EHR which asks (mutual TLS)."""

    certificate: str
    private_key: str

    @property
    def fingerprint(self) -> str:
        """What tells one identity from another without showing it."""
        return hashlib.sha256(f"{self.certificate}\0{self.private_key}".encode()).hexdigest()

    def context(self) -> ssl.SSLContext:
        """Return a TLS context that shows the certificate; raises Refused when the two are not a pair."""
        context = create_urllib3_context()
        # The library reads certificates from files only: this one is ours alone and gone before the first call.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(f"{self.certificate.strip()}\n{self.private_key.strip()}\n")
            file.flush()
            try:
                context.load_cert_chain(file.name)
            except (ssl.SSLError, OSError):
                raise Refused("The client certificate and its key are not a pair, or not PEM.") from None
        return context


class _Adapter(HTTPAdapter):
    def __init__(self, identity: ClientIdentity | None, **named: Any) -> None:
        self._identity = identity
        super().__init__(**named)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **named: Any) -> None:
        if self._identity is not None:
            named["ssl_context"] = self._identity.context()
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


_sessions: dict[tuple[int, int, str, str], requests.Session] = {}
_sessions_lock = threading.Lock()


def session_for(connection_id: int, origin: str, identity: ClientIdentity | None = None) -> requests.Session:
    """Return this process's session to one EHR. Its pool is shared by all threads; it keeps no cookies."""
    key = (os.getpid(), connection_id, origin, identity.fingerprint if identity else "")
    with _sessions_lock:
        if key not in _sessions:
            _sessions[key] = _new_session(identity)
        return _sessions[key]


def _new_session(identity: ClientIdentity | None) -> requests.Session:
    session = requests.Session()
    # Neither a proxy nor a password from the environment may join a call with patient data.
    session.trust_env = False
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    adapter = _Adapter(identity, pool_connections=2, pool_maxsize=POOL_SIZE, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
