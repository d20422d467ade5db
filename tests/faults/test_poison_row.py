"""One row that fails whatever is done: tried as often as configured, then a dead letter and an alert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.utils import timezone

from integrations.ehr import inbox, mirroring
from integrations.models import InboundEvent
from scheduling.models import Opening, WorkItem
from tests.flows.clinic import Clinic

pytestmark = pytest.mark.django_db(transaction=True)


def fails_on(external_id: str) -> Callable[..., Any]:
    real = mirroring.apply

    def apply(gateway: Any, source: Any, record: Any, *args: Any, **kwargs: Any) -> Any:
        if record.external_id == external_id:
            raise ZeroDivisionError("Robin Sample, +12125550104")
        return real(gateway, source, record, *args, **kwargs)

    return apply


def test_it_ends_as_a_dead_letter_and_holds_nobody_up(
    clinic: Clinic, poll_and_pump: Callable[[], None], pump: Callable[[], None], clock: Any
) -> None:
    clinic.cancel(1)
    clinic.cancel(2)
    with mock.patch.object(mirroring, "apply", fails_on("booking-1")):
        poll_and_pump()
        assert Opening.objects.get().freed_by == clinic.appointment("booking-2")
        poison = InboundEvent.objects.get(subject_key="Appointment/booking-1")
        assert (poison.status, poison.attempts) == ("received", 1)
        assert not WorkItem.objects.filter(kind="event.dead").exists()
        for seconds in settings.EVENT_RETRY_SECONDS:
            clock.shift(seconds + 1)
            pump()

        poison.refresh_from_db()
        assert (poison.status, poison.attempts) == ("dead", len(settings.EVENT_RETRY_SECONDS) + 1)
        assert poison.error == "ZeroDivisionError"
        alert = WorkItem.objects.get(kind="event.dead")
        assert (alert.urgency, alert.status) == (WorkItem.Urgency.RED, "open")
        assert "Robin" not in alert.title + alert.advice
        clock.shift(86_400)
        assert inbox.due(timezone.now()) == []


def test_staff_retry_it_once_its_cause_is_mended(
    clinic: Clinic, poll_and_pump: Callable[[], None], pump: Callable[[], None], clock: Any
) -> None:
    clinic.cancel(1)
    with mock.patch.object(mirroring, "apply", fails_on("booking-1")):
        poll_and_pump()
        for seconds in settings.EVENT_RETRY_SECONDS:
            clock.shift(seconds + 1)
            pump()
    dead = InboundEvent.objects.get(status="dead")
    assert inbox.retry(dead)
    pump()
    dead.refresh_from_db()
    assert dead.status == "done"
    assert Opening.objects.get().freed_by == clinic.appointment("booking-1")
