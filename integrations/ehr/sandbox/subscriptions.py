"""Subscriptions: who is told about which change, and the queue of what is still to be told."""

# Statements are put together from fixed fragments; every value is a bound parameter.
# ruff: noqa: S608

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import parse_qsl

from .event_log import events_between, total_events
from .outcomes import FhirError, unprocessable
from .search import parse_search
from .signatures import SCHEMES
from .store import Record, Transaction, fetch_version
from .topics import FILTER_EXTENSION, Event, Kind, Report, Topic, content_of, extension

SECRET_EXTENSION = "https://sandbox-ehr.example.org/subscription-secret"  # noqa: S105 - the name of an extension
SCHEME_EXTENSION = "https://sandbox-ehr.example.org/signature-scheme"
DELETED_HEADER = "X-Deleted-Resource"
#: A notification that is due so soon may be on its way already.
_HANDS_OFF_MS = 50


def accept(transaction: Transaction, subscription_id: str, resource: dict[str, Any]) -> dict[str, Any]:
    """The Subscription as it is stored, its secret put away where no read shows it.

    One by criteria is active as soon as it is requested; one by topic when its receiver has answered the handshake.
    """
    accepted = dict(resource)
    if signature_scheme(resource) not in SCHEMES:
        raise unprocessable(f"The signature scheme must be one of {', '.join(SCHEMES[1:])}.", "Subscription.extension")
    topic = transaction.notifying.topics.get(accepted["criteria"])
    if topic is None:
        _check_criteria(transaction, resource)
        if accepted["status"] == "requested":
            accepted["status"] = "active"
    else:
        _check_topic(transaction, topic, resource)
        accepted["status"] = _begin(transaction, subscription_id, accepted)
    channel = dict(accepted["channel"])
    for holder in (accepted, channel):
        secret = extension(holder, SECRET_EXTENSION).get("valueString")
        if secret:
            transaction.connection.execute(
                "INSERT OR REPLACE INTO subscription_secrets VALUES (?, ?)", (subscription_id, str(secret))
            )
        kept = [each for each in holder.get("extension", []) if each.get("url") != SECRET_EXTENSION]
        holder.pop("extension", None)
        if kept:
            holder["extension"] = kept
    accepted["channel"] = channel
    return accepted


def with_secret(resource: dict[str, Any], secret: str) -> dict[str, Any]:
    """The Subscription as if it had brought its signing secret itself."""
    return resource | {"extension": [*resource.get("extension", []), {"url": SECRET_EXTENSION, "valueString": secret}]}


def signature_scheme(resource: dict[str, Any], usual: str = "") -> str:
    """One of ``signatures.SCHEMES``: the one that the subscription asks for, else the server's usual one."""
    for holder in (resource, resource["channel"]):
        scheme = extension(holder, SCHEME_EXTENSION).get("valueCode")
        if scheme:
            return str(scheme)
    return usual


def enqueue(transaction: Transaction, record: Record, *, deletes_told: bool = False, gather_seconds: float = 0) -> None:
    """Queue one notification per subscription that the changed resource matches.

    Deletes are told to subscriptions by topic. Those by criteria hear nothing of them in R4; with ``deletes_told`` they
    get ``{}`` and a header. Events of a topic within ``gather_seconds`` of its first are told in one notification.
    """
    if record.resource_type == "Subscription":
        return
    rows = transaction.connection.execute(
        "SELECT id, body FROM resources WHERE type = 'Subscription' AND deleted = 0"
        " AND status IN ('active', 'requested', 'error')"
    ).fetchall()
    for subscription_id, body in rows:
        subscription = json.loads(body)
        topic = transaction.notifying.topics.get(subscription["criteria"])
        if topic is not None:
            _note_event(transaction, subscription_id, subscription, topic, record, gather_seconds=gather_seconds)
        elif subscription["status"] == "active" and (deletes_told or not record.deleted):
            _note_change(transaction, subscription_id, subscription, record)


def _note_change(transaction: Transaction, subscription_id: str, subscription: dict[str, Any], record: Record) -> None:
    if not _matches(transaction, record, subscription["criteria"]):
        return
    payload = record.body if subscription["channel"].get("payload") and not record.deleted else "{}"
    headers = {DELETED_HEADER: f"{record.resource_type}/{record.id}"} if record.deleted else {}
    queue(transaction, subscription_id, record.resource_type, payload, due_ms=record.updated_ms, headers=headers)


def _note_event(
    transaction: Transaction,
    subscription_id: str,
    subscription: dict[str, Any],
    topic: Topic,
    record: Record,
    *,
    gather_seconds: float,
) -> None:
    """Count the event; queue it unless the subscription is in error, when it waits to be asked for."""
    if record.resource_type != topic.resource_type or not _triggers(transaction, topic, record):
        return
    if not all(_matches(transaction, record, criteria) for criteria in _filters(subscription)):
        return
    event = Event(
        total_events(transaction.connection, subscription_id) + 1,
        str(uuid.uuid4()),
        record.updated_ms,
        record.resource_type,
        record.id,
        record.version,
        "" if record.deleted else record.body,
    )
    transaction.connection.execute(
        "INSERT INTO subscription_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (subscription_id, event.number, event.event_id, event.occurred_ms, record.resource_type, record.id,
         record.version, record.deleted),
    )  # fmt: skip
    if subscription["status"] != "error" and not _gathered(transaction, subscription_id, subscription, event):
        body = bundle_text(transaction, subscription_id, subscription, "event-notification", (event,))
        due = record.updated_ms + round(gather_seconds * 1000)
        queue(transaction, subscription_id, record.resource_type, body, due_ms=due, event_id=event.event_id)


def _gathered(transaction: Transaction, subscription_id: str, subscription: dict[str, Any], event: Event) -> bool:
    """Add the event to a notification that is not due yet. False when there is none."""
    row = transaction.connection.execute(
        "SELECT n.number, e.number FROM notifications n JOIN subscription_events e ON e.event_id = n.event_id"
        " WHERE n.subscription_id = ? AND n.state = 'waiting' AND n.attempts = 0 AND n.treatment = ''"
        " AND n.kind = 'event-notification' AND n.due_ms > ? ORDER BY n.number DESC LIMIT 1",
        (subscription_id, transaction.clock.now() + _HANDS_OFF_MS),
    ).fetchone()
    if row is None:
        return False
    earlier = events_between(transaction.connection, subscription_id, row[1], event.number - 1)
    body = bundle_text(transaction, subscription_id, subscription, "event-notification", (*earlier, event))
    transaction.connection.execute("UPDATE notifications SET body = ? WHERE number = ?", (body, row[0]))
    return True


def bundle_text(
    transaction: Transaction,
    subscription_id: str,
    subscription: dict[str, Any],
    kind: Kind,
    events: tuple[Event, ...] = (),
) -> str:
    """A notification of a subscription by topic, as JSON text."""
    report = Report(
        kind,
        transaction.base_url,
        subscription_id,
        subscription["criteria"],
        subscription["status"],
        max([total_events(transaction.connection, subscription_id), *(event.number for event in events)]),
        transaction.clock.now(),
        content_of(subscription),  # type: ignore[arg-type]
        events,
    )
    return json.dumps(transaction.notifying.bundle(report), ensure_ascii=False)


def queue(
    transaction: Transaction,
    subscription_id: str,
    resource_type: str,
    body: str,
    *,
    kind: Kind = "event-notification",
    due_ms: int = 0,
    event_id: str = "",
    headers: dict[str, str] | None = None,
) -> None:
    """Put one notification into the queue of its subscription."""
    transaction.connection.execute(
        "INSERT INTO notifications (event_id, subscription_id, resource_type, body, due_ms, kind, headers)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (event_id or uuid.uuid4().hex, subscription_id, resource_type, body, due_ms, kind, json.dumps(headers or {})),
    )


def _begin(transaction: Transaction, subscription_id: str, wanted: dict[str, Any]) -> str:
    """The status in which a subscription by topic is stored. A new or broken one has its receiver asked first."""
    present = transaction.get("Subscription", subscription_id)
    was = present.resource["status"] if present is not None else ""
    if wanted["status"] == "active" and was == "active":
        return "active"
    if wanted["status"] not in ("requested", "active"):
        return str(wanted["status"])
    if not transaction.notifying.has_handshake:
        return "active"
    body = bundle_text(transaction, subscription_id, wanted | {"status": "requested"}, "handshake")
    queue(transaction, subscription_id, "Subscription", body, kind="handshake")
    return "requested"


def _check_topic(transaction: Transaction, topic: Topic, resource: dict[str, Any]) -> None:
    contents = transaction.notifying.contents
    if content_of(resource) not in contents:
        raise unprocessable(
            f"The payload content must be one of {', '.join(contents)}.", "Subscription.channel.payload", "code-invalid"
        )
    for criteria in _filters(resource):
        resource_type, _, query = criteria.partition("?")
        if resource_type != topic.resource_type or not query or _unknown(resource_type, query):
            raise unprocessable(
                "The filter is not a search that this topic can do.", "Subscription.criteria", "not-supported"
            )


def _check_criteria(transaction: Transaction, resource: dict[str, Any]) -> None:
    resource_type, _, query = resource["criteria"].partition("?")
    if not transaction.notifying.has_criteria or "://" in resource["criteria"] or _unknown(resource_type, query):
        topics = ", ".join(transaction.notifying.topics)
        raise unprocessable(
            f"criteria is neither a search that this server can do nor one of its topics: {topics}",
            "Subscription.criteria",
            "not-supported",
        )


def _unknown(resource_type: str, query: str) -> list[str]:
    try:
        return parse_search(resource_type, parse_qsl(query)).unknown
    except FhirError:
        return [query]


def _filters(subscription: dict[str, Any]) -> list[str]:
    holder = subscription.get("_criteria")
    extensions = holder.get("extension", []) if isinstance(holder, dict) else []
    found = [each for each in extensions if isinstance(each, dict) and each.get("url") == FILTER_EXTENSION]
    return [str(each.get("valueString", "")) for each in found]


def _triggers(transaction: Transaction, topic: Topic, record: Record) -> bool:
    before = None
    if record.version > 1:
        before = fetch_version(transaction.connection, record.resource_type, record.id, record.version - 1)
    return topic.triggers(
        before.resource if before is not None and not before.deleted else None,
        None if record.deleted else record.resource,
    )


def _matches(transaction: Transaction, record: Record, criteria: str) -> bool:
    """Whether the resource, or the last state of a deleted one, is among those that the criteria find."""
    resource_type, _, query = criteria.partition("?")
    if resource_type != record.resource_type:
        return False
    search = parse_search(resource_type, parse_qsl(query))
    if not search.criteria:
        return True
    search.finds_deleted = record.deleted
    search.add("r.key = ?", record.key)
    sql = f"SELECT 1 FROM resources r WHERE {search.where}"
    return transaction.connection.execute(sql, search.arguments).fetchone() is not None
