"""Rest-hook notifications: signed, in order, again until accepted, and broken on demand."""

import base64
import hashlib
import hmac
import json
import queue
import sqlite3
from contextlib import closing

import pytest

from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import FhirClient, Json, appointment, client_of
from tests.sandbox.receiver import Received, Receiver

SECRET = "signing secret"
SECRET_URL = "https://sandbox-ehr.example.org/subscription-secret"
SCHEME_URL = "https://sandbox-ehr.example.org/signature-scheme"


def subscribe(ehr: FhirClient, receiver: Receiver, secret: str = SECRET, **more: object) -> Json:
    channel = {"type": "rest-hook", "endpoint": receiver.url, "payload": "application/fhir+json"}
    extensions = [{"url": SECRET_URL, "valueString": secret}]
    subscription = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "tests",
        "criteria": "Appointment?",
        "channel": channel,
        "extension": extensions,
    }
    answer = ehr.create(subscription | more)
    assert answer.status_code == 201, answer.text
    created: Json = answer.json()
    return created


def booked(ehr: FhirClient, count: int = 1) -> list[str]:
    return [ehr.create(appointment(slot)).json()["id"] for slot in ehr.free_slots()[:count]]


def signature(received: Received, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), received.body, hashlib.sha256).hexdigest()


def identity(received: Received) -> str:
    return str(json.loads(received.body)["id"])


def test_the_raw_body_is_signed(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver)
        made = booked(ehr)
        received = receiver.next()
    assert json.loads(received.body) == ehr.get(f"Appointment/{made[0]}").json()
    assert received.headers["Content-Type"] == "application/fhir+json"
    assert received.headers["X-Signature"] == signature(received)
    at = received.headers["X-Event-Timestamp"]
    timed = hmac.new(SECRET.encode(), f"{at}.".encode() + received.body, hashlib.sha256).hexdigest()
    assert received.headers["X-Signature-V2"] == f"t={at},v1={timed}"


def test_standard_webhooks_headers(ehr: FhirClient) -> None:
    key = b"0123456789abcdef0123456789abcdef"
    secret = "whsec_" + base64.b64encode(key).decode()
    extension = [{"url": SECRET_URL, "valueString": secret}, {"url": SCHEME_URL, "valueCode": "standard-webhooks"}]
    with Receiver() as receiver:
        subscribe(ehr, receiver, extension=extension)
        booked(ehr)
        received = receiver.next()
    signed = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode() + received.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert received.headers["webhook-signature"] == f"v1,{expected}"
    assert "X-Signature" not in received.headers


def test_the_subscription_becomes_active_and_its_secret_is_never_read_back(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        created = subscribe(ehr, receiver)
        assert created["status"] == "active"
        again = ehr.get(f"Subscription/{created['id']}").text
        assert SECRET not in json.dumps(created) + again + ehr.get("Subscription").text
        # An update that does not repeat the secret keeps it.
        ehr.call("PUT", f"Subscription/{created['id']}", json=created | {"reason": "changed"})
        booked(ehr)
        received = receiver.next()
    assert received.headers["X-Signature"] == signature(received)


def test_without_payload_the_body_is_an_empty_object(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        channel = {"type": "rest-hook", "endpoint": receiver.url, "header": ["X-Practice: harbor"]}
        subscribe(ehr, receiver, channel=channel)
        booked(ehr)
        received = receiver.next()
    assert received.body == b"{}"
    assert received.headers["X-Practice"] == "harbor"
    assert received.headers["X-Signature"] == signature(received)


def test_a_refused_notification_comes_again_under_the_same_id_and_before_the_next(ehr: FhirClient) -> None:
    with Receiver(500, 503) as receiver:
        subscribe(ehr, receiver)
        first, second = booked(ehr, 2)
        received = [receiver.next() for _ in range(4)]
    assert [identity(one) for one in received] == [first, first, first, second]
    assert len({one.headers["X-Event-Id"] for one in received[:3]}) == 1
    assert received[3].headers["X-Event-Id"] != received[0].headers["X-Event-Id"]


def test_after_the_last_attempt_the_next_event_has_its_turn(settings_of_sandbox: SandboxSettings) -> None:
    settings_of_sandbox.notification_attempts = 2
    with SandboxServer(settings_of_sandbox) as server, Receiver(500, 500) as receiver:
        ehr = client_of(server)
        subscribe(ehr, receiver)
        first, second = booked(ehr, 2)
        assert [identity(receiver.next()) for _ in range(3)] == [first, first, second]
        newest, dead = ehr.control("GET", "notifications").json()["notifications"]
    assert (dead["state"], dead["attempts"], dead["last_error"]) == ("dead", 2, "HTTP 500")
    assert newest["number"] == dead["number"] + 1


def test_what_was_queued_is_sent_after_a_restart(settings_of_sandbox: SandboxSettings) -> None:
    settings_of_sandbox.notification_backoff_seconds = 0.5
    with Receiver(500) as receiver:
        with SandboxServer(settings_of_sandbox) as server:
            ehr = client_of(server)
            subscribe(ehr, receiver)
            made = booked(ehr)
            assert identity(receiver.next()) == made[0]
        with SandboxServer(settings_of_sandbox):
            assert identity(receiver.next()) == made[0]


def test_criteria_select_by_the_state_after_the_change(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver, criteria="Appointment?status=booked")
        first, second = booked(ehr, 2)
        ehr.control("POST", f"appointments/{first}/cancel")
        ehr.control("POST", f"appointments/{second}/move", {"start": "2026-03-12T23:00:00Z"})
        received = [receiver.next() for _ in range(3)]
    assert [identity(one) for one in received] == [first, second, second]


@pytest.mark.parametrize(
    "change",
    [
        {"criteria": "Observation?"},
        {"criteria": "Appointment?colour=blue"},
        {"channel": {"type": "email", "endpoint": "mailto:a@example.org"}},
        {"channel": {"type": "rest-hook", "endpoint": "file:///etc/passwd"}},
        {"channel": {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/", "header": ["no colon"]}},
        {"reason": ""},
        {"status": "now"},
    ],
)
def test_a_subscription_that_cannot_work_is_refused(ehr: FhirClient, change: Json) -> None:
    channel = {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/"}
    wanted = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "tests",
        "criteria": "Appointment?",
        "channel": channel,
    }
    assert ehr.create(wanted | change).status_code == 422
    assert ehr.get("Subscription").json()["total"] == 0


def test_deletes_are_not_notified(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver)
        first, second = booked(ehr, 2)
        ehr.call("DELETE", f"Appointment/{first}")
        ehr.control("POST", f"appointments/{second}/cancel")
        assert [identity(receiver.next()) for _ in range(3)] == [first, second, second]


def test_doubled(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver)
        ehr.fault("notify-double", path="Appointment")
        first, second = booked(ehr, 2)
        received = [receiver.next() for _ in range(3)]
    assert [identity(one) for one in received] == [first, first, second]
    assert received[0].headers["X-Event-Id"] == received[1].headers["X-Event-Id"]


def test_lost(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver)
        ehr.fault("notify-lost", skip=1)
        first, _, third = booked(ehr, 3)
        assert [identity(receiver.next()) for _ in range(2)] == [first, third]
    assert ehr.control("GET", "state").json()["notifications"]["lost"] == 1


def test_out_of_order(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver)
        ehr.fault("notify-reorder")
        first, second, third = booked(ehr, 3)
        assert [identity(receiver.next()) for _ in range(3)] == [second, first, third]


def test_late_lets_the_others_pass(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver)
        ehr.fault("notify-late", seconds=0.8)
        first, second = booked(ehr, 2)
        assert [identity(receiver.next()) for _ in range(2)] == [second, first]


def test_a_bad_signature_comes_once_and_then_the_right_one(ehr: FhirClient) -> None:
    with Receiver(401) as receiver:
        subscribe(ehr, receiver)
        ehr.fault("notify-bad-signature")
        booked(ehr)
        bad, good = receiver.next(), receiver.next()
    assert bad.headers["X-Signature"] != signature(bad)
    assert good.headers["X-Signature"] == signature(good)
    assert bad.headers["X-Event-Id"] == good.headers["X-Event-Id"]


def test_a_replay_keeps_the_event_id(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver)
        booked(ehr)
        first = receiver.next()
        number = ehr.control("GET", "notifications").json()["notifications"][0]["number"]
        assert ehr.control("POST", f"notifications/{number}/redeliver").json() == {"redelivered": 1}
        second = receiver.next()
        with pytest.raises(queue.Empty):
            receiver.received.get_nowait()
    assert (second.body, second.headers["X-Event-Id"]) == (first.body, first.headers["X-Event-Id"])


def test_a_file_of_an_earlier_version_goes_on_notifying(settings_of_sandbox: SandboxSettings) -> None:
    with closing(sqlite3.connect(settings_of_sandbox.database)) as connection:
        connection.execute("ALTER TABLE notifications DROP COLUMN kind")
        connection.execute("ALTER TABLE notifications DROP COLUMN headers")
        connection.commit()
    with SandboxServer(settings_of_sandbox) as server, Receiver() as receiver:
        ehr = client_of(server)
        subscribe(ehr, receiver)
        made = booked(ehr)
        assert [identity(receiver.next())] == made
