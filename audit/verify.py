"""Compares the audit rows with their seals and names every row that was changed, deleted or slipped in."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils import timezone

from audit.models import Seal
from audit.seal import DIGEST_BYTES, SOURCES, row_digests, seal_digest

GRACE = timedelta(minutes=10)
"""Rows older than this without a seal are reported."""


class Problem(StrEnum):
    ROW_CHANGED = "row changed"
    ROW_DELETED = "row deleted"
    ROW_UNSEALED = "row not sealed"
    SEAL_CHANGED = "seal changed"
    SEAL_MISSING = "seal missing"
    CHAIN_BROKEN = "chain broken"
    HEAD_MISSING = "expected head missing"


@dataclass(frozen=True)
class Finding:
    """``identifier`` is the row's id, or the seal's number where the problem is with a seal."""

    stream: str
    problem: Problem
    identifier: int

    def __str__(self) -> str:
        return f"{self.stream} {self.identifier}: {self.problem}"


@dataclass
class Report:
    """The outcome for one stream. ``head`` is the digest of its last seal, to be kept elsewhere and compared later."""

    stream: str
    rows: int = 0
    seals: int = 0
    head: str = ""
    findings: list[Finding] = field(default_factory=list)


def verify(now: datetime | None = None, heads: dict[str, str] | None = None) -> list[Report]:
    """Checks all streams. ``heads`` gives for a stream a digest noted earlier, which must still be in its chain."""
    now = now or timezone.now()
    return [verify_stream(stream, now, (heads or {}).get(stream)) for stream in SOURCES]


def verify_stream(stream: str, now: datetime, expected_head: str | None = None) -> Report:
    report = Report(stream)
    spans: list[tuple[int, int]] = []
    is_head_found = expected_head is None
    for seal in Seal.objects.filter(stream=stream).order_by("number").iterator(chunk_size=100):
        report.findings.extend(_check_chain(seal, report))
        report.findings.extend(_check_rows(seal))
        report.seals = seal.number
        report.head = seal.digest
        report.rows += seal.count
        spans.extend((first, last) for first, last in seal.id_ranges)
        is_head_found = is_head_found or seal.digest == expected_head
    if not is_head_found:
        report.findings.append(Finding(stream, Problem.HEAD_MISSING, report.seals))
    report.findings.extend(_unsealed(stream, sorted(spans), now))
    return report


def _check_chain(seal: Seal, before: Report) -> Iterator[Finding]:
    for number in range(before.seals + 1, seal.number):
        yield Finding(seal.stream, Problem.SEAL_MISSING, number)
    if seal.number == before.seals + 1 and seal.previous_digest != before.head:
        yield Finding(seal.stream, Problem.CHAIN_BROKEN, seal.number)
    if not hmac.compare_digest(seal_digest(seal), seal.digest):
        yield Finding(seal.stream, Problem.SEAL_CHANGED, seal.number)


def _check_rows(seal: Seal) -> Iterator[Finding]:
    ids = [identifier for first, last in seal.id_ranges for identifier in range(first, last + 1)]
    digests = bytes(seal.row_digests)
    ranges = [(first, last) for first, last in seal.id_ranges]
    found = dict(row_digests(seal.stream, seal.columns, ranges))
    for position, identifier in enumerate(ids):
        if identifier not in found:
            yield Finding(seal.stream, Problem.ROW_DELETED, identifier)
        elif found[identifier] != digests[position * DIGEST_BYTES : (position + 1) * DIGEST_BYTES]:
            yield Finding(seal.stream, Problem.ROW_CHANGED, identifier)


def _unsealed(stream: str, spans: list[tuple[int, int]], now: datetime) -> Iterator[Finding]:
    """Rows that no seal covers, although the sealer had time enough: slipped in, or the sealer stands still."""
    model, time_column = SOURCES[stream]
    rows = model._default_manager.filter(**{f"{time_column}__lte": now - GRACE})
    position = 0
    for identifier in rows.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=10_000):
        while position < len(spans) and spans[position][1] < identifier:
            position += 1
        if position == len(spans) or identifier < spans[position][0]:
            yield Finding(stream, Problem.ROW_UNSEALED, identifier)
