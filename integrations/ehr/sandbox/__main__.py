"""Command line: ``python -m integrations.ehr.sandbox --port 8901 --database sandbox.sqlite3 --seed-clinic``."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import sys
import threading
from datetime import date
from pathlib import Path
from types import FrameType

from .dialects import DIALECTS
from .server import SandboxServer
from .settings import SandboxSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT. Returns the exit code."""
    options = _parser().parse_args(arguments)
    settings = _settings(options)
    if not _set_logins(settings, options):
        return 1
    _warn_of_open_door(settings)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        server = SandboxServer(settings)
    except OSError as error:
        print(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Choose another --port.",
            file=sys.stderr,
        )
        return 1
    with server:
        print(f"sandbox EHR ready at {server.base_url}", flush=True)
        stopping.wait()
    return 0


def _settings(options: argparse.Namespace) -> SandboxSettings:
    settings = SandboxSettings(
        host=options.host,
        port=options.port,
        database=options.database,
        dialect=options.dialect,
        control_token=options.control_token,
        token_seconds=options.token_seconds,
        rate_limit=options.rate_limit,
        retry_after_is_date=options.retry_after_date,
        gather_seconds=options.gather_seconds,
        hold_seconds=options.hold_seconds,
        token_requests=options.token_requests,
        granted_scopes=options.grant,
        is_discoverable=not options.no_discovery,
        deletes_told=options.tell_deletes,
        certificate=options.certificate,
        certificate_key=options.certificate_key,
        client_ca=options.client_ca,
        clinic_seeded=options.seed_clinic,
        today=options.today,
        requests_printed=options.verbose,
    )
    if options.client_id:
        settings.client_id = options.client_id
    return settings


def _set_logins(settings: SandboxSettings, options: argparse.Namespace) -> bool:
    """Secret and keys of the client. False, with the reason printed, when its keys cannot be read."""
    settings.client_secret = options.client_secret
    if options.client_jwks.startswith(("http://", "https://")):
        settings.client_keys_url = options.client_jwks
    elif options.client_jwks:
        try:
            settings.client_keys = json.loads(Path(options.client_jwks).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            print(f"The keys in {options.client_jwks} cannot be read: {error}.", file=sys.stderr)
            return False
    if not settings.client_secret and not settings.client_has_keys:
        print("No client secret is set: nobody can log in. Set SANDBOX_CLIENT_SECRET.", file=sys.stderr)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m integrations.ehr.sandbox", description="A FHIR R4 EHR for training and tests."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8901, help="0 picks a free port")
    parser.add_argument("--database", default=":memory:", help="path of the SQLite file, or :memory:")
    parser.add_argument("--dialect", choices=DIALECTS, default="plain", help="whose form of FHIR is spoken")
    parser.add_argument("--seed-clinic", action="store_true", help="fill an empty database with the synthetic clinic")
    parser.add_argument("--today", type=date.fromisoformat, default=None, help="the day the clinic is built around")
    parser.add_argument("--client-id", default=os.environ.get("SANDBOX_CLIENT_ID", ""))
    parser.add_argument(
        "--client-secret", default=os.environ.get("SANDBOX_CLIENT_SECRET", ""), help="better: SANDBOX_CLIENT_SECRET"
    )
    parser.add_argument(
        "--control-token", default=os.environ.get("SANDBOX_CONTROL_TOKEN", ""), help="better: SANDBOX_CONTROL_TOKEN"
    )
    parser.add_argument("--client-jwks", default="", help="the client's public keys: an address, or a file with a JWKS")
    parser.add_argument("--grant", default="", metavar="SCOPES", help="all that a token can be good for, and enforced")
    parser.add_argument("--token-seconds", type=int, default=300)
    parser.add_argument("--token-requests", type=int, default=None, help="how many requests a token is good for")
    parser.add_argument("--hold-seconds", type=int, default=600, help="how long a held time is kept (argonaut)")
    parser.add_argument("--rate-limit", type=int, default=None, help="requests per minute, of all clients together")
    parser.add_argument("--retry-after-date", action="store_true", help="say when to come again as a date")
    parser.add_argument("--no-discovery", action="store_true", help="no .well-known/smart-configuration")
    parser.add_argument(
        "--gather-seconds", type=float, default=0, help="gather events of a topic into one notification for so long"
    )
    parser.add_argument("--tell-deletes", action="store_true", help="notify deletes to subscriptions by criteria")
    parser.add_argument("--certificate", default="", help="PEM file: answer by https only")
    parser.add_argument("--certificate-key", default="", help="PEM file, when the key is not in the certificate's")
    parser.add_argument("--client-ca", default="", help="PEM file: only clients with a certificate of this authority")
    parser.add_argument(
        "--print-ready", action="store_true", help="accepted for scripts; the ready line is always printed"
    )
    parser.add_argument("--verbose", action="store_true", help="print each request, without its query")
    return parser


def _warn_of_open_door(settings: SandboxSettings) -> None:
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if not loopback and not settings.certificate:
        print(
            f"Warning: {settings.host} can be reached from other machines, without TLS. Keep real patients out.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(main())
