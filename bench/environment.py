"""The product's settings for a run, in this process and in those it starts, and the databases the run works on."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
import psycopg
from django.core.management import call_command
from django.db import connection, connections

from bench.servers import Servers, running

TEMPLATE = "bench_template"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every benchmark gets: servers, a directory of its own and how much to measure."""

    servers: Servers
    directory: Path
    rounds: int
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """Return a size: the full one, or the small one of a smoke test."""
        return quick if self.quick else full

    def database(self, name: str) -> str:
        """Make a migrated, empty database, connect this process to it and return its address."""
        connections.close_all()
        url = self.servers.create(name, TEMPLATE)
        use_database(name)
        self.servers.empty_broker()
        return url


@contextmanager
def surroundings(rounds: int, quick: bool, database_url: str, redis_url: str) -> Iterator[Surroundings]:
    """Start servers, configure Django in this process and make the migrated template; undo all of it afterwards."""
    made: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        with running(directory, database_url, redis_url) as servers:
            try:
                made.append(TEMPLATE)
                _configure(directory, servers.create(TEMPLATE), servers.redis_url)
                _migrate()
                yield Surroundings(servers, directory, rounds, quick)
            finally:
                _disconnect()
                if database_url:
                    for each in _databases(servers):
                        servers.drop(each)


def use_database(name: str) -> None:
    """Have this thread's Django work on another database of the same server."""
    wrapper = connections.create_connection("default")
    wrapper.settings_dict = {**wrapper.settings_dict, "NAME": name}
    connections["default"].close()
    connections["default"] = wrapper


def _configure(directory: Path, database_url: str, redis_url: str) -> None:
    """Set the environment that the product's settings are read from; nothing of the machine's own gets through."""
    os.environ.update(
        {
            "ENV_FILE": os.devnull,
            "APP_ENV": "embedded",
            "VAR_DIR": str(directory),
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": redis_url,
            "CACHE_URL": redis_url.replace("redis://", "rediscache://").rpartition("/")[0] + "/1",
            "SECRET_KEY": secrets.token_urlsafe(60),
            "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "BLIND_INDEX_KEY": secrets.token_urlsafe(48),
            "PUBLIC_BASE_URL": "http://127.0.0.1",
            "ALLOWED_HOSTS": "127.0.0.1",
            "EHR_ALLOW_PRIVATE_ADDRESSES": "true",
            "DJANGO_SETTINGS_MODULE": "bench.settings",
        }
    )
    django.setup()


def _migrate() -> None:
    # Models can only be imported once Django is set up.
    from bench.floors.models import FLOOR_MODELS  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        for model in FLOOR_MODELS:
            editor.create_model(model)


def _disconnect() -> None:
    connections.close_all()


def _databases(servers: Servers) -> list[str]:
    with psycopg.connect(servers.admin_url) as connection:
        found = connection.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'bench\_%'").fetchall()
    return [row[0] for row in found]
