"""The product as separate processes on the test database, each of which a test may kill.

With a Redis broker: one web server, Celery workers and beat, each a process of its own. With the broker in memory: the
embedded process, which is all of them at once.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import requests
from django.conf import settings
from django.db import connection
from django.utils import timezone

from integrations.models import Heartbeat

ROOT = Path(settings.BASE_DIR)
#: How long a process may take until it is at work: a minute is no rarity where many share a machine's cores.
START_SECONDS = 150
#: So much of the end of each log is shown when a process does not come up.
LOG_CHARACTERS = 2000
Found = TypeVar("Found")


def wait_for(look: Callable[[], Found | None], what: str, seconds: float = 90) -> Found:
    """Return the first thing ``look`` finds; fails the test by name when nothing comes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} seconds")


def free_port() -> int:
    """A port nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_url() -> str:
    """The test database's address, for processes that read it from their environment."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    user, password = quote(database["USER"] or ""), quote(database["PASSWORD"] or "")
    who = f"{user}:{password}@" if password else f"{user}@"
    return f"postgres://{who}{database['HOST'] or '127.0.0.1'}:{database['PORT'] or 5432}/{database['NAME']}"


class Stack:
    """Starts, kills and stops the product's processes. ``url`` is the web server's address."""

    def __init__(self, log_directory: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._logs = log_directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        #: When the last process was killed, and since when another worker is there: how long its start takes is the
        #: machine's affair.
        self.killed_at = self.replaced_at = timezone.now()
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": database_url(),
            "PUBLIC_BASE_URL": self.url,
            **environment,
        }

    @property
    def is_embedded(self) -> bool:
        """Whether web, worker and beat are one process over a broker in memory."""
        return settings.CELERY_BROKER_URL.startswith("memory:")

    def use(self, **environment: str) -> None:
        """Set variables for every process that starts from now on."""
        self._environment.update(environment)

    def start(self) -> None:
        """Start everything and wait until the web server answers."""
        self.start_web()
        self.start_workers()

    def start_web(self) -> None:
        """Start the web server (embedded: everything)."""
        if self.is_embedded:
            self._spawn("web", "manage.py", "embedded", "--port", str(self.port))
        else:
            bind = ("--bind", f"127.0.0.1:{self.port}", "--workers", "2", "--threads", "8", "--log-level", "warning")
            self._spawn("web", "-m", "gunicorn", "config.wsgi:application", *bind)
        self._wait_for(self._answers, "the web server's first answer")

    def start_workers(self) -> None:
        """Start the worker and beat; nothing to do when they live in the web server's process."""
        if self.is_embedded:
            return
        celery = ("-m", "celery", "-A", "config.celery")
        self._spawn("worker", *celery, "worker", "-c", "2", "-l", "warning", "--without-gossip", "--without-mingle")
        self._spawn("beat", *celery, "beat", "-l", "warning", "--schedule", str(self._logs / "beat"))

    def kill(self, name: str) -> None:
        """SIGKILL a process and its children; ``worker`` is the whole process where everything is embedded."""
        self.killed_at = timezone.now()
        process = self._running.pop("web" if self.is_embedded else name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self, name: str) -> None:
        """Start again what :meth:`kill` killed, and wait until a worker is at work again."""
        killed_at = self.killed_at
        if self.is_embedded or name == "web":
            self.start_web()
        else:
            if "beat" in self._running:
                self.kill("beat")
            self.start_workers()
        if name == "worker":
            self.killed_at = killed_at
            sweeps = Heartbeat.objects.filter(name="sweep", at__gt=timezone.now()).values_list("at", flat=True)
            self.replaced_at = self._wait_for(sweeps.first, "the first sweep of another worker")

    def stop(self) -> None:
        """End every process at once: what they leave undone is nobody's any more."""
        for name in list(self._running):
            self.kill(name)

    def said(self) -> str:
        """Everything the processes wrote to their logs."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._logs.glob("*.log")))

    def _wait_for(self, look: Callable[[], Found | None], what: str) -> Found:
        """Wait for what shows that a process is up; when it does not come, its logs say why."""
        try:
            return wait_for(look, what, START_SECONDS)
        except AssertionError as error:
            for path in sorted(self._logs.glob("*.log")):
                error.add_note(f"--- {path.name}: {path.read_text(errors='replace')[-LOG_CHARACTERS:]}")
            raise

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=1).ok
        except requests.RequestException:
            return False

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self._logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
