"""The CapabilityStatement, made from the tables that the server works by, so that it cannot promise more."""

from __future__ import annotations

from typing import Any

from .clock import Clock, format_instant
from .interactions import DELETABLE
from .search import PARAMETERS

SOFTWARE_VERSION = "1.0"


def capability_statement(base_url: str, clock: Clock) -> dict[str, Any]:
    """An R4 CapabilityStatement of kind instance."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": format_instant(clock.now()),
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json", "application/fhir+json"],
        "patchFormat": ["application/json-patch+json"],
        "software": {"name": "Sandbox EHR", "version": SOFTWARE_VERSION},
        "implementation": {"description": "A practice EHR for training and tests", "url": f"{base_url}/fhir"},
        "rest": [
            {
                "mode": "server",
                "security": _security(base_url),
                "resource": [_resource(resource_type) for resource_type in PARAMETERS],
            }
        ],
    }


def _security(base_url: str) -> dict[str, Any]:
    return {
        "cors": False,
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                    }
                ]
            }
        ],
        "extension": [
            {
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": [{"url": "token", "valueUri": f"{base_url}/oauth/token"}],
            }
        ],
    }


def _resource(resource_type: str) -> dict[str, Any]:
    interactions = ["read", "vread", "create", "update", "patch", "search-type"]
    if resource_type in DELETABLE:
        interactions.append("delete")
    statement: dict[str, Any] = {
        "type": resource_type,
        "interaction": [{"code": code} for code in interactions],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "not-match",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [{"name": name, "type": kind} for name, kind in PARAMETERS[resource_type].items()],
    }
    if resource_type == "Subscription":
        statement["documentation"] = "R4 rest-hook, signed by HMAC-SHA256; deletes are not notified."
    if resource_type == "Appointment":
        statement["documentation"] = (
            "PATCH needs If-Match: 412 without it, 409 when stale. A taken time is 409 conflict."
        )
    return statement
