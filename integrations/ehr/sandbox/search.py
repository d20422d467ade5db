"""FHIR search parameters to SQL."""

# Statements are put together from fixed fragments; every value is a bound parameter.
# ruff: noqa: S608

from __future__ import annotations

import calendar
import re
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from .indexing import normalised, phone_digits, relative_reference
from .outcomes import FhirError
from .settings import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAXIMUM

_COMMON = {"_id": "token", "_lastUpdated": "date", "identifier": "token"}
_PERSON = {
    "family": "string",
    "given": "string",
    "name": "string",
    "birthdate": "date",
    "phone": "token",
    "email": "token",
    "gender": "token",
    "active": "token",
}
PARAMETERS: dict[str, dict[str, str]] = {
    "Patient": _COMMON | _PERSON,
    "Practitioner": _COMMON | _PERSON,
    "PractitionerRole": _COMMON | {"practitioner": "reference", "location": "reference", "active": "token"},
    "Location": _COMMON | {"name": "string", "status": "token"},
    "Schedule": _COMMON | {"actor": "reference", "active": "token"},
    "Slot": _COMMON | {"schedule": "reference", "schedule.actor": "reference", "start": "date", "status": "token"},
    "Appointment": _COMMON
    | {
        "date": "date",
        "status": "token",
        "actor": "reference",
        "patient": "reference",
        "practitioner": "reference",
        "location": "reference",
        "slot": "reference",
        "appointment-type": "token",
    },
    "Organization": _COMMON | {"name": "string", "active": "token"},
    "Coverage": _COMMON
    | {"patient": "reference", "beneficiary": "reference", "status": "token", "payor": "reference", "type": "token"},
    "Subscription": _COMMON | {"status": "token"},
}
_TARGETS = {
    "beneficiary": ["Patient"],
    "payor": ["Organization", "Patient", "RelatedPerson"],
    "patient": ["Patient"],
    "practitioner": ["Practitioner"],
    "location": ["Location"],
    "slot": ["Slot"],
    "schedule": ["Schedule"],
    "actor": ["Patient", "Practitioner", "Location"],
    "schedule.actor": ["Practitioner", "Location"],
}
_START_TYPES = {("Appointment", "date"), ("Slot", "start")}
_SELECTIVE = {"identifier", "patient", "beneficiary", "slot", "phone", "email", "birthdate", "family", "_id"}
_IGNORED = {"_format", "_pretty", "_total", "_cursor"}
_DATE = re.compile(r"(eq|ne|gt|ge|lt|le|sa|eb)?(\d{4}.*)")
_SORTS = {"_lastUpdated": "updated_ms", "date": "IFNULL(start_ms, -1)", "start": "IFNULL(start_ms, -1)", "_id": "key"}


@dataclass
class Search:
    """A search ready to run: ``conditions`` joined by AND over ``resources r``."""

    resource_type: str
    conditions: list[str] = field(default_factory=list)
    values: list[str | int] = field(default_factory=list)
    sort_column: str = "key"
    descending: bool = False
    page_size: int = PAGE_SIZE_DEFAULT
    count_only: bool = False
    unknown: list[str] = field(default_factory=list)
    criteria: int = 0
    is_selective: bool = False
    finds_deleted: bool = False

    def add(self, condition: str, *values: str | int) -> None:
        self.conditions.append(condition)
        self.values.extend(values)

    @property
    def where(self) -> str:
        # The plus keeps SQLite from walking the whole type when a term finds the few rows at once.
        own_type = "+r.type = ?" if self.is_selective else "r.type = ?"
        presence = [] if self.finds_deleted else ["r.deleted = 0"]
        return " AND ".join([own_type, *presence, *self.conditions])

    @property
    def arguments(self) -> list[str | int]:
        return [self.resource_type, *self.values]


def parse_search(resource_type: str, parameters: list[tuple[str, str]], known: dict[str, str] | None = None) -> Search:
    """Raises ``FhirError`` 400 for a value that cannot be understood; unknown names are collected, not refused.

    ``known`` are the parameters of a server that has fewer of them, by name, with their types.
    """
    search = Search(resource_type)
    kinds = PARAMETERS[resource_type] if known is None else known
    for name, value in parameters:
        base, _, modifier = name.partition(":")
        kind = kinds.get(base)
        if name in _IGNORED:
            continue
        if name == "_sort" and value.lstrip("-") == "_lastUpdated" and "_lastUpdated" not in kinds:
            search.unknown.append(name)
        elif name in ("_count", "_sort", "_summary"):
            _result_parameter(search, name, value)
        elif kind is None or not _modifier_is_known(kind, modifier):
            search.unknown.append(name)
        elif value:
            search.criteria += 1
            search.is_selective = search.is_selective or base in _SELECTIVE
            _CRITERIA[kind](search, base, modifier, _alternatives(value))
    return search


def check_needs(needs: tuple[tuple[str, ...], ...], parameters: list[tuple[str, str]]) -> None:
    """Raises ``FhirError`` 400 unless a search without ``_id`` has exactly one parameter of each group."""
    given = {name.partition(":")[0] for name, value in parameters if value}
    if "_id" in given:
        return
    for group in needs:
        if len(given.intersection(group)) != 1:
            wanted = f"{group[0]} is needed" if len(group) == 1 else f"exactly one of {', '.join(group)} is needed"
            raise FhirError(400, "required", f"This search cannot be done: {wanted}.")


def check_scope_of_search(scope: tuple[str, str] | None, parameters: list[tuple[str, str]]) -> None:
    """Raises ``FhirError`` unless the search names what it is to be done in: 400 for nothing, 403 for another."""
    if scope is None or scope in parameters:
        return
    if any(name == scope[0] for name, _ in parameters):
        raise FhirError(403, "forbidden", f"This application may not search with this {scope[0]}.")
    raise FhirError(400, "required", f"Could not determine what to search in. Add the `{scope[0]}` search parameter.")


def matching_keys(connection: sqlite3.Connection, search: Search, limit: int) -> list[int]:
    """Keys of the first matches, for conditional requests."""
    sql = f"SELECT r.key FROM resources r WHERE {search.where} LIMIT ?"
    return [row[0] for row in connection.execute(sql, [*search.arguments, limit])]


def _alternatives(value: str) -> list[str]:
    return [part.replace("\\,", ",").replace("\\|", "|") for part in re.split(r"(?<!\\),", value) if part]


def _modifier_is_known(kind: str, modifier: str) -> bool:
    if kind == "reference":
        return modifier in ("", "Patient", "Practitioner", "Location", "Organization")
    return modifier == "" or (kind == "string" and modifier == "exact")


def _result_parameter(search: Search, name: str, value: str) -> None:
    if name == "_count":
        if not value.isdigit():
            raise FhirError(400, "invalid", "_count must be a whole number.")
        search.page_size = min(int(value), PAGE_SIZE_MAXIMUM)
        search.count_only = search.count_only or search.page_size == 0
    elif name == "_summary":
        if value == "count":
            search.count_only = True
        elif value != "false":
            search.unknown.append(name)
    else:
        _sort(search, value)


def _sort(search: Search, value: str) -> None:
    first, *rest = value.split(",")
    column = _SORTS.get(first.lstrip("-"))
    supports_time = search.resource_type in ("Appointment", "Slot")
    if column is None or rest not in ([], ["_id"]) or (column.startswith("IFNULL") and not supports_time):
        search.unknown.append("_sort")
        return
    search.sort_column, search.descending = column, first.startswith("-")


def _token(search: Search, name: str, modifier: str, alternatives: list[str]) -> None:
    marks = ", ".join("?" * len(alternatives))
    if name == "_id":
        search.add(f"r.id IN ({marks})", *alternatives)
    elif name == "status":
        search.add(f"r.status IN ({marks})", *(value.rpartition("|")[2] for value in alternatives))
    else:
        if name == "phone":
            alternatives = [phone_digits(value) for value in alternatives]
        elif name == "email":
            alternatives = [value.casefold() for value in alternatives]
        _term(search, name, alternatives)


def _term(search: Search, name: str, values: list[str]) -> None:
    marks = ", ".join("?" * len(values))
    parameter = f"{search.resource_type}.{name}"
    search.add(f"r.key IN (SELECT key FROM terms WHERE parameter = ? AND value IN ({marks}))", parameter, *values)


def _reference(search: Search, name: str, modifier: str, alternatives: list[str]) -> None:
    targets = [modifier] if modifier else _TARGETS[name]
    values: list[str] = []
    for value in alternatives:
        values += [relative_reference(value)] if "/" in value else [f"{target}/{value}" for target in targets]
    _term(search, name, values)


def _string(search: Search, name: str, modifier: str, alternatives: list[str]) -> None:
    if modifier == "exact":
        _term(search, f"{name}:exact", alternatives)
        return
    ranges = " OR ".join(["(value >= ? AND value < ?)"] * len(alternatives))
    bounds = [bound for text in map(normalised, alternatives) for bound in (text, text + "\U0010ffff")]
    parameter = f"{search.resource_type}.{name}"
    search.add(f"r.key IN (SELECT key FROM terms WHERE parameter = ? AND ({ranges}))", parameter, *bounds)


def _date(search: Search, name: str, modifier: str, alternatives: list[str]) -> None:
    clauses: list[str] = []
    values: list[str | int] = []
    for alternative in alternatives:
        match = _DATE.fullmatch(alternative)
        if match is None:
            raise FhirError(
                400, "invalid", f"{name}: a date or time with an optional prefix (ge, gt, le, lt, eq, ne) is needed."
            )
        prefix, text = match.group(1) or "eq", match.group(2)
        if name == "birthdate":
            clause, bounds = _day_clause(prefix, text)
        else:
            column = "r.start_ms" if (search.resource_type, name) in _START_TYPES else "r.updated_ms"
            clause, bounds = _instant_clause(column, prefix, text, name)
        clauses.append(clause)
        values += bounds
    condition = " OR ".join(clauses)
    if name == "birthdate":
        parameter = f"{search.resource_type}.birthdate"
        search.add(f"r.key IN (SELECT key FROM terms WHERE parameter = ? AND ({condition}))", parameter, *values)
    else:
        search.add(f"({condition})", *values)


def _comparison(column: str, prefix: str) -> tuple[str, str]:
    """(SQL, which bounds of the searched period it needs: b(egin), e(nd, exclusive))."""
    return {
        "eq": (f"({column} >= ? AND {column} < ?)", "be"),
        "ne": (f"({column} < ? OR {column} >= ?)", "be"),
        "ge": (f"{column} >= ?", "b"),
        "gt": (f"{column} >= ?", "e"),
        "sa": (f"{column} >= ?", "e"),
        "le": (f"{column} < ?", "e"),
        "lt": (f"{column} < ?", "b"),
        "eb": (f"{column} < ?", "b"),
    }[prefix]


def _instant_clause(column: str, prefix: str, text: str, name: str) -> tuple[str, list[str | int]]:
    try:
        begin, end = period_of(text)
    except ValueError:
        raise FhirError(400, "invalid", f"{name}: {text} is not a FHIR date or time with an offset.") from None
    sql, needed = _comparison(column, prefix)
    return sql, [begin if bound == "b" else end for bound in needed]


def _day_clause(prefix: str, text: str) -> tuple[str, list[str | int]]:
    if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", text):
        raise FhirError(400, "invalid", f"birthdate: {text} is not a date.")
    sql, needed = _comparison("value", prefix)
    return sql, [text if bound == "b" else text + "~" for bound in needed]


def period_of(text: str) -> tuple[int, int]:
    """Begin and exclusive end, in milliseconds, of what a FHIR date or dateTime covers; days are UTC days.

    Raises ``ValueError``.
    """
    # A plus sign that was not percent-encoded arrives as a space.
    text = text.replace(" ", "+")
    if "T" not in text:
        parts = [int(part) for part in text.split("-")]
        begin = datetime(*[*parts, 1, 1][:3], tzinfo=UTC)  # type: ignore[misc,arg-type]
        days = 1 if len(parts) == 3 else calendar.monthrange(begin.year, begin.month)[1]
        length = timedelta(days=days if len(parts) > 1 else 365 + calendar.isleap(begin.year))
    else:
        begin = datetime.fromisoformat(text)
        if begin.tzinfo is None:
            raise ValueError("offset missing")
        seconds_given = re.search(r"T\d{2}:\d{2}:\d{2}", text)
        length = timedelta(milliseconds=1) if "." in text else timedelta(seconds=1 if seconds_given else 60)
    start = round(begin.timestamp() * 1000)
    return start, start + round(length.total_seconds() * 1000)


_CRITERIA = {"token": _token, "reference": _reference, "string": _string, "date": _date}
