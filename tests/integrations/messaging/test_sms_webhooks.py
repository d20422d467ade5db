"""What the carrier calls us with: only what it signed, stored before it is answered, the same thing twice once."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.test import Client

from integrations.messaging import catch_up, delivery
from integrations.messaging.console import webhook as console
from integrations.messaging.twilio import signature
from integrations.messaging.twilio.transport import TwilioCarrier
from integrations.models import CarrierState, RefusedCall
from scheduling.models import ContactPoint
from tests import factories
from tests.integrations.messaging.conftest import TOKEN, CarrierClient
from tests.integrations.messaging.test_delivery_once import message_to
from waitlist.models import Message, Reply

pytestmark = pytest.mark.django_db

INBOUND = "/webhooks/sms/twilio/inbound/"
STATUS = "/webhooks/sms/twilio/status/"
ROBIN = "+12125550101"


@pytest.fixture(autouse=True)
def _twilio(settings: Any) -> None:
    settings.SMS_CHANNEL, settings.SMS_TOKEN = "twilio", TOKEN
    settings.PUBLIC_BASE_URL = "https://waitlist.example.org"


def call(client: Client, path: str, form: dict[str, str], *, signed_with: str = TOKEN, **headers: str) -> Any:
    """Call as the carrier does."""
    signed = signature.sign(signed_with, f"https://waitlist.example.org{path}", {k: [v] for k, v in form.items()})
    return client.post(path, form, headers={"X-Twilio-Signature": signed, **headers})


def text(body: str, sid: str = "SM1") -> dict[str, str]:
    return {"MessageSid": sid, "From": ROBIN, "To": "+12125550199", "Body": body, "NumMedia": "0"}


def test_a_patients_text_is_stored(client: Client) -> None:
    answer = call(client, INBOUND, text("YES 47"))
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/xml")
    assert b"<Response></Response>" in answer.content
    reply = Reply.objects.get()
    assert (reply.carrier_id, reply.address, reply.body, reply.outcome) == ("SM1", ROBIN, "YES 47", Reply.Outcome.NEW)


def test_the_same_text_again_is_the_same(client: Client) -> None:
    assert [call(client, INBOUND, text("YES 47")).status_code for _ in range(3)] == [200, 200, 200]
    assert Reply.objects.count() == 1


@pytest.mark.parametrize("body", ["", "sí 47 👍", "x" * 1600])
def test_whatever_it_says_is_stored_as_it_is(client: Client, body: str) -> None:
    assert call(client, INBOUND, text(body)).status_code == 200
    assert Reply.objects.get().body == body


@pytest.mark.parametrize(
    ("headers", "signed_with"),
    [({"X-Twilio-Signature": ""}, TOKEN), ({}, "another token"), ({"X-Twilio-Signature": "AAAA"}, TOKEN)],
)
def test_unsigned_is_401_not_stored_and_counted(client: Client, headers: dict[str, str], signed_with: str) -> None:
    answer = call(client, INBOUND, text("YES 47"), signed_with=signed_with, **headers)
    assert answer.status_code == 401
    assert "Nothing was stored" in answer.json()["error"]
    assert Reply.objects.count() == 0
    refused = RefusedCall.objects.get()
    assert (refused.endpoint, refused.reason, refused.count) == ("sms", "signature", 1)


def test_without_a_token_nobody_is_believed(client: Client, settings: Any) -> None:
    settings.SMS_TOKEN = ""
    assert call(client, INBOUND, text("YES 47"), signed_with="").status_code == 401


def test_a_signature_is_for_one_body(client: Client) -> None:
    signed = signature.sign(TOKEN, f"https://waitlist.example.org{INBOUND}", {"MessageSid": ["SM1"]})
    answer = client.post(INBOUND, text("YES 47"), headers={"X-Twilio-Signature": signed})
    assert answer.status_code == 401


def test_the_host_header_is_not_believed(client: Client) -> None:
    """A call signed for another site's address is refused, whatever Host it names."""
    form = text("YES 47")
    signed = signature.sign(TOKEN, f"https://localhost{INBOUND}", {key: [value] for key, value in form.items()})
    answer = client.post(INBOUND, form, headers={"X-Twilio-Signature": signed, "Host": "localhost"})
    assert answer.status_code == 401


@pytest.mark.parametrize("script", ["", "/waitlist"], ids=["taken off by the proxy", "script name"])
@pytest.mark.parametrize("port", ["", ":443", ":8443"])
def test_behind_a_proxy_with_a_port_and_a_path_the_public_address_is_what_was_signed(
    client: Client, settings: Any, script: str, port: str
) -> None:
    settings.PUBLIC_BASE_URL = f"https://practice.example.org{port}/waitlist"
    message = message_to(factories.patient(phone=ROBIN, email=None).contact_points.get(), status="sent", carrier_id="S")
    path = f"{STATUS}?ref={delivery.reference_of(message)}"
    form = {"MessageSid": "S", "MessageStatus": "delivered"}
    public = f"https://practice.example.org{port}/waitlist{path}"
    signed = {"X-Twilio-Signature": signature.sign(TOKEN, public, {key: [value] for key, value in form.items()})}
    behind: Any = {"SCRIPT_NAME": script, "wsgi.url_scheme": "http", "SERVER_PORT": "8000"}
    assert client.post(path, form, headers=signed, **behind).status_code == 200
    elsewhere = f"{STATUS}?ref={message.pk}-0"
    assert client.post(elsewhere, form, headers=signed, **behind).status_code == 401, "the query is signed"
    message.refresh_from_db()
    assert message.status == Message.Status.DELIVERED


def test_too_large_is_413(client: Client) -> None:
    assert call(client, INBOUND, text("x" * 70_000)).status_code == 413
    assert Reply.objects.count() == 0
    assert RefusedCall.objects.get().reason == "too_large"


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (INBOUND, {"Hello": "there"}),
        (INBOUND, {"MessageSid": "SM1", "Body": "YES 47"}),
        (INBOUND, {"MessageSid": "SM 1", "From": ROBIN, "Body": "YES 47"}),
        (STATUS, {"MessageSid": "SM1"}),
        (STATUS, {"MessageSid": "SM 1", "MessageStatus": "delivered"}),
    ],
)
def test_nothing_in_it_is_400(client: Client, path: str, form: dict[str, str]) -> None:
    assert call(client, path, form).status_code == 400
    assert RefusedCall.objects.get().reason == "unreadable"
    assert not Reply.objects.exists()


@pytest.mark.parametrize(("given", "count"), [("2", 2), ("many", 0)])
def test_a_photo_is_counted_and_an_id_has_two_names(client: Client, given: str, count: int) -> None:
    form = {"SmsSid": "SM1", "From": ROBIN, "NumMedia": given}
    assert call(client, INBOUND, form).status_code == 200
    reply = Reply.objects.get()
    assert (reply.carrier_id, reply.media_count) == ("SM1", count)


def test_get_changes_nothing(client: Client) -> None:
    assert client.get(INBOUND, text("YES 47")).status_code == 405
    assert Reply.objects.count() == 0


@pytest.mark.parametrize("channel", ["console", "email", "elsewhere"])
def test_only_the_carrier_that_is_set_up(client: Client, settings: Any, channel: str) -> None:
    settings.EMAIL_CHANNEL = "console"
    assert client.post(f"/webhooks/sms/{channel}/inbound/", text("YES")).status_code == 404
    assert client.post("/webhooks/fax/console/inbound/", text("YES")).status_code == 404
    assert RefusedCall.objects.count() == 0


def test_console_answers_are_signed_by_ourselves(client: Client, settings: Any) -> None:
    settings.SMS_CHANNEL = "console"
    body = b"MessageSid=console-1&From=%2B12125550101&Body=YES+47"
    kind = "application/x-www-form-urlencoded"
    path = "/webhooks/sms/console/inbound/"
    assert client.post(path, body, kind).status_code == 401
    signed = {console.HEADER: console.sign(body)}
    assert client.post(path, body, kind, headers=signed).status_code == 200
    assert Reply.objects.get().body == "YES 47"
    for body in (b"MessageSid=console-2&Body=YES", b"From=%2B12125550101&Body=YES"):
        assert client.post(path, body, kind, headers={console.HEADER: console.sign(body)}).status_code == 400


@pytest.mark.parametrize(("end", "becomes"), [("delivered", "delivered"), ("undelivered", "failed")])
@pytest.mark.parametrize("late", ["accepted", "queued", "sending", "sent"])
def test_a_report_that_comes_late_moves_nothing_back(client: Client, end: str, becomes: str, late: str) -> None:
    contact = factories.patient(phone=ROBIN, email=None).contact_points.get()
    message = message_to(contact, status=Message.Status.SENT, carrier_id="SM9")
    path = f"{STATUS}?ref={delivery.reference_of(message)}"
    for state in (end, late):
        assert call(client, path, {"MessageSid": "SM9", "MessageStatus": state}).status_code == 200
        message.refresh_from_db()
        assert message.status == becomes
    assert Message.objects.count() == 1


def test_report_of_a_landline_marks_the_number(client: Client) -> None:
    contact = factories.patient(phone=ROBIN, email=None).contact_points.get()
    message = message_to(contact, status=Message.Status.SENT, carrier_id="SM9")
    form = {"MessageSid": "SM9", "MessageStatus": "undelivered", "ErrorCode": "30006"}
    assert call(client, STATUS, form).status_code == 200
    message.refresh_from_db()
    contact.refresh_from_db()
    assert (message.status, message.error_code) == (Message.Status.FAILED, "twilio_30006")
    assert contact.state == ContactPoint.State.INVALID


def test_report_about_a_text_of_somebody_else_is_taken_and_changes_nothing(client: Client) -> None:
    assert call(client, STATUS, {"MessageSid": "SM404", "MessageStatus": "delivered"}).status_code == 200
    assert Message.objects.count() == 0


def test_texts_sent_while_we_were_down_are_fetched(carrier: CarrierClient) -> None:
    assert catch_up.fetch_missed() == 0, "the first run only notes the time"
    missed = carrier.patient_texts(ROBIN, "YES 47", deliver=False)
    began = CarrierState.objects.get().inbound_seen_at
    CarrierState.objects.update(inbound_due_at=None)
    assert catch_up.fetch_missed() == 1
    reply = Reply.objects.get()
    assert (reply.carrier_id, reply.address, reply.body) == (missed["sid"], ROBIN, "YES 47")
    assert catch_up.fetch_missed() == 0, "not due again yet"
    state = CarrierState.objects.get()
    assert began is not None
    assert state.inbound_seen_at is not None
    assert state.inbound_seen_at > began
    CarrierState.objects.update(inbound_due_at=None)
    catch_up.fetch_missed()
    assert Reply.objects.count() == 1


def test_a_failed_listing_is_read_again_from_where_it_was(carrier: CarrierClient, settings: Any) -> None:
    catch_up.fetch_missed()
    seen = CarrierState.objects.get().inbound_seen_at
    CarrierState.objects.update(inbound_due_at=None)
    settings.SMS_BASE_URL = "http://127.0.0.1:9"
    assert catch_up.fetch_missed() == 0
    assert CarrierState.objects.get().inbound_seen_at == seen
    CarrierState.objects.update(inbound_due_at=None, quiet_until=None)
    with mock.patch.object(TwilioCarrier, "incoming_since", return_value=iter(())) as asked:
        catch_up.fetch_missed()
    assert seen is not None
    asked.assert_called_once_with(seen - catch_up.OVERLAP)
