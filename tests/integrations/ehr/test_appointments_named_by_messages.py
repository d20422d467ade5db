"""SIU messages where FHIR stands beside them: they say which appointment changed, and it is fetched anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.ehr.gateway import connect
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, ExternalId, Opening, WorkItem
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing
from tests.integrations.ehr.hl7v2_messages import siu
from tests.integrations.ehr.payload_ehr import needs_payloads

pytestmark = [needs_payloads, pytest.mark.django_db]

Worked = Callable[[], int]
SYSTEM = "urn:elm:visits"


def visit(number: str, **fields: Any) -> dict[str, Any]:
    """A visit of the small clinic that the interface engine calls ``number``."""
    found = ehr.booking(f"a-{number}", **fields)
    return {**found, "identifier": [{"system": SYSTEM, "value": number}]}


def of(connection: Connection, number: str) -> Appointment:
    name = ExternalId.objects.get(source=connection.source, kind="appointment", value=f"a-{number}")
    return Appointment.objects.get(pk=name.object_id)


def told(connection: Connection, body: bytes, work_inbox: Worked) -> InboundEvent:
    assert b"MSA|AA|" in signing.send(connection, body).content
    event = InboundEvent.objects.latest("pk")
    InboundEvent.objects.filter(pk=event.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    work_inbox()
    return InboundEvent.objects.get(pk=event.pk)


@pytest.mark.parametrize("by", ["identifier", "id"])
def test_what_the_ehr_says_counts_and_not_the_message(
    connection: Connection, sandbox: ehr.Sandbox, work_inbox: Worked, by: str
) -> None:
    if by == "identifier":
        Connection.objects.update(appointment_system=SYSTEM)
    number = "77" if by == "identifier" else "a-77"
    sandbox.load(visit("77"))
    told(connection, siu("S12", SCH_2=number), work_inbox)
    assert of(connection, "77").status == "booked"
    # The message says cancelled, the EHR says booked.
    told(connection, siu("S15", SCH_2=number), work_inbox)
    assert of(connection, "77").status == "booked"
    sandbox.change({**visit("77"), "status": "cancelled"})
    event = told(connection, siu("S15", SCH_2=number), work_inbox)
    assert (event.status, event.outcome) == ("done", "mirror brought up to date; 1 opening")
    assert of(connection, "77").status == "cancelled"
    assert Opening.objects.count() == 1


def test_a_visit_that_fhir_does_not_show_yet_is_asked_for_again_and_in_the_end_shown_to_staff(
    connection: Connection, sandbox: ehr.Sandbox, work_inbox: Worked
) -> None:
    Connection.objects.update(appointment_system=SYSTEM, poll_due_at=timezone.now() + timedelta(minutes=5))
    event = told(connection, siu("S12", SCH_2="88"), work_inbox)
    assert (event.status, event.error) == ("received", "reference_missing")
    assert Connection.objects.get().poll_due_at <= timezone.now()
    sandbox.load(visit("88"))
    InboundEvent.objects.filter(pk=event.pk).update(due_at=timezone.now())
    work_inbox()
    assert of(connection, "88").status == "booked"

    late = told(connection, siu("S12", SCH_2="89"), work_inbox)
    InboundEvent.objects.filter(pk=late.pk).update(attempts=99, due_at=timezone.now())
    work_inbox()
    assert InboundEvent.objects.get(pk=late.pk).status == "dead"
    assert WorkItem.objects.filter(kind="event.dead").exists()


def test_a_visit_that_was_deleted_there(connection: Connection, sandbox: ehr.Sandbox, work_inbox: Worked) -> None:
    sandbox.load(visit("90"))
    told(connection, siu("S12", SCH_2="a-90"), work_inbox)
    connect(connection).transport.write("DELETE", "Appointment/a-90", None)  # type: ignore[attr-defined]
    event = told(connection, siu("S17", SCH_2="a-90"), work_inbox)
    assert (event.outcome, of(connection, "90").status) == ("deleted in the EHR; 1 opening", "entered-in-error")


def test_blocked_time_changes_nothing_here(connection: Connection, work_inbox: Worked) -> None:
    event = told(connection, siu("S12", MSH_9="SIU^S23^SIU_S12"), work_inbox)
    assert event.status == "ignored"


def test_a_message_without_a_number_is_shown_to_staff(connection: Connection, work_inbox: Worked) -> None:
    event = told(connection, siu("S12", SCH_2=""), work_inbox)
    assert (event.status, event.outcome) == ("quarantined", "it names no appointment in SCH-2")
    assert WorkItem.objects.filter(kind="event.unreadable").exists()
