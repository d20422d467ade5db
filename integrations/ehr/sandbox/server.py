"""Sockets: HTTP/1.1 with keep-alive, and the ways a connection can break."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import select
import socket
import ssl
import struct
import sys
import threading
from email.utils import formatdate
from http.client import responses as reasons
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .application import Application
from .messages import FHIR_JSON, Delivery, Request, Response, json_response
from .outcomes import operation_outcome
from .settings import BODY_LIMIT_BYTES, SandboxSettings

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?")
_IDLE_SECONDS = 75


class _Sockets(ThreadingHTTPServer):
    """Remembers its connections, so that stopping ends them and a reset can be told from a good close."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        self.application = application
        self._tls = _tls_context(application.settings)
        self.open_connections: set[socket.socket] = set()
        self.reset_connections: set[socket.socket] = set()
        super().__init__(address, Handler)

    def get_request(self) -> tuple[Any, Any]:
        """A connection. Its TLS handshake waits for the connection's own thread: a slow client must not hold others."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open_connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open_connections.discard(request)
        if request in self.reset_connections:
            # No orderly end first: with this linger setting close() alone sends a RST.
            self.reset_connections.discard(request)
            request.close()
            return
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)

    def end_connections(self) -> None:
        for connection in list(self.open_connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Reads one request at a time and writes its answer in one piece."""

    protocol_version = "HTTP/1.1"
    server_version = "SandboxEHR"
    sys_version = ""
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _Sockets

    def _handle(self) -> None:
        body = self._read_body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        request = Request(
            self.command,
            path,
            query,
            self.headers,
            body,
            self._base_url(),
            self._client_is_loopback(),
            self._client_has_left,
        )
        self._send(self.server.application.answer(request))

    # The names are those that http.server looks for.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle  # noqa: N815

    def _read_body(self) -> bytes | None:
        """The body, or None when it was refused and the refusal has been sent."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            self._refuse(411, "A Content-Length is needed.")
            return None
        if not length.isdigit():
            self._refuse(400, "Content-Length is not a number.")
            return None
        if int(length) > BODY_LIMIT_BYTES:
            self._refuse(413, f"The body is larger than {BODY_LIMIT_BYTES} bytes.")
            return None
        if self.headers.get("Expect", "").casefold() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _refuse(self, status: int, text: str) -> None:
        self.close_connection = True
        self._send(
            json_response(status, operation_outcome("too-long" if status == 413 else "structure", text), FHIR_JSON)
        )

    def _send(self, response: Response) -> None:
        if self.server.application.settings.requests_printed:
            print(self.command, self.path.partition("?")[0], response.status, response.fault, file=sys.stderr)
        if response.delivery is Delivery.RESET:
            self._reset()
            return
        body = b"" if self.command == "HEAD" or response.status in (204, 304) else response.body
        head = [
            f"HTTP/1.1 {response.status} {reasons.get(response.status, 'Unknown')}",
            f"Date: {formatdate(usegmt=True)}",
        ]
        if response.status not in (204, 304):
            head.append(f"Content-Length: {len(response.body)}")
        if response.body:
            head.append(f"Content-Type: {response.content_type}")
        head += [f"{name}: {value}" for name, value in response.headers.items()]
        if response.delivery is Delivery.CUT:
            self.close_connection = True
            body = body[: len(body) // 2]
        if self.close_connection:
            head.append("Connection: close")
        # One write: a head and a body sent apart would wait for each other's acknowledgement.
        self.wfile.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1", "replace") + body)

    def _reset(self) -> None:
        self.close_connection = True
        self.server.reset_connections.add(self.connection)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _client_has_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            # The plain socket's own recv: an encrypted one cannot peek.
            return bool(readable) and socket.socket.recv(self.connection, 1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def _base_url(self) -> str:
        host = self.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            address = self.server.server_address
            host = f"{address[0]!s}:{address[1]}"
        return f"{self.server.application.settings.scheme}://{host}"

    def _client_is_loopback(self) -> bool:
        return ipaddress.ip_address(self.client_address[0]).is_loopback

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Malformed HTTP gets an OperationOutcome too."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or "GET"
        text = message or reasons.get(code, "Error")
        self._send(json_response(code, operation_outcome("structure", text), FHIR_JSON))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silence: addresses with query strings do not belong on a console."""


def _tls_context(settings: SandboxSettings) -> ssl.SSLContext | None:
    if not settings.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.certificate, settings.certificate_key or None)
    if settings.client_ca:
        context.load_verify_locations(settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class SandboxServer:
    """A running sandbox EHR; ``start`` returns when it listens."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.application = Application(settings)
        self._sockets = _Sockets((settings.host, settings.port), self.application)
        self.port: int = self._sockets.server_address[1]
        self.origin = f"{settings.scheme}://{settings.host}:{self.port}"
        self.base_url = f"{self.origin}/fhir"
        self.application.store.base_url = self.base_url
        self._thread = threading.Thread(
            target=self._sockets.serve_forever, args=(0.05,), name="sandbox-ehr", daemon=True
        )

    def start(self) -> SandboxServer:
        self.application.start()
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stops listening, ends open connections, closes the database."""
        self._sockets.shutdown()
        self._sockets.server_close()
        self._sockets.end_connections()
        self.application.stop()

    def __enter__(self) -> SandboxServer:
        return self.start()

    def __exit__(self, *details: object) -> None:
        self.stop()
