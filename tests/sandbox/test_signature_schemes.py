"""Each scheme by which notifications can be signed, and news of deletes."""

import base64
import hashlib
import hmac
import json

import pytest

from tests.sandbox.client import FhirClient, appointment
from tests.sandbox.receiver import Received, Receiver
from tests.sandbox.test_notifications import SCHEME_URL, SECRET, SECRET_URL, subscribe

SIGNING = {"x-signature", "x-signature-v2", "x-hub-signature", "webhook-signature", "x-event-id", "webhook-id"}


def received_under(ehr: FhirClient, scheme: str) -> tuple[Received, dict[str, str]]:
    """A notification, and those of its headers that have to do with signing."""
    extension = [{"url": SECRET_URL, "valueString": SECRET}, {"url": SCHEME_URL, "valueCode": scheme}]
    with Receiver() as receiver:
        channel = {
            "type": "rest-hook",
            "endpoint": receiver.url,
            "payload": "application/fhir+json",
            "header": ["Authorization: Bearer registered-by-the-subscriber"],
        }
        subscribe(ehr, receiver, channel=channel, extension=extension)
        ehr.create(appointment(ehr.free_slots()[0]))
        received = receiver.next()
    assert received.headers["Authorization"] == "Bearer registered-by-the-subscriber"
    return received, {name: value for name, value in received.headers.items() if name.casefold() in SIGNING}


def digest(received: Received) -> str:
    return hmac.new(SECRET.encode(), received.body, hashlib.sha256).hexdigest()


def test_hexadecimal_alone(ehr: FhirClient) -> None:
    received, signed = received_under(ehr, "x-signature")
    assert signed == {"X-Signature": digest(received)}


def test_hub(ehr: FhirClient) -> None:
    received, signed = received_under(ehr, "x-hub-signature")
    assert signed == {"X-Hub-Signature": f"sha256={digest(received)}"}


def test_standard_webhooks(ehr: FhirClient) -> None:
    received, signed = received_under(ehr, "standard-webhooks")
    covered = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode() + received.body
    expected = base64.b64encode(hmac.new(SECRET.encode(), covered, hashlib.sha256).digest()).decode()
    assert signed == {"webhook-id": received.headers["webhook-id"], "webhook-signature": f"v1,{expected}"}


def test_only_the_header_that_the_subscriber_registered(ehr: FhirClient) -> None:
    assert received_under(ehr, "none")[1] == {}


def test_an_unknown_scheme_is_refused(ehr: FhirClient) -> None:
    resource = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "tests",
        "criteria": "Appointment?",
        "channel": {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/"},
        "extension": [{"url": SCHEME_URL, "valueCode": "rot13"}],
    }
    assert ehr.create(resource).status_code == 422


@pytest.mark.parametrize("criteria", ["Appointment?", "Appointment?practitioner=chen"])
def test_a_delete_is_told_by_a_header_and_an_empty_object_where_switched_on(ehr: FhirClient, criteria: str) -> None:
    ehr.control("POST", "settings", {"deletes_told": True})
    with Receiver() as receiver:
        subscribe(ehr, receiver, criteria=criteria)
        made = ehr.create(appointment(ehr.free_slots()[0])).json()["id"]
        ehr.call("DELETE", f"Appointment/{made}")
        created, deleted = receiver.next(), receiver.next()
    assert json.loads(created.body)["id"] == made
    assert "X-Deleted-Resource" not in created.headers
    assert (deleted.body, deleted.headers["X-Deleted-Resource"]) == (b"{}", f"Appointment/{made}")
    assert deleted.headers["X-Signature"] == digest(deleted)
    assert ehr.get(f"Appointment/{made}").status_code == 410
