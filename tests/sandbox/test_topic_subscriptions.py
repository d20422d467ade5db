"""Subscriptions by topic: handshake, events that are counted, heartbeat, error and the way back."""

import json
import time
from typing import Any

import pytest
import requests

from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import FhirClient, Json, appointment, client_of, issue_code
from tests.sandbox.receiver import Received, Receiver

TOPIC = "https://sandbox-ehr.example.org/SubscriptionTopic/appointment-change"
GUIDE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
CONTENT = f"{GUIDE}/backport-payload-content"
FILTER = f"{GUIDE}/backport-filter-criteria"
HEARTBEAT = f"{GUIDE}/backport-heartbeat-period"


def wanted(url: str, content: str = "id-only", heartbeat: int = 0, criteria: str = "", **more: Any) -> Json:
    channel: Json = {
        "type": "rest-hook",
        "endpoint": url,
        "payload": "application/fhir+json",
        "_payload": {"extension": [{"url": CONTENT, "valueCode": content}]},
    }
    if heartbeat:
        channel["extension"] = [{"url": HEARTBEAT, "valueUnsignedInt": heartbeat}]
    filters = {"_criteria": {"extension": [{"url": FILTER, "valueString": criteria}]}} if criteria else {}
    head = {"resourceType": "Subscription", "status": "requested", "reason": "tests", "criteria": TOPIC}
    return {**head, **filters, "channel": channel, **more}


def subscribe(ehr: FhirClient, receiver: Receiver, *arguments: Any, **more: Any) -> str:
    """The id of a subscription whose handshake was taken."""
    answer = ehr.create(wanted(receiver.url, *arguments, **more))
    assert answer.status_code == 201, answer.text
    assert told(receiver.next())["type"] == "handshake"
    identity = str(answer.json()["id"])
    await_status(ehr, identity, "active")
    return identity


def await_status(ehr: FhirClient, identity: str, status: str) -> None:
    end = time.monotonic() + 10
    while ehr.get(f"Subscription/{identity}").json()["status"] != status:
        assert time.monotonic() < end, f"not {status}"
        time.sleep(0.02)


def read_status(parameters: Json) -> Json:
    """The Parameters of a status as a plain object; events as a list of such."""
    assert parameters["resourceType"] == "Parameters"
    found: Json = {"events": []}
    for item in parameters["parameter"]:
        if item["name"] == "notification-event":
            found["events"].append({part["name"]: value_of(part) for part in item["part"]})
        else:
            found[item["name"]] = value_of(item)
    return found


def value_of(item: Json) -> Any:
    value = next(value for name, value in item.items() if name.startswith("value"))
    return value["reference"] if isinstance(value, dict) else value


def told(received: Received) -> Json:
    bundle = json.loads(received.body)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "history")
    return read_status(bundle["entry"][0]["resource"])


def book(ehr: FhirClient, count: int = 1) -> list[str]:
    return [ehr.create(appointment(slot)).json()["id"] for slot in ehr.free_slots()[:count]]


def make_due(server: SandboxServer) -> None:
    """End the gathering: what waits is sent now."""
    with server.application.store.writing() as transaction:
        transaction.connection.execute("UPDATE notifications SET due_ms = 0 WHERE state = 'waiting'")


def test_it_is_active_only_when_the_receiver_has_answered_the_handshake(ehr: FhirClient) -> None:
    with Receiver(500) as receiver:
        created = ehr.create(wanted(receiver.url)).json()
        assert created["status"] == "requested"
        handshakes = [told(receiver.next()) for _ in range(2)]
        await_status(ehr, created["id"], "active")
    assert handshakes[0] == handshakes[1] == {
        "subscription": f"{ehr.base}/Subscription/{created['id']}",
        "topic": TOPIC,
        "status": "requested",
        "type": "handshake",
        "events-since-subscription-start": "0",
        "events": [],
    }  # fmt: skip


def test_events_are_numbered_and_name_what_changed(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver)
        made = book(ehr)[0]
        ehr.control("POST", f"appointments/{made}/cancel")
        ehr.call("DELETE", f"Appointment/{made}")
        received = [receiver.next() for _ in range(3)]
    for number, each in enumerate(received, start=1):
        status = told(each)
        assert (status["type"], status["status"]) == ("event-notification", "active")
        assert status["events-since-subscription-start"] == str(number)
        (event,) = status["events"]
        assert (event["event-number"], event["focus"]) == (str(number), f"{ehr.base}/Appointment/{made}")
        assert len(json.loads(each.body)["entry"]) == 1


def test_empty_content_names_nothing(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver, "empty")
        book(ehr)
        received = receiver.next()
    status = told(received)
    assert "topic" not in status
    assert set(status["events"][0]) == {"event-number", "timestamp"}
    assert b"Appointment/" not in received.body


def test_full_content_brings_the_version_that_the_event_made(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver, "full-resource")
        made = book(ehr)[0]
        ehr.control("POST", f"appointments/{made}/cancel")
        ehr.call("DELETE", f"Appointment/{made}")
        entries = [json.loads(receiver.next().body)["entry"][1] for _ in range(3)]
    assert [each.get("resource", {}).get("status") for each in entries] == ["booked", "cancelled", None]
    assert [each["request"]["method"] for each in entries] == ["POST", "PUT", "DELETE"]
    assert {each["fullUrl"] for each in entries} == {f"{ehr.base}/Appointment/{made}"}


def test_a_filter_narrows_the_topic(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver, criteria="Appointment?practitioner=raman")
        book(ehr)
        slot = ehr.free_slots("raman")[0]
        made = ehr.create(appointment(slot, practitioner="raman")).json()["id"]
        (event,) = told(receiver.next())["events"]
    assert (event["event-number"], event["focus"]) == ("1", f"{ehr.base}/Appointment/{made}")


def test_a_lost_notification_leaves_a_gap_that_can_be_asked_for(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        identity = subscribe(ehr, receiver)
        ehr.fault("notify-lost", path="Appointment", skip=1)
        made = book(ehr, 3)
        numbers = [told(receiver.next())["events"][0]["event-number"] for _ in range(2)]
    assert numbers == ["1", "3"]
    query = f"Subscription/{identity}/$events?eventsSinceNumber=2&eventsUntilNumber=2"
    bundle = ehr.get(query).json()
    status = read_status(bundle["entry"][0]["resource"])
    assert (bundle["type"], status["type"], status["events-since-subscription-start"]) == (
        "history",
        "query-event",
        "3",
    )
    assert [event["focus"] for event in status["events"]] == [f"{ehr.base}/Appointment/{made[1]}"]
    full = ehr.get(f"{query}&content=full-resource").json()
    assert full["entry"][1]["resource"]["id"] == made[1]
    body = {"resourceType": "Parameters", "parameter": [{"name": "eventsSinceNumber", "valueString": "2"}]}
    posted = ehr.call("POST", f"Subscription/{identity}/$events", json=body).json()
    assert [each["event-number"] for each in read_status(posted["entry"][0]["resource"])["events"]] == ["2", "3"]


def test_events_of_a_while_come_in_one_notification(server: SandboxServer, ehr: FhirClient) -> None:
    ehr.control("POST", "settings", {"gather_seconds": 600})
    with Receiver() as receiver:
        subscribe(ehr, receiver, "full-resource")
        made = book(ehr, 3)
        make_due(server)
        received = receiver.next()
        ehr.control("POST", "settings", {"gather_seconds": 0})
        book(ehr)
        (next_event,) = told(receiver.next())["events"]
    status = told(received)
    assert status["events-since-subscription-start"] == "3"
    assert [event["event-number"] for event in status["events"]] == ["1", "2", "3"]
    assert [each["resource"]["id"] for each in json.loads(received.body)["entry"][1:]] == made
    assert next_event["event-number"] == "4"


def test_after_the_last_attempt_it_is_in_error_and_comes_back_only_by_its_client(
    settings_of_sandbox: SandboxSettings,
) -> None:
    settings_of_sandbox.notification_attempts = 2
    with SandboxServer(settings_of_sandbox) as server, Receiver(200, 500, 500) as receiver:
        ehr = client_of(server)
        identity = subscribe(ehr, receiver)
        book(ehr, 2)
        assert [told(receiver.next())["events"][0]["event-number"] for _ in range(2)] == ["1", "1"]
        await_status(ehr, identity, "error")
        book(ehr)
        status = read_status(ehr.get(f"Subscription/{identity}/$status").json()["entry"][0]["resource"])
        assert (status["status"], status["type"]) == ("error", "query-status")
        assert status["events-since-subscription-start"] == "3"
        assert receiver.received.empty()
        subscription = ehr.get(f"Subscription/{identity}").json()
        again = ehr.call("PUT", f"Subscription/{identity}", json=subscription | {"status": "active"})
        assert again.json()["status"] == "requested"
        assert told(receiver.next())["type"] == "handshake"
        await_status(ehr, identity, "active")
        book(ehr)
        assert told(receiver.next())["events"][0]["event-number"] == "4"


def test_a_handshake_that_fails_leaves_it_in_error(settings_of_sandbox: SandboxSettings) -> None:
    settings_of_sandbox.notification_attempts = 2
    with SandboxServer(settings_of_sandbox) as server, Receiver(404, 404) as receiver:
        ehr = client_of(server)
        identity = ehr.create(wanted(receiver.url)).json()["id"]
        await_status(ehr, identity, "error")
        assert receiver.received.qsize() == 2


def test_heartbeats_come_at_the_period_and_count_no_event(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver, heartbeat=1)
        beats = [told(receiver.next()) for _ in range(2)]
    for beat in beats:
        assert (beat["type"], beat["status"], beat["events-since-subscription-start"]) == ("heartbeat", "active", "0")
        assert beat["events"] == []


def test_the_status_of_all_and_of_some(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        first, second = subscribe(ehr, receiver), subscribe(ehr, receiver)
        off = ehr.get(f"Subscription/{second}").json() | {"status": "off"}
        assert ehr.call("PUT", f"Subscription/{second}", json=off).json()["status"] == "off"

    def named(query: str) -> list[str]:
        bundle = ehr.get(f"Subscription/$status{query}").json()
        assert bundle["type"] == "searchset"
        return [read_status(each["resource"])["subscription"].rpartition("/")[2] for each in bundle["entry"]]

    assert named("") == [first, second]
    assert named("?status=off") == [second]
    assert named(f"?id={first}") == [first]


@pytest.mark.parametrize(
    "change",
    [
        {"criteria": "https://sandbox-ehr.example.org/SubscriptionTopic/unknown"},
        {"_criteria": {"extension": [{"url": FILTER, "valueString": "Patient?active=true"}]}},
        {"_criteria": {"extension": [{"url": FILTER, "valueString": "Appointment?colour=blue"}]}},
        {"channel": {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/", "payload": "application/fhir+json"}},
    ],
)
def test_what_cannot_work_is_refused(ehr: FhirClient, change: Json) -> None:
    answer = ehr.create(wanted("http://127.0.0.1:9/") | change)
    assert answer.status_code == 422
    assert ehr.get("Subscription").json()["total"] == 0


def test_operations_on_what_is_not_there(ehr: FhirClient) -> None:
    assert ehr.get("Subscription/nobody/$status").status_code == 404
    assert ehr.get("Subscription/nobody/$events").status_code == 404
    level = ehr.get("Subscription/$events")
    assert (level.status_code, issue_code(level)) == (405, "not-supported")
    assert ehr.get("Patient/patient-001/$status").status_code == 405


def test_the_capability_statement_lists_operations_and_topics(server: SandboxServer) -> None:
    statement = requests.get(f"{server.base_url}/metadata", timeout=10).json()
    (subscription,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "Subscription"]
    assert [each["name"] for each in subscription["operation"]] == ["status", "events"]
    assert TOPIC in subscription["documentation"]
