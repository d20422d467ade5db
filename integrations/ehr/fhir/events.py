"""What a FHIR server's notification is about: resources, topic-based bundles, empty pings, deletions.

A notification is only a hint. Nothing in it is believed about the calendar: what it names is fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from integrations.ehr.fhir.answers import ID
from integrations.ehr.fhir.elements import Json, Unreadable, items, text, version_of

Subject = Literal[
    "appointment", "patient", "provider", "location", "slot", "coverage", "everything", "nothing", "subscription"
]

KINDS: dict[str, Subject] = {
    "Appointment": "appointment",
    "Patient": "patient",
    "Practitioner": "provider",
    "Location": "location",
    "Slot": "slot",
    "Coverage": "coverage",
}
_TYPES = {kind: name for name, kind in KINDS.items()}
_NOT_OURS = {
    "Schedule": "schedules are asked for when time is looked up",
    "PractitionerRole": "roles are asked for when an appointment names one",
    "OperationOutcome": "a message about a call, not about an appointment",
    "CapabilityStatement": "capabilities are asked for once a day",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing a notification names: by id, or by ``system`` and ``value`` of an identifier.

    ``why`` says for staff why there is nothing to do about it; ``patient_id`` is whose insurance it is, where that is
    told.
    """

    subject: Subject
    external_id: str = ""
    system: str = ""
    value: str = ""
    version: str = ""
    why: str = ""
    patient_id: str = ""

    @property
    def subject_key(self) -> str:
        """The name under which news of one thing is dealt with one at a time, empty for none."""
        if self.subject not in _TYPES:
            return ""
        if self.external_id:
            return f"{_TYPES[self.subject]}/{self.external_id}"
        # An identifier can be a patient's number, which has no place in a column that anybody reads.
        named = hashlib.sha256(f"{self.system}|{self.value}".encode()).hexdigest()[:32]
        return f"{_TYPES[self.subject]}#{named}"

    def body(self) -> Json:
        """A notification that says just this."""
        if self.external_id:
            whose = {"beneficiary": {"reference": f"Patient/{self.patient_id}"}} if self.patient_id else {}
            return {"resourceType": _TYPES[self.subject], "id": self.external_id, **whose}
        focus = {"identifier": {"system": self.system, "value": self.value}}
        status = {
            "resourceType": "SubscriptionStatus",
            "type": "event-notification",
            "topic": _TYPES.get(self.subject, ""),
            "notificationEvent": [{"focus": focus}],
        }
        return {"resourceType": "Bundle", "type": "history", "entry": [{"resource": status}]}


@dataclass(frozen=True, slots=True)
class Keys:
    """By what a notification is recognised: ``dedupe`` is empty when only its bytes can tell it from another."""

    dedupe: str
    subject: str


def keys_of(payload: Any) -> Keys:
    """Return the keys of a parsed notification, at the cost of a look; never raises."""
    if not isinstance(payload, dict):
        return Keys("", "")
    if payload.get("resourceType") == "Bundle":
        return _bundle_keys(payload)
    try:
        found = next(_of_resource(payload), None)
    except Unreadable:
        return Keys("", "")  # it is stored all the same, and shown to staff by whoever deals with it
    subject = found.subject_key if found else ""
    kind, external_id = payload.get("resourceType"), payload.get("id")
    version = version_of(payload)
    if isinstance(kind, str) and isinstance(external_id, str) and ID.fullmatch(external_id) and version:
        return Keys(f"{kind[:60]}/{external_id}/{version}", subject)
    return Keys("", subject)


def _bundle_keys(bundle: Json) -> Keys:
    head = _first_resource(bundle)
    ids = sorted(text(each.get("id"), 80) for each in items(head, "notificationEvent"))
    dedupe = "notified:" + ids[0] if len(ids) == 1 and ids[0] else ""
    if len(ids) > 1 and all(ids):
        dedupe = "notified:" + hashlib.sha256("|".join(ids).encode()).hexdigest()
    if not is_topic_notification(head) and len(list(items(bundle, "entry"))) > 1:
        return Keys(dedupe, "")
    try:
        found = list(notices_of(bundle))
    except Unreadable:
        return Keys(dedupe, "")
    return Keys(dedupe, found[0].subject_key if len(found) == 1 else "")


def notice_named(subject_key: str) -> Notice | None:
    """Return the notice for a path such as ``Appointment/123``, None when it names nothing of ours."""
    kind, _, external_id = subject_key.strip("/").rpartition("/")
    kind = kind.rpartition("/")[2]
    if kind not in KINDS or not ID.fullmatch(external_id):
        return None
    return Notice(KINDS[kind], external_id)


def notices_of(payload: Any) -> list[Notice]:
    """Return everything a notification names, each once; raises Unreadable when it is none."""
    if not isinstance(payload, dict):
        raise Unreadable("it is not a FHIR resource")
    if not payload:
        return [Notice("everything")]
    if payload.get("resourceType") != "Bundle":
        return _distinct(_of_resource(payload))
    if not isinstance(payload.get("entry", []), list):
        raise Unreadable("its entries are not a list")
    head = _first_resource(payload)
    if not is_topic_notification(head):
        return _distinct(_of_entries(payload))
    # The resource may come along, and says then whose insurance it is.
    told = {each.subject_key: each for each in _of_entries(payload) if each.patient_id}
    return _distinct(replace(each, patient_id=told.get(each.subject_key, each).patient_id) for each in _of_topic(head))


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """What a notification by topic says of its stream: whose, in which state, how many events so far.

    ``told`` is how many of them this notification names. ``total`` is None where none is given.
    """

    subscription_id: str
    status: str
    total: int | None
    told: int


def stream_of(payload: Any) -> StreamStatus | None:
    """Return what a parsed notification says of its stream, None for one that is not by topic."""
    head = _first_resource(payload) if isinstance(payload, dict) else {}
    if not is_topic_notification(head):
        return None
    said = _parameters(head) if head["resourceType"] == "Parameters" else head
    reference = said.get("subscription")
    subscription = text(reference.get("reference")) if isinstance(reference, dict) else ""
    total = text(str(said.get("eventsSinceSubscriptionStart", "")))
    return StreamStatus(
        subscription.rpartition("/")[2],
        text(said.get("status")),
        int(total) if total.isascii() and total.isdigit() and len(total) < 19 else None,
        sum(1 for _ in items(said, "notificationEvent")),
    )


def is_topic_notification(head: Json) -> bool:
    """Return whether the first resource of a Bundle says what the Bundle notifies of."""
    return head.get("resourceType") in ("SubscriptionStatus", "Parameters")


def _distinct(notices: Iterator[Notice]) -> list[Notice]:
    found = list(dict.fromkeys(notices))
    useful = [notice for notice in found if notice.subject != "nothing"]
    return useful or found or [Notice("nothing", why="it names nothing")]


def _first_resource(bundle: Json) -> Json:
    first = next(items(bundle, "entry"), {}).get("resource")
    return first if isinstance(first, dict) else {}


def _of_resource(resource: Json) -> Iterator[Notice]:
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        raise Unreadable("it is not a FHIR resource")
    if kind in KINDS:
        yield _identified(resource, KINDS[kind])
    elif kind == "AppointmentResponse":
        yield _referred(resource.get("appointment"), "an answer to an appointment that it does not name")
    elif kind == "Subscription":
        ended = resource.get("status") in ("error", "off")
        yield Notice("subscription") if ended else Notice("nothing", why="the subscription is in order")
    elif kind in ("SubscriptionStatus", "Parameters"):
        yield from _of_topic(resource)
    else:
        yield Notice("nothing", why=_NOT_OURS.get(kind, "not about an appointment or a patient"))


def _identified(resource: Json, subject: Subject) -> Notice:
    external_id = resource.get("id")
    if not isinstance(external_id, str) or not ID.fullmatch(external_id):
        raise Unreadable("it has no usable id")
    whose = _beneficiary(resource) if subject == "coverage" else ""
    return Notice(subject, external_id, version=version_of(resource), patient_id=whose)


def _beneficiary(resource: Json) -> str:
    reference = resource.get("beneficiary")
    named = notice_named(text(reference.get("reference"))) if isinstance(reference, dict) else None
    return named.external_id if named is not None and named.subject == "patient" else ""


def _of_entries(bundle: Json) -> Iterator[Notice]:
    for entry in items(bundle, "entry"):
        resource = entry.get("resource")
        if isinstance(resource, dict):
            try:
                yield from _of_resource(resource)
            except Unreadable as problem:
                yield Notice("nothing", why=f"an entry cannot be read: {problem.detail}")
            continue
        # A deletion in a history has no resource, only the request that deleted it.
        request = entry.get("request")
        url = request.get("url") if isinstance(request, dict) else entry.get("fullUrl")
        named = notice_named(text(url).partition("?")[0])
        yield named or Notice("nothing", why="an entry names no resource")


def _of_topic(head: Json) -> Iterator[Notice]:
    """Read a SubscriptionStatus, or the Parameters that stand for one in R4."""
    status = _parameters(head) if head["resourceType"] == "Parameters" else head
    kind = text(status.get("type"))
    if kind in ("handshake", "heartbeat", "query-status"):
        yield Notice("nothing", why=f"a {kind}")
        return
    topic = text(status.get("topic")).rpartition("/")[2].partition(".")[0].partition("-")[0]
    focuses = [_focus(event.get("focus"), topic) for event in items(status, "notificationEvent")]
    named = [each for each in focuses if each is not None]
    # An empty payload says that something changed and not what: everything since the last poll is asked for.
    yield from named or [Notice("everything")]


#: The parts of a SubscriptionStatus that R4 writes as Parameters, and what R5 calls them.
_STATUS_PARTS = {
    "type": "type",
    "topic": "topic",
    "status": "status",
    "subscription": "subscription",
    "events-since-subscription-start": "eventsSinceSubscriptionStart",
}


def _parameters(head: Json) -> Json:
    plain: Json = {"notificationEvent": []}
    for parameter in items(head, "parameter"):
        name = parameter.get("name")
        if name == "notification-event":
            parts = {part.get("name"): part.get("valueReference") for part in items(parameter, "part")}
            plain["notificationEvent"].append({"focus": parts.get("focus")})
        elif isinstance(name, str) and name in _STATUS_PARTS:
            values = (value for key, value in parameter.items() if key.startswith("value"))
            plain[_STATUS_PARTS[name]] = next(values, "")
    return plain


def _focus(focus: Any, topic: str) -> Notice | None:
    if not isinstance(focus, dict):
        return None
    named = notice_named(text(focus.get("reference")).partition("/_history/")[0])
    if named is not None:
        return named
    identifier = focus.get("identifier")
    identifier = identifier if isinstance(identifier, dict) else {}
    value = text(identifier.get("value"))
    if value and topic in ("Appointment", ""):
        return Notice("appointment", system=text(identifier.get("system")), value=value)
    return Notice("nothing", why="it names something that is neither an appointment nor found by its name")


def _referred(reference: Any, otherwise: str) -> Notice:
    named = notice_named(text(reference.get("reference"))) if isinstance(reference, dict) else None
    return named or Notice("nothing", why=otherwise)
