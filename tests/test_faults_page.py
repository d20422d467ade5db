"""docs/faults.md names tests that exist, and each fault once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.conf import settings

TESTS = Path(__file__).parent
PAGE = Path(settings.BASE_DIR) / "docs/faults.md"
QUOTED = re.compile(r"`([^`]*)`")
NAMED = re.compile(r"^(?P<file>[\w/]+\.py)?(?:::(?P<test>test_\w+))?$")
NUMBERED = re.compile(r"^\| (\d+) \|")


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if set(line) - set("|- ")]


def shown_by() -> Iterator[tuple[str, str]]:
    """Yield file and test of each name in the last column; the test is empty where the whole file is named."""
    for row in rows():
        file = ""
        for quoted in QUOTED.findall(row[-1]):
            found = NAMED.match(quoted)
            assert found, f"{quoted} is no name of a test"
            file = found["file"] or file
            yield file, found["test"] or ""


@cache
def names_in(file: str) -> frozenset[str]:
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef))


def test_every_test_it_names_exists() -> None:
    named = list(shown_by())
    missing = [f"{file}::{test}" for file, test in named if not names_in(file) or (test and test not in names_in(file))]
    assert missing == []
    assert len(named) > 100


def test_every_fault_has_its_tests_and_its_number_once() -> None:
    assert [row[1] for row in rows() if row[-1] != "Shown by" and not QUOTED.search(row[-1])] == []
    numbers = [int(found[1]) for line in PAGE.read_text("utf-8").splitlines() if (found := NUMBERED.match(line))]
    assert numbers == sorted(set(numbers))
    assert {6, *range(9, 19), 31, 32, 34, 36, 37, *range(38, 55), 61, 63, 65} <= set(numbers)
