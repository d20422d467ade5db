"""The CapabilityStatement, made from the tables that the server works by, so that it cannot promise more."""

from __future__ import annotations

from typing import Any

from .clock import Clock, format_instant
from .offers import Dialect, Offer

SOFTWARE_VERSION = "1.0"


def capability_statement(dialect: Dialect, base_url: str, clock: Clock) -> dict[str, Any]:
    """An R4 CapabilityStatement of kind instance."""
    publisher = {"publisher": dialect.publisher} if dialect.publisher else {}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": format_instant(clock.now()),
        **publisher,
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json", "application/fhir+json"],
        "patchFormat": ["application/json-patch+json"],
        "software": {"name": dialect.software, "version": SOFTWARE_VERSION},
        "implementation": {"description": "A practice EHR for training and tests", "url": f"{base_url}/fhir"},
        "rest": [
            {
                "mode": "server",
                "security": _security(base_url),
                "resource": [_resource(name, offer) for name, offer in dialect.offers.items()],
                **({"interaction": [{"code": "batch"}]} if dialect.takes_batches else {}),
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


def _resource(resource_type: str, offer: Offer) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "type": resource_type,
        "interaction": [{"code": code} for code in offer.interactions],
        "versioning": "versioned-update",
        "readHistory": "vread" in offer.interactions,
        "updateCreate": "update" in offer.interactions and offer.update_creates,
        "conditionalCreate": offer.conditional_create,
        "conditionalRead": "not-match",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [{"name": name, "type": kind} for name, kind in offer.parameters(resource_type).items()],
    }
    if offer.operations:
        statement["operation"] = [
            {"name": name.removeprefix("$"), "definition": operation.definition}
            for name, operation in offer.operations.items()
        ]
    if offer.note:
        statement["documentation"] = offer.note
    return statement
