"""A connection may be set to bearer tokens: then token and address must both be right, and nothing else counts."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from integrations.models import Connection, InboundEvent, RefusedCall
from integrations.models.connections import validate_networks
from tests import factories
from tests.integrations.ehr import signing

pytestmark = pytest.mark.django_db

BODY = b'{"resourceType": "Appointment", "id": "a-1", "meta": {"versionId": "1"}}'
TOKEN, NEWER = "a-token-of-the-old-days", "a-token-of-these-days"


@pytest.fixture
def connection() -> Connection:
    return factories.connection(
        webhook_proof="bearer", webhook_secrets=[NEWER, TOKEN], webhook_senders="192.0.2.0/24\n2001:db8::7"
    )


def call(connection: Connection, token: str = TOKEN, address: str = "192.0.2.9", **headers: str) -> Any:
    return Client(REMOTE_ADDR=address).post(
        f"/webhooks/ehr/{connection.slug}/",
        BODY,
        content_type="application/fhir+json",
        headers={"Authorization": f"Bearer {token}", **headers},
    )


@pytest.mark.parametrize("token", [TOKEN, NEWER])
@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::7"])
def test_the_right_token_from_a_named_address_is_taken(connection: Connection, token: str, address: str) -> None:
    answer = call(connection, token, address)
    assert (answer.status_code, answer.json()) == (200, {"status": "stored"})
    assert InboundEvent.objects.get().subject_key == "Appointment/a-1"


@pytest.mark.parametrize(
    ("token", "address"),
    [("another-token-of-ours", "192.0.2.9"), ("", "192.0.2.9"), (TOKEN, "198.51.100.9"), (TOKEN, "2001:db8::8")],
)
def test_a_wrong_token_or_another_address_is_refused_alike_and_counted(
    connection: Connection, token: str, address: str
) -> None:
    answer = call(connection, token, address)
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("The bearer token is missing or wrong, or the call does not come from")
    assert list(RefusedCall.objects.values_list("endpoint", "reason")) == [(connection.slug, "bad_bearer")]
    assert not InboundEvent.objects.exists()


def test_an_invented_forwarding_header_changes_nothing(connection: Connection, settings: Any) -> None:
    settings.TRUSTED_PROXY_COUNT = 0
    assert call(connection, address="198.51.100.9", **{"X-Forwarded-For": "192.0.2.9"}).status_code == 401


def test_without_named_addresses_no_token_is_good(connection: Connection) -> None:
    connection.webhook_senders = ""
    connection.save()
    assert call(connection).status_code == 401


def test_a_signature_does_not_stand_in_for_the_token(connection: Connection) -> None:
    assert signing.send(connection, BODY, signing.plain(BODY, TOKEN)).status_code == 401


def test_a_token_does_not_stand_in_for_a_signature() -> None:
    signed = factories.connection(webhook_secrets=[TOKEN], webhook_senders="192.0.2.0/24")
    assert call(signed).status_code == 401
    assert RefusedCall.objects.get().reason == "missing_signature"


@pytest.mark.parametrize(
    ("written", "address", "status"),
    [
        ("192.0.2.0/24", "192.0.2.200", 200),
        ("192.0.2.7\n2001:db8::/32", "192.0.2.7", 200),
        ("192.0.2.7\n2001:db8::/32", "2001:db8::5", 200),
        ("192.0.2.7\n2001:db8::/32", "192.0.2.8", 401),
        ("", "192.0.2.7", 401),
    ],
)
def test_whoever_is_in_a_network_that_was_named_is_let_in(
    connection: Connection, written: str, address: str, status: int
) -> None:
    validate_networks(written)
    connection.webhook_senders = written
    connection.save()
    assert call(connection, address=address).status_code == status


@pytest.mark.parametrize("written", ["192.0.2.0/24 ehr.example.org", "192.0.2.7/24", "300.1.1.1"])
def test_what_is_no_network_is_named_in_the_error(written: str) -> None:
    with pytest.raises(ValidationError, match="is neither an address nor a network"):
        validate_networks(written)
