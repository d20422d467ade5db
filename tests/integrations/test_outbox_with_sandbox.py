"""The outbox against a real FHIR server over HTTP, with the faults that a real one has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import outbox
from integrations.ehr import load
from integrations.ehr.gateway import connect
from integrations.models import ApiCall, Connection
from scheduling.models import Appointment, AppointmentType, Location, Opening, Patient, Provider, WorkItem, Writeback
from scheduling.records import AppointmentRecord
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.fixtures.sandbox import Sandbox
from waitlist import claims
from waitlist.models import Claim

pytestmark = pytest.mark.django_db


class Practice:
    """The sandbox's small clinic, loaded here, and a yes to its first free slot."""

    def __init__(self, sandbox: Sandbox, **fields: Any) -> None:
        sandbox.small_clinic()
        self.sandbox = sandbox
        self.connection = sandbox.connect(settle_seconds=0, **fields)
        load.load(self.connection.pk)
        self.connection.refresh_from_db()
        provider = Provider.objects.get(name__contains="Ana")
        place = Location.objects.get()
        kind = AppointmentType.objects.get(code="follow-up")
        factories.bookable(provider, place, kind)
        self.patient = Patient.objects.order_by("pk")[0]
        self.opening = factories.opening(
            provider,
            place,
            source=self.connection.source,
            start=ehr.start_of(0),
            slots=[
                {"id": "ana-0", "start": ehr.start_of(0).isoformat(), "end": ehr.start_of(1).isoformat()},
            ],
        )
        offer = factories.offer(self.opening, factories.entry(self.patient, kind))
        result = claims.claim(self.opening, self.patient, offer=offer, channel="link")
        assert result.claim is not None
        self.claim = result.claim
        self.writeback = Writeback.objects.get()

    def work(self, *, past: float = 0) -> str:
        """Work on the write once, after so many seconds; return its status."""
        row = Writeback.objects.get()
        ago = timedelta(seconds=past)
        Writeback.objects.update(due_at=row.due_at - ago, sent_at=row.sent_at - ago if row.sent_at else None)
        Connection.objects.filter(quiet_until__isnull=False).update(quiet_until=timezone.now())
        outbox.process(row.pk)
        return Writeback.objects.get().status

    @property
    def booked(self) -> list[Any]:
        """The live appointments the EHR holds."""
        pages = connect(self.connection).load("appointment")
        records = [record for page in pages for record in page.records]
        return [record for record in records if isinstance(record, AppointmentRecord) and record.status == "booked"]

    def assert_booked_once(self) -> None:
        [record] = self.booked
        self.claim.refresh_from_db()
        self.opening.refresh_from_db()
        appointment = Appointment.objects.get(pk=self.claim.appointment_id)
        assert self.claim.state == Claim.State.CONFIRMED
        assert self.opening.status == Opening.Status.FILLED
        assert (appointment.status, appointment.start) == (Appointment.Status.BOOKED, record.start)


@pytest.fixture
def practice(db: None, sandbox: Sandbox) -> Practice:
    return Practice(sandbox)


def creates(practice: Practice) -> int:
    """How often a create was asked of the EHR."""
    return len([call for call in practice.sandbox.calls("Appointment", "POST") if "_search" not in call["path"]])


def test_booked_and_read_back(practice: Practice) -> None:
    assert practice.work() == Writeback.Status.DONE
    practice.assert_booked_once()
    assert creates(practice) == 1
    assert ApiCall.objects.filter(writeback=practice.writeback, method="POST", result="ok").count() == 1


def test_the_ehr_shows_why_a_name_appeared(practice: Practice) -> None:
    at_seven_past_eight = timezone.now().astimezone(practice.opening.location.zone).replace(hour=8, minute=7)
    Claim.objects.update(channel="sms", created_at=at_seven_past_eight)
    practice.work()
    [held] = [each for each in practice.sandbox.appointments() if each["status"] == "booked"]
    reference = Appointment.objects.get(pk=practice.claim.appointment_id).reference
    assert held["comment"] == f"Waitlist, ref {reference}, YES by text 08:07"


@pytest.mark.parametrize("fault", ["reset-after-commit", "cut-json", "empty-201"])
def test_answers_lost_or_empty_after_the_commit(practice: Practice, fault: str) -> None:
    practice.sandbox.fault(fault, method="POST", path="Appointment", count=1)
    practice.work()
    practice.work(past=3)
    practice.assert_booked_once()
    assert creates(practice) == 1


@pytest.mark.parametrize("processed", [True, False])
@pytest.mark.parametrize("fault", ["500", "html-200"])
def test_failures_that_say_nothing(practice: Practice, fault: str, processed: bool) -> None:
    practice.sandbox.fault(fault, method="POST", path="Appointment", count=1, processed=processed)
    assert practice.work() == Writeback.Status.UNKNOWN
    practice.work(past=3)
    practice.work(past=60)
    practice.work(past=60)
    practice.assert_booked_once()
    assert creates(practice) == (1 if processed else 2)


@pytest.mark.parametrize("fault", ["503-html", "429"])
def test_busy_or_down_before_anything_happened(practice: Practice, fault: str) -> None:
    practice.sandbox.fault(fault, count=2)
    for _ in range(2):
        practice.work(past=100)
        assert Writeback.objects.get().attempts == 0
    practice.work(past=100)
    practice.work(past=100)
    practice.assert_booked_once()
    assert creates(practice) == 1


def test_down_for_a_while(practice: Practice) -> None:
    practice.sandbox.fault("down", count=None)
    for _ in range(5):
        assert practice.work(past=100) == Writeback.Status.WAITING
    assert Connection.objects.get().failing_since is not None
    practice.sandbox.heal()
    practice.work(past=100)
    practice.assert_booked_once()
    assert Connection.objects.get().failing_since is None


def test_taken_in_the_ehr_meanwhile(practice: Practice) -> None:
    practice.sandbox.control.post(
        "load", {"resourceType": "Bundle", "entry": [{"resource": ehr.booking("theirs", who="patient-3")}]}
    )
    assert practice.work() == Writeback.Status.REFUSED
    practice.claim.refresh_from_db()
    assert practice.claim.state == Claim.State.REFUSED
    assert [record.external_id for record in practice.booked] == ["theirs"]


@pytest.mark.parametrize("fault", ["taken-409", "duplicate-409"])
def test_conflicts_are_told_apart(practice: Practice, fault: str) -> None:
    """A duplicate of nothing cannot be believed: it is looked up, and sent once more when it is proven absent."""
    practice.sandbox.fault(fault, method="POST", path="Appointment", count=1)
    first = practice.work()
    if fault == "taken-409":
        row = Writeback.objects.get()
        assert (first, row.error_code) == (Writeback.Status.REFUSED, "rejected"), "the EHR shows the time as free"
        assert WorkItem.objects.filter(kind="writeback.refused").count() == 1
        assert practice.booked == []
        practice.opening.refresh_from_db()
        assert practice.opening.status == Opening.Status.OPEN
        return
    assert first == Writeback.Status.UNKNOWN
    for _ in range(3):
        practice.work(past=60)
    practice.assert_booked_once()


@pytest.mark.parametrize("field", ["start", "practitioner", "patient", "location"])
def test_a_booking_that_differs_is_undone(practice: Practice, field: str) -> None:
    practice.sandbox.fault("wrong-readback", count=1, field=field)
    assert practice.work() == Writeback.Status.REFUSED
    practice.claim.refresh_from_db()
    assert practice.claim.state == Claim.State.REFUSED
    assert practice.booked == []
    assert WorkItem.objects.filter(kind="writeback.mismatch").count() == 1
