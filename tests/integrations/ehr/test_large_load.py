"""Five hundred patients in one load: slow pages, tokens that end in the middle, and loads that break off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from audit.models import AccessRecord
from config.sandbox import start_sandbox
from integrations.ehr import load
from integrations.ehr.fhir import adapter, search, transport, windows
from integrations.ehr.gateway import Malformed, Unavailable
from integrations.ehr.progress import KindProgress, progress_of
from integrations.models import ApiCall, Connection
from scheduling.models import (
    Appointment,
    ContactPoint,
    ExternalId,
    Location,
    Opening,
    Patient,
    PatientIdentifier,
    PatientSearchToken,
    Provider,
)
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

PATIENTS = 500


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ehr.Sandbox]:
    """A sandbox EHR in a process of its own."""
    running = start_sandbox(
        database=tmp_path / "sandbox.sqlite3",
        arguments=["--client-id", ehr.CLIENT_ID],
        environment={"SANDBOX_CLIENT_SECRET": ehr.CLIENT_SECRET, "SANDBOX_CONTROL_TOKEN": ehr.CONTROL_TOKEN},
    )
    yield ehr.Sandbox(running.url)
    running.stop()


@pytest.fixture
def pages_of_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGE_SIZE", 100)


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGE_SIZE", 2)


def progress(connection: Connection) -> Any:
    found = progress_of(Connection.objects.get(pk=connection.pk))
    assert found is not None
    return found


def counts() -> dict[str, int]:
    """How many rows of each table a load writes."""
    models = (Location, Provider, Patient, PatientIdentifier, PatientSearchToken, ContactPoint, Appointment, ExternalId)
    return {model.__name__: model._base_manager.count() for model in models}


@pytest.mark.process
@pytest.mark.usefixtures("pages_of_a_hundred")
def test_five_hundred_patients_though_the_token_ends_while_a_page_is_made(process: ehr.Sandbox) -> None:
    process.small_clinic(patients=PATIENTS)
    process.load(*(ehr.booking(f"b-{number}", number % 8, who=f"patient-{number + 1}") for number in range(PATIENTS)))
    connection = process.connect()
    # The EHR thinks about its third page of patients for longer than its tokens live.
    process.control.post("settings", {"token_seconds": 1})
    process.fault("slow", path="Patient", skip=2, seconds=1.5)

    report = load.load(connection.pk)

    assert dict(report.loaded) == {"location": 1, "provider": 2, "patient": PATIENTS, "appointment": PATIENTS}
    assert (report.quarantined, report.unresolved) == (0, 0)
    assert ApiCall.objects.filter(resource="Patient").exclude(status=200).values_list("status", flat=True).get() == 401
    assert ApiCall.objects.filter(resource="Patient", status=200).count() == 5
    assert counts() == {
        "Location": 1,
        "Provider": 2,
        "Patient": PATIENTS,
        "PatientIdentifier": PATIENTS,
        "PatientSearchToken": PatientSearchToken.objects.values("patient", "token").distinct().count(),
        "ContactPoint": PATIENTS,
        "Appointment": PATIENTS,
        "ExternalId": 2 * PATIENTS + 3,
    }
    assert Patient.objects.filter(locations__name="Elm Street").count() == PATIENTS
    assert not Opening.objects.exists()
    assert progress(connection).of("patient") == KindProgress("patient", PATIENTS, PATIENTS, 0, is_complete=True)


@pytest.mark.process
@pytest.mark.usefixtures("pages_of_a_hundred")
def test_the_same_again_reads_everything_and_changes_nothing(
    sandbox: ehr.Sandbox, django_assert_max_num_queries: Any
) -> None:
    sandbox.small_clinic(patients=PATIENTS)
    connection = sandbox.connect()
    load.load(connection.pk)
    before, entries = counts(), AccessRecord.objects.count()

    # Eight pages: some queries for each page and call, none for each patient.
    with django_assert_max_num_queries(120):
        report = load.load(connection.pk)

    assert dict(report.loaded) == {"location": 1, "provider": 2, "patient": PATIENTS, "appointment": 0}
    assert dict(report.unchanged) == {"location": 1, "provider": 2, "patient": PATIENTS, "appointment": 0}
    assert (counts(), AccessRecord.objects.count()) == (before, entries)


def test_only_what_changed_is_taken_again(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    load.load(connection.pk)
    sandbox.change({**ehr.patient("patient-2", 2), "name": [{"family": "Changed", "given": ["Robin"]}]})

    report = load.load(connection.pk)

    assert report.unchanged["patient"] == 2
    assert sorted(Patient.objects.values_list("family_name", flat=True)) == ["Changed", "Sample1", "Sample3"]


def test_a_page_may_take_longer_than_any_other_call(sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    defaults = transport.Transport.__init__.__kwdefaults__ or {}
    monkeypatch.setattr(transport.Transport.__init__, "__kwdefaults__", {**defaults, "seconds": 2.0})
    sandbox.fault("slow", path="Patient", seconds=2.5)
    assert load.load(connection.pk).loaded["patient"] == 3
    call = ApiCall.objects.get(resource="Patient")
    assert (call.result, call.duration_ms >= 2500) == ("ok", True)
    # Any other call would have ended by then.
    sandbox.fault("timeout", path="Patient/patient-1")
    with pytest.raises(Unavailable):
        adapter.open_gateway(connection).fetch("patient", "patient-1")


def test_a_page_that_takes_half_a_minute_fits_into_its_time_and_the_lease() -> None:
    from integrations.ehr.reading_lease import LEASE

    # The answer, and the same once more with a new token.
    assert windows.PAGE_SECONDS >= 2 * 30
    assert timedelta(seconds=2 * windows.PAGE_SECONDS) < LEASE


@pytest.mark.process
def test_an_answer_of_half_a_minute_is_waited_for(process: ehr.Sandbox) -> None:
    process.small_clinic()
    connection = process.connect()
    process.fault("slow", path="Patient", seconds=30)
    assert load.load(connection.pk).loaded["patient"] == 3
    call = ApiCall.objects.get(resource="Patient")
    assert (call.result, call.duration_ms >= 30_000) == ("ok", True)


@pytest.mark.usefixtures("pages_of_two")
@pytest.mark.parametrize(("kind", "error"), [("page-500", Unavailable), ("page-loop", Malformed)])
def test_a_load_that_breaks_off_says_where_and_goes_on_when_started_again(
    sandbox: ehr.Sandbox, kind: str, error: type[Exception]
) -> None:
    sandbox.small_clinic(patients=7)
    sandbox.load(*(ehr.booking(f"b-{number}", number) for number in range(5)))
    connection = sandbox.connect()
    sandbox.fault(kind, path="Patient", page=3, count=None)

    with pytest.raises(error):
        load.load(connection.pk)

    reached = progress(connection)
    assert reached.ended_at is not None
    assert reached.error in ("unavailable", "malformed")
    assert reached.of("provider").is_complete
    patients = reached.of("patient")
    assert (patients.total, patients.is_complete) == (7, False)
    assert patients.done == Patient.objects.count()
    assert 4 <= patients.done < 7
    row = Connection.objects.get(pk=connection.pk)
    assert (row.poll_lease_until, row.loaded_at, row.cursor) == (None, None, None)
    before = patients.done

    sandbox.heal()
    Connection.objects.update(quiet_until=None)
    report = load.load(connection.pk)

    assert dict(report.loaded) == {"location": 1, "provider": 2, "patient": 7, "appointment": 5}
    assert report.unchanged["patient"] == before
    assert (Patient.objects.count(), Appointment.objects.count()) == (7, 5)
    reached = progress(connection)
    assert (reached.error, reached.of("appointment").share) == ("", 1.0)
    assert Connection.objects.get(pk=connection.pk).loaded_at is not None


@pytest.mark.usefixtures("pages_of_two")
def test_a_worker_that_was_killed_leaves_a_lease_that_runs_out(
    sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.small_clinic(patients=5)
    connection = sandbox.connect()

    class Killed(BaseException):
        """Nothing after it runs, not even what ends a load in order."""

    def killed(kind: str, done: int) -> None:
        if (kind, done) == ("patient", 4):
            monkeypatch.setattr(load.ReadingLease, "release", lambda self, **columns: None)
            raise Killed

    with pytest.raises(Killed):
        load.load(connection.pk, killed)
    monkeypatch.undo()
    reached = progress(connection)
    assert (reached.ended_at, reached.of("patient").done, reached.of("patient").share) == (None, 4, 0.8)

    with pytest.raises(load.AlreadyRunning):
        load.load(connection.pk)
    assert Patient.objects.count() == 4

    Connection.objects.update(poll_lease_until=timezone.now() - timedelta(seconds=1))
    report = load.load(connection.pk)
    assert (report.loaded["patient"], report.unchanged["patient"]) == (5, 4)
    assert Patient.objects.count() == 5


@pytest.mark.usefixtures("pages_of_two")
def test_a_load_that_was_taken_over_stops(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic(patients=6)
    connection = sandbox.connect()
    others = timezone.now() + timedelta(minutes=4)

    def taken_over(kind: str, done: int) -> None:
        if (kind, done) == ("patient", 2):
            Connection.objects.update(poll_lease_until=others, load_progress={})

    with pytest.raises(load.AlreadyRunning):
        load.load(connection.pk, taken_over)
    row = Connection.objects.get(pk=connection.pk)
    # What the other worker has written stands.
    assert (row.poll_lease_until, row.load_progress, row.loaded_at) == (others, {}, None)


def test_how_far_it_has_come_is_told_page_by_page(sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGE_SIZE", 2)
    sandbox.small_clinic(patients=5)
    connection = sandbox.connect()
    seen: list[tuple[str, int, int | None, float | None]] = []

    def note(kind: str, done: int) -> None:
        reached = progress(connection).of(kind)
        assert reached.done == done
        seen.append((kind, done, reached.total, reached.share))

    load.load(connection.pk, note)

    assert seen == [
        ("location", 1, 1, 1.0),
        ("provider", 2, 2, 1.0),
        ("patient", 2, 5, 0.4),
        ("patient", 4, 5, 0.8),
        ("patient", 5, 5, 1.0),
        ("appointment", 0, 0, None),
    ]
    assert progress(connection).of("appointment").share == 1.0


def test_what_cannot_be_read_counts_as_done_and_is_shown(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    backwards = {**ehr.booking("b-2", 1), "end": ehr.start_of(0).isoformat()}
    sandbox.load(ehr.booking("b-1"), backwards, ehr.booking("b-3", 2, who="nobody"))
    connection = sandbox.connect()
    report = load.load(connection.pk)
    assert (report.loaded["appointment"], report.quarantined, report.unresolved) == (2, 1, 1)
    reached = progress(connection)
    assert (reached.of("appointment").done, reached.quarantined, reached.unresolved) == (3, 1, 1)
