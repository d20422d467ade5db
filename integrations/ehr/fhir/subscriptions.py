"""Asks a FHIR R4 server to notify our webhook of every change to an appointment (rest-hook subscriptions)."""

from __future__ import annotations

from typing import Any

from integrations.ehr.fhir.transport import Transport
from integrations.models import Connection

#: Every status: criteria such as ``status=booked`` would stop matching at the very moment of a cancellation.
CRITERIA = "Appointment?"
SECRET_EXTENSIONS = (
    "https://www.medplum.com/fhir/StructureDefinition/subscription-secret",
    "https://sandbox-ehr.example.org/subscription-secret",
)


def subscribe(connection: Connection, endpoint: str) -> str:
    """Have the EHR notify ``endpoint``, signed with the connection's newest secret; return the Subscription's id.

    Subscriptions of ours to other addresses are ended, the same one is kept. Raises GatewayError.
    """
    transport = Transport(connection)
    kept = ""
    for resource in _ours(transport):
        target = resource.get("channel", {}).get("endpoint", "")
        if target == endpoint and resource.get("status") in ("active", "requested") and not kept:
            kept = str(resource["id"])
        else:
            transport.write("DELETE", f"Subscription/{resource['id']}", None)
    if kept:
        return kept
    answer = transport.write("POST", "Subscription", _resource(endpoint, connection.webhook_secrets[0]))
    return answer.located_id("Subscription") or str(answer.resource().get("id", ""))


def _ours(transport: Transport) -> list[dict[str, Any]]:
    bundle = transport.read("Subscription", [("_count", "200")]).resource()
    resources = [entry.get("resource", {}) for entry in bundle.get("entry", [])]
    mine = f"/webhooks/ehr/{transport.connection.slug}/"
    return [each for each in resources if str(each.get("channel", {}).get("endpoint", "")).endswith(mine)]


def _resource(endpoint: str, secret: str) -> dict[str, Any]:
    return {
        "resourceType": "Subscription",
        "extension": [{"url": url, "valueString": secret} for url in SECRET_EXTENSIONS],
        "status": "requested",
        "reason": "Appointment waitlist",
        "criteria": CRITERIA,
        "channel": {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json"},
    }
