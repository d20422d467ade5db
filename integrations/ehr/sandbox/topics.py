"""Subscriptions by topic, as the R5 backport for R4 has them: topics, events, and the bundles that tell of them.

Source: http://hl7.org/fhir/uv/subscriptions-backport, STU 1.1.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .clock import format_instant

Json = dict[str, Any]
Content = Literal["empty", "id-only", "full-resource"]
CONTENTS = ("empty", "id-only", "full-resource")
Kind = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event"]

_GUIDE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
FILTER_EXTENSION = f"{_GUIDE}/backport-filter-criteria"
CONTENT_EXTENSION = f"{_GUIDE}/backport-payload-content"
HEARTBEAT_EXTENSION = f"{_GUIDE}/backport-heartbeat-period"
STATUS_PROFILE = f"{_GUIDE}/backport-subscription-status-r4"
NOTIFICATION_PROFILE = f"{_GUIDE}/backport-subscription-notification-r4"


@dataclass(frozen=True)
class Topic:
    """What can be subscribed to. ``triggers`` gets a resource before and after; None is one that is not there."""

    url: str
    resource_type: str
    triggers: Callable[[Json | None, Json | None], bool] = lambda before, after: True


@dataclass(frozen=True)
class Event:
    """One change that a subscription is about. ``number`` counts from 1 per subscription, without gaps.

    ``body`` is the version it made, as JSON text; empty after a delete.
    """

    number: int
    event_id: str
    occurred_ms: int
    resource_type: str
    resource_id: str
    version: int
    body: str = ""


@dataclass(frozen=True)
class Report:
    """What a bundle tells: ``total`` events since the subscription began, and those among them that it is about."""

    kind: Kind
    base_url: str
    subscription_id: str
    topic: str
    status: str
    total: int
    now_ms: int
    content: Content = "empty"
    events: tuple[Event, ...] = ()

    @property
    def reference(self) -> str:
        return f"{self.base_url}/Subscription/{self.subscription_id}"


def backport_bundle(report: Report) -> Json:
    """A ``history`` Bundle with the status as its first entry, and with the resources for full-resource."""
    status = {
        "fullUrl": f"urn:uuid:{uuid.uuid4()}",
        "resource": status_parameters(report),
        "request": {"method": "GET", "url": f"{report.reference}/$status"},
        "response": {"status": "200"},
    }
    told = report.events if report.content == "full-resource" else ()
    return {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "meta": {"profile": [NOTIFICATION_PROFILE]},
        "type": "history",
        "timestamp": format_instant(report.now_ms),
        "entry": [status, *(_entry(report.base_url, event) for event in told)],
    }


def status_parameters(report: Report) -> Json:
    """The status of a subscription as R4 writes it: Parameters in place of R5's SubscriptionStatus."""
    topic = [{"name": "topic", "valueCanonical": report.topic}] if report.content != "empty" else []
    return {
        "resourceType": "Parameters",
        "id": str(uuid.uuid4()),
        "meta": {"profile": [STATUS_PROFILE]},
        "parameter": [
            {"name": "subscription", "valueReference": {"reference": report.reference}},
            *topic,
            {"name": "status", "valueCode": report.status},
            {"name": "type", "valueCode": report.kind},
            {"name": "events-since-subscription-start", "valueString": str(report.total)},
            *({"name": "notification-event", "part": _parts(report, event)} for event in report.events),
        ],
    }


def _parts(report: Report, event: Event) -> list[Json]:
    parts: list[Json] = [
        {"name": "event-number", "valueString": str(event.number)},
        {"name": "timestamp", "valueInstant": format_instant(event.occurred_ms)},
    ]
    if report.content != "empty":
        focus = f"{report.base_url}/{event.resource_type}/{event.resource_id}"
        parts.append({"name": "focus", "valueReference": {"reference": focus}})
    return parts


def _entry(base_url: str, event: Event) -> Json:
    path = f"{event.resource_type}/{event.resource_id}"
    if not event.body:
        return {
            "fullUrl": f"{base_url}/{path}",
            "request": {"method": "DELETE", "url": path},
            "response": {"status": "204"},
        }
    method, url, status = ("POST", event.resource_type, "201") if event.version == 1 else ("PUT", path, "200")
    return {
        "fullUrl": f"{base_url}/{path}",
        "resource": json.loads(event.body),
        "request": {"method": method, "url": url},
        "response": {"status": status},
    }


@dataclass(frozen=True)
class Notifying:
    """How a server tells of changes.

    ``scheme`` signs where a subscription asks for none, ``secret_header`` brings the secret at the create. With
    ``ends_in_error`` a subscription by topic that cannot be delivered to stops until its client reactivates it. Unless
    it ``is_ordered``, news that waits for another attempt lets later news pass.
    """

    topics: Mapping[str, Topic] = field(default_factory=dict)
    has_criteria: bool = True
    bundle: Callable[[Report], Json] = backport_bundle
    contents: tuple[str, ...] = CONTENTS
    scheme: str = ""
    secret_header: str = ""
    has_handshake: bool = True
    ends_in_error: bool = True
    is_ordered: bool = True


def extension(holder: Any, url: str) -> Json:
    """The first extension with this address, or an empty one."""
    for each in holder.get("extension", []) if isinstance(holder, dict) else []:
        if isinstance(each, dict) and each.get("url") == url:
            found: Json = each
            return found
    return {}


def content_of(subscription: Json) -> str:
    """How much of a resource the subscription wants to be sent; empty when it does not say."""
    return str(extension(subscription["channel"].get("_payload"), CONTENT_EXTENSION).get("valueCode", ""))


def heartbeat_seconds(subscription: Json) -> int:
    """0 for none."""
    value = extension(subscription["channel"], HEARTBEAT_EXTENSION).get("valueUnsignedInt", 0)
    return value if isinstance(value, int) and value > 0 else 0


TOPIC_ROOT = "https://sandbox-ehr.example.org/SubscriptionTopic"
BACKPORT = Notifying(
    {
        topic.url: topic
        for topic in (
            Topic(f"{TOPIC_ROOT}/appointment-change", "Appointment"),
            Topic(f"{TOPIC_ROOT}/slot-change", "Slot"),
            Topic(f"{TOPIC_ROOT}/patient-change", "Patient"),
        )
    }
)
