"""An appointment for somebody or something we do not know: fetched first; if that fails, kept and tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from integrations.ehr import inbox
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, ExternalId, Location, Patient, Provider, WorkItem
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing

pytestmark = pytest.mark.django_db

BODY = b'{"resourceType": "Appointment", "id": "b-1", "meta": {"versionId": "1"}}'


@pytest.fixture
def empty(sandbox: ehr.Sandbox) -> Connection:
    """A connection of which nothing was loaded."""
    sandbox.small_clinic()
    sandbox.load(ehr.booking("b-1"))
    return sandbox.connect()


def pass_time() -> None:
    Connection.objects.update(quiet_until=None)
    InboundEvent.objects.filter(status="received").update(due_at=timezone.now() - timedelta(seconds=1))


def test_patient_provider_and_location_are_fetched(empty: Connection, work_inbox: Callable[[], int]) -> None:
    signing.send(empty, BODY)
    assert work_inbox() == 1
    row = Appointment.objects.get()
    assert (row.patient, row.provider, row.location) == (
        Patient.objects.get(),
        Provider.objects.get(),
        Location.objects.get(),
    )
    assert row.location.time_zone == "America/New_York"


@pytest.mark.parametrize("path", ["Patient", "Practitioner", "Location"])
@pytest.mark.parametrize("kind", ["500", "reset-before", "cut-json", "html-200"])
def test_a_reference_that_could_not_be_fetched_is_fetched_later(
    sandbox: ehr.Sandbox, empty: Connection, work_inbox: Callable[[], int], path: str, kind: str
) -> None:
    # A reset of a kept connection is tried once more at once.
    sandbox.fault(kind, path=path, method="GET", count=2 if kind == "reset-before" else 1)
    signing.send(empty, BODY)
    assert work_inbox() == 0
    assert not Appointment.objects.exists()
    assert InboundEvent.objects.get().status == "received"
    pass_time()
    assert work_inbox() == 1
    assert Appointment.objects.get().patient is not None


def test_a_reference_the_ehr_does_not_have_ends_as_a_dead_letter_that_can_be_retried(
    sandbox: ehr.Sandbox, empty: Connection, work_inbox: Callable[[], int], django_user_model
) -> None:
    from scheduling import worklist

    sandbox.load(ehr.booking("b-2", 1, who="nobody"))
    signing.send(empty, BODY.replace(b"b-1", b"b-2"))
    for _ in range(len(settings.EVENT_RETRY_SECONDS) + 1):
        work_inbox()
        pass_time()
    event = InboundEvent.objects.get()
    assert (event.status, event.attempts, event.error) == ("dead", 6, "reference_missing")
    item = WorkItem.objects.get(kind="event.dead")
    assert item.advice.startswith(
        "Appointment/b-2: it names a patient, clinician, place or visit that the EHR does not show us. "
    )
    assert not Appointment.objects.exists()

    sandbox.load(ehr.patient("nobody", 9))
    worklist.run_action(item, "again", django_user_model.objects.create_user("clerk"))
    assert work_inbox() == 1
    assert Appointment.objects.get().patient is not None


@pytest.mark.parametrize("by", ["itself, from the list", "a later event"])
def test_what_went_through_after_all_is_asked_of_nobody_any_more(
    sandbox: ehr.Sandbox, empty: Connection, work_inbox: Callable[[], int], by: str
) -> None:
    sandbox.load(ehr.booking("b-2", 1, who="nobody"))
    signing.send(empty, BODY.replace(b"b-1", b"b-2"))
    InboundEvent.objects.update(attempts=len(settings.EVENT_RETRY_SECONDS))
    work_inbox()
    event = InboundEvent.objects.get()
    assert event.status == "dead"
    sandbox.load(ehr.patient("nobody", 9))
    if by == "a later event":
        signing.send(empty, BODY.replace(b"b-1", b"b-2").replace(b'"1"', b'"2"'))
    else:
        assert inbox.retry(event)
    assert work_inbox() == 1
    item = WorkItem.objects.get(kind="event.dead")
    assert (item.status, item.resolution) == ("done", "It was read.")


def test_waits_between_tries_follow_the_schedule(empty: Connection, sandbox: ehr.Sandbox, work_inbox) -> None:
    sandbox.load(ehr.booking("b-2", 1, who="nobody"))
    signing.send(empty, BODY.replace(b"b-1", b"b-2"))
    waits = []
    for _ in settings.EVENT_RETRY_SECONDS:
        work_inbox()
        waits.append(round((InboundEvent.objects.get().due_at - timezone.now()).total_seconds()))
        pass_time()
    assert waits == settings.EVENT_RETRY_SECONDS


def test_a_dead_letter_does_not_hold_up_the_rest(
    sandbox: ehr.Sandbox, empty: Connection, work_inbox: Callable[[], int]
) -> None:
    sandbox.load(ehr.booking("b-2", 1, who="nobody"))
    signing.send(empty, BODY.replace(b"b-1", b"b-2"))
    signing.send(empty, BODY)
    work_inbox()
    assert ExternalId.objects.get(kind="appointment").value == "b-1"


def test_a_replaced_record_brings_the_one_that_replaces_it(
    sandbox: ehr.Sandbox, empty: Connection, work_inbox: Callable[[], int]
) -> None:
    old = ehr.patient("old", 7) | {"link": [{"other": {"reference": "Patient/new"}, "type": "replaced-by"}]}
    sandbox.load(old, ehr.patient("new", 8), ehr.booking("b-2", 1, who="old"))
    signing.send(empty, BODY.replace(b"b-1", b"b-2"))
    work_inbox()
    patient = Appointment.objects.get().patient
    assert patient is not None
    assert patient.replaced_by is not None
    assert not patient.may_be_offered
    assert patient.replaced_by.may_be_offered


def test_records_that_replace_each_other_end(
    sandbox: ehr.Sandbox, empty: Connection, work_inbox: Callable[[], int]
) -> None:
    for one, other in (("x", "y"), ("y", "x")):
        link = [{"other": {"reference": f"Patient/{other}"}, "type": "replaced-by"}]
        sandbox.load(ehr.patient(one, 7) | {"link": link, "identifier": []})
    sandbox.load(ehr.booking("b-2", 1, who="x"))
    signing.send(empty, BODY.replace(b"b-1", b"b-2"))
    assert work_inbox() == 1
    assert not any(patient.may_be_offered for patient in Patient.objects.all())
