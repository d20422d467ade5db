"""Patients, clinicians and places are read again where a connection is set to batches of them, and none is missed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import switches
from integrations.ehr import load, reread
from integrations.ehr.fhir import search
from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.reading_lease import ReadingLease
from integrations.models import Connection
from scheduling.models import ExternalId, Patient, Provider, WorkItem
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

BATCH, HYBRID, REAL_TIME = Connection.Pace.BATCH, Connection.Pace.HYBRID, Connection.Pace.REAL_TIME


@pytest.fixture
def loaded(sandbox: ehr.Sandbox) -> Connection:
    """A connection to the sandbox, loaded a while ago, that reads nobody again unless a test has it so."""
    sandbox.small_clinic()
    dialect = sandbox._server.application.dialect.name  # type: ignore[union-attr]
    row = sandbox.connect(batch_minutes=30, kind="fhir" if dialect == "plain" else dialect)
    load.load(row.pk)
    Connection.objects.update(patient_pace=REAL_TIME, directory_pace=REAL_TIME, rereads={})
    row.refresh_from_db()
    return row


def changed(sandbox: ehr.Sandbox, number: int, birth_date: str) -> None:
    sandbox.change({**ehr.patient(f"patient-{number}", number), "birthDate": birth_date})


def test_patients_are_read_again_by_the_time_of_their_change(sandbox: ehr.Sandbox, loaded: Connection) -> None:
    assert reread.due() == []
    Connection.objects.update(patient_pace=BATCH)
    assert reread.due() == [loaded.pk]
    assert reread.read_again(loaded.pk)
    assert reread.due() == []
    changed(sandbox, 2, "1971-02-03")
    later = timezone.now() + timedelta(minutes=30)
    assert reread.due(later) == [loaded.pk]
    assert reread.read_again(loaded.pk, later)
    assert "1971-02-03" in {str(patient.birth_date) for patient in Patient.objects.all()}
    asked = [each["parameters"] for each in sandbox.calls("/fhir/Patient", "GET")]
    assert "_lastUpdated" in asked[-1]
    assert not sandbox.calls("/fhir/Practitioner")[1:]


def test_a_read_that_breaks_off_is_repeated_from_where_it_was(sandbox: ehr.Sandbox, loaded: Connection) -> None:
    Connection.objects.update(patient_pace=BATCH)
    reread.read_again(loaded.pk)
    before = Connection.objects.get().rereads["patient_pace"]
    later = timezone.now() + timedelta(minutes=30)
    sandbox.fault("html-200", path="Patient")
    assert not reread.read_again(loaded.pk, later)
    row = Connection.objects.get()
    assert row.poll_lease_until is None
    assert row.rereads["patient_pace"]["cursor"] == before["cursor"]
    assert reread.due(later) == []
    assert reread.due(later + reread.RETRY) == [loaded.pk]


@pytest.mark.parametrize("sandbox", ["oracle"], indirect=True)
def test_where_nobody_can_ask_by_time_of_change_all_are_read_once_a_day(
    sandbox: ehr.Sandbox, loaded: Connection
) -> None:
    Connection.objects.update(directory_pace=HYBRID)
    assert reread.read_again(loaded.pk)
    assert reread.due(timezone.now() + timedelta(hours=23)) == []
    assert reread.due(timezone.now() + timedelta(hours=24)) == [loaded.pk]


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "paused"},
        {"state": "stopped"},
        {"loaded_at": None},
        {"quiet_until": timezone.now() + timedelta(days=1)},
        {"patient_pace": "real_time"},
    ],
)
def test_nobody_is_read_again_of_one_that_is_paused_not_loaded_left_in_peace_or_not_asked_to(
    loaded: Connection, fields: dict[str, Any]
) -> None:
    Connection.objects.update(**{"patient_pace": BATCH, **fields})
    assert reread.due() == []


def test_while_another_worker_reads_nothing_is_asked(sandbox: ehr.Sandbox, loaded: Connection) -> None:
    Connection.objects.update(patient_pace=BATCH)
    theirs = ReadingLease.take(loaded.pk)
    assert theirs is not None
    before = len(sandbox.calls())
    assert not reread.read_again(loaded.pk)
    assert len(sandbox.calls()) == before
    theirs.release()
    assert reread.read_again(loaded.pk)


def test_a_read_goes_on_by_the_clock_of_the_ehr_and_a_little_before_where_it_was(
    sandbox: ehr.Sandbox, loaded: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock runs an hour behind: by ours, an hour of changes would be missed."""
    theirs = timezone.now() - timedelta(hours=1)
    monkeypatch.setattr(search, "_server_time", lambda *_: theirs)
    Connection.objects.update(patient_pace=BATCH)
    reread.read_again(loaded.pk)
    reread.read_again(loaded.pk, timezone.now() + timedelta(minutes=30))
    asked = dict(sandbox.calls("/fhir/Patient", "GET")[-1]["parameters"])
    since = datetime.fromisoformat(asked["_lastUpdated"].removeprefix("ge"))
    assert timedelta(minutes=5) <= theirs - since < timedelta(minutes=5, seconds=1)


def test_one_that_cannot_be_read_is_shown_and_the_others_are_applied(sandbox: ehr.Sandbox, loaded: Connection) -> None:
    Connection.objects.update(patient_pace=BATCH)
    changed(sandbox, 3, "1971-02-03")
    sandbox.change({**ehr.patient("patient-2", 2), "link": 3})
    assert reread.read_again(loaded.pk)
    assert WorkItem.objects.filter(kind="event.unreadable").count() == 1
    assert "1971-02-03" in {str(patient.birth_date) for patient in Patient.objects.all()}


def test_one_that_went_into_another_record_is_followed_there(sandbox: ehr.Sandbox, loaded: Connection) -> None:
    """A merge is more than a row among many can bring: such records are applied one by one."""
    Connection.objects.update(patient_pace=BATCH)
    link = [{"type": "replaced-by", "other": {"reference": "Patient/patient-2"}}]
    sandbox.change({**ehr.patient("patient-1", 1), "active": False, "link": link})
    assert reread.read_again(loaded.pk)
    held = {
        value: Patient.objects.get(pk=pk)
        for value, pk in ExternalId.objects.filter(kind="patient").values_list("value", "object_id")
    }
    assert held["patient-1"].replaced_by == held["patient-2"]


@pytest.mark.parametrize("sandbox", ["oracle"], indirect=True)
def test_where_all_are_read_those_at_the_same_version_are_read_no_further(
    sandbox: ehr.Sandbox, loaded: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    Connection.objects.update(directory_pace=BATCH)
    sandbox.change({**ehr.practitioner("ben"), "name": [{"family": "Benson", "given": ["Dr."]}]})
    usual, parsed = FhirGateway._parse, []

    def parse(self: FhirGateway, kind: Any, resource: Any, fallback_version: str = "") -> Any:
        parsed.append(resource["id"])
        return usual(self, kind, resource, fallback_version)

    monkeypatch.setattr(FhirGateway, "_parse", parse)
    assert reread.read_again(loaded.pk)
    assert parsed == ["ben"]
    assert Provider.objects.filter(name__contains="Benson").count() == 1


def test_an_ehr_that_notifies_of_appointments_alone_is_asked_what_changed_of_patients_from_its_load_on(
    sandbox: ehr.Sandbox,
) -> None:
    """Nothing was chosen: who died, moved or went into another record there is known here after a batch."""
    sandbox.small_clinic()
    row = sandbox.connect(batch_minutes=15)
    load.load(row.pk)
    asked = len(sandbox.calls("/fhir/Patient", "GET"))
    assert reread.due() == []
    sandbox.change({**ehr.patient("patient-2", 2), "deceasedBoolean": True})
    later = timezone.now() + timedelta(minutes=15)
    assert reread.due(later) == [row.pk]
    assert reread.read_again(row.pk, later)
    assert Patient.objects.filter(deceased=True).count() == 1
    # Only what changed since the load began is asked for, a little earlier.
    (again,) = sandbox.calls("/fhir/Patient", "GET")[asked:]
    assert "_lastUpdated" in again["parameters"]


def test_sync_now_reads_what_changed_of_patients_too(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    row = sandbox.connect()
    load.load(row.pk)
    row.refresh_from_db()
    assert reread.due() == []
    assert switches.sync_now(row)
    assert reread.due() == [row.pk]
