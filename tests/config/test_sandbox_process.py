"""The sandbox EHR as a process: found at its address, brought back when it dies, gone when its parent is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from django.conf import settings

from config.sandbox import SandboxNotReady, start_sandbox

PATIENCE_SECONDS = 30.0

pytestmark = pytest.mark.process


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it becomes true while one may wait; the wait ends as soon as it does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/metadata", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def is_gone(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def test_a_killed_sandbox_comes_back_at_its_address(tmp_path: Path) -> None:
    sandbox = start_sandbox(
        database=tmp_path / "ehr.sqlite3", environment={"SANDBOX_CLIENT_SECRET": "only-for-this-test"}
    )
    try:
        assert answers(sandbox.url)
        first = sandbox.process_id
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: sandbox.process_id != first and answers(sandbox.url))
    finally:
        sandbox.stop()
    assert not sandbox.is_running
    assert not answers(sandbox.url)


def test_a_sandbox_that_cannot_start_is_an_error_and_leaves_no_process(tmp_path: Path) -> None:
    with pytest.raises(SandboxNotReady):
        start_sandbox(database=tmp_path, arguments=["--no-such-option"])


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import django, sys, time; django.setup()\n"
        "from config.sandbox import start_sandbox\n"
        f"sandbox = start_sandbox(database={str(tmp_path / 'ehr.sqlite3')!r})\n"
        "print(sandbox.process_id, sandbox.url, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    process_id, url = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    assert eventually(lambda: is_gone(int(process_id)))
    assert not answers(url)


def test_it_speaks_the_dialect_it_was_started_in(tmp_path: Path) -> None:
    sandbox = start_sandbox(
        database=tmp_path / "ehr.sqlite3",
        dialect="oracle",
        environment={"SANDBOX_CLIENT_SECRET": "only-for-this-test"},
    )
    try:
        statement = requests.get(f"{sandbox.url}/metadata", timeout=10).json()
    finally:
        sandbox.stop()
    assert statement["software"]["name"] == "Oracle Health Millennium (sandbox)"
