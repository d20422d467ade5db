"""Another place or owner of a detail: everybody is read again, page by page, from where it broke off."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from integrations import mapping_changes
from integrations.ehr import load, load_requests, mirroring
from integrations.ehr.fhir import search
from integrations.ehr.progress import progress_of
from integrations.models import Connection
from scheduling.models import ExternalId, Patient
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

PATIENTS = 40
CALLED = "Patient.extension.where(url = 'urn:called').valueString"


@pytest.fixture
def connection(db: None, sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A practice that was loaded, in pages of ten patients, whose EHR has their preferred names in an odd place."""
    monkeypatch.setattr(search, "PAGE_SIZE", 10)
    sandbox.load(ehr.location(), ehr.practitioner("ana"))
    extension = {"extension": [{"url": "urn:called", "valueString": "Bo"}]}
    sandbox.load(*({**ehr.patient(f"p-{number}", number), **extension} for number in range(PATIENTS)))
    row = sandbox.connect()
    load.load(row.pk)
    return Connection.objects.get(pk=row.pk)


def change(connection: Connection, path: str = CALLED) -> None:
    wanted: dict[Any, Any] = {("path", "preferred_name", "fhirpath"): {"path": path, "transform": "trim"}}
    assert mapping_changes.change(connection, wanted, by="ira") is not None


def called_bo() -> int:
    return sum(row.preferred_name == "Bo" for row in Patient.objects.all())


def singly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who is taken one by one from now on."""
    taken: list[str] = []
    real = mirroring.apply_singly

    def noted(gateway: Any, source: Any, record: Any, fetched_at: Any) -> Any:
        taken.append(record.external_id)
        return real(gateway, source, record, fetched_at)

    monkeypatch.setattr(mirroring, "apply_singly", noted)
    return taken


def test_everybody_is_read_again_in_pages_and_nobody_singly(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    taken = singly(monkeypatch)
    assert called_bo() == 0
    change(connection)
    # Some queries for each of the pages and calls, none for each patient.
    with django_assert_max_num_queries(220):
        assert load_requests.take_up(connection.pk)
    assert (called_bo(), taken) == (PATIENTS, [])
    progress = progress_of(Connection.objects.get(pk=connection.pk))
    assert progress is not None
    assert (progress.of("patient").done, progress.of("patient").unchanged, progress.error) == (PATIENTS, 0, "")
    again = load.load(connection.pk)
    assert again.unchanged["patient"] == PATIENTS


def test_one_that_breaks_off_goes_on_with_the_rest(connection: Connection, sandbox: ehr.Sandbox) -> None:
    change(connection)
    sandbox.fault("page-500", path="Patient", page=3)
    load_requests.take_up(connection.pk)
    assert called_bo() == 20
    connection.refresh_from_db()
    assert connection.load_due_at is not None
    assert connection.load_progress["error"]
    sandbox.heal()
    Connection.objects.update(quiet_until=None)
    load_requests.take_up(connection.pk)
    progress = progress_of(Connection.objects.get(pk=connection.pk))
    assert progress is not None
    assert (called_bo(), progress.of("patient").unchanged) == (PATIENTS, 20)


def test_a_change_while_a_load_runs_is_not_lost(
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    """The load that runs has read where the detail stood before."""
    change(connection)
    load_requests.ask(connection, timezone.now())
    real, changed = mirroring.apply_in_bulk, []

    def somebody_changes_it(*args: Any) -> Any:
        if not changed:
            changed.append(True)
            with django_capture_on_commit_callbacks(execute=True):
                change(connection, "Patient.name.family")
        return real(*args)

    monkeypatch.setattr(mirroring, "apply_in_bulk", somebody_changes_it)
    load_requests.take_up(connection.pk)
    connection.refresh_from_db()
    assert connection.patients_stale
    assert load_requests.due() == [connection.pk]
    load_requests.take_up(connection.pk)
    assert {row.preferred_name for row in Patient.objects.all()} == {row.family_name for row in Patient.objects.all()}
    assert load_requests.due() == []
    assert not ExternalId.objects.filter(kind="patient", version="").exists()
