"""A running sandbox EHR with the clinic of one fixed day, fresh for each test."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from integrations.ehr.sandbox.clinic import load_clinic
from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from integrations.ehr.sandbox.store import Store
from tests.sandbox.client import CLIENT_SECRET, FhirClient, client_of

# A Wednesday; four days later the clocks in both zones change.
TODAY = date(2026, 3, 4)


@pytest.fixture(scope="session")
def clinic_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded once; tests work on copies."""
    path = tmp_path_factory.mktemp("sandbox") / "clinic.sqlite3"
    store = Store(str(path))
    load_clinic(store, TODAY)
    store.close()
    return path


@pytest.fixture
def settings_of_sandbox(clinic_file: Path, tmp_path: Path) -> SandboxSettings:
    path = tmp_path / "sandbox.sqlite3"
    shutil.copyfile(clinic_file, path)
    return SandboxSettings(
        database=str(path), client_secret=CLIENT_SECRET, today=TODAY, notification_backoff_seconds=0.02
    )


@pytest.fixture
def server(settings_of_sandbox: SandboxSettings) -> Iterator[SandboxServer]:
    with SandboxServer(settings_of_sandbox) as running:
        yield running


@pytest.fixture
def ehr(server: SandboxServer) -> FhirClient:
    return client_of(server)
