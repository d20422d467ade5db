"""YAML from outside: plain mappings, lists and text, each with the line it stands on, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MOST_BYTES = 512 * 1024
MOST_NODES = 60_000
DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file, and on which line, counted from 1."""

    line: int
    says: str


class NotYaml(ValueError):
    """The text is not YAML that we take."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.says)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its line. ``value`` is a dict of Nodes by key, a list of Nodes, text, or None for nothing."""

    line: int
    value: Any
    doubled: tuple[tuple[int, str], ...] = ()

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys and values of a mapping, none of anything else."""
        yield from self.value.items() if isinstance(self.value, dict) else ()


def read(body: bytes) -> Node:
    """Return what ``body`` says, every scalar as the text that was written; raises NotYaml.

    Aliases, anchors and tags are refused: a file that needs none of them cannot be a bomb.
    """
    if len(body) > MOST_BYTES:
        raise NotYaml(Problem(1, f"The file is larger than {MOST_BYTES // 1024} kB."))
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotYaml(Problem(body.count(b"\n", 0, error.start) + 1, "This is not UTF-8.")) from None
    try:
        _measure(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        says = f"This cannot be read: {error.problem or 'it is no YAML'}."
        raise NotYaml(Problem(_line(mark), says)) from None
    except yaml.YAMLError:
        raise NotYaml(Problem(1, "The file holds characters that YAML does not allow.")) from None
    return _node(root) if root is not None else Node(1, None)


def _measure(text: str) -> None:
    """Walk the file once without building anything."""
    depth = count = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if refused := _refused(event):
            raise NotYaml(Problem(_line(event.start_mark), refused))
        if isinstance(event, yaml.DocumentStartEvent) and count:
            raise NotYaml(Problem(_line(event.start_mark), "A second document begins here; one is taken."))
        count += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST or count > MOST_NODES:
            says = "It is nested too deeply." if depth > DEEPEST else "The file holds too many values."
            raise NotYaml(Problem(_line(event.start_mark), says))


def _refused(event: Any) -> str:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        return "Anchors and aliases (& and *) are not taken. Write the value out."
    return "Tags (!) are not taken. Write the plain value." if getattr(event, "tag", None) else ""


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark is not None else 1


def _node(raw: yaml.Node) -> Node:
    line = raw.start_mark.line + 1
    if isinstance(raw, yaml.ScalarNode):
        return Node(line, None if raw.tag == "tag:yaml.org,2002:null" else raw.value)
    if isinstance(raw, yaml.SequenceNode):
        return Node(line, [_node(each) for each in raw.value])
    found: dict[str, Node] = {}
    doubled = []
    for key, value in raw.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else ""
        if name in found:
            doubled.append((key.start_mark.line + 1, name))
        inner = _node(value)
        found[name] = Node(key.start_mark.line + 1, inner.value, inner.doubled)
    return Node(line, found, tuple(doubled))
