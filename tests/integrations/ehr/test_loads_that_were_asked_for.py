"""A load that somebody asked for on a page is a row: taken up by a worker, once, and kept until it is complete."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from integrations import sweep, tasks
from integrations.ehr import load_requests
from integrations.ehr.progress import progress_of
from integrations.models import Connection
from scheduling.models import Patient, WorkItem
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db


@pytest.fixture
def fresh(sandbox: ehr.Sandbox) -> Connection:
    sandbox.small_clinic(patients=4)
    return sandbox.connect(state="paused")


def test_nothing_is_loaded_before_somebody_asks(fresh: Connection) -> None:
    tasks.drain_loads()
    assert Patient.objects.count() == 0
    assert "loads" not in sweep.sweep()


def test_what_was_asked_for_is_loaded_once_also_while_the_connection_is_paused(fresh: Connection) -> None:
    load_requests.ask(fresh)
    load_requests.ask(fresh)
    assert "loads" in sweep.sweep()
    tasks.drain_loads()
    fresh.refresh_from_db()
    assert Patient.objects.count() == 4
    assert fresh.load_due_at is None
    assert fresh.loaded_at is not None
    assert load_requests.due(timezone.now() + timedelta(days=1)) == []


def test_a_load_that_fails_is_begun_again_when_the_ehr_may_answer(sandbox: ehr.Sandbox, fresh: Connection) -> None:
    load_requests.ask(fresh)
    sandbox.fault("500", path="Patient", method="GET")
    tasks.drain_loads()
    fresh.refresh_from_db()
    progress = progress_of(fresh)
    assert progress is not None
    assert progress.error == "unavailable"
    assert fresh.loaded_at is None
    assert load_requests.due() == []
    later = timezone.now() + timedelta(minutes=2)
    assert load_requests.due(later) == [fresh.pk]
    Connection.objects.update(quiet_until=None)
    assert load_requests.take_up(fresh.pk) is True
    fresh.refresh_from_db()
    assert (fresh.load_due_at, Patient.objects.count()) == (None, 4)


def test_a_fault_of_ours_is_not_run_into_again_at_each_sweep(
    fresh: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sweep is a second: the EHR would be read from the beginning over and over, for nothing."""
    load_requests.ask(fresh)
    with monkeypatch.context() as broken:
        broken.setattr("integrations.ehr.load.mirroring.apply_in_bulk", _fail)
        tasks.drain_loads()
    assert [item.kind for item in WorkItem.objects.all()] == ["worker.loads"]
    assert "loads" not in sweep.sweep()
    assert load_requests.due(timezone.now() + timedelta(minutes=6)) == [fresh.pk]
    assert load_requests.take_up(fresh.pk) is True
    assert Patient.objects.count() == 4


def _fail(*_: object) -> None:
    raise RuntimeError("a record that we trip over")


def test_while_somebody_reads_the_connection_nobody_else_begins(fresh: Connection) -> None:
    load_requests.ask(fresh)
    Connection.objects.update(poll_lease_until=timezone.now() + timedelta(minutes=5))
    assert load_requests.due() == []
    assert load_requests.take_up(fresh.pk) is False
    assert load_requests.due(timezone.now() + timedelta(minutes=6)) == [fresh.pk]


def test_a_refused_login_waits_for_a_person(sandbox: ehr.Sandbox, fresh: Connection) -> None:
    fresh.client_secret = "another"
    fresh.save()
    load_requests.ask(fresh)
    tasks.drain_loads()
    fresh.refresh_from_db()
    progress = progress_of(fresh)
    assert progress is not None
    assert progress.error == "login_refused"
    assert fresh.load_due_at is None
    assert len(sandbox.calls("/oauth/token")) == 1
    assert Patient.objects.count() == 0
