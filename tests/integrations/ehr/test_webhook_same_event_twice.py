"""The same event is stored once, whether it comes again later, at the same instant, or under a new signature."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection as database

from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, Opening
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing

BODY = b'{"resourceType": "Appointment", "id": "a-1", "meta": {"versionId": "1"}}'


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"X-Event-Id": "e-1"}, {"X-Event-Id": "e-1"}),
        ({}, {}),
    ],
    ids=["by its event id", "by type, id and version"],
)
def test_a_replay_is_acknowledged_and_not_stored_again(first: dict[str, str], second: dict[str, str]) -> None:
    connection = factories.connection()
    other = BODY.replace(b": ", b":") if not first else BODY.replace(b"a-1", b"a-2")
    assert signing.send(connection, BODY, signing.plain(BODY) | first).json() == {"status": "stored"}
    again = signing.send(connection, other, signing.plain(other) | second)
    assert (again.status_code, again.json()) == (200, {"status": "known"})
    assert InboundEvent.objects.count() == 1


@pytest.mark.django_db
def test_two_connections_may_use_the_same_event_ids() -> None:
    for connection in (factories.connection(), factories.connection()):
        answer = signing.send(connection, BODY, signing.plain(BODY) | {"X-Event-Id": "1"})
        assert answer.json() == {"status": "stored"}
    assert InboundEvent.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_same_event_at_the_same_instant_is_one_row_and_no_error() -> None:
    connection = factories.connection()
    headers = signing.plain(BODY) | {"X-Event-Id": "e-1"}
    gate = threading.Barrier(8)
    answers: list[tuple[int, str]] = []

    def call() -> None:
        gate.wait()
        answer = signing.send(connection, BODY, headers)
        answers.append((answer.status_code, answer.json()["status"]))
        database.close()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [(200, "known")] * 7 + [(200, "stored")]
    assert InboundEvent.objects.count() == 1


@pytest.mark.django_db
def test_a_replayed_cancellation_opens_once(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]
) -> None:
    sandbox.load(ehr.booking("b-1"))
    body = b'{"resourceType": "Appointment", "id": "b-1", "meta": {"versionId": "1"}}'
    signing.send(connection, body)
    work_inbox()
    sandbox.control.post("appointments/b-1/cancel", {"reason_code": "pat"})
    news = body.replace(b'"1"', b'"2"')
    for number in range(3):
        signing.send(connection, news, signing.plain(news, ehr.WEBHOOK_SECRET) | {"X-Event-Id": f"e-{number % 2}"})
        work_inbox()
    assert Appointment.objects.get().status == "cancelled"
    assert Opening.objects.count() == 1
    assert set(InboundEvent.objects.values_list("status", flat=True)) == {"done"}


@pytest.mark.django_db
def test_the_same_bytes_without_id_or_version_may_be_news_again(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]
) -> None:
    """Booked, cancelled, booked again, told each time by the same three words: each is looked at."""
    sandbox.load(ehr.booking("b-1"))
    body = b'{"resourceType": "Appointment", "id": "b-1"}'
    signing.send(connection, body)
    work_inbox()
    sandbox.control.post("appointments/b-1/cancel", {"reason_code": "pat"})
    assert signing.send(connection, body).json() == {"status": "stored"}
    work_inbox()
    assert Appointment.objects.get().status == "cancelled"
    assert InboundEvent.objects.count() == 1
