"""A new connection is loaded through the same FHIR calls as everything else, and opens nothing."""

from __future__ import annotations

import pytest

from integrations.ehr import load
from integrations.models import ApiCall, Connection
from scheduling.models import Appointment, Location, Opening, Patient, Provider
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db


def test_places_clinicians_patients_and_appointments_are_mirrored(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    sandbox.load(ehr.booking("booked-1", 0), ehr.booking("gone-1", 1, status="cancelled"))
    connection = sandbox.connect()

    report = load.load(connection.pk)

    assert dict(report.loaded) == {"location": 1, "provider": 2, "patient": 3, "appointment": 2}
    assert (report.quarantined, report.unresolved) == (0, 0)
    place = Location.objects.get()
    assert (place.name, place.time_zone) == ("Elm Street", "America/New_York")
    assert set(Provider.objects.values_list("name", flat=True)) == {"Dr. Ana", "Dr. Ben"}
    assert Patient.objects.count() == 3
    booked = Appointment.objects.get(status="booked")
    assert (booked.start, booked.end) == (ehr.start_of(0), ehr.start_of(1))
    assert booked.appointment_type is not None
    assert booked.appointment_type.code == "follow-up"
    assert not Opening.objects.exists()


def test_the_cursor_is_the_servers_clock_at_the_start(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    load.load(connection.pk)
    row = Connection.objects.get(pk=connection.pk)
    assert row.cursor is not None
    assert row.loaded_at is not None
    assert row.cursor <= row.loaded_at
    assert row.poll_due_at is not None
    assert row.poll_lease_until is None


def test_each_call_is_recorded_without_query_or_token(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    load.load(connection.pk)
    resources = list(ApiCall.objects.order_by("pk").values_list("method", "resource", "status", "result"))
    assert resources[:3] == [
        ("GET", ".well-known/smart-configuration", 200, "ok"),
        ("POST", "token", 200, "ok"),
        ("GET", "Location", 200, "ok"),
    ]
    assert set(ApiCall.objects.values_list("actor", flat=True)) == {"worker: load"}
    assert not ApiCall.objects.filter(resource__contains="?").exists()
