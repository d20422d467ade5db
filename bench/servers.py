"""A PostgreSQL and a Redis for one run: our own from Debian's programs, or those of given addresses."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis

START_SECONDS = 30.0
PROGRAMS = "/usr/lib/postgresql"
#: Everything else is PostgreSQL's default: fsync, synchronous_commit and full_page_writes are on, so a commit is on
#: the disk when it returns.
OPTIONS = ("max_connections=200", "listen_addresses=127.0.0.1")
OWNER = "bench"


class ProgramMissing(RuntimeError):
    """A server cannot be started here; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are. ``postgres_pid`` is 0 where PostgreSQL is not our own."""

    admin_url: str
    redis_url: str
    postgres_pid: int

    def database_url(self, name: str) -> str:
        """Return the address of the database ``name`` on this server."""
        return urlsplit(self.admin_url)._replace(path=f"/{name}").geturl()

    def create(self, name: str, template: str = "template0") -> str:
        """Make the database anew, as a copy of ``template``, and return its address."""
        self.drop(name)
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" ENCODING \'UTF8\'')
        return self.database_url(name)

    def drop(self, name: str) -> None:
        """Remove the database, whoever is connected to it."""
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def empty_broker(self) -> None:
        """Forget messages that an earlier benchmark left for workers."""
        client = redis.Redis.from_url(self.redis_url)
        client.delete("celery")
        client.close()

    def versions(self) -> list[tuple[str, str]]:
        """Return the servers' versions and the settings that decide what a commit costs."""
        with psycopg.connect(self.admin_url) as connection:
            shown = {
                name: connection.execute(f"SHOW {name}").fetchone()[0]  # type: ignore[index]
                for name in ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
            }
        client = redis.Redis.from_url(self.redis_url)
        redis_version = client.info("server")["redis_version"]
        client.close()
        durable = ", ".join(f"{name} {value}" for name, value in shown.items() if name != "server_version")
        return [("PostgreSQL", f"{shown['server_version'].split()[0]} ({durable})"), ("Redis", str(redis_version))]

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running(directory: Path, database_url: str = "", redis_url: str = "") -> Iterator[Servers]:
    """Yield servers: the given ones, and our own for each address that is empty; ours end with the block."""
    started: list[tuple[subprocess.Popen[bytes], int]] = []
    try:
        postgres_pid = 0
        if not database_url:
            process, database_url, postgres_pid = _postgres(directory / "postgres")
            started.append((process, signal.SIGINT))
        if not redis_url:
            redis_process, redis_url = _redis(directory / "redis")
            started.append((redis_process, signal.SIGTERM))
        yield Servers(database_url, redis_url, postgres_pid)
    finally:
        for process, ending in reversed(started):
            _end(process, ending)


def free_port() -> int:
    """Return a port nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgres(directory: Path) -> tuple[subprocess.Popen[bytes], str, int]:
    programs = _postgres_programs()
    directory.mkdir()
    become = _database_owner(directory)
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        directory,
        "-U",
        OWNER,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
    ]
    subprocess.run(initdb, check=True, cwd="/", stdout=subprocess.DEVNULL, **become)
    port = free_port()
    settings = [part for option in (*OPTIONS, f"unix_socket_directories={directory}") for part in ("-c", option)]
    process = _spawn([programs / "postgres", "-D", directory, "-p", port, *settings], directory / "server.log", become)
    url = f"postgres://{OWNER}@127.0.0.1:{port}/postgres"
    _await(process, lambda: psycopg.connect(url, connect_timeout=1).close(), "PostgreSQL", directory / "server.log")
    return process, url, process.pid


def _redis(directory: Path) -> tuple[subprocess.Popen[bytes], str]:
    program = shutil.which("redis-server")
    if program is None:
        raise ProgramMissing(
            "There is no redis-server here. Install it (on Debian: apt-get install redis-server), or name a server "
            "with --redis-url."
        )
    directory.mkdir()
    port = free_port()
    process = _spawn(
        [program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory],
        directory / "server.log",
        {},
    )
    url = f"redis://127.0.0.1:{port}/0"
    _await(process, lambda: redis.Redis.from_url(url).ping(), "Redis", directory / "server.log")
    return process, url


def _postgres_programs() -> Path:
    found = sorted(Path(PROGRAMS).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise ProgramMissing(
            "There is no PostgreSQL server here. Install it (on Debian: apt-get install postgresql), or name a server "
            "where databases may be made with --database-url."
        )
    return found[-1].parent


def _database_owner(directory: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: there, Debian's own user for it runs it."""
    if os.geteuid() != 0:
        return {}
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise ProgramMissing("PostgreSQL does not run as root; run this as another user.") from None
    shutil.chown(directory, "postgres", "postgres")
    for parent in directory.parents[:1]:
        parent.chmod(0o755)
    return {"user": "postgres", "group": "postgres"}


def _spawn(arguments: Sequence[object], log: Path, become: dict[str, Any]) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(each) for each in arguments],
            cwd="/",
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us, who then end the servers in order.
            start_new_session=True,
            **become,
        )


def _await(process: subprocess.Popen[bytes], answers: Callable[[], object], name: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(psycopg.OperationalError, redis.ConnectionError):
            answers()
            return
        time.sleep(0.05)
    _end(process, signal.SIGKILL)
    raise RuntimeError(f"{name} did not start as {getpass.getuser()}:\n{log.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes], ending: int) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(ending)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
