"""The worker that deals with a cancellation goes on until the offers are committed; nobody else is called for it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from integrations import sweep, tasks
from integrations.ehr import availability, inbox
from integrations.models import Connection, InboundEvent
from scheduling import wake
from scheduling.models import Opening, TimelineEntry
from tests.flows.clinic import Clinic
from waitlist.models import Offer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    topics: list[str] = []
    monkeypatch.setattr(wake._publisher, "mark", topics.append)
    return topics


@pytest.fixture
def cancelled(clinic: Clinic, published: list[str]) -> InboundEvent:
    """A cancellation in the inbox."""
    clinic.cancel(1)
    Connection.objects.update(poll_due_at=timezone.now())
    tasks.poll_connections()
    published.clear()
    return InboundEvent.objects.get(subject_key="Appointment/booking-1", status="received")


def test_from_the_event_to_the_offers_in_one_task(cancelled: InboundEvent, published: list[str]) -> None:
    tasks.drain_inbox()
    cancelled.refresh_from_db()
    opening = Opening.objects.get()
    assert cancelled.status == "done"
    assert (opening.status, opening.attention_due_at, opening.check_lease_until) == ("offering", None, None)
    assert Offer.objects.filter(opening=opening, status="sent").count() == 2
    assert published == ["messages"]
    told = TimelineEntry.objects.filter(opening=opening, kind__in=("opening.opened", "wave.sent")).order_by("pk")
    assert [(each.kind, each.actor) for each in told] == [
        ("opening.opened", "worker: inbox"),
        ("wave.sent", "worker: availability"),
    ]
    assert {each.correlation_id for each in told} == {cancelled.correlation_id}


def test_a_worker_that_dies_after_the_event_leaves_the_rest_due(cancelled: InboundEvent) -> None:
    assert inbox.process(cancelled.pk) is not None
    opening = Opening.objects.get()
    assert opening.attention_due_at is not None
    assert sweep.sweep() == ["attention"]


def test_a_worker_that_dies_before_the_look_leaves_it_due(
    cancelled: InboundEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(availability, "ask", die)
    with pytest.raises(Killed):
        tasks.drain_inbox()
    opening = Opening.objects.get()
    assert opening.check_due_at is not None
    assert opening.attention_due_at is None
    assert sweep.sweep() == [], "the dead worker's lease holds"
    Opening.objects.update(check_lease_until=timezone.now())
    assert sweep.sweep() == ["checks"]
