"""The stream of events stays whole: by criteria or by topic, with gaps, heartbeats, errors and lost subscriptions."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from integrations.ehr import event_stream, load
from integrations.ehr.fhir import subscriptions
from integrations.ehr.fhir.events import StreamStatus, stream_of
from integrations.models import Connection, EventSubscription, InboundEvent
from scheduling.models import Opening, WorkItem
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db(transaction=True)

TOPIC = "https://sandbox-ehr.example.org/SubscriptionTopic/appointment-change"
Settle = Callable[[], None]


@pytest.fixture
def loaded(sandbox: ehr.Sandbox) -> Connection:
    sandbox.small_clinic()
    sandbox.load(ehr.booking("b-1", 0), ehr.booking("b-2", 1, who="patient-2"))
    connection = sandbox.connect(events_by="topic", event_topic=TOPIC)
    load.load(connection.pk)
    Connection.objects.update(poll_due_at=timezone.now() + timedelta(days=1))
    connection.refresh_from_db()
    return connection


def wait_until(there: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        if there():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen")


def cancel(sandbox: ehr.Sandbox, booking: str) -> None:
    sandbox.control.post(f"appointments/{booking}/cancel", {"reason_code": "pat"})


def subscription() -> EventSubscription:
    return EventSubscription.objects.get()


def poll_is_due(connection: Connection) -> bool:
    """Whether the next poll was moved up from tomorrow."""
    connection.refresh_from_db()
    return connection.poll_due_at is not None and connection.poll_due_at < timezone.now() + timedelta(hours=2)


def test_by_topic_the_handshake_is_answered_and_events_arrive_and_are_counted(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer, work_inbox: Callable[[], int]
) -> None:
    event_stream.start(loaded, live_server.url)
    wait_until(lambda: InboundEvent.objects.filter(via="webhook").exists(), "the handshake")
    work_inbox()
    assert InboundEvent.objects.get(via="webhook").outcome == "a handshake"
    cancel(sandbox, "b-1")
    wait_until(lambda: InboundEvent.objects.filter(via="webhook", status="received").exists(), "the event")
    work_inbox()
    assert Opening.objects.get().start == ehr.start_of(0)
    row = subscription()
    assert (row.by, row.status, row.events_seen) == ("topic", "active", 1)
    assert row.last_heard_at is not None
    assert not poll_is_due(loaded)


def test_a_gap_in_the_count_is_filled_by_a_poll_at_once(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer, work_inbox: Callable[[], int]
) -> None:
    event_stream.start(loaded, live_server.url)
    cancel(sandbox, "b-1")
    wait_until(lambda: InboundEvent.objects.filter(via="webhook").count() == 2, "handshake and event")
    work_inbox()
    assert not poll_is_due(loaded)
    sandbox.fault("notify-lost", path="Appointment")
    cancel(sandbox, "b-2")
    sandbox.control.post("appointments/b-1/uncancel")
    wait_until(lambda: InboundEvent.objects.filter(via="webhook").count() == 3, "the event after the lost one")
    work_inbox()
    assert subscription().events_seen == 3
    assert poll_is_due(loaded)


def test_by_criteria_nothing_is_counted(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer, work_inbox: Callable[[], int]
) -> None:
    loaded.events_by = "criteria"
    loaded.save()
    event_stream.start(loaded, live_server.url)
    cancel(sandbox, "b-1")
    wait_until(lambda: InboundEvent.objects.filter(via="webhook").exists(), "the event")
    work_inbox()
    row = subscription()
    assert (row.by, row.status, row.events_seen, row.heartbeat_seconds) == ("criteria", "active", None, None)
    assert Opening.objects.count() == 1


def look(now: Any = None) -> None:
    now = now or timezone.now() + timedelta(minutes=20)
    for pk in event_stream.due(now):
        event_stream.keep(pk, now)


def test_a_subscription_in_error_is_asked_for_again_and_what_was_missed_is_polled(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer
) -> None:
    event_stream.start(loaded, live_server.url)
    (stored,) = sandbox.calls("/fhir/Subscription", "POST")
    external_id = subscription().external_id
    resource = subscription_at(sandbox, external_id)
    sandbox.change({**resource, "status": "error", "error": "nobody answered"})
    look()
    assert subscription().status in ("requested", "active")
    assert subscription_at(sandbox, external_id)["status"] in ("requested", "active")
    assert "error" not in subscription_at(sandbox, external_id)
    assert poll_is_due(loaded)
    assert WorkItem.objects.count() == 0
    assert stored["status"] == 201


def subscription_at(sandbox: ehr.Sandbox, external_id: str) -> dict[str, Any]:
    assert sandbox._server is not None
    with sandbox._server.application.store.writing() as transaction:
        record = transaction.get("Subscription", external_id)
    assert record is not None
    return dict(record.resource)


def test_a_subscription_the_ehr_forgot_is_made_anew(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer, settings: Any
) -> None:
    settings.PUBLIC_BASE_URL = live_server.url
    event_stream.start(loaded)
    EventSubscription.objects.update(external_id="forgotten")
    look()
    assert subscription().external_id != "forgotten"
    assert poll_is_due(loaded)


def test_when_it_cannot_be_brought_back_staff_are_asked_once_and_it_ends_by_itself(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer
) -> None:
    event_stream.start(loaded, live_server.url)
    sandbox.fault("403", path="Subscription", count=None)
    for minutes in (20, 40):
        look(timezone.now() + timedelta(minutes=minutes))
    (item,) = WorkItem.objects.filter(kind="connection.subscription_ended")
    assert "Nothing is lost: it is polled every 5 minutes" in item.advice
    assert poll_is_due(loaded)
    sandbox.heal()
    look(timezone.now() + timedelta(minutes=60))
    item.refresh_from_db()
    assert item.status == "done"


def test_a_heartbeat_that_does_not_come_is_looked_after(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer
) -> None:
    event_stream.start(loaded, live_server.url)
    now = timezone.now() + timedelta(minutes=2)
    EventSubscription.objects.update(status="active", last_heard_at=now - timedelta(seconds=900))
    assert event_stream.due(now) == []
    EventSubscription.objects.update(last_heard_at=now - timedelta(seconds=901))
    assert event_stream.due(now) == [subscription().pk]
    look(now)
    assert poll_is_due(loaded)
    assert subscription().last_heard_at == now


def test_a_subscription_that_is_well_is_looked_at_every_quarter_of_an_hour(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer
) -> None:
    start = timezone.now()
    event_stream.start(loaded, live_server.url, start)
    EventSubscription.objects.update(status="active")
    assert event_stream.due(start + timedelta(minutes=15)) == []
    assert event_stream.due(start + timedelta(minutes=15, seconds=1)) == [subscription().pk]


def test_the_same_subscription_is_kept_and_one_in_another_form_is_ended(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer
) -> None:
    first = event_stream.start(loaded, live_server.url).external_id
    assert event_stream.start(loaded, live_server.url).external_id == first
    loaded.events_by = "criteria"
    second = event_stream.start(loaded, live_server.url).external_id
    assert second != first
    assert subscription().external_id == second
    assert [call["path"] for call in sandbox.calls("/fhir/Subscription/", "DELETE")] == [f"/fhir/Subscription/{first}"]


def somebody_elses(sandbox: ehr.Sandbox, external_id: str) -> None:
    channel = {
        "type": "rest-hook",
        "endpoint": "https://elsewhere.example.org/hook",
        "payload": "application/fhir+json",
    }
    resource = {"resourceType": "Subscription", "id": external_id, "status": "active", "criteria": "Appointment?"}
    assert sandbox._server is not None
    with sandbox._server.application.store.writing() as transaction:
        transaction.put("Subscription", external_id, {**resource, "channel": channel})


def test_ours_is_found_among_many_subscriptions_of_others(
    sandbox: ehr.Sandbox, loaded: Connection, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one would have us told of each change twice."""
    monkeypatch.setattr(subscriptions, "PAGE_SIZE", 1)
    somebody_elses(sandbox, "-before")
    first = event_stream.start(loaded, live_server.url).external_id
    somebody_elses(sandbox, "zz-after")
    assert event_stream.start(loaded, live_server.url).external_id == first
    assert sandbox.calls("/fhir/Subscription/", "DELETE") == []


def status(total: Any, *events: int, subscription: str = "Subscription/s-1") -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": "history",
        "entry": [
            {
                "resource": {
                    "resourceType": "SubscriptionStatus",
                    "status": "active",
                    "type": "event-notification",
                    "eventsSinceSubscriptionStart": total,
                    "subscription": {"reference": subscription},
                    "notificationEvent": [{"eventNumber": number} for number in events],
                }
            }
        ],
    }


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (status("7", 6, 7), StreamStatus("s-1", "active", 7, 2)),
        (status(7, 7, subscription="https://ehr.example/fhir/Subscription/s-1"), StreamStatus("s-1", "active", 7, 1)),
        (status("many"), StreamStatus("s-1", "active", None, 0)),
        ({"resourceType": "Appointment", "id": "1"}, None),
        ({}, None),
    ],
)
def test_what_a_notification_says_of_its_stream(payload: dict[str, Any], expected: StreamStatus | None) -> None:
    assert stream_of(payload) == expected


def test_events_that_overtake_one_another_never_lower_the_count(loaded: Connection) -> None:
    EventSubscription.objects.create(connection=loaded, external_id="s-1", by="topic", checked_at=timezone.now())
    said = [StreamStatus("s-1", "active", total, 1) for total in (1, 3, 2)]
    assert [event_stream.note(loaded, each) for each in said] == [False, True, False]
    assert subscription().events_seen == 3


def test_one_that_tells_of_an_event_is_active_whatever_it_was_when_that_was_written(loaded: Connection) -> None:
    EventSubscription.objects.create(connection=loaded, external_id="s-1", by="topic", checked_at=timezone.now())
    event_stream.note(loaded, StreamStatus("s-1", "requested", 0, 0))
    assert subscription().status == "requested"
    event_stream.note(loaded, StreamStatus("s-1", "requested", 1, 1))
    assert subscription().status == "active"


def test_a_stream_of_somebody_else_is_nothing_to_us(loaded: Connection) -> None:
    assert event_stream.note(loaded, StreamStatus("other", "error", 99, 1)) is False
    assert EventSubscription.objects.count() == 0


def test_an_end_that_the_ehr_tells_of_is_looked_after_by_the_next_round(loaded: Connection) -> None:
    EventSubscription.objects.create(connection=loaded, external_id="s-1", by="topic", checked_at=timezone.now())
    assert event_stream.look_soon(loaded) is True
    assert event_stream.due() == [subscription().pk]
    assert WorkItem.objects.count() == 0


def test_an_end_of_a_subscription_that_staff_made_in_the_ehr_is_told_to_staff(loaded: Connection) -> None:
    assert event_stream.look_soon(loaded) is False
    assert WorkItem.objects.get().kind == "connection.subscription_ended"
