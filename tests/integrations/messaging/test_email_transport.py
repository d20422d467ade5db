"""E-mail over SMTP, against a server that a test can have refuse, delay or hang up."""

from __future__ import annotations

import email
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from pytest_httpserver import HTTPServer

from integrations.messaging.email import smtp
from integrations.messaging.email.transport import EmailCarrier, message_id
from integrations.messaging.gateway import (
    AddressBusy,
    AddressUnusable,
    CarrierBusy,
    CarrierDown,
    CarrierRefusesUs,
    HandoverUnknown,
    MessageRejected,
    Outgoing,
)
from tests.flows.stack import free_port

MAIL = Outgoing(
    reference="7-abc",
    channel="email",
    address="robin@example.org",
    subject="Elm Street Clinic: your appointment is confirmed",
    body="Elm Street Clinic: confirmed.",
    attachment="BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
)


class Mailbox:
    """Takes mail, or answers as the test wishes."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.senders: list[str] = []
        self.mail, self.rcpt, self.data, self.hang_up = "250 OK", "250 OK", "250 OK", False

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.mail.startswith("250"):
            envelope.mail_from = address
        return self.mail

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.data.startswith("250"):
            self.taken.append(envelope.content)
            self.senders.append(envelope.mail_from)
        if self.hang_up:
            server.transport.close()
        return self.data


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    try:
        yield box
    finally:
        controller.stop()


def test_sent_with_its_calendar_file(mailbox: Mailbox) -> None:
    carrier_id = EmailCarrier().send(MAIL)
    [raw] = mailbox.taken
    parsed = email.message_from_bytes(raw)
    assert (parsed["To"], parsed["Subject"], parsed["Message-ID"]) == (MAIL.address, MAIL.subject, carrier_id)
    assert parsed["Auto-Submitted"] == "auto-generated"
    names = [part.get_filename() for part in parsed.walk() if part.get_filename()]
    assert names == ["appointment.ics"]


def test_what_we_start_can_be_ended_by_one_click_and_answers_cannot(mailbox: Mailbox) -> None:
    EmailCarrier().send(MAIL)
    EmailCarrier().send(replace(MAIL, unsubscribe="https://waitlist.example.org/u/token/"))
    answer, started = (email.message_from_bytes(raw) for raw in mailbox.taken)
    assert (answer["List-Unsubscribe"], answer["List-Unsubscribe-Post"]) == (None, None)
    assert started["List-Unsubscribe"] == "<https://waitlist.example.org/u/token/>"
    assert started["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_what_does_not_arrive_comes_back_to_its_own_address(mailbox: Mailbox, settings: Any) -> None:
    settings.DEFAULT_FROM_EMAIL, settings.EMAIL_BOUNCES_TO = "desk@example.org", "bounces@example.org"
    EmailCarrier().send(MAIL)
    assert mailbox.senders == ["bounces@example.org"]
    assert email.message_from_bytes(mailbox.taken[0])["From"] == "desk@example.org"


def test_a_providers_own_id_is_kept_and_our_reference_goes_along(settings: Any, httpserver: HTTPServer) -> None:
    settings.EMAIL_PROVIDER, settings.EMAIL_BACKEND = "postmark", "anymail.backends.postmark.EmailBackend"
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "t", "POSTMARK_API_URL": httpserver.url_for("/")}
    answer = {"ErrorCode": 0, "Message": "OK", "MessageID": "b7bc2f4a-e38e", "To": MAIL.address, "SubmittedAt": "now"}
    httpserver.expect_request("/email", method="POST").respond_with_json(answer)
    assert EmailCarrier().send(MAIL) == "b7bc2f4a-e38e"
    [(asked, _)] = httpserver.log
    assert asked.get_json()["Metadata"] == {"reference": MAIL.reference}


def by_postmark(settings: Any, address: str) -> None:
    settings.EMAIL_PROVIDER, settings.EMAIL_BACKEND = "postmark", "anymail.backends.postmark.EmailBackend"
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "t", "POSTMARK_API_URL": address}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, MessageRejected),
        (401, CarrierRefusesUs),
        (402, CarrierRefusesUs),
        (403, CarrierRefusesUs),
        (429, CarrierBusy),
        (500, HandoverUnknown),
        (503, HandoverUnknown),
    ],
)
def test_each_answer_of_a_provider_has_a_name(
    settings: Any, httpserver: HTTPServer, status: int, error: type[Exception]
) -> None:
    by_postmark(settings, httpserver.url_for("/"))
    httpserver.expect_request("/email").respond_with_json({"Message": MAIL.address}, status=status)
    with pytest.raises(error) as raised:
        EmailCarrier().send(MAIL)
    assert MAIL.address not in str(raised.value)


def test_a_mailbox_that_a_provider_knows_not_to_work_is_unusable(settings: Any, httpserver: HTTPServer) -> None:
    by_postmark(settings, httpserver.url_for("/"))
    said = (
        "You tried to send to a recipient that has been marked as inactive.\n"
        f"Found inactive addresses: {MAIL.address}.\n"
        "Inactive recipients are ones that have generated a hard bounce or a spam complaint."
    )
    httpserver.expect_request("/email").respond_with_json({"ErrorCode": 406, "Message": said}, status=422)
    with pytest.raises(AddressUnusable):
        EmailCarrier().send(MAIL)


def test_a_provider_that_is_not_reached_had_no_effect(settings: Any) -> None:
    by_postmark(settings, "http://127.0.0.1:9/")
    with pytest.raises(CarrierDown):
        EmailCarrier().send(MAIL)


def test_a_login_that_is_not_accepted_is_ours_to_mend(mailbox: Mailbox, settings: Any) -> None:
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "user", "of yesterday"
    with pytest.raises(CarrierRefusesUs):
        EmailCarrier().send(MAIL)


def test_the_message_id_is_the_same_each_time_and_says_nothing() -> None:
    assert message_id("7-abc") == message_id("7-abc")
    assert message_id("7-abc") != message_id("8-abc")
    assert "7-abc" not in message_id("7-abc")


@pytest.mark.parametrize(
    ("stage", "answer", "error"),
    [
        ("mail", "550 Not from you", CarrierRefusesUs),
        ("mail", "451 Not now", CarrierBusy),
        ("rcpt", "550 No such user", AddressUnusable),
        ("rcpt", "450 Greylisted, come again", AddressBusy),
        ("rcpt", "452 Mailbox full", AddressBusy),
        ("rcpt", "421 Closing", CarrierBusy),
        ("data", "554 Looks like spam", MessageRejected),
        ("data", "451 Try later", AddressBusy),
        ("data", "421 Closing", CarrierBusy),
    ],
)
def test_each_refusal_has_a_name(mailbox: Mailbox, stage: str, answer: str, error: type[Exception]) -> None:
    setattr(mailbox, stage, answer)
    with pytest.raises(error) as raised:
        EmailCarrier().send(MAIL)
    assert MAIL.address not in str(raised.value)
    assert mailbox.taken == []


def test_hung_up_after_the_data_is_unknown(mailbox: Mailbox) -> None:
    mailbox.hang_up = True
    with pytest.raises(HandoverUnknown):
        EmailCarrier().send(MAIL)
    assert len(mailbox.taken) == 1


def test_nobody_there_had_no_effect(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    with pytest.raises(CarrierDown):
        EmailCarrier().send(MAIL)


def test_a_server_behind_tls_is_spoken_to_in_tls_from_the_first_byte(settings: Any) -> None:
    settings.EMAIL_USE_SSL = True
    assert issubclass(smtp.EmailBackend().connection_class, smtplib.SMTP_SSL)
    settings.EMAIL_USE_SSL = False
    assert not issubclass(smtp.EmailBackend().connection_class, smtplib.SMTP_SSL)


class SlowServer:
    """Says one byte of its next answer at a time, each well before any single step of a client gives up; or nothing."""

    def __init__(self, greets_at_once: bool, says: bytes = b"2") -> None:
        self.greets_at_once, self.says = greets_at_once, says
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.over = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with suppress(OSError):
            connection, _ = self.listener.accept()
            if self.greets_at_once:
                for answer in (b"220 here\r\n", b"250 here\r\n"):
                    connection.sendall(answer)
                    connection.recv(1024)
            while not self.over.wait(0.02):
                connection.sendall(self.says)


@pytest.mark.parametrize(
    ("greets_at_once", "says", "error"),
    [(False, b"2", CarrierDown), (True, b"2", HandoverUnknown), (True, b"", HandoverUnknown)],
)
def test_a_server_that_answers_byte_by_byte_or_not_at_all_keeps_nobody_beyond_the_deadline(
    settings: Any, monkeypatch: pytest.MonkeyPatch, greets_at_once: bool, says: bytes, error: type[Exception]
) -> None:
    monkeypatch.setattr(smtp, "CALL_SECONDS", 0.3)
    server = SlowServer(greets_at_once, says)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    began = time.monotonic()
    with pytest.raises(error):
        EmailCarrier().send(MAIL)
    assert 0.25 < time.monotonic() - began < 2
    server.over.set()
