"""Several resources by one call: a batch of reads, or a search by their ids.

What is not beyond doubt is left out of the answer, so that whoever asked fetches it by itself: an entry about another
resource than the one asked for, one that stands there twice, one that failed, and, in a search, one that is missing.
A search that finds others too was not made by the ids: its further pages would be the whole calendar, and are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from integrations.ehr.fhir import search
from integrations.ehr.fhir.answers import ID, Answer
from integrations.ehr.fhir.elements import Json, text
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import GatewayError, Malformed, NotFound, Record

#: A resource and the version its entry gives, or that there is no such resource.
Entry = tuple[Json, str] | NotFound


def ask(transport: Transport, way: str, resource_type: str, external_ids: Sequence[str]) -> dict[str, Entry]:
    """Ask for these in the ``way`` that the server declares (batch or ids); return entries by id.

    Raises GatewayError when the call as a whole came to nothing.
    """
    wanted = [each for each in dict.fromkeys(external_ids) if ID.fullmatch(each)]
    if not wanted or not way:
        return {}
    found = _batch if way == "batch" else _searched
    named: dict[str, list[Entry]] = {}
    for external_id, entry in found(transport, resource_type, wanted):
        named.setdefault(external_id, []).append(entry)
    return {each: named[each][0] for each in wanted if len(named.get(each, ())) == 1}


def parsed(entries: Mapping[str, Entry], parse: Callable[[Json, str], Record]) -> dict[str, Record | GatewayError]:
    """Return the entries as ``parse`` reads them, one that cannot be read as the error it is."""
    read: dict[str, Record | GatewayError] = {}
    for external_id, entry in entries.items():
        try:
            read[external_id] = entry if isinstance(entry, NotFound) else parse(*entry)
        except GatewayError as error:
            read[external_id] = error
    return read


def _searched(transport: Transport, resource_type: str, wanted: Sequence[str]) -> Iterator[tuple[str, Entry]]:
    parameters = [("_id", ",".join(wanted)), ("_count", str(len(wanted)))]
    for page in search.bundles(transport, resource_type, parameters):
        refuse_others(page.resources, wanted)
        for resource in page.resources:
            yield text(resource.get("id")), (resource, "")


def refuse_others(found: Sequence[Json], wanted: Collection[str]) -> None:
    """Raise Malformed when a search by ids found what was not asked for."""
    if any((name := text(resource.get("id"))) and name not in wanted for resource in found):
        raise Malformed("The EHR does not search by ids: it found others too.")


def _batch(transport: Transport, resource_type: str, wanted: Sequence[str]) -> Iterator[tuple[str, Entry]]:
    entries, answer = _entries(transport, [f"{resource_type}/{each}" for each in wanted])
    for external_id, raw in zip(wanted, entries, strict=False):
        status, version = _response(raw, answer)
        resource = raw.get("resource") if isinstance(raw, dict) else None
        if status in (404, 410):
            yield external_id, NotFound(f"HTTP {status}", status=status)
        elif status == 200 and isinstance(resource, dict) and _names(resource) == (resource_type, external_id):
            yield external_id, (resource, version)


def answers(transport: Transport, questions: Sequence[str]) -> dict[int, tuple[Json, Answer]]:
    """Put questions, addresses below the base, in one batch; return by place those that were answered with a resource.

    Raises GatewayError when the call as a whole came to nothing.
    """
    entries, answer = _entries(transport, questions)
    answered: dict[int, tuple[Json, Answer]] = {}
    for place, raw in enumerate(entries):
        resource = raw.get("resource") if isinstance(raw, dict) else None
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            continue
        if _response(raw, answer)[0] == 200:
            answered[place] = (resource, answer)
    return answered


def _entries(transport: Transport, questions: Sequence[str]) -> tuple[list[Any], Answer]:
    """Return the entries that answer the questions, in their order, or none where that is in doubt."""
    reads = [{"request": {"method": "GET", "url": each}} for each in questions]
    answer = transport.ask("", {"resourceType": "Bundle", "type": "batch", "entry": reads})
    bundle = answer.resource()
    entries = bundle.get("entry", [])
    if bundle.get("type") != "batch-response" or not isinstance(entries, list):
        raise Malformed("The answer to a batch is not the answer to a batch.")
    # Answers stand in the order of the questions. An error does not say whose it is: only its place tells.
    return (entries if len(entries) == len(questions) else []), answer


def _names(resource: Json) -> tuple[Any, Any]:
    return resource.get("resourceType"), resource.get("id")


def _response(raw: Any, answer: Answer) -> tuple[int, str]:
    """Return an entry's status, 0 for none, and the version in its ETag."""
    said = raw.get("response") if isinstance(raw, dict) else None
    said = said if isinstance(said, dict) else {}
    status = text(said.get("status"))[:3]
    etag = Answer(answer.status, {"etag": text(said.get("etag"))}, b"", answer.asked_at)
    return (int(status) if status.isascii() and status.isdigit() else 0), etag.etag_version
