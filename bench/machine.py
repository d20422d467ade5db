"""What kind of machine this is, without its name or its paths."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

SHOWN = ("Django", "djangorestframework", "celery", "redis", "psycopg", "gunicorn", "requests")


def described() -> list[tuple[str, str]]:
    """Return pairs of what and which, for the head of the results."""
    return [
        ("processor", f"{os.cpu_count()} cores, {_processor()}"),
        ("memory", f"{_memory_gib():.0f} GiB"),
        ("system", f"{platform.system()} {platform.release().split('-')[0]}"),
        ("Python", platform.python_version()),
        ("packages", ", ".join(f"{name} {version(name)}" for name in SHOWN)),
    ]


def load_average() -> float:
    """Return how many processes wanted to run over the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
