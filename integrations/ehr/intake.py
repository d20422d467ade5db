"""Taking in what an EHR says: a row before it is acknowledged, and only one however often it is said."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db import connection as database
from django.db.models import QuerySet
from django.utils import timezone

from audit.context import correlation_id, new_correlation_id
from integrations.ehr import batching, listening
from integrations.ehr.fhir import events
from integrations.ehr.gateway import Quarantined
from integrations.models import Connection, InboundEvent
from integrations.safe_json import read_json
from scheduling.wake import wake
from scheduling.worklist import ask_staff

Status = InboundEvent.Status


@dataclass(frozen=True, slots=True)
class Receipt:
    """Whether what was received is new; what was heard before is acknowledged all the same.

    ``acknowledgement`` is the answer in the sender's own format, empty where any success will do.
    """

    is_new: bool
    acknowledgement: bytes = b""


def receive(
    connection: Connection,
    *,
    via: str,
    body: bytes,
    payload: Any = None,
    content_type: str = "",
    event_id: str = "",
    subject_key: str = "",
    now: datetime | None = None,
) -> Receipt:
    """Store a notification as it came and have it dealt with soon. When this returns, it may be acknowledged.

    ``payload`` is the parsed ``body``, where the caller has it. The same notification, by its event's id, else by
    type, id and version, else by its bytes, is stored once, however many arrive at the same instant.
    """
    now = now or timezone.now()
    if payload is None:
        payload = read_json(body) if body.strip() else {}
    keys = events.keys_of(payload)
    subject = subject_key or keys.subject
    if not payload:
        # All empty bodies are alike: only what the headers say, and when, tells one from another.
        keys = events.Keys(f"empty:{subject or uuid.uuid4().hex}:{now:%Y%m%d%H%M}", subject)
    dedupe = _short(f"id:{event_id}" if event_id else keys.dedupe or f"sha256:{hashlib.sha256(body).hexdigest()}")
    row = InboundEvent(
        connection_id=connection.pk,
        via=via,
        dedupe_key=dedupe,
        subject_key=subject[:255],
        body=body,
        content_type=content_type[:100],
        due_at=batching.due_at(connection, via, subject, payload, now),
        received_at=now,
        correlation_id=correlation_id() or new_correlation_id(),
    )
    is_new = _insert(row)
    if not is_new and via == InboundEvent.Via.WEBHOOK:
        listening.heard_late(connection.pk, dedupe, now)
    if not is_new and dedupe.startswith("sha256:"):
        # Without an id or a version the same bytes may be news again: booked, cancelled, booked.
        is_new = bool(_hear_again(connection.pk, [dedupe], now, row.due_at))
    if is_new and row.due_at <= now:
        wake("inbox")
    return Receipt(is_new)


def _insert(row: InboundEvent) -> bool:
    """Insert the row; False when there is one with its key. Cheap: outside a transaction it is a single statement."""
    savepoint = transaction.atomic() if database.in_atomic_block else contextlib.nullcontext()
    try:
        with savepoint:
            row.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def _short(key: str) -> str:
    return key if len(key) <= 200 else f"long:{hashlib.sha256(key.encode()).hexdigest()}"


def _hear_again(connection_id: int, keys: Iterable[str], now: datetime, due_at: datetime | None = None) -> int:
    """Have events that were dealt with looked at again, now or at ``due_at``.

    Harmless: what they name is fetched, not believed.
    """
    finished = InboundEvent.objects.filter(
        connection_id=connection_id, dedupe_key__in=list(keys), status__in=(Status.DONE, Status.IGNORED)
    )
    return finished.update(status=Status.RECEIVED, due_at=due_at or now, received_at=now, attempts=0, done_at=None)


def receive_changes(
    connection: Connection,
    bodies: Mapping[str, bytes],
    versions: Mapping[str, str],
    asked_at: datetime,
    changed_after: Mapping[str, datetime],
) -> int:
    """Store the appointments (by id) that a poll begun at ``asked_at`` found changed; return how many are news.

    ``changed_after`` says of those of which that is certain since when they were changed.
    """
    if not versions:
        return 0
    rows = [
        _change(connection.pk, external_id, bodies[external_id], version, asked_at)
        for external_id, version in versions.items()
    ]
    for row, external_id in zip(rows, versions, strict=True):
        row.changed_after = changed_after.get(external_id)
    keys = [row.dedupe_key for row in rows]
    known = _keyed(connection.pk, keys).count()
    InboundEvent.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
    # Heard before and dealt with, yet we hold another state: an answer was lost or came from a lagging copy.
    again = _hear_again(connection.pk, keys, asked_at) if known else 0
    if len(rows) > known or again:
        wake("inbox")
    return len(rows) - known + again


def _keyed(connection_id: int, keys: list[str]) -> QuerySet[InboundEvent]:
    return InboundEvent.objects.filter(connection_id=connection_id, dedupe_key__in=keys)


def _change(connection_id: int, external_id: str, body: bytes, version: str, asked_at: datetime) -> InboundEvent:
    subject = f"Appointment/{external_id}"
    return InboundEvent(
        connection_id=connection_id,
        via=InboundEvent.Via.POLL,
        dedupe_key=_short(f"{subject}/{version}" if version else f"sha256:{hashlib.sha256(body).hexdigest()}"),
        subject_key=subject[:255],
        body=body,
        content_type="application/fhir+json",
        due_at=asked_at,
        received_at=asked_at,
        correlation_id=new_correlation_id(),
    )


def remember(connection: Connection, via: str, notice: events.Notice, key: str = "") -> Receipt:
    """Have one thing looked at soon, as if a notification had named it."""
    body = json.dumps(notice.body()).encode()
    return receive(
        connection,
        via=via,
        body=body,
        payload=notice.body(),
        content_type="application/fhir+json",
        event_id=key or f"{notice.subject_key}/{notice.version}/{uuid.uuid4().hex}",
        subject_key=notice.subject_key,
    )


def named(path: str) -> events.Notice | None:
    """Return the thing a path such as ``Appointment/123`` names, None when it names nothing of ours."""
    return events.notice_named(path)


def set_aside(connection: Connection, via: str, entries: Iterable[Quarantined], now: datetime | None = None) -> None:
    """Keep entries of a page that cannot be read, and show each to staff, once."""
    now = now or timezone.now()
    for entry in entries:
        row = InboundEvent(
            connection_id=connection.pk,
            via=via,
            dedupe_key=f"unreadable:{hashlib.sha256(entry.raw).hexdigest()}",
            subject_key="",
            body=entry.raw,
            content_type="application/fhir+json",
            status=Status.QUARANTINED,
            outcome=f"{entry.reference}: {entry.why}"[:120],
            due_at=now,
            received_at=now,
            done_at=now,
            correlation_id=correlation_id() or new_correlation_id(),
        )
        if _insert(row):
            show_unreadable(row, entry.reference, entry.why)


def show_unreadable(row: InboundEvent, reference: str, why: str) -> None:
    """Put an entry that cannot be read on the worklist."""
    ask_staff(
        "event.unreadable",
        "Something the EHR sent cannot be read",
        advice=f"{reference or 'An entry'}: {why}. Nothing was changed. Correct it in the EHR, then read it again.",
        dedupe_key=unreadable_key(row.connection_id, reference or str(row.pk)),
        subject=row,
    )


def unreadable_key(connection_id: int, reference: str) -> str:
    """Return the key under which staff are asked about something unreadable."""
    return f"event.unreadable:{connection_id}:{reference}"[:200]
