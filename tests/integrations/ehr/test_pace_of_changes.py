"""Each kind of change is dealt with as it arrives or in batches, as its connection says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import switches
from integrations.ehr import batching, intake, load, poll
from integrations.models import Connection, InboundEvent
from scheduling.models import Opening
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

BATCH, HYBRID = Connection.Pace.BATCH, Connection.Pace.HYBRID


@pytest.fixture
def loaded(sandbox: ehr.Sandbox, request: pytest.FixtureRequest) -> Connection:
    """A connection to the sandbox, loaded, with the poll a while off."""
    sandbox.small_clinic()
    sandbox.load(ehr.booking("b-0"))
    kind = "oracle" if "oracle" in request.node.name else "fhir"
    row = sandbox.connect(batch_minutes=30, kind=kind)
    load.load(row.pk)
    row.refresh_from_db()
    return row


def tell(connection: Connection, resource: dict[str, Any], via: str = "webhook") -> InboundEvent:
    intake.receive(connection, via=via, body=json.dumps(resource).encode(), payload=resource)
    return InboundEvent.objects.latest("pk")


def is_at_once(event: InboundEvent) -> bool:
    return event.due_at == event.received_at


def version(number: int) -> dict[str, Any]:
    return {"meta": {"versionId": str(number)}}


def test_a_batch_waits_for_its_end_and_is_dealt_with_then(
    sandbox: ehr.Sandbox, loaded: Connection, work_inbox: Callable[[], int]
) -> None:
    loaded.appointment_pace = BATCH
    sandbox.control.post("appointments/b-0/cancel", {"reason_code": "pat"})
    event = tell(loaded, {"resourceType": "Appointment", "id": "b-0"})
    assert event.due_at == batching.next_batch(loaded, event.received_at)
    assert work_inbox() == 0
    assert not Opening.objects.exists()
    InboundEvent.objects.update(due_at=timezone.now())
    assert work_inbox() == 1
    assert Opening.objects.get().start == ehr.start_of(0)


def test_batches_of_a_connection_end_together() -> None:
    row = Connection(batch_minutes=30)
    nine = datetime(2031, 1, 15, 9, tzinfo=UTC)
    ends = [batching.next_batch(row, nine + timedelta(minutes=minutes)) for minutes in (0, 1, 29, 30)]
    assert ends == [nine + timedelta(minutes=30)] * 3 + [nine + timedelta(minutes=60)]


@pytest.mark.parametrize(
    ("resource", "at_once"),
    [
        (ehr.booking("new", 1, **version(1)), False),
        (ehr.booking("b-0", 1, **version(2)), True),  # known: it may have moved and free its time
        (ehr.booking("new", 1, status="cancelled", **version(1)), True),
        (ehr.booking("new", start="2031-01-15T09:00:00", **version(1)), True),  # without an offset nothing is judged
        ({"resourceType": "Appointment", "id": "new"}, True),  # by its id alone nobody knows what it says
        ({"resourceType": "Appointment", "id": "new", "status": "booked", "start": 7, **version(1)}, True),
        ({"resourceType": "Slot", "id": "ana-1"}, True),
        ({"resourceType": "Patient", "id": "patient-1"}, True),
    ],
)
def test_hybrid_puts_off_only_what_surely_frees_nothing_soon(
    loaded: Connection, resource: dict[str, Any], at_once: bool
) -> None:
    loaded.appointment_pace, loaded.patient_pace = HYBRID, HYBRID
    assert is_at_once(tell(loaded, resource)) is at_once


def test_a_new_visit_within_two_days_is_not_put_off(loaded: Connection) -> None:
    loaded.appointment_pace = HYBRID
    start = timezone.now() + batching.NEAR
    for offset, at_once in ((timedelta(minutes=-1), True), (timedelta(minutes=1), False)):
        resource = ehr.booking(f"at-{at_once}", start=(start + offset).isoformat(), **version(1))
        assert is_at_once(tell(loaded, resource)) is at_once


def test_each_kind_has_its_own_pace_and_polls_wait_for_nothing(loaded: Connection) -> None:
    loaded.patient_pace, loaded.directory_pace = BATCH, BATCH
    told = {
        kind: is_at_once(tell(loaded, {"resourceType": kind, "id": "x"}))
        for kind in ("Appointment", "Patient", "Practitioner", "Location", "Slot")
    }
    assert told == {"Appointment": True, "Patient": False, "Practitioner": False, "Location": False, "Slot": True}
    assert is_at_once(tell(loaded, {"resourceType": "Patient", "id": "y"}, via="poll"))


def test_sync_now_takes_up_what_waits(loaded: Connection, work_inbox: Callable[[], int]) -> None:
    loaded.patient_pace = BATCH
    tell(loaded, {"resourceType": "Patient", "id": "patient-1"})
    assert work_inbox() == 0
    assert switches.sync_now(loaded)
    assert work_inbox() == 1


def test_a_complete_poll_says_how_old_the_calendar_is_and_a_broken_one_does_not(
    sandbox: ehr.Sandbox, loaded: Connection
) -> None:
    before = timezone.now()
    poll.poll(loaded.pk)
    first = Connection.objects.get().calendar_as_of
    assert first is not None
    assert before <= first <= timezone.now()
    sandbox.fault("html-200", path="Appointment")
    assert poll.poll(loaded.pk) is None
    assert Connection.objects.get().calendar_as_of == first
