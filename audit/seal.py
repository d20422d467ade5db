"""Chains committed audit rows in batches, so that a later change or deletion shows.

Rows are inserted unchained, as a chain for each row would put every transaction in one queue. Ids are given out before
their transactions commit, so a lower id may appear after a higher one. Hence rows are sealed only when they are older
than a margin, and ids that were missing from a sealed span are looked for again for some hours; a row found there goes
into a later seal, marked as late.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from auditlog.models import LogEntry
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from audit.encryption import derived_key
from audit.models import AccessRecord, Seal, Stream

MARGIN = timedelta(seconds=10)
LATE_WINDOW = timedelta(hours=6)
"""Longer than any transaction lives."""
BATCH = 1000
MOST_BATCHES = 50
DIGEST_BYTES = 32
RANGES_A_QUERY = 100

logger = logging.getLogger(__name__)

Ranges = list[tuple[int, int]]

SOURCES: dict[str, tuple[type[models.Model], str]] = {
    Stream.ACCESS: (AccessRecord, "at"),
    Stream.CHANGE: (LogEntry, "timestamp"),
}
"""For each stream its model and the column with the time of the row."""


def seal_committed(now: datetime | None = None) -> list[Seal]:
    """Seals the rows of all streams that are older than the margin, late ones first; gives the new seals.

    Safe to run twice at once: the second finds its number taken and leaves the rest to the next run.
    """
    now = now or timezone.now()
    sealed: list[Seal] = []
    for stream in SOURCES:
        try:
            _seal_stream(stream, now, sealed)
        except IntegrityError:
            logger.info("The %s stream is being sealed by another process.", stream)
    return sealed


def _seal_stream(stream: str, now: datetime, sealed: list[Seal]) -> None:
    # The head is read before the ids: whoever seals in between takes the number that this batch needs.
    head = _head(stream)
    late = _late_ids(stream, now)
    for start in range(0, len(late), BATCH):
        head = _seal_ids(stream, late[start : start + BATCH], now, head, is_late=True)
        sealed.append(head)
    for _ in range(MOST_BATCHES):
        ids = _next_ids(stream, now)
        if not ids:
            return
        head = _seal_ids(stream, ids, now, head, is_late=False)
        sealed.append(head)


def _head(stream: str) -> Seal | None:
    return Seal.objects.filter(stream=stream).order_by("-number").first()


def _next_ids(stream: str, now: datetime) -> list[int]:
    model, time_column = SOURCES[stream]
    last = _regular(stream).order_by("-number").values_list("last_id", flat=True).first() or 0
    rows = model._default_manager.filter(pk__gt=last, **{f"{time_column}__lte": now - MARGIN})
    return list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])


def _late_ids(stream: str, now: datetime) -> list[int]:
    model, _ = SOURCES[stream]
    found: list[int] = []
    gaps = open_gaps(stream, now)
    for start in range(0, len(gaps), RANGES_A_QUERY):
        condition = models.Q()
        for first, last in gaps[start : start + RANGES_A_QUERY]:
            condition |= models.Q(pk__range=(first, last))
        found.extend(model._default_manager.filter(condition).values_list("pk", flat=True))
    return sorted(found)


def open_gaps(stream: str, now: datetime) -> Ranges:
    """The ids inside the recently sealed span that no seal covers."""
    recent = list(
        Seal.objects.filter(stream=stream, sealed_at__gte=now - LATE_WINDOW).values_list(
            "id_ranges", "is_late", "number"
        )
    )
    regular = [(number, ranges) for ranges, is_late, number in recent if not is_late]
    if not regular:
        return []
    first_number = min(number for number, _ in regular)
    before = _regular(stream).filter(number__lt=first_number).order_by("-number").first()
    start = before.last_id + 1 if before else 1
    gaps: Ranges = []
    for first, last in sorted((first, last) for ranges, _, _ in recent for first, last in ranges):
        if first > start:
            gaps.append((start, first - 1))
        start = max(start, last + 1)
    return gaps


def _regular(stream: str) -> models.QuerySet[Seal]:
    return Seal.objects.filter(stream=stream, is_late=False)


def _seal_ids(stream: str, ids: Sequence[int], now: datetime, previous: Seal | None, *, is_late: bool) -> Seal:
    model, _ = SOURCES[stream]
    columns = [field.attname for field in model._meta.concrete_fields]
    digests = dict(row_digests(stream, columns, to_ranges(ids)))
    seal = Seal(
        stream=stream,
        number=previous.number + 1 if previous else 1,
        is_late=is_late,
        first_id=ids[0],
        last_id=ids[-1],
        count=len(ids),
        id_ranges=[list(span) for span in to_ranges(ids)],
        columns=columns,
        row_digests=b"".join(digests[identifier] for identifier in ids),
        previous_digest=previous.digest if previous else "",
        sealed_at=now,
    )
    seal.digest = seal_digest(seal)
    with transaction.atomic():
        seal.save(force_insert=True)
    # The log is a witness outside of the database: cutting off the end of a chain contradicts it.
    logger.info("Sealed %s %s: %s rows, digest %s", stream, seal.number, seal.count, seal.digest)
    return seal


def seal_digest(seal: Seal) -> str:
    """What `Seal.digest` must be, from everything else in the seal."""
    content = {
        "stream": seal.stream,
        "number": seal.number,
        "is_late": seal.is_late,
        "count": seal.count,
        "id_ranges": seal.id_ranges,
        "columns": seal.columns,
        "row_digests": bytes(seal.row_digests).hex(),
        "previous_digest": seal.previous_digest,
        "sealed_at": seal.sealed_at,
    }
    return hmac.new(derived_key("audit seal"), _canonical(content), hashlib.sha256).hexdigest()


def row_digests(stream: str, columns: Sequence[str], ranges: Ranges) -> Iterator[tuple[int, bytes]]:
    """Id and digest (32 bytes) of each row that exists within the ranges, in ascending order."""
    model, _ = SOURCES[stream]
    for start in range(0, len(ranges), RANGES_A_QUERY):
        condition = models.Q()
        for first, last in ranges[start : start + RANGES_A_QUERY]:
            condition |= models.Q(pk__range=(first, last))
        rows = model._default_manager.filter(condition).order_by("pk").values_list("pk", *columns)
        for identifier, *values in rows.iterator(chunk_size=BATCH):
            yield identifier, hashlib.sha256(_canonical(values)).digest()


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def to_ranges(ids: Iterable[int]) -> Ranges:
    """Ascending ids as [first, last] spans."""
    ranges: Ranges = []
    for identifier in ids:
        if ranges and identifier == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], identifier)
        else:
            ranges.append((identifier, identifier))
    return ranges
