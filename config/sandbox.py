"""Starts and watches the sandbox EHR, which is a program of its own: the product talks to it by HTTP only."""

import contextlib
import logging
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

READY = re.compile(r"sandbox EHR ready at (https?://\S+)")
START_SECONDS = 60.0
STOP_SECONDS = 10.0
RESTART_SECONDS = 1.0

# The child ends when this process does, however it ends: the pipe to its standard input then closes. The module's own
# arguments follow in sys.argv.
TETHERED = """
import os, runpy, sys, threading
def tether():
    while os.read(0, 1024):
        pass
    os._exit(0)
threading.Thread(target=tether, daemon=True).start()
runpy.run_module("integrations.ehr.sandbox", run_name="__main__", alter_sys=True)
"""


class SandboxNotReady(RuntimeError):
    """The sandbox EHR ended or stayed silent instead of saying where it listens."""


class SandboxProcess:
    """A running sandbox EHR at `url`. When it dies it is started again on the same port and the same file."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self._stopping = threading.Event()
        self._addresses: queue.Queue[str | None] = queue.Queue()
        self._process = self._spawn(port=None)
        self.url = self._await_address()
        self._port = self.url.split("://", 1)[1].split("/", 1)[0].rsplit(":", 1)[-1]
        self._watch = threading.Thread(target=self._keep_running, name="sandbox watch", daemon=True)
        self._watch.start()

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._stopping.set()
        self._end()
        self._watch.join(STOP_SECONDS)

    def _spawn(self, port: str | None) -> "subprocess.Popen[str]":
        arguments = [*self._arguments, "--port", port] if port else self._arguments
        process = subprocess.Popen(  # noqa: S603  our own module with our own arguments
            [sys.executable, "-u", "-c", TETHERED, *arguments],
            cwd=settings.BASE_DIR,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            text=True,
        )
        threading.Thread(target=self._read, args=(process,), name="sandbox output", daemon=True).start()
        return process

    def _read(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            found = READY.search(line)
            if found:
                self._addresses.put(found.group(1).rstrip("/"))
            else:
                logger.debug("sandbox EHR: %s", line.rstrip())
        self._addresses.put(None)

    def _await_address(self) -> str:
        try:
            address = self._addresses.get(timeout=START_SECONDS)
        except queue.Empty:
            address = None
        if address is None:
            self._end()
            raise SandboxNotReady("the sandbox EHR did not start; the lines above are what it said")
        return address

    def _keep_running(self) -> None:
        while not self._stopping.is_set():
            self._process.wait()
            if self._stopping.wait(RESTART_SECONDS):
                return
            logger.warning("the sandbox EHR ended with code %s; starting it again", self._process.returncode)
            self._addresses = queue.Queue()
            self._process = self._spawn(port=self._port)
            if self._stopping.is_set():
                self._end()

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_sandbox(
    port: int = 0,
    database: Path | str | None = None,
    *,
    dialect: str = "plain",
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> SandboxProcess:
    """Start the sandbox EHR and wait until it listens; port 0 takes any free one. `dialect`: see its README.

    It gets none of the product's settings: only what a program needs to run, and `environment`. Raises SandboxNotReady.
    """
    path = Path(database or settings.VAR_DIR / "sandbox.sqlite3")
    path.parent.mkdir(parents=True, exist_ok=True)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ", "TMPDIR") if name in os.environ}
    return SandboxProcess(
        ["--database", str(path), "--port", str(port), "--dialect", dialect, *arguments],
        {**inherited, "PYTHONUNBUFFERED": "1", **(environment or {})},
    )
