"""Searches page by page. A page that cannot be trusted ends the search; one bad entry does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from integrations.ehr.fhir.answers import Answer
from integrations.ehr.fhir.elements import Json, Unreadable, resource_id, version_of
from integrations.ehr.fhir.times import instant
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Held, Malformed, Page, Quarantined, Record

T = TypeVar("T")
Parameters = Iterable[tuple[str, str]]

PAGE_SIZE = 500
MOST_PAGES = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """One page as it came: the resources of the type asked for, and what else stood among them."""

    resources: list[Json]
    strange: list[Any]
    answer: Answer
    server_time: datetime | None
    total: int | None = None


def bundles(
    transport: Transport, resource_type: str, parameters: Parameters, *, in_body: bool = False
) -> Iterator[Found]:
    """Yield the pages of a search; raises Malformed when they run in a circle or are no search result.

    ``in_body``: the parameters identify a patient and must not stand in an address.
    """
    answer = (transport.search if in_body else transport.read)(resource_type, parameters)
    visited: set[str] = set()
    current = f"{transport.base_url}/{resource_type}"
    while True:
        bundle = answer.resource()
        yield found(bundle, resource_type, answer)
        following = next_link(bundle)
        if not following:
            return
        following = transport.absolute(following, current)
        if following in visited or len(visited) >= MOST_PAGES:
            raise Malformed("The EHR's pages run in a circle.")
        visited.add(following)
        current, answer = following, transport.follow(following)


def resources(
    transport: Transport, resource_type: str, parameters: Parameters, *, in_body: bool = False
) -> Iterator[Json]:
    """Yield every resource of a search; raises Malformed at the first entry that is none."""
    for page in bundles(transport, resource_type, parameters, in_body=in_body):
        if page.strange:
            raise Malformed("The EHR's search result has an entry that was not asked for.")
        yield from page.resources


def read_page(page: Found, kind: str, parse: Callable[[Json], Record], held: Held | None = None) -> Page:
    """Return the page with each resource parsed that is not ``held``; those that cannot be read are set aside."""
    records: list[Record] = []
    set_aside = [aside(kind, item, f"it is not of type {kind}") for item in page.strange]
    wanted = page.resources if held is None else _without_held(page.resources, held)
    for resource in wanted:
        try:
            records.append(guarded(parse, resource))
        except Unreadable as problem:
            set_aside.append(aside(kind, resource, problem.detail))
    return Page(
        tuple(records),
        tuple(set_aside),
        page.server_time,
        asked_at=page.answer.asked_at,
        unchanged=len(page.resources) - len(wanted),
        total=page.total,
    )


def _without_held(resources: list[Json], held: Held) -> list[Json]:
    versions: dict[str, str] = {}
    for resource in resources:
        with suppress(Unreadable):
            versions[resource_id(resource)] = version_of(resource)
    known = held(versions)
    # What has no usable id is among those to be read, which says so.
    return [resource for resource in resources if not known or not _is_among(known, resource.get("id"))]


def _is_among(known: Collection[str], value: Any) -> bool:
    return isinstance(value, str) and value in known


def compare_page(page: Found, kind: str) -> Page:
    """Return the page as ids, versions and bodies, without reading more of it."""
    versions: dict[str, str] = {}
    by_id: dict[str, Json] = {}
    set_aside = [aside(kind, item, f"it is not of type {kind}") for item in page.strange]
    for resource in page.resources:
        try:
            external_id = resource_id(resource)
        except Unreadable as problem:
            set_aside.append(aside(kind, resource, problem.detail))
            continue
        by_id[external_id] = resource
        versions[external_id] = version_of(resource)
    return Page((), tuple(set_aside), page.server_time, versions, Bodies(by_id), page.answer.asked_at)


class Bodies(Mapping[str, bytes]):
    """Resources by id, written out as JSON only when asked for: most of a page has not changed."""

    def __init__(self, by_id: dict[str, Json]) -> None:
        self._by_id = by_id

    def __getitem__(self, external_id: str) -> bytes:
        return json.dumps(self._by_id[external_id]).encode()

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)


def guarded(parse: Callable[[Json], T], resource: Json) -> T:
    """Parse a resource; whatever its form makes the parser trip over is Unreadable too."""
    try:
        return parse(resource)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError):
        raise Unreadable("it has a form that no FHIR resource has") from None


def found(bundle: Json, resource_type: str, answer: Answer) -> Found:
    """Return what one page of a search has; raises Malformed when it is none."""
    if bundle["resourceType"] != "Bundle" or bundle.get("type") != "searchset":
        raise Malformed("The answer to a search is not a search result.")
    if not isinstance(bundle.get("entry", []), list):
        raise Malformed("The entries of a search result are not a list.")
    kept: list[Json] = []
    strange: list[Any] = []
    for entry in bundle.get("entry", []):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            strange.append(entry)
            continue
        mode = entry.get("search")
        mode = mode.get("mode") if isinstance(mode, dict) else None
        if resource.get("resourceType") == resource_type and mode in (None, "match"):
            kept.append(resource)
        elif resource.get("resourceType") == "OperationOutcome":
            _refuse_incomplete(resource)
        elif mode in (None, "match"):
            strange.append(resource)
    return Found(kept, strange, answer, _server_time(bundle, answer), _total(bundle))


def _total(bundle: Json) -> int | None:
    """Return how many the whole search finds, where the EHR says so."""
    told = bundle.get("total")
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else None


def _refuse_incomplete(outcome: Json) -> None:
    """A search that says it failed in part must not be taken for a complete one."""
    issues = outcome.get("issue")
    if isinstance(issues, list) and any(
        isinstance(issue, dict) and issue.get("severity") in ("fatal", "error") for issue in issues
    ):
        raise Malformed("The EHR says that its search result is not complete.")


def _server_time(bundle: Json, answer: Answer) -> datetime | None:
    """Return the EHR's clock: the Bundle's own time, which is taken before the read, else the Date header."""
    meta = bundle.get("meta")
    for written in (meta.get("lastUpdated") if isinstance(meta, dict) else None, bundle.get("timestamp")):
        try:
            told = instant(written, lambda: None, "time")
        except Unreadable:
            continue
        # A Bundle may be dated by when its contents last changed, never by a later time than its sending.
        if told is not None and (answer.server_time is None or told < answer.server_time + timedelta(seconds=1)):
            return told
    return answer.server_time.astimezone(UTC) if answer.server_time else None


def next_link(bundle: Json) -> str:
    """Return where the page after this one is, empty for the last."""
    links = bundle.get("link")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(link["url"])
    return ""


def aside(kind: str, item: Any, why: str) -> Quarantined:
    """Return an entry that cannot be read as what is shown of it."""
    name = item.get("id") if isinstance(item, dict) else None
    if name is None and isinstance(item, dict) and isinstance(item.get("fullUrl"), str):
        name = item["fullUrl"].rpartition("/")[2]
    if isinstance(item, dict) and isinstance(item.get("resourceType"), str):
        kind = item["resourceType"][:60]
    return Quarantined(f"{kind}/{str(name)[:80]}" if name else kind, why, json.dumps(item).encode())
