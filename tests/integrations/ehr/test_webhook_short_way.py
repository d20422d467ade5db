"""Webhooks go past what protects people in browsers, and past nothing that protects the site."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from integrations import known_senders
from integrations.models import Connection, InboundEvent
from tests import factories
from tests.integrations.ehr import signing
from tests.queries import asked

pytestmark = pytest.mark.django_db

BODY = b'{"resourceType": "Appointment", "id": "a-1", "meta": {"versionId": "1"}}'


def test_a_webhook_gets_no_cookie_and_its_correlation_id() -> None:
    answer = signing.send(factories.connection(), BODY)
    assert answer.status_code == 200
    assert not answer.cookies
    assert answer["X-Correlation-ID"] == InboundEvent.objects.get().correlation_id


def test_a_first_webhook_looks_its_sender_up_once() -> None:
    connection = factories.connection()
    known_senders.forget()
    with asked() as found:
        assert signing.send(connection, BODY).status_code == 200
    assert found == {"integrations_connection": 1}


def test_an_address_that_does_not_exist_is_404_for_machines_too() -> None:
    assert Client().post("/webhooks/nothing/", BODY, "application/json").status_code == 404


def test_machines_are_sent_to_https_like_everybody(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = signing.send(factories.connection(), BODY)
    assert (answer.status_code, answer["Location"][:8]) == (301, "https://")
    assert not InboundEvent.objects.exists()


def test_other_addresses_keep_their_protection() -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert "Content-Security-Policy" in Client().get("/admin/login/").headers


def test_a_changed_secret_counts_at_once_where_it_was_changed() -> None:
    connection = factories.connection(webhook_secrets=["old"])
    assert signing.send(connection, BODY, signing.plain(BODY, "old")).status_code == 200
    connection.webhook_secrets = ["new"]
    connection.save()
    assert signing.send(connection, BODY, signing.plain(BODY, "old")).status_code == 401


def test_a_secret_changed_elsewhere_counts_within_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = factories.connection(webhook_secrets=["old"])
    now = 1000.0
    monkeypatch.setattr(known_senders.time, "monotonic", lambda: now)
    assert signing.send(connection, BODY, signing.plain(BODY, "old")).status_code == 200
    Connection.objects.filter(pk=connection.pk).update(webhook_secrets=["new"])
    now += 2.1
    assert signing.send(connection, BODY, signing.plain(BODY, "old")).status_code == 401
    assert signing.send(connection, BODY, signing.plain(BODY, "new")).status_code == 200


def test_a_connection_that_was_deleted_takes_nothing() -> None:
    connection = factories.connection()
    slug = connection.slug
    known_senders.sender(slug)
    connection.delete()
    assert signing.send(slug, BODY, signing.plain(BODY)).status_code == 401
