"""athenahealth's event subscription platform: one topic per kind of change, ids only, and counters per bundle.

Source: athenahealth Event Subscription Platform, v0.5.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from .clock import format_instant
from .messages import Request, Response
from .signatures import HUB
from .store import Store
from .topics import Event, Notifying, Report, Topic

Json = dict[str, Any]

PRACTICE = "195900"
APPOINTMENT_SYSTEM = f"urn:athenahealth:athenanet:appointment:{PRACTICE}"
#: One address serves every practice: each search says which is meant.
SEARCH_SCOPE = ("ah-practice", f"Organization/a-1.Practice-{PRACTICE}")
TOPIC_ROOT = "https://api.platform.athenahealth.com/fhir/r4/SubscriptionTopic"
PROFILE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-notification"
_ARRIVED = ("arrived", "checked-in")
_GONE = ("cancelled", "noshow", "entered-in-error")


def _change_of_appointment(before: Json | None, after: Json | None) -> str:
    """The one thing that happened to an appointment, in athenahealth's words."""
    old, new = (each.get("status", "") if each else "" for each in (before, after))
    if new == "" or (new in _GONE and old not in _GONE):
        return "cancel"
    if new == "booked" and old != "booked":
        return "schedule"
    if new in _ARRIVED and old not in _ARRIVED:
        return "check-in"
    if new == "fulfilled" and old != "fulfilled":
        return "check-out"
    moved = before is not None and after is not None and before.get("start") != after.get("start")
    return "reschedule" if moved else "update"


def _change_of_patient(before: Json | None, after: Json | None) -> str:
    if before is None:
        return "create"
    if after is None:
        return "delete"
    is_merged = [any(link.get("type") == "replaced-by" for link in each.get("link", [])) for each in (before, after)]
    return "merge" if is_merged == [False, True] else "update"


def _topic(resource_type: str, change: str, change_of: Callable[[Json | None, Json | None], str]) -> Topic:
    return Topic(
        f"{TOPIC_ROOT}/{resource_type}.{change}",
        resource_type,
        lambda before, after: change_of(before, after) == change,
    )


_APPOINTMENT_CHANGES = ("schedule", "cancel", "reschedule", "update", "check-in", "check-out")
_PATIENT_CHANGES = ("create", "update", "merge", "delete")
TOPICS = {
    topic.url: topic
    for topic in (
        *(_topic("Appointment", change, _change_of_appointment) for change in _APPOINTMENT_CHANGES),
        *(_topic("Patient", change, _change_of_patient) for change in _PATIENT_CHANGES),
    )
}


def bundle(report: Report) -> Json:
    """A notification with a SubscriptionStatus, as R4B has it. Its counters begin anew with each bundle."""
    numbered = list(enumerate(report.events, start=1))
    identity = str(uuid.uuid4())
    status: Json = {
        "resourceType": "SubscriptionStatus",
        "id": identity,
        "status": report.status,
        "type": report.kind,
        "eventsSinceSubscriptionStart": str(len(numbered)),
        "eventsInNotification": len(numbered),
        "notificationEvent": [_event(number, event) for number, event in numbered],
        "subscription": {"reference": f"Subscription/{report.subscription_id}"},
        "topic": report.topic,
    }
    entry = {
        "fullUrl": f"urn:uuid:{identity}",
        "resource": status,
        "request": {"method": "GET", "url": f"Subscription/{report.subscription_id}/$status"},
        "response": {"status": "200"},
    }
    return {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "meta": {"profile": [PROFILE]},
        "type": "history",
        "timestamp": format_instant(report.now_ms),
        "entry": [entry],
    }


def _event(number: int, event: Event) -> Json:
    """Appointments are named by identifier only: their own endpoint is not FHIR."""
    focus: Json = {"reference": f"{event.resource_type}/{event.resource_id}"}
    if event.resource_type == "Appointment":
        focus = {"identifier": {"system": APPOINTMENT_SYSTEM, "value": event.resource_id}}
    return {
        "id": event.event_id,
        "eventNumber": str(number),
        "timestamp": format_instant(event.occurred_ms),
        "focus": focus,
    }


def list_topics(store: Store, request: Request) -> Response:
    """``GET SubscriptionTopic``: what there is to subscribe to."""
    entries = [
        {
            "fullUrl": topic.url,
            "resource": {
                "resourceType": "SubscriptionTopic",
                "id": topic.url.rpartition("/")[2],
                "url": topic.url,
                "status": "active",
                "experimental": False,
            },
        }
        for topic in TOPICS.values()
    ]
    found = {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries}
    return Response(200, json.dumps(found).encode())


NOTIFYING = Notifying(
    TOPICS,
    has_criteria=False,
    bundle=bundle,
    contents=("id-only",),
    scheme=HUB,
    secret_header="X-Hub-Secret",  # noqa: S106 - the name of a header
    has_handshake=False,
    ends_in_error=False,
    is_ordered=False,
)
