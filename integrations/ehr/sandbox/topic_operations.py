"""What a subscriber by topic can ask: how its subscription is doing, and which events there were."""

from __future__ import annotations

import json
from typing import Any

from .event_log import events_between, total_events
from .messages import Request, Response, parameters_of
from .outcomes import FhirError, not_found
from .store import Store, fetch
from .topics import CONTENTS, Report, backport_bundle, content_of, status_parameters


def status(store: Store, request: Request, resource_id: str) -> Response:
    """``$status`` of one subscription, or of those named by ``id`` and ``status``: a searchset of Parameters."""
    wanted = parameters_of(request)
    ids = {value for name, value in wanted if name == "id"}
    statuses = {value for name, value in wanted if name == "status"}
    if resource_id:
        _present(store, resource_id)
        ids, statuses = {resource_id}, set()
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT id, body FROM resources WHERE type = 'Subscription' AND deleted = 0 ORDER BY key"
        ).fetchall()
        found = [(identity, json.loads(body)) for identity, body in rows]
        reports = [
            _report(store, connection, identity, subscription)
            for identity, subscription in found
            if (not ids or identity in ids) and (not statuses or subscription["status"] in statuses)
        ]
    entries = [
        {"fullUrl": f"{report.reference}/$status", "resource": status_parameters(report), "search": {"mode": "match"}}
        for report in reports
    ]
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries}
    return Response(200, json.dumps(bundle, ensure_ascii=False).encode())


def events(store: Store, request: Request, resource_id: str) -> Response:
    """``$events`` from ``eventsSinceNumber`` to ``eventsUntilNumber``, both inclusive, as a notification bundle."""
    subscription = _present(store, resource_id)
    wanted = dict(parameters_of(request))
    since, until = (_number(wanted, name) for name in ("eventsSinceNumber", "eventsUntilNumber"))
    content = wanted.get("content") or content_of(subscription)
    if content not in CONTENTS:
        raise FhirError(400, "code-invalid", f"content must be one of {', '.join(CONTENTS)}.")
    with store.reading() as connection:
        found = events_between(connection, resource_id, since or 1, until or 2**62)
        report = _report(
            store, connection, resource_id, subscription, kind="query-event", content=content, events=found
        )
    return Response(200, json.dumps(backport_bundle(report), ensure_ascii=False).encode())


def _report(store: Store, connection: Any, identity: str, subscription: dict[str, Any], **more: Any) -> Report:
    total = total_events(connection, identity)
    topic, state = subscription["criteria"], subscription["status"]
    details = {"kind": "query-status", "content": content_of(subscription) or "empty"} | more
    return Report(
        base_url=store.base_url,
        subscription_id=identity,
        topic=topic,
        status=state,
        total=total,
        now_ms=store.clock.now(),
        **details,
    )


def _present(store: Store, resource_id: str) -> dict[str, Any]:
    with store.reading() as connection:
        record = fetch(connection, "Subscription", resource_id)
    if record is None or record.deleted:
        raise not_found("Subscription", resource_id)
    return record.resource


def _number(wanted: dict[str, str], name: str) -> int:
    text = wanted.get(name, "0")
    if not text.isdigit():
        raise FhirError(400, "invalid", f"{name} must be a whole number.")
    return int(text)
