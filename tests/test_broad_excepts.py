"""Whatever is caught without a name says why in a comment, and leaves the class of what it caught in the log."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

PRODUCT = ("audit", "config", "integrations", "scheduling", "waitlist")
BROAD = {"Exception", "BaseException"}
#: The EHR for tries and tests is a program of its own, which answers a fault of its own with a 500.
APART = Path("integrations/ehr/sandbox")


def handlers() -> Iterator[tuple[str, ast.ExceptHandler, str]]:
    """Yield place, handler and text of every broad except."""
    root = Path(settings.BASE_DIR)
    for path in sorted(each for layer in PRODUCT for each in (root / layer).rglob("*.py")):
        place = path.relative_to(root)
        if place.is_relative_to(APART):
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node):
                lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
                yield f"{place}:{node.lineno}", node, "\n".join(lines)


def _is_broad(node: ast.ExceptHandler) -> bool:
    if node.type is None:
        return True
    named = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(isinstance(each, ast.Name) and each.id in BROAD for each in named)


def _goes_on_as_it_came(node: ast.ExceptHandler) -> bool:
    return isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None


def test_each_says_why_and_names_what_it_caught() -> None:
    wrong = []
    for place, node, text in handlers():
        if _goes_on_as_it_came(node):
            continue
        if "# " not in text:
            wrong.append(f"{place}: no comment says why anything at all is caught")
        if "logger." not in text or "type(error).__name__" not in text:
            wrong.append(f"{place}: the class of the error is not logged")
    assert wrong == []


@pytest.mark.parametrize("layer", PRODUCT)
def test_nothing_is_suppressed_whatever_it_is(layer: str) -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in (Path(settings.BASE_DIR) / layer).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "suppress"
        and any(isinstance(each, ast.Name) and each.id in BROAD for each in node.args)
    ]
    assert found == []


def test_the_search_finds_what_it_looks_for() -> None:
    assert len(list(handlers())) > 10
