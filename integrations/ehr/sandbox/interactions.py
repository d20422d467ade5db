"""FHIR's interactions on one resource: read, create, update, patch, delete."""

from __future__ import annotations

import json
import re
import uuid
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from . import booking, subscriptions
from .messages import Request, Response, parse_json
from .offers import Offer
from .outcomes import FhirError, not_found
from .patch import apply_patch
from .search import matching_keys, parse_search
from .store import Record, Store, Transaction, fetch, fetch_version
from .validation import ID, check_form, check_references, check_rules, check_shape

_ETAG = re.compile(r'(?:W/)?"?(\d+)"?')


def read(store: Store, request: Request, resource_type: str, resource_id: str, version: str = "") -> Response:
    """The current version, or a named one. 404 when unknown, 410 when deleted."""
    with store.reading() as connection:
        if version:
            record = fetch_version(connection, resource_type, resource_id, int(version)) if version.isdigit() else None
        else:
            record = fetch(connection, resource_type, resource_id)
    if record is None:
        raise not_found(resource_type, resource_id)
    if record.deleted:
        raise FhirError(410, "deleted", f"{resource_type}/{resource_id} was deleted.", headers=_version_headers(record))
    if request.headers.get("If-None-Match", "") == f'W/"{record.version}"':
        return Response(304, headers=_version_headers(record))
    return Response(200, record.body.encode(), headers=_version_headers(record))


def create(store: Store, offer: Offer, request: Request, resource_type: str) -> Response:
    """201 with the new resource, or 200 with the existing one when ``If-None-Exist`` finds it.

    A server without conditional create does not look at that header.
    """
    resource = check_form(_body(request), resource_type)
    secret = request.headers.get(store.notifying.secret_header, "") if store.notifying.secret_header else ""
    if resource_type == "Subscription" and secret:
        resource = subscriptions.with_secret(resource, secret)
    condition = request.headers.get("If-None-Exist", "") if offer.conditional_create else ""
    with store.writing() as transaction:
        if offer.admit is not None:
            resource = offer.admit(transaction, resource)
        check_rules(resource)
        existing = _existing(transaction, resource_type, condition) if condition else None
        if existing is None:
            record = save(transaction, resource_type, uuid.uuid4().hex, resource)
    if existing is not None:
        return _answer(offer, request, existing, 200)
    return _answer(offer, request, record, 201)


def update(store: Store, offer: Offer, request: Request, resource_type: str, resource_id: str) -> Response:
    """PUT: 200, or 201 when the id was new. ``If-Match`` is honoured when present."""
    resource = check_shape(_body(request), resource_type)
    if resource.get("id") != resource_id or not ID.fullmatch(resource_id):
        raise FhirError(
            400, "invalid", "The id in the body must be the id in the address.", expression=f"{resource_type}.id"
        )
    with store.writing() as transaction:
        present = transaction.get(resource_type, resource_id)
        if "If-Match" in request.headers and (present is None or _wanted_version(request) != present.version):
            raise FhirError(412, "conflict", "The version in If-Match is not the present one. Read it again.")
        _check_change(offer, present, resource)
        record = save(transaction, resource_type, resource_id, resource)
    return _answer(offer, request, record, 200 if present is not None else 201)


def patch(store: Store, offer: Offer, request: Request, resource_type: str, resource_id: str) -> Response:
    """JSON Patch. An Appointment needs ``If-Match``: 412 without it, 409 when stale, as Oracle Health answers."""
    if not request.headers.get("Content-Type", "").startswith("application/json-patch+json"):
        raise FhirError(415, "not-supported", "PATCH needs the content type application/json-patch+json.")
    operations = _body(request)
    strict = resource_type == "Appointment"
    if strict and "If-Match" not in request.headers:
        raise FhirError(412, "required", "PATCH on an Appointment needs If-Match with the version that was read.")
    with store.writing() as transaction:
        present = transaction.get(resource_type, resource_id)
        if present is None:
            raise _absent(transaction, resource_type, resource_id)
        if "If-Match" in request.headers and _wanted_version(request) != present.version:
            raise FhirError(
                409 if strict else 412, "conflict", "The version in If-Match is not the present one. Read it again."
            )
        resource = apply_patch(present.resource, operations)
        if resource.get("id") != resource_id:
            raise FhirError(422, "invalid", "The id cannot be patched.", expression=f"{resource_type}.id")
        _check_change(offer, present, check_shape(resource, resource_type))
        record = save(transaction, resource_type, resource_id, resource)
    return _answer(offer, request, record, 200)


def delete(store: Store, resource_type: str, resource_id: str) -> Response:
    """204, also for what was deleted before."""
    with store.writing() as transaction:
        present = fetch(transaction.connection, resource_type, resource_id)
        if present is None:
            raise not_found(resource_type, resource_id)
        if not present.deleted:
            if resource_type == "Appointment":
                booking.release(transaction, resource_id)
            present = transaction.delete(present)
    return Response(204, headers={"ETag": f'W/"{present.version}"'})


def save(
    transaction: Transaction,
    resource_type: str,
    resource_id: str,
    resource: dict[str, Any],
    *,
    frees_slots: bool = True,
) -> Record:
    """Store one resource under every rule of its type. The only way in, for clients and for the front desk alike."""
    record = transaction.get(resource_type, resource_id)
    present = record.resource if record else None
    check_references(transaction, resource, present)
    if resource_type == "Appointment":
        booking.occupy(transaction, resource_id, present, resource, frees_slots=frees_slots)
    elif resource_type == "Subscription":
        resource = subscriptions.accept(transaction, resource_id, resource)
    record = transaction.put(resource_type, resource_id, resource)
    if resource_type == "Schedule":
        _reindex_slots(transaction, resource_id)
    return record


def _reindex_slots(transaction: Transaction, schedule_id: str) -> None:
    rows = transaction.connection.execute(
        "SELECT r.id FROM terms t JOIN resources r ON r.key = t.key"
        " WHERE t.parameter = 'Slot.schedule' AND t.value = ?",
        (f"Schedule/{schedule_id}",),
    ).fetchall()
    for (slot_id,) in rows:
        record = transaction.get("Slot", slot_id)
        if record is not None:
            transaction.reindex(record)


def _body(request: Request) -> Any:
    content_type = request.headers.get("Content-Type", "application/fhir+json").partition(";")[0].strip()
    if not content_type.endswith("json"):
        raise FhirError(415, "not-supported", "The body must be JSON: application/fhir+json.")
    try:
        return parse_json(request.body)
    except ValueError:
        raise FhirError(400, "structure", "The body is not valid JSON in UTF-8.") from None


def _check_change(offer: Offer, present: Record | None, resource: dict[str, Any]) -> None:
    if offer.check_change is not None and present is not None:
        offer.check_change(present.resource, resource)


def _existing(transaction: Transaction, resource_type: str, condition: str) -> Record | None:
    search = parse_search(resource_type, parse_qsl(condition.partition("?")[2] or condition, keep_blank_values=True))
    if search.unknown or not search.criteria:
        raise FhirError(400, "invalid", "If-None-Exist must be a search with parameters this server knows.")
    keys = matching_keys(transaction.connection, search, 2)
    if len(keys) > 1:
        raise FhirError(412, "multiple-matches", "If-None-Exist matches several resources. Nothing was created.")
    if not keys:
        return None
    resource_id = transaction.connection.execute("SELECT id FROM resources WHERE key = ?", (keys[0],)).fetchone()[0]
    return transaction.get(resource_type, resource_id)


def _absent(transaction: Transaction, resource_type: str, resource_id: str) -> FhirError:
    if fetch(transaction.connection, resource_type, resource_id) is None:
        return not_found(resource_type, resource_id)
    return FhirError(410, "deleted", f"{resource_type}/{resource_id} was deleted.")


def _wanted_version(request: Request) -> int:
    match = _ETAG.fullmatch(request.headers.get("If-Match", "").strip())
    if match is None:
        raise FhirError(400, "invalid", 'If-Match must look like W/"3".')
    return int(match.group(1))


def _version_headers(record: Record) -> dict[str, str]:
    return {"ETag": f'W/"{record.version}"', "Last-Modified": formatdate(record.updated_ms / 1000, usegmt=True)}


def _answer(offer: Offer, request: Request, record: Record, status: int) -> Response:
    headers = _version_headers(record)
    if request.method == "POST":
        version = f"/_history/{record.version}" if offer.location_names_version else ""
        headers["Location"] = f"{request.base_url}/fhir/{record.resource_type}/{record.id}{version}"
    preferred = request.preference("return")
    if preferred == "minimal" or not offer.writes_answer_with_body:
        return Response(status, headers=headers)
    if preferred == "OperationOutcome":
        done = {"severity": "information", "code": "informational", "details": {"text": "Stored."}}
        return Response(
            status, json.dumps({"resourceType": "OperationOutcome", "issue": [done]}).encode(), headers=headers
        )
    return Response(status, record.body.encode(), headers=headers)
