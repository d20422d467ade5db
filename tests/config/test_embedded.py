"""The product in one process: it serves, it works in the background, and it stops."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.conf import settings as django_settings

SILENT_SECONDS = 30


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def start(tmp_path: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "VAR_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    environment = {
        name: value for name, value in environment.items() if name not in {"DATABASE_URL", "CELERY_BROKER_URL"}
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", "embedded", *arguments],
        cwd=django_settings.BASE_DIR,
        env={**environment, "DJANGO_SETTINGS_MODULE": "config.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_until(process: "subprocess.Popen[str]", pattern: str) -> list[str]:
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line.rstrip())
        if re.search(pattern, line):
            return lines
    raise AssertionError(f"ended before {pattern!r}: {lines} {process.stderr and process.stderr.read()}")


@pytest.mark.process
def test_it_serves_on_the_next_free_port_and_says_so_and_stops_on_a_signal(tmp_path: Path, taken_port: int) -> None:
    process = start(tmp_path, "--port", str(taken_port))
    try:
        said = lines_until(process, "Running at")
        assert said[0].startswith(f"Port {taken_port} is in use, so this runs on ")
        found = re.search(r"Running at (http://\S+)", said[-1])
        assert found
        ready = requests.get(f"{found[1]}/readyz", timeout=SILENT_SECONDS).json()
        assert (ready["status"], ready["database"]) == ("ok", "ok")
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=SILENT_SECONDS)
    finally:
        process.kill()
    assert rest.strip() == "Stopped."
    assert "Traceback" not in errors
    assert process.returncode == 0
