"""An event whose work the database ended for another worker's sake: soon again, and no try of the event's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.utils import timezone

from integrations import late_news
from integrations.ehr import inbox, mirroring
from integrations.models import Connection, InboundEvent
from scheduling.contention import DEADLOCK
from scheduling.models import Opening, WorkItem
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing
from tests.race import ended_by_the_database

pytestmark = pytest.mark.django_db


@pytest.fixture
def cancelled(sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]) -> InboundEvent:
    """News of a cancellation that nobody has worked on yet."""
    sandbox.load(ehr.booking("b-1"))
    tell(connection, 1)
    work_inbox()
    sandbox.control.post("appointments/b-1/cancel", {"reason_code": "pat"})
    tell(connection, 2)
    return InboundEvent.objects.latest("pk")


def tell(connection: Connection, version: int) -> None:
    body = f'{{"resourceType": "Appointment", "id": "b-1", "meta": {{"versionId": "{version}"}}}}'.encode()
    assert signing.send(connection, body).json() == {"status": "stored"}


def gives_way(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, event: InboundEvent, times: int = 1) -> None:
    """Work on the event, the database ending it ``times`` times in that call."""
    with monkeypatch.context() as ended:
        ended.setattr(module, name, Mock(side_effect=ended_by_the_database(DEADLOCK)))
        for _ in range(times):
            InboundEvent.objects.filter(pk=event.pk).update(due_at=timezone.now())
            assert inbox.process(event.pk) is None
    event.refresh_from_db()


def test_it_is_taken_up_again_within_a_second_and_no_try_is_used_up(
    cancelled: InboundEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    gives_way(monkeypatch, mirroring, "apply_appointment", cancelled, times=len(settings.EVENT_RETRY_SECONDS) + 2)
    assert (cancelled.status, cancelled.attempts, cancelled.error) == ("received", 0, "gave_way")
    assert timezone.now() < cancelled.due_at < timezone.now() + timedelta(seconds=1)
    assert not WorkItem.objects.exists()
    inbox.process(cancelled.pk, timezone.now() + timedelta(seconds=1))
    cancelled.refresh_from_db()
    assert (cancelled.status, cancelled.attempts, Opening.objects.count()) == ("done", 1, 1)


def test_what_follows_from_the_news_is_done_though_the_news_was_taken_over_before(
    cancelled: InboundEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The appointment was stored, and what it means for a write of ours was not: that must not be skipped."""
    gives_way(monkeypatch, late_news, "_take_freed", cancelled)
    assert Opening.objects.count() == 1
    followed = Mock()
    monkeypatch.setattr(late_news, "_take_freed", followed)
    inbox.process(cancelled.pk, timezone.now() + timedelta(seconds=1))
    cancelled.refresh_from_db()
    assert (cancelled.outcome, followed.call_count) == ("we had this version; no opening", 1)


def test_another_fault_of_the_database_counts(cancelled: InboundEvent, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as ended:
        ended.setattr(mirroring, "apply_appointment", Mock(side_effect=ended_by_the_database("57014")))
        assert inbox.process(cancelled.pk) is None
    cancelled.refresh_from_db()
    assert (cancelled.status, cancelled.attempts, cancelled.error) == ("received", 1, "OperationalError")
