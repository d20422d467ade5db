"""All that is mapped at one connection as a YAML file for version control, and back. It holds no patient, no secret."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from integrations import mapping, mapping_state, meanings, yaml_nodes
from integrations.field_mapping import PathKind
from integrations.fields import FIELDS, Transform
from integrations.mapping_state import MISSING_REASON, Impossible, Key, State
from integrations.models import CodeMapping, Connection
from integrations.yaml_nodes import Node, NotYaml, Problem
from scheduling.models import Location, Provider

Domain = CodeMapping.Domain
#: What YAML does not take as it is, and what turns the writing after it around.
_HIDDEN = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_PLAIN = re.compile(r"[a-z][a-z0-9_]*")
#: What YAML reads as something else than text.
_SPECIAL = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})

_HEADER = """\
# What the codes and fields of an EHR mean here. Edit, keep under version control, import again: the differences are
# shown before anything changes, and an import can be undone.
#
# codes: "means" is empty for a code that nobody mapped yet; "location" only where it means something else there.
#   A code that is taken out of the file loses its meaning. A section that is taken out stays as it is.
# fields: "owner" is ehr or practice; "transform" is one of {transforms}.
#   A field that is taken out of the file goes back to its usual place.
"""


@dataclass(slots=True)
class File:
    """What a file says: the values it wants, the line of each, and every problem in it."""

    wanted: State = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


# --- writing ----------------------------------------------------------------------------------------------------------


def write(connection: Connection) -> str:
    """Return the file of a connection; the same mappings always give the same text."""
    state, names = mapping_state.current(connection), _Names()
    displays = dict(_displays(connection))
    lines = [_HEADER.format(transforms=", ".join(Transform.values)), "version: 1"]
    lines += [f"connection: {_text(connection.slug)}", "", "settings:", f"  missing_reason: {state[MISSING_REASON]}"]
    lines += ["", "codes:"]
    for domain in Domain.values:
        keys = sorted(key for key in state if key[0] == "code" and key[1] == domain)
        lines.append(f"  {domain}:" if keys else f"  {domain}: []")
        for key in keys:
            _, _, system, code, place = key
            comment = f"  # {shown}" if (shown := displays.get(key, "")) else ""
            lines.append(f"    - code: {_text(code)}{comment}")
            if system:
                lines.append(f"      system: {_text(system)}")
            if place:
                lines.append(f"      location: {_text(names.location(place))}")
            lines.append(f"      means: {_text(names.target(domain, state[key])) if state[key] else ''}".rstrip())
    lines += ["", "fields:"]
    for each in FIELDS.values():
        lines.append(f"  {each.key}:  # {each.label}")
        if not each.fixed:
            lines.append(f"    owner: {state['owner', each.key]}")
        for kind in PathKind.values:
            value = state["path", each.key, kind]
            lines += [f"    {kind}:", f"      path: {_text(value['path'])}", f"      transform: {value['transform']}"]
    return "\n".join(lines) + "\n"


def _displays(connection: Connection) -> Iterator[tuple[Key, str]]:
    rows = CodeMapping.objects.filter(connection=connection).exclude(display="")
    for domain, system, code, place, display in rows.values_list("domain", "system", "code", "location_id", "display"):
        # A comment has no escapes: what is not to be seen in it would make the file unreadable, or read otherwise.
        shown = "".join(filter(str.isprintable, " ".join(display.split())))
        yield ("code", domain, system, code, str(place or "")), shown[:80]


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value not in _SPECIAL:
        return value
    # JSON's way of writing text is YAML's too, but for characters that YAML does not take as they are.
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


class _Names:
    """Our places and clinicians by name, by ``#key`` where two have the same."""

    def __init__(self) -> None:
        self._named = {
            Domain.LOCATION.value: _unique(Location.objects.values_list("pk", "name")),
            Domain.PROVIDER.value: _unique(Provider.objects.values_list("pk", "name")),
        }

    def location(self, key: str) -> str:
        return self._named[Domain.LOCATION].get(key, f"#{key}")

    def target(self, domain: str, target: str) -> str:
        return self._named[domain].get(target, f"#{target}") if domain in self._named else target

    def key_of(self, domain: str, name: str) -> str:
        """Return the key a name stands for; raises Impossible, with the nearest name."""
        known = {shown: key for key, shown in self._named[domain].items()}
        if name in known:
            return known[name]
        number = name.removeprefix("#")
        if name.startswith("#") and number.isascii() and number.isdigit() and number in self._named[domain]:
            return number
        raise Impossible(f"There is no {Domain(domain).label} “{name}”.{_nearest(name, known)}")


def _unique(rows: Collection[tuple[int, str]]) -> dict[str, str]:
    rows = list(rows)
    often = Counter(name for _, name in rows)
    return {str(pk): name if often[name] == 1 else f"#{pk}" for pk, name in rows}


def _nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean “{close[0]}”?" if close else ""


# --- reading ----------------------------------------------------------------------------------------------------------


def read(body: bytes, connection: Connection) -> File:
    """Return what a file wants of a connection. It is to be applied only when it has no problems."""
    file = File()
    try:
        root = yaml_nodes.read(body)
    except NotYaml as error:
        file.problems.append(error.problem)
        return file
    _Reading(file, connection).root(root)
    file.problems.sort(key=lambda problem: problem.line)
    return file


class _Reading:
    def __init__(self, file: File, connection: Connection) -> None:
        self._file, self._connection, self._names = file, connection, _Names()
        self._named_first = mapping.originals(connection)

    def _problem(self, node: Node, says: str) -> None:
        self._file.problems.append(Problem(node.line, says))

    def root(self, root: Node) -> None:
        found = self._parts(root, ("version", "connection", "settings", "codes", "fields"), "the file")
        if found is None:
            return
        if (version := found.get("version")) is None or version.value != "1":
            self._problem(version or root, "This is version 1 of the file: write “version: 1” on top.")
        slug = found.get("connection")
        if slug is None or slug.value != self._connection.slug:
            self._problem(slug or root, f"The file must name this connection: “connection: {self._connection.slug}”.")
        if "settings" in found:
            self._settings(found["settings"])
        if "codes" in found:
            self._codes(found["codes"])
        if "fields" in found:
            self._fields(found["fields"])

    def _settings(self, node: Node) -> None:
        found = self._parts(node, ("missing_reason",), "settings") or {}
        if "missing_reason" in found:
            self._want(MISSING_REASON, self._scalar(found["missing_reason"]), found["missing_reason"])

    def _codes(self, node: Node) -> None:
        found = self._parts(node, Domain.values, "codes")
        if found is None:
            return
        for key in mapping_state.current(self._connection):
            if key[0] == "code" and key[1] in found:
                self._file.wanted[key] = ""
        told: set[Key] = set()
        for domain, rows in found.items():
            if rows.value is not None and not isinstance(rows.value, list):
                self._problem(rows, f"{domain} is a list: each code begins with “- code:”.")
                continue
            for row in rows.value or ():
                self._code(domain, row, told)

    def _code(self, domain: str, node: Node, told: set[Key]) -> None:
        found = self._parts(node, ("code", "system", "location", "means"), "a code")
        if found is None:
            return
        code = self._scalar(found["code"]) if "code" in found else ""
        system = self._scalar(found["system"]) if "system" in found else ""
        if not meanings.Key(domain, system, code).can_be_kept:
            self._problem(found.get("code", node), "A code needs “code:” of at most 120 characters.")
            return
        try:
            place = self._named(Domain.LOCATION, found.get("location"))
            meant = found.get("means", node)
            target = self._scalar(meant) if "means" in found else ""
            if target and domain in (Domain.LOCATION, Domain.PROVIDER):
                target = self._names.key_of(domain, target)
                target = "" if target == self._named_first.get((domain, code)) else target
        except Impossible as problem:
            self._problem(found.get("location") or found.get("means") or node, str(problem))
            return
        key: Key = ("code", domain, system, code, place)
        if key in told:
            self._problem(node, f"The code “{code}” stands in the file twice.")
        told.add(key)
        self._want(key, target, meant)

    def _named(self, domain: str, node: Node | None) -> str:
        name = self._scalar(node) if node is not None else ""
        return self._names.key_of(domain, name) if name else ""

    def _fields(self, node: Node) -> None:
        found = self._parts(node, FIELDS, "fields")
        if found is None:
            return
        for field_, declared in FIELDS.items():
            keys: list[Key] = [("path", field_, kind) for kind in PathKind.values]
            keys += [] if declared.fixed else [("owner", field_)]
            self._file.wanted |= {key: mapping_state.nothing(key) for key in keys}
        for name, each in found.items():
            parts = self._parts(each, ("owner", *PathKind.values), name) or {}
            if "owner" in parts:
                owner = self._scalar(parts["owner"])
                if not (FIELDS[name].fixed and owner == "ehr"):
                    self._want(("owner", name), owner, parts["owner"])
            for kind in PathKind.values:
                if kind in parts:
                    self._path(name, kind, parts[kind])

    def _path(self, name: str, kind: str, node: Node) -> None:
        parts = self._parts(node, ("path", "transform"), kind) or {}
        value = mapping_state.usual(FIELDS[name], kind)
        value |= {part: self._scalar(each) for part, each in parts.items()}
        self._want(("path", name, kind), value, parts.get("path", node))

    def _parts(self, node: Node, known: Collection[str], where: str) -> dict[str, Node] | None:
        """Return the parts of a mapping that are known; anything else is a problem."""
        if not isinstance(node.value, dict):
            self._problem(node, f"Here {where} should hold {', '.join(known)}, each on a line of its own.")
            return None
        for line, name in node.doubled:
            self._file.problems.append(Problem(line, f"“{name}” stands here twice."))
        for name, each in node.items():
            if name not in known:
                self._problem(each, f"“{name}” is not known in {where}.{_nearest(name, known)}")
        return {name: each for name, each in node.items() if name in known}

    def _scalar(self, node: Node) -> str:
        if isinstance(node.value, dict | list):
            self._problem(node, "One value belongs here.")
            return ""
        return str(node.value or "").strip()

    def _want(self, key: Key, value: object, node: Node) -> None:
        try:
            mapping_state.check(key, value)
        except Impossible as problem:
            self._problem(node, str(problem))
            return
        self._file.wanted[key], self._file.lines[key] = value, node.line
