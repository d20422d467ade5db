"""Subscriptions of ours at a FHIR R4 server: by criteria (rest-hook) or by topic (R5 backport), asked for and read.

A subscription by topic counts its events and may send heartbeats; one by criteria does neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from integrations.ehr.fhir import search
from integrations.ehr.fhir.elements import text
from integrations.ehr.fhir.transport import Transport
from integrations.models import Connection, EventSubscription

Status = EventSubscription.Status
#: Every status: criteria such as ``status=booked`` would stop matching at the very moment of a cancellation.
CRITERIA = "Appointment?"
HEARTBEAT_SECONDS = 300
#: An EHR that many listen to tells of its subscriptions page by page.
PAGE_SIZE = 200
SECRET_EXTENSIONS = (
    "https://www.medplum.com/fhir/StructureDefinition/subscription-secret",
    "https://sandbox-ehr.example.org/subscription-secret",
)
_BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
PROFILE = f"{_BACKPORT}/backport-subscription"
CONTENT = f"{_BACKPORT}/backport-payload-content"
HEARTBEAT = f"{_BACKPORT}/backport-heartbeat-period"


@dataclass(frozen=True, slots=True)
class Found:
    """A subscription as the EHR has it; ``resource`` is the whole of it."""

    external_id: str
    status: str
    resource: dict[str, Any]


def subscribe(connection: Connection, endpoint: str) -> Found:
    """Have the EHR notify ``endpoint``, signed with the connection's newest secret.

    Subscriptions of ours to other addresses, or in another form, are ended; the same one is kept. Raises GatewayError.
    """
    transport = Transport(connection)
    wanted = _resource(connection, endpoint)
    kept: Found | None = None
    for found in _ours(transport):
        if kept is None and _is_same(found.resource, wanted) and found.status in (Status.ACTIVE, Status.REQUESTED):
            kept = found
        else:
            transport.write("DELETE", f"Subscription/{found.external_id}", None)
    if kept is not None:
        return kept
    answer = transport.write("POST", "Subscription", wanted)
    if answer.body.strip():
        return _found(answer.resource())
    return read(connection, answer.located_id("Subscription"))


def read(connection: Connection, external_id: str) -> Found:
    """Return the subscription as it is now; raises NotFound when the EHR has it no more."""
    return _found(Transport(connection).read(f"Subscription/{external_id}").resource())


def reactivate(connection: Connection, found: Found) -> Found:
    """Ask for a subscription that went to ``error`` or ``off`` once more; raises GatewayError."""
    resource = {**found.resource, "status": Status.REQUESTED}
    resource.pop("error", None)
    # The EHR never shows the secret it keeps; a server that forgets it on an update is given it again.
    secret = _secret(connection)
    if secret:
        resource["extension"] = [*secret, *_others(resource.get("extension"))]
    transport = Transport(connection)
    answer = transport.write("PUT", f"Subscription/{found.external_id}", resource)
    return _found(answer.resource()) if answer.body.strip() else read(connection, found.external_id)


def is_ours(connection: Connection, found: Found) -> bool:
    """Return whether it notifies us, as far as it says whom: ids such as ``1`` mean another one at another server."""
    endpoint = _endpoint(found.resource)
    return not endpoint or endpoint.endswith(_path(connection))


def _path(connection: Connection) -> str:
    return f"/webhooks/ehr/{connection.slug}/"


def _ours(transport: Transport) -> list[Found]:
    mine = _path(transport.connection)
    pages = search.bundles(transport, "Subscription", [("_count", str(PAGE_SIZE))])
    resources = [each for page in pages for each in page.resources if _endpoint(each).endswith(mine)]
    # One that is shown again on a later page would be ended for being there twice.
    return [_found(each) for each in {text(each.get("id")): each for each in resources}.values() if each.get("id")]


def _found(resource: dict[str, Any]) -> Found:
    return Found(text(resource.get("id")), text(resource.get("status")), resource)


def _endpoint(resource: dict[str, Any]) -> str:
    channel = resource.get("channel")
    return text(channel.get("endpoint")) if isinstance(channel, dict) else ""


def _is_same(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    return _endpoint(theirs) == _endpoint(ours) and theirs.get("criteria") == ours["criteria"]


def _resource(connection: Connection, endpoint: str) -> dict[str, Any]:
    channel: dict[str, Any] = {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json"}
    resource: dict[str, Any] = {
        "resourceType": "Subscription",
        "status": Status.REQUESTED,
        "reason": "Appointment waitlist",
        "criteria": CRITERIA,
        "channel": channel,
    }
    if connection.webhook_proof == Connection.WebhookProof.BEARER:
        channel["header"] = [f"Authorization: Bearer {secret}" for secret in connection.webhook_secrets[:1]]
    elif secret := _secret(connection):
        resource["extension"] = secret
    if connection.events_by == Connection.EventsBy.TOPIC:
        resource["meta"] = {"profile": [PROFILE]}
        resource["criteria"] = connection.event_topic
        # Ids are enough, since everything is fetched again before it is believed.
        channel["_payload"] = {"extension": [{"url": CONTENT, "valueCode": "id-only"}]}
        channel["extension"] = [{"url": HEARTBEAT, "valueUnsignedInt": HEARTBEAT_SECONDS}]
    return resource


def _secret(connection: Connection) -> list[dict[str, Any]]:
    newest = next(iter(connection.webhook_secrets or ()), "")
    return [{"url": url, "valueString": newest} for url in SECRET_EXTENSIONS] if newest else []


def _others(extensions: Any) -> list[Any]:
    kept = extensions if isinstance(extensions, list) else []
    return [each for each in kept if not (isinstance(each, dict) and each.get("url") in SECRET_EXTENSIONS)]
