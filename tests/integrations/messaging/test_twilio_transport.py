"""Twilio's API as the product speaks it, against a carrier in a process of its own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from pytest_httpserver import HTTPServer

from integrations.messaging.gateway import (
    AddressUnusable,
    CarrierBusy,
    CarrierDown,
    CarrierRefusesUs,
    HandoverUnknown,
    MessageRejected,
    OptedOut,
    Outgoing,
)
from integrations.messaging.twilio import transport
from integrations.messaging.twilio.transport import TwilioCarrier
from tests.integrations.messaging.conftest import NUMBER, CarrierClient

TO = "+12125550101"
TEXT = Outgoing(reference="7-abc", channel="sms", address=TO, body="Elm Street Clinic: reply YES 47")


def test_sends_and_names_the_callback(carrier: CarrierClient) -> None:
    carrier_id = TwilioCarrier().send(TEXT)
    [taken] = carrier.messages()
    assert (taken["sid"], taken["to"], taken["from"], taken["body"]) == (carrier_id, TO, NUMBER, TEXT.body)
    assert taken["callback"] == "http://localhost:1/webhooks/sms/twilio/status/?ref=7-abc"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("21211", AddressUnusable),
        ("21614", AddressUnusable),
        ("21610", OptedOut),
        ("20003", CarrierRefusesUs),
        ("30001", CarrierBusy),
        ("429", CarrierBusy),
        ("503", CarrierDown),
        ("500", HandoverUnknown),
        ("lost", HandoverUnknown),
        ("lost_500", HandoverUnknown),
        ("garbled", HandoverUnknown),
        ("21620", MessageRejected),
    ],
)
def test_each_answer_has_a_name(carrier: CarrierClient, fault: str, error: type[Exception]) -> None:
    carrier.fail(fault)
    with pytest.raises(error) as raised:
        TwilioCarrier().send(TEXT)
    assert TO not in str(raised.value)
    assert TEXT.body not in str(raised.value)
    assert len(carrier.messages()) == (1 if fault in ("lost", "lost_500", "garbled") else 0)


def test_retry_after_is_read(carrier: CarrierClient) -> None:
    carrier.fail("429")
    before = timezone.now()
    with pytest.raises(CarrierBusy) as raised:
        TwilioCarrier().send(TEXT)
    assert raised.value.retry_at is not None
    assert timedelta(seconds=1.9) < raised.value.retry_at - before < timedelta(seconds=5)


def test_nobody_there_had_no_effect(carrier: CarrierClient, settings: object) -> None:
    settings.SMS_BASE_URL = "http://127.0.0.1:9"  # type: ignore[attr-defined]
    with pytest.raises(CarrierDown):
        TwilioCarrier().send(TEXT)


def test_finds_what_was_taken(carrier: CarrierClient) -> None:
    began = timezone.now()
    twilio = TwilioCarrier()
    assert twilio.find(TEXT, sent_after=began, known=frozenset()) is None
    carrier.fail("lost")
    with pytest.raises(HandoverUnknown):
        twilio.send(TEXT)
    [taken] = carrier.messages()
    assert twilio.find(TEXT, sent_after=began, known=frozenset()) == taken["sid"]
    assert twilio.find(TEXT, sent_after=began, known=frozenset({taken["sid"]})) is None
    assert twilio.find(TEXT, sent_after=began + timedelta(hours=1), known=frozenset()) is None


def test_another_text_or_the_patients_own_is_not_taken_for_it(carrier: CarrierClient) -> None:
    twilio = TwilioCarrier()
    twilio.send(Outgoing(reference="8-abc", channel="sms", address=TO, body="Elm Street Clinic: reply YES 48"))
    twilio.send(Outgoing(reference="9-abc", channel="sms", address="+12125550102", body=TEXT.body))
    assert twilio.find(TEXT, sent_after=timezone.now() - timedelta(hours=1), known=frozenset()) is None


def test_what_patients_sent_is_listed_oldest_first(carrier: CarrierClient) -> None:
    TwilioCarrier().send(TEXT)
    first = carrier.patient_texts(TO, "YES 47", deliver=False)
    second = carrier.patient_texts("+12125550102", "stop", deliver=False)
    texts = list(TwilioCarrier().incoming_since(timezone.now() - timedelta(hours=1)))
    assert [(text.carrier_id, text.address, text.body) for text in texts] == [
        (first["sid"], TO, "YES 47"),
        (second["sid"], "+12125550102", "stop"),
    ]


def test_every_page_is_read(carrier: CarrierClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAGE_SIZE", 25)
    for number in range(60):
        carrier.patient_texts(TO, f"text {number}", deliver=False)
    texts = list(TwilioCarrier().incoming_since(timezone.now() - timedelta(hours=1)))
    assert [text.body for text in texts] == [f"text {number}" for number in range(60)]


def test_of_a_busy_day_only_what_is_new_is_read(carrier: CarrierClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resource filters by day: reading all of it each time would end at the most pages there may be."""
    now, read = timezone.now(), []

    def page(self: TwilioCarrier, method: str, url: str, **_: Any) -> dict[str, Any]:
        read.append(url)
        ages = [len(read) * 20, len(read) * 20 + 10]  # minutes; newest first, and no end of it
        texts = [
            {
                "sid": f"SM{age}",
                "from": TO,
                "body": f"text {age}",
                "direction": "inbound",
                "date_sent": format_datetime(now - timedelta(minutes=age)),
            }
            for age in ages
        ]
        return {"messages": texts, "next_page_uri": "/2010-04-01/next"}

    monkeypatch.setattr(TwilioCarrier, "_call", page)
    texts = TwilioCarrier().incoming_since(now - timedelta(minutes=45))
    assert [text.body for text in texts] == ["text 40", "text 30", "text 20"]
    assert len(read) == 2


def answering(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> list[str]:
    """Have each list that is asked for be the same; return the addresses that were called."""
    called: list[str] = []

    def page(self: TwilioCarrier, method: str, url: str, **_: Any) -> dict[str, Any]:
        called.append(url)
        return answer

    monkeypatch.setattr(TwilioCarrier, "_call", page)
    return called


def test_the_next_page_is_asked_for_at_the_same_place_wherever_it_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The account's password goes with the call; and a list without an end is no list that was read."""
    settings.SMS_BASE_URL = "https://api.example.org"
    called = answering(
        monkeypatch, {"messages": [], "next_page_uri": "https://elsewhere.example.com/2010-04-01/next?Page=1"}
    )
    with pytest.raises(CarrierDown, match="endless_list"):
        TwilioCarrier().incoming_since(timezone.now())
    assert set(called[1:]) == {"https://api.example.org/2010-04-01/next?Page=1"}
    assert len(called) == transport.MOST_PAGES


def test_a_list_that_cannot_be_read_is_none_and_a_photo_in_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {"messages": None})
    with pytest.raises(CarrierDown, match="unreadable_list"):
        TwilioCarrier().find(TEXT, sent_after=timezone.now(), known=frozenset())
    photo = {"sid": "SM1", "from": TO, "body": "yes", "direction": "inbound", "num_media": "1"}
    ours, odd = {**photo, "sid": "SM2", "direction": "outbound-api"}, {**photo, "sid": "SM0", "num_media": "?"}
    answering(monkeypatch, {"messages": [ours, photo, "?", odd]})
    texts = list(TwilioCarrier().incoming_since(timezone.now()))
    assert [(text.carrier_id, text.media_count) for text in texts] == [("SM0", 0), ("SM1", 1)]


def test_an_answer_without_end_and_one_that_leads_elsewhere_are_not_followed(
    carrier: CarrierClient, httpserver: HTTPServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 10)
    with pytest.raises(HandoverUnknown, match="answer_lost"):
        TwilioCarrier().send(TEXT)
    settings.SMS_BASE_URL = httpserver.url_for("").rstrip("/")
    httpserver.expect_request("/elsewhere").respond_with_json({"sid": "SM1"})
    httpserver.expect_request(re.compile("/2010-04-01/.*")).respond_with_data(
        "", status=307, headers={"Location": "/elsewhere"}
    )
    with pytest.raises(MessageRejected, match="twilio_307"):
        TwilioCarrier().send(TEXT)
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(("given", "seconds"), [("7", 7), ("86400", 3600), ("Tue, 03 Mar 2026 15:00:09 GMT", 9)])
def test_patience_is_asked_for_in_seconds_or_until_a_date(
    httpserver: HTTPServer, settings: Any, given: str, seconds: int
) -> None:
    settings.SMS_BASE_URL = httpserver.url_for("").rstrip("/")
    httpserver.expect_request(re.compile("/.*")).respond_with_data("", status=429, headers={"Retry-After": given})
    now = datetime(2026, 3, 3, 15, tzinfo=UTC)
    with time_machine.travel(now, tick=False), pytest.raises(CarrierBusy) as raised:
        TwilioCarrier().send(TEXT)
    assert raised.value.retry_at == now + timedelta(seconds=seconds)
