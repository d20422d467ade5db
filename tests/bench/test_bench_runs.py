"""The benchmarks run: small sizes, on servers of their own, with the answers checked against the oracles."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings

pytestmark = pytest.mark.process


def test_matching_runs_on_servers_of_its_own_and_finds_the_right_ten() -> None:
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}

    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--only", "matching", "--rounds", "1"],
        cwd=settings.BASE_DIR,
        env=clean,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok: 3,000 waiting: the same as judging everybody in Python" in done.stdout
    assert "WRONG" not in done.stdout
