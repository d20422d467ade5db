"""Whatever order news come in, the mirror ends at the EHR's present state, and freed time opens once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from integrations.ehr import mirroring
from integrations.ehr.gateway import connect
from integrations.models import Connection, InboundEvent
from scheduling.appointments import apply_absence
from scheduling.models import Appointment, ExternalId, Opening
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing

pytestmark = pytest.mark.django_db


def tell(connection: Connection, version: int) -> None:
    body = f'{{"resourceType": "Appointment", "id": "b-1", "meta": {{"versionId": "{version}"}}}}'.encode()
    assert signing.send(connection, body).json() == {"status": "stored"}


@pytest.fixture
def booked(sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]) -> Appointment:
    sandbox.load(ehr.booking("b-1"))
    tell(connection, 1)
    work_inbox()
    return Appointment.objects.get()


def test_the_older_event_processed_last_changes_nothing(
    sandbox: ehr.Sandbox, connection: Connection, booked: Appointment, work_inbox: Callable[[], int]
) -> None:
    sandbox.control.post("appointments/b-1/cancel", {"reason_code": "pat"})
    tell(connection, 3)
    work_inbox()
    tell(connection, 2)
    work_inbox()
    booked.refresh_from_db()
    assert booked.status == "cancelled"
    assert Opening.objects.count() == 1
    outcomes = list(InboundEvent.objects.order_by("pk").values_list("outcome", flat=True))
    assert outcomes == [
        "mirrored; no opening",
        "mirror brought up to date; 1 opening",
        "we had this version; no opening",
    ]


def test_news_that_a_later_look_has_told_already_cost_no_call(
    sandbox: ehr.Sandbox, connection: Connection, booked: Appointment, work_inbox: Callable[[], int]
) -> None:
    sandbox.control.post("appointments/b-1/cancel", {"reason_code": "pat"})
    tell(connection, 2)
    tell(connection, 3)
    before = len(sandbox.calls("/fhir/Appointment/b-1"))
    work_inbox()
    assert len(sandbox.calls("/fhir/Appointment/b-1")) == before + 1
    last = InboundEvent.objects.latest("pk")
    assert (last.status, last.outcome) == ("done", "a later look at the EHR has told us already")
    assert Opening.objects.count() == 1


def test_an_answer_fetched_earlier_never_overwrites_one_fetched_later(
    sandbox: ehr.Sandbox, connection: Connection, booked: Appointment
) -> None:
    """A worker that fetched, slept, and wrote last must not bring the old state back."""
    gateway = connect(connection)
    fetched_early = timezone.now()
    old = gateway.fetch("appointment", "b-1")
    sandbox.control.post("appointments/b-1/cancel", {"reason_code": "pat"})
    fetched_late = timezone.now()
    new = gateway.fetch("appointment", "b-1")
    assert mirroring.apply(gateway, connection.source, new, fetched_late).change == "updated"
    assert mirroring.apply(gateway, connection.source, old, fetched_early).change == "stale"
    booked.refresh_from_db()
    assert booked.status == "cancelled"
    assert ExternalId.objects.get(kind="appointment").version == new.version


def test_not_found_asked_earlier_never_deletes_what_was_found_later(
    connection: Connection, booked: Appointment
) -> None:
    seen_at = ExternalId.objects.get(kind="appointment").seen_at
    assert seen_at is not None
    gone = apply_absence(connection.source, "b-1", seen_at - timedelta(seconds=1), verdict="rebookable")
    assert gone is not None
    assert gone.change == "stale"
    booked.refresh_from_db()
    assert (booked.status, Opening.objects.count()) == ("booked", 0)


def test_version_ids_are_never_compared_as_numbers(connection: Connection, booked: Appointment) -> None:
    """Version 10 may be followed by version 9, as after a restore of the EHR: what was fetched last counts."""
    gateway = connect(connection)
    record = gateway.fetch("appointment", "b-1")
    now = timezone.now()
    for seconds, version, minutes in ((1, "10", 0), (2, "9", 30)):
        moved = ehr.start_of(0) + timedelta(minutes=minutes)
        changed = type(record)(
            **{
                **{name: getattr(record, name) for name in record.__slots__},
                "version": version,
                "start": moved,
                "end": moved + timedelta(minutes=30),
            }
        )
        mirroring.apply(gateway, connection.source, changed, now + timedelta(seconds=seconds))
    booked.refresh_from_db()
    assert booked.start == ehr.start_of(1)


def test_cancelled_and_then_not_withdraws_the_opening(
    sandbox: ehr.Sandbox, connection: Connection, booked: Appointment, work_inbox: Callable[[], int]
) -> None:
    sandbox.control.post("appointments/b-1/cancel", {"reason_code": "pat"})
    tell(connection, 2)
    work_inbox()
    assert Opening.objects.get().status in Opening.CLAIMABLE
    sandbox.control.post("appointments/b-1/uncancel")
    tell(connection, 3)
    work_inbox()
    booked.refresh_from_db()
    opening = Opening.objects.get()
    assert booked.status == "booked"
    assert (opening.status, opening.closed_reason) == ("closed", "restored")
    assert opening.attention_due_at is not None  # by which the waitlist withdraws what is out


def test_deleted_in_the_ehr_frees_the_time(
    sandbox: ehr.Sandbox, connection: Connection, booked: Appointment, work_inbox: Callable[[], int]
) -> None:
    gateway = connect(connection)
    gateway.transport.write("DELETE", "Appointment/b-1", None)
    headers = signing.plain(b"{}", ehr.WEBHOOK_SECRET) | {"X-Medplum-Deleted-Resource": "Appointment/b-1"}
    assert signing.send(connection, b"{}", headers).status_code == 200
    work_inbox()
    booked.refresh_from_db()
    assert booked.status == "entered-in-error"
    assert InboundEvent.objects.latest("pk").outcome == "deleted in the EHR; 1 opening"


def test_a_header_that_claims_a_deletion_is_not_believed(
    connection: Connection, booked: Appointment, work_inbox: Callable[[], int]
) -> None:
    headers = signing.plain(b"{}", ehr.WEBHOOK_SECRET) | {"X-Deleted-Resource": "Appointment/b-1"}
    signing.send(connection, b"{}", headers)
    work_inbox()
    booked.refresh_from_db()
    assert booked.status == "booked"
    assert not Opening.objects.exists()


def test_one_appointment_is_worked_on_by_one_worker_at_a_time(connection: Connection, booked: Appointment) -> None:
    from integrations.ehr import event_leases

    tell(connection, 2)
    tell(connection, 3)
    first, second = InboundEvent.objects.filter(status="received").order_by("pk")
    held = event_leases.lease(first.pk)
    assert held is not None
    assert event_leases.lease(second.pk) is None
    second.refresh_from_db()
    assert (second.status, second.attempts) == ("received", 0)
    assert second.due_at > timezone.now()
    assert event_leases.finish(held, "done", "tried out")
    assert event_leases.lease(second.pk, timezone.now() + timedelta(seconds=1)) is not None


def test_an_event_whose_worker_died_is_taken_up_again_and_its_late_answer_ignored(
    connection: Connection, booked: Appointment, work_inbox: Callable[[], int]
) -> None:
    from integrations.ehr import event_leases

    tell(connection, 2)
    event = InboundEvent.objects.latest("pk")
    dead = event_leases.lease(event.pk)
    assert dead is not None
    assert work_inbox() == 0
    InboundEvent.objects.filter(pk=event.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert work_inbox() == 1
    event.refresh_from_db()
    assert (event.status, event.attempts) == ("done", 2)
    assert not event_leases.finish(dead, "ignored", "from beyond")
    event.refresh_from_db()
    assert event.status == "done"
