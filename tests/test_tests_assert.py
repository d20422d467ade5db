"""A test that asserts nothing cannot fail for what it is named after."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent
#: Calls that fail a test by themselves; besides whatever begins with ``assert`` or ``django_assert``.
FAILING = {"raises", "fail", "warns"}


def test_every_test_asserts_something() -> None:
    silent, seen = [], 0
    for path in sorted(ROOT.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        helpers = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _has_assert(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                seen += 1
                if not _has_assert(node) and not _calls(node) & (FAILING | helpers):
                    silent.append(f"{path.relative_to(ROOT)}::{node.name}")
    assert silent == []
    assert seen > 1000


def _has_assert(node: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Assert) for each in ast.walk(node)) or any(
        name.startswith(("assert", "django_assert")) for name in _calls(node)
    )


def _calls(node: ast.FunctionDef) -> set[str]:
    calls = (each.func for each in ast.walk(node) if isinstance(each, ast.Call))
    return {str(getattr(each, "attr", getattr(each, "id", ""))) for each in calls}
