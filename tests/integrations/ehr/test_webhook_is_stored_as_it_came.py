"""What a stored notification holds, that nobody reads it in the database, and that storing it is one statement."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db import connection as database

from audit.encryption import decrypt
from integrations.ehr import intake
from integrations.models import Connection, InboundEvent
from tests import factories
from tests.integrations.ehr import signing

BODY = b'{"resourceType": "Appointment", "id": "a-1", "meta": {"versionId": "1"}, "comment": "Robin Sample"}'


@pytest.mark.django_db
def test_every_column_says_what_came_and_that_nothing_was_done_about_it() -> None:
    connection = factories.connection()
    answer = signing.send(connection, BODY, signing.plain(BODY) | {"X-Event-Id": "e-1"})
    stored = InboundEvent.objects.values().get()
    assert stored == {
        "id": stored["id"],
        "connection_id": connection.pk,
        "via": "webhook",
        "dedupe_key": "id:e-1",
        "subject_key": "Appointment/a-1",
        "body": BODY,
        "content_type": "application/fhir+json",
        "status": "received",
        "outcome": "",
        "attempts": 0,
        "due_at": stored["received_at"],
        "lease_until": None,
        "error": "",
        "correlation_id": answer["X-Correlation-ID"],
        "received_at": stored["received_at"],
        "done_at": None,
    }


@pytest.mark.django_db
def test_the_database_holds_the_body_only_encrypted() -> None:
    signing.send(factories.connection(), BODY)
    with database.cursor() as cursor:
        cursor.execute("SELECT body FROM integrations_inboundevent")
        (column,) = cursor.fetchone()
    assert b"Robin" not in bytes(column)
    assert decrypt(bytes(column)) == BODY


@pytest.mark.django_db
def test_storing_one_is_one_statement(django_assert_num_queries: Any) -> None:
    connection = factories.connection()
    signing.send(connection, BODY)
    news = BODY.replace(b"a-1", b"a-2")
    with django_assert_num_queries(1):
        assert signing.send(connection, news).json() == {"status": "stored"}
    with django_assert_num_queries(1):
        assert signing.send(connection, news).json() == {"status": "known"}


@pytest.mark.django_db
def test_hearing_it_again_in_a_transaction_does_not_break_the_transaction() -> None:
    connection = factories.connection()
    with transaction.atomic():
        heard = [intake.receive(connection, via="poll", body=BODY).is_new for _ in range(2)]
        assert (heard, InboundEvent.objects.count()) == ([True, False], 1)


@pytest.mark.django_db(transaction=True)
def test_what_could_not_be_stored_is_not_acknowledged_as_known() -> None:
    connection = factories.connection()
    signing.send(connection, BODY)
    InboundEvent.objects.all().delete()
    rows = Connection.objects.filter(pk=connection.pk)
    rows._raw_delete(rows.db)  # by another process: this one still knows the sender
    with pytest.raises(IntegrityError):
        signing.send(connection, BODY)
    assert not InboundEvent.objects.exists()
