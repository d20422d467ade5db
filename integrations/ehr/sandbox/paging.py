"""Searchset bundles with cursors that stay right while resources are added."""

# Statements are put together from fixed fragments; every value is a bound parameter.
# ruff: noqa: S608

from __future__ import annotations

import base64
import json
import sqlite3
from dataclasses import dataclass
from urllib.parse import urlencode

from .clock import Clock, format_instant
from .outcomes import FhirError, operation_outcome
from .search import Search

CURSOR = "_cursor"


@dataclass(frozen=True)
class Position:
    """Where a page begins: behind the row with this sort value and key."""

    page: int = 1
    total: int | None = None
    sort_value: int | None = None
    key: int = 0

    def encoded(self) -> str:
        text = json.dumps([self.page, self.total, self.sort_value, self.key])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decoded(cls, text: str) -> Position:
        """Raises ``FhirError`` 400 for a cursor that was not ours."""
        try:
            values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            page, total, sort_value, key = (int(value) for value in values)
        except (ValueError, TypeError):
            raise FhirError(
                400, "invalid", "This page link is not valid. Start the search again from its first page."
            ) from None
        return cls(page, total, sort_value, key)


@dataclass(frozen=True)
class Page:
    """One page of a searchset; ``rows`` are (id, JSON text of the resource)."""

    search: Search
    url: str
    total: int
    rows: list[tuple[str, str]]
    self_link: str
    next_link: str
    timestamp: str
    number: int


def position_of(parameters: list[tuple[str, str]]) -> Position:
    cursors = [value for name, value in parameters if name == CURSOR]
    return Position.decoded(cursors[-1]) if cursors else Position()


def read_page(
    connection: sqlite3.Connection, clock: Clock, search: Search, parameters: list[tuple[str, str]], url: str
) -> Page:
    """Run the search from its cursor. ``url`` is the address of the type, without a query."""
    # Taken before the read: a client that polls from this instant misses nothing that the read did not see.
    timestamp = format_instant(clock.now())
    position = position_of(parameters)
    total = position.total if position.total is not None else _count(connection, search)
    plain = [(name, value) for name, value in parameters if name != CURSOR]
    rows = [] if search.count_only else _rows(connection, search, position)
    next_link = ""
    if len(rows) > search.page_size:
        rows = rows[: search.page_size]
        following = Position(position.page + 1, total, rows[-1][0], rows[-1][1])
        next_link = _link(url, [*plain, (CURSOR, following.encoded())])
    pairs = [(row[2], row[3]) for row in rows]
    return Page(search, url, total, pairs, _link(url, parameters), next_link, timestamp, position.page)


def bundle_json(page: Page) -> str:
    """The Bundle as text. Stored resources go in as they are: parsing 500 of them would cost more than the search."""
    entries = [
        f'{{"fullUrl":{json.dumps(f"{page.url}/{resource_id}")},"resource":{body},"search":{{"mode":"match"}}}}'
        for resource_id, body in page.rows
    ]
    if page.search.unknown:
        text = f"Ignored, because this server does not know it: {', '.join(sorted(set(page.search.unknown)))}"
        outcome = json.dumps(operation_outcome("not-supported", text, severity="warning"))
        entries.append(f'{{"resource":{outcome},"search":{{"mode":"outcome"}}}}')
    links = [{"relation": "self", "url": page.self_link}]
    if page.next_link:
        links.append({"relation": "next", "url": page.next_link})
    head = {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": page.timestamp},
        "type": "searchset",
        "timestamp": page.timestamp,
        "total": page.total,
        "link": links,
    }
    text = json.dumps(head, ensure_ascii=False)
    return f'{text[:-1]}, "entry":[{",".join(entries)}]}}' if entries else text


def _count(connection: sqlite3.Connection, search: Search) -> int:
    return int(
        connection.execute(f"SELECT COUNT(*) FROM resources r WHERE {search.where}", search.arguments).fetchone()[0]
    )


def _rows(connection: sqlite3.Connection, search: Search, position: Position) -> list[tuple[int, int, str, str]]:
    """Rows as (sort value, key, id, body): one more than the page holds, to know whether there is a next one."""
    direction, comparison = ("DESC", "<") if search.descending else ("ASC", ">")
    where, arguments = search.where, search.arguments
    if position.sort_value is not None:
        where += f" AND ({search.sort_column}, key) {comparison} (?, ?)"
        arguments = [*arguments, position.sort_value, position.key]
    order = f"{search.sort_column} {direction}, key {direction}"
    sql = f"SELECT {search.sort_column}, key, id, body FROM resources r WHERE {where} ORDER BY {order} LIMIT ?"
    return connection.execute(sql, [*arguments, search.page_size + 1]).fetchall()


def _link(url: str, parameters: list[tuple[str, str]]) -> str:
    return f"{url}?{urlencode(parameters)}" if parameters else url
