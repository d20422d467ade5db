"""The poll finds whatever notifications lost, and concludes nothing from a read that broke off."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from integrations.ehr import endings, intake, poll
from integrations.ehr.fhir import search
from integrations.ehr.gateway import Quarantined
from integrations.models import ApiCall, Connection, InboundEvent
from scheduling.models import Appointment, Opening, WorkItem
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGE_SIZE", 2)


@pytest.fixture
def booked(sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]) -> Connection:
    """Seven appointments, known to us."""
    sandbox.load(*(ehr.booking(f"b-{number}", number) for number in range(7)))
    poll.poll(connection.pk)
    assert work_inbox() == 7
    connection.refresh_from_db()
    return connection


def test_a_cancellation_nobody_told_us_of_is_found(
    sandbox: ehr.Sandbox, booked: Connection, work_inbox: Callable[[], int]
) -> None:
    sandbox.control.post("appointments/b-3/cancel", {"reason_code": "pat"})
    found = poll.poll(booked.pk)
    assert found is not None
    assert (found.changed, found.quarantined) == (1, 0)
    work_inbox()
    assert Appointment.objects.filter(status="cancelled").count() == 1
    assert Opening.objects.get().start == ehr.start_of(3)
    event = InboundEvent.objects.latest("pk")
    assert (event.via, event.outcome) == ("poll", "mirror brought up to date; 1 opening")


def test_an_unchanged_poll_makes_no_events_and_reads_nothing_twice(
    sandbox: ehr.Sandbox, booked: Connection, work_inbox: Callable[[], int]
) -> None:
    events = InboundEvent.objects.count()
    found = poll.poll(booked.pk)
    assert found is not None
    assert (found.seen, found.changed) == (7, 0)
    assert work_inbox() == 0
    assert InboundEvent.objects.count() == events


def test_what_a_poll_just_fetched_is_not_fetched_again(sandbox: ehr.Sandbox, booked: Connection) -> None:
    assert not sandbox.calls("/fhir/Appointment/b-")


def test_what_a_poll_fetched_long_ago_is_fetched_again(
    sandbox: ehr.Sandbox, booked: Connection, work_inbox: Callable[[], int]
) -> None:
    """The queue was long: acting on an answer of minutes ago could offer time that is booked again."""
    sandbox.control.post("appointments/b-3/cancel", {"reason_code": "pat"})
    poll.poll(booked.pk)
    sandbox.control.post("appointments/b-3/uncancel")
    waiting = InboundEvent.objects.filter(status="received")
    waiting.update(received_at=timezone.now() - timedelta(minutes=5))
    work_inbox()
    assert not Opening.objects.exists()
    assert Appointment.objects.filter(status="booked").count() == 7


def test_the_cursor_comes_from_the_server_and_each_poll_overlaps(sandbox: ehr.Sandbox, booked: Connection) -> None:
    assert booked.cursor is not None
    poll.poll(booked.pk)
    asked = next(call["parameters"] for call in reversed(sandbox.calls("/fhir/Appointment")))
    since = booked.cursor - timedelta(minutes=5)
    assert asked["_lastUpdated"] == f"ge{since:%Y-%m-%dT%H:%M:%SZ}"
    assert asked["_sort"] == "_lastUpdated"


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("page-500", {"page": 3}),
        ("page-loop", {"page": 3, "count": None}),
        ("foreign-next", {"page": 2}),
        ("cut-json", {"method": "GET", "path": "Appointment", "skip": 2}),
        ("html-200", {"method": "GET", "path": "Appointment", "skip": 2}),
    ],
)
def test_a_page_that_cannot_be_trusted_leaves_the_cursor_where_it_was(
    sandbox: ehr.Sandbox, booked: Connection, work_inbox: Callable[[], int], kind: str, options: dict[str, object]
) -> None:
    cursor = booked.cursor
    sandbox.control.post("appointments/b-6/cancel", {"reason_code": "pat"})
    sandbox.fault(kind, **options)
    assert poll.poll(booked.pk) is None
    booked.refresh_from_db()
    assert booked.cursor == cursor
    assert booked.poll_lease_until is None
    work_inbox()
    assert set(Appointment.objects.values_list("status", flat=True)) == {"booked"}
    assert not Opening.objects.exists()

    sandbox.heal()
    Connection.objects.update(quiet_until=None)
    assert poll.poll(booked.pk) is not None
    work_inbox()
    booked.refresh_from_db()
    assert booked.cursor > cursor
    assert Opening.objects.get().start == ehr.start_of(6)


def test_one_malformed_entry_among_a_hundred_is_shown_and_the_rest_applied(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]
) -> None:
    first = ehr.day() - timedelta(days=1)
    resources = []
    for number in range(100):
        start = first + timedelta(minutes=5 * number)
        times = {"start": start.isoformat(), "end": (start + timedelta(minutes=5)).isoformat()}
        resources.append(ehr.booking(f"b-{number:03d}", 0, **times))
    sandbox.load(*resources)
    sandbox.fault("bad-entry", path="Appointment", method="GET")

    poll.poll(connection.pk)
    work_inbox()

    assert Appointment.objects.count() == 99
    bad = InboundEvent.objects.get(status="quarantined")
    assert bad.subject_key == "Appointment/b-050"
    item = WorkItem.objects.get(kind="event.unreadable")
    assert item.status == "open"
    assert "Appointment/b-050" in item.advice
    assert item.subject_id == bad.pk


def test_what_was_unreadable_is_read_again_at_a_click(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int], django_user_model
) -> None:
    from scheduling import worklist

    sandbox.load(ehr.booking("b-1"))
    sandbox.fault("bad-entry", path="Appointment", method="GET")
    poll.poll(connection.pk)
    work_inbox()
    item = WorkItem.objects.get(kind="event.unreadable")
    clerk = django_user_model.objects.create_user("clerk")
    assert worklist.run_action(item, "again", clerk) == "It is read again; if it still cannot be, you are asked again."
    work_inbox()
    assert Appointment.objects.get().status == "booked"
    assert InboundEvent.objects.get().status == "done"
    item.refresh_from_db()
    assert item.status == "done"


def test_the_same_unreadable_entry_is_shown_once(sandbox: ehr.Sandbox, connection: Connection) -> None:
    sandbox.load({**ehr.booking("b-1"), "id": "b 1"})
    for _ in range(3):
        poll.poll(connection.pk)
    assert InboundEvent.objects.get().status == "quarantined"
    assert WorkItem.objects.get(kind="event.unreadable").times_seen == 1


def test_only_one_worker_polls_at_a_time(sandbox: ehr.Sandbox, connection: Connection) -> None:
    Connection.objects.filter(pk=connection.pk).update(poll_lease_until=timezone.now() + timedelta(seconds=30))
    calls = ApiCall.objects.count()
    assert poll.poll(connection.pk) is None
    assert ApiCall.objects.count() == calls


@pytest.mark.parametrize(
    ("fields", "is_due"),
    [
        ({}, True),
        ({"poll_due_at": None}, True),
        ({"poll_due_at": timedelta(minutes=5)}, False),
        ({"state": "paused"}, False),
        ({"state": "stopped"}, False),
        ({"quiet_until": timedelta(minutes=5)}, False),
        ({"loaded_at": None}, False),
    ],
)
def test_which_connections_are_polled(connection: Connection, fields: dict[str, object], is_due: bool) -> None:
    now = timezone.now()
    told = {name: now + value if isinstance(value, timedelta) else value for name, value in fields.items()}
    Connection.objects.filter(pk=connection.pk).update(**{"poll_due_at": now - timedelta(minutes=1), **told})
    assert poll.poll_due() == ([connection.pk] if is_due else [])


def test_a_poll_is_asked_for_when_the_ehr_says_only_that_something_changed(
    connection: Connection, work_inbox: Callable[[], int]
) -> None:
    from tests.integrations.ehr import signing

    assert poll.poll_due() == []
    assert signing.send(connection, b"{}").json() == {"status": "stored"}
    work_inbox()
    assert InboundEvent.objects.get().outcome == "it names nothing; the EHR is polled"
    assert poll.poll_due() == [connection.pk]


def test_an_answer_from_a_lagging_copy_is_repaired(
    sandbox: ehr.Sandbox, booked: Connection, work_inbox: Callable[[], int]
) -> None:
    """Version 2 was told and dealt with, but the EHR still answered with version 1: the poll sees the difference."""
    from scheduling.models import ExternalId

    sandbox.control.post("appointments/b-3/cancel", {"reason_code": "pat"})
    poll.poll(booked.pk)
    work_inbox()
    name = ExternalId.objects.get(kind="appointment", value="b-3")
    stale = ExternalId.objects.get(kind="appointment", value="b-2").version
    ExternalId.objects.filter(pk=name.pk).update(version=stale)
    Appointment.objects.filter(pk=name.object_id).update(status="booked")

    poll.poll(booked.pk)
    work_inbox()

    assert Appointment.objects.get(pk=name.object_id).status == "cancelled"


def test_what_staff_were_asked_about_an_entry_closes_once_it_was_read(connection: Connection) -> None:
    """It was asked about by the name that stands in the entry, which the event itself has not."""
    for number in range(2):
        raw = json.dumps({"resourceType": "Appointment", "id": f"a-{number}"}).encode()
        intake.set_aside(connection, "poll", [Quarantined(f"Appointment/a-{number}", "it has no start", raw)])
    first, second = WorkItem.objects.filter(kind="event.unreadable").order_by("pk")
    endings.clear_work(InboundEvent.objects.get(pk=first.subject_id))
    for item in (first, second):
        item.refresh_from_db()
    assert (first.status, second.status) == ("done", "open")
