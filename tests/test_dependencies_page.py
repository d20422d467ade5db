"""docs/dependencies.md says what each package is for; the lock files name hashes and no address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ASKED_FOR = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]


@pytest.mark.parametrize("asked_for", ASKED_FOR)
def test_each_package_has_its_line(asked_for: str) -> None:
    named = re.split(r"[\[<>=!~; ]", asked_for)[0]
    lines = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8").splitlines()
    first_cells = [line.split("|")[1] for line in lines if line.startswith("|")]
    found = re.compile(rf"(?<![\w-]){re.escape(named)}(?![\w-])", re.IGNORECASE)
    assert [cell for cell in first_cells if found.search(cell)], f"{named} is not explained"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_names_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    packages = re.findall(r"^[A-Za-z0-9][\w.-]*(?:\[[\w,-]+\])?==\S+.*(?:\\)$", text, re.MULTILINE)
    pinned = re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)
    assert len(packages) == len(pinned) > 50
    assert text.count("--hash=sha256:") >= len(packages)
