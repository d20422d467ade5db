"""No network call inside a database transaction: refused before it is made, and seen wherever else it were made."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from django.db import transaction
from django.utils import timezone

from integrations.ehr.fhir.transport import Transport
from integrations.messaging.email.transport import EmailCarrier
from integrations.messaging.gateway import Outgoing
from integrations.messaging.twilio.transport import TwilioCarrier
from tests import factories

TEXT = Outgoing(reference="7-abc", channel="sms", address="+12125550101", body="Elm Street Clinic")
MAIL = Outgoing(reference="7-abc", channel="email", address="robin@example.org", body="Elm Street Clinic")


def call(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"hello")


@pytest.mark.django_db
def test_a_call_inside_a_transaction_is_seen_with_where_it_came_from(no_network_in_transactions: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        call(listener.getsockname())
        assert no_network_in_transactions == []
        with transaction.atomic():
            call(listener.getsockname())
    seen = no_network_in_transactions.copy()
    no_network_in_transactions.clear()  # this test is the one that may
    assert [offence.split()[0] for offence in seen] == ["socket.connect", "socket.sendall"]
    assert all("in call" in offence for offence in seen)


CALLS: dict[str, Callable[[], object]] = {
    "read of the EHR": lambda: Transport(factories.connection()).read("Patient/1"),
    "write to the EHR": lambda: Transport(factories.connection()).write("POST", "Appointment", {}),
    "question to the EHR without a login": lambda: Transport(factories.connection()).read_publicly("metadata"),
    "login": lambda: Transport(factories.connection()).ask_for_token("http://127.0.0.1:9/token", b"", ""),
    "text": lambda: TwilioCarrier().send(TEXT),
    "question to the carrier": lambda: TwilioCarrier().find(TEXT, sent_after=timezone.now(), known=frozenset()),
    "texts that came in": lambda: list(TwilioCarrier().incoming_since(timezone.now())),
    "e-mail": lambda: EmailCarrier().send(MAIL),
}


@pytest.mark.django_db
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_inside_a_transaction_is_refused_before_it_is_made(
    call: Callable[[], object], no_network_in_transactions: list[str]
) -> None:
    with pytest.raises(RuntimeError, match="inside a database transaction"), transaction.atomic():
        call()
    assert no_network_in_transactions == []
