"""R4 Subscriptions: who is told about which change, and the queue of what is still to be told."""

# Statements are put together from fixed fragments; every value is a bound parameter.
# ruff: noqa: S608

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import parse_qsl

from .outcomes import FhirError, unprocessable
from .search import parse_search
from .store import Record, Transaction

SECRET_EXTENSION = "https://sandbox-ehr.example.org/subscription-secret"  # noqa: S105 - the name of an extension
SCHEME_EXTENSION = "https://sandbox-ehr.example.org/signature-scheme"
STANDARD_WEBHOOKS = "standard-webhooks"


def accept(transaction: Transaction, subscription_id: str, resource: dict[str, Any]) -> dict[str, Any]:
    """The Subscription as it is stored: active when requested, its secret put away where no read shows it."""
    _check_criteria(resource)
    accepted = dict(resource)
    if accepted["status"] == "requested":
        accepted["status"] = "active"
    channel = dict(accepted["channel"])
    for holder in (accepted, channel):
        secret = _extension(holder, SECRET_EXTENSION).get("valueString")
        if secret:
            transaction.connection.execute(
                "INSERT OR REPLACE INTO subscription_secrets VALUES (?, ?)", (subscription_id, str(secret))
            )
        kept = [extension for extension in holder.get("extension", []) if extension.get("url") != SECRET_EXTENSION]
        holder.pop("extension", None)
        if kept:
            holder["extension"] = kept
    accepted["channel"] = channel
    return accepted


def signature_scheme(resource: dict[str, Any]) -> str:
    """``standard-webhooks``, or an empty string for the plain scheme."""
    for holder in (resource, resource["channel"]):
        scheme = _extension(holder, SCHEME_EXTENSION).get("valueCode")
        if scheme:
            return str(scheme)
    return ""


def enqueue(transaction: Transaction, record: Record) -> None:
    """Queue one notification per subscription that the changed resource matches. Deletes are not told, as in R4."""
    if record.deleted or record.resource_type == "Subscription":
        return
    rows = transaction.connection.execute(
        "SELECT id, body FROM resources WHERE type = 'Subscription' AND deleted = 0 AND status = 'active'"
    ).fetchall()
    for subscription_id, body in rows:
        subscription = json.loads(body)
        if _matches(transaction, record, subscription["criteria"]):
            payload = record.body if subscription["channel"].get("payload") else "{}"
            transaction.connection.execute(
                "INSERT INTO notifications (event_id, subscription_id, resource_type, body, due_ms)"
                " VALUES (?, ?, ?, ?, ?)",
                (uuid.uuid4().hex, subscription_id, record.resource_type, payload, record.updated_ms),
            )


def _extension(holder: dict[str, Any], url: str) -> dict[str, Any]:
    for extension in holder.get("extension", []):
        if isinstance(extension, dict) and extension.get("url") == url:
            return extension
    return {}


def _check_criteria(resource: dict[str, Any]) -> None:
    resource_type, _, query = resource["criteria"].partition("?")
    try:
        unknown = parse_search(resource_type, parse_qsl(query)).unknown
    except FhirError:
        unknown = [query]
    if unknown:
        raise unprocessable(
            "criteria is not a search that this server can do.", "Subscription.criteria", "not-supported"
        )


def _matches(transaction: Transaction, record: Record, criteria: str) -> bool:
    resource_type, _, query = criteria.partition("?")
    if resource_type != record.resource_type:
        return False
    search = parse_search(resource_type, parse_qsl(query))
    if not search.criteria:
        return True
    search.add("r.key = ?", record.key)
    sql = f"SELECT 1 FROM resources r WHERE {search.where}"
    return transaction.connection.execute(sql, search.arguments).fetchone() is not None
