"""The product's processes as an operator would run them, and the floor's web server beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import requests

from bench.environment import ROOT
from bench.servers import free_port

START_SECONDS = 60.0
#: The same for the product and for the floor.
WEB_WORKERS, WEB_THREADS = 2, 8
CELERY_PROCESSES = 2


class Process:
    """A program of ours and everything it starts."""

    def __init__(self, name: str, arguments: list[str], directory: Path, **environment: str) -> None:
        self.name = name
        self._log = directory / f"{name}-{free_port()}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the program itself, the root of its tree."""
        return self._process.pid

    @property
    def said(self) -> str:
        """What the program wrote."""
        return self._log.read_text(errors="replace")

    def await_(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready; raises RuntimeError with what it said when it is not."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            if ready():
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.name} did not start:\n{self.said[-4000:]}")

    def freeze(self) -> None:
        """Keep the whole tree from running, as it stands."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it and everything it started."""
        if self._process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            self.thaw()
            self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


class Web:
    """A gunicorn with threads; ``application`` is the product's or the floor's."""

    def __init__(self, name: str, application: str, directory: Path, database_url: str, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ["-m", "gunicorn", application, "--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread"]
        arguments += ["--workers", str(WEB_WORKERS), "--threads", str(WEB_THREADS), "--log-level", "warning"]
        # Between two rounds nobody calls; the caller's connections are to live through a round.
        arguments += ["--keep-alive", "30"]
        self.process = Process(
            name, arguments, directory, DATABASE_URL=database_url, PUBLIC_BASE_URL=self.url, **environment
        )
        self.process.await_(self._answers)

    def stop(self) -> None:
        """End the web server."""
        self.process.stop()

    def _answers(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz", timeout=1).status_code < 500
        return False


def product(directory: Path, database_url: str) -> Web:
    """Start the product's web server."""
    return Web("web", "config.wsgi:application", directory, database_url)


def floor(directory: Path, database_url: str) -> Web:
    """Start the floor's web server."""
    return Web(
        "floor",
        "bench.floors.wsgi:application",
        directory,
        database_url,
        DJANGO_SETTINGS_MODULE="bench.floors.settings",
    )


class Workers:
    """Celery's worker and beat."""

    def __init__(self, directory: Path, database_url: str, public_url: str) -> None:
        celery = ["-m", "celery", "-A", "config.celery"]
        worker = [*celery, "worker", "-c", str(CELERY_PROCESSES), "-l", "warning", "--without-gossip"]
        beat = [*celery, "beat", "-l", "warning", "--schedule", str(directory / "beat")]
        environment = {"DATABASE_URL": database_url, "PUBLIC_BASE_URL": public_url}
        self.processes = [
            Process("worker", [*worker, "--without-mingle"], directory, **environment),
            Process("beat", beat, directory, **environment),
        ]

    @property
    def said(self) -> str:
        """What worker and beat wrote."""
        return "\n".join(process.said for process in self.processes)

    def freeze(self) -> None:
        """Keep them from running; call it while nothing is due."""
        for process in self.processes:
            process.freeze()

    def thaw(self) -> None:
        """Let them go on."""
        for process in self.processes:
            process.thaw()

    def stop(self) -> None:
        """End both."""
        for process in self.processes:
            process.stop()
