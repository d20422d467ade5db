"""An appointment's page says when it was last in step with the EHR, what of ours is pending and what failed."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from scheduling.models import Appointment, Writeback
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import text_of


@pytest.fixture
def appointment(practice: Practice) -> Appointment:
    return factories.appointment(practice.patient, practice.chen, practice.riverside, source=practice.source)


def write(appointment: Appointment, status: str, **fields: str) -> Writeback:
    now = timezone.now()
    return Writeback.objects.create(
        kind="cancel",
        appointment=appointment,
        source=appointment.source,
        status=status,
        due_at=now,
        deadline_at=now,
        **fields,
    )


def page(client: Client, appointment: Appointment) -> str:
    return text_of(client.get(f"/admin/scheduling/appointment/{appointment.pk}/change/"))


def test_what_the_ehr_says_is_said_in_words(dana: Client, appointment: Appointment) -> None:
    Appointment.objects.update(slot_ids=["chen-0800", "chen-0815"])
    words = page(dana, appointment)
    assert "Slots: chen-0800, chen-0815 Origin:" in words
    assert "Changed here: just now" in words or "s ago" in words


def test_it_says_when_it_was_synced_and_that_nothing_waits(dana: Client, appointment: Appointment) -> None:
    words = page(dana, appointment)
    assert "Last synced: not yet: the EHR has no name for it Pending: nothing Failed: nothing" in words
    factories.external_id(appointment.source, "appointment", appointment, "a-1")
    assert "the EHR has no name for it" not in page(dana, appointment)


def test_what_is_on_its_way_and_what_the_ehr_refused_lead_to_the_change(dana: Client, appointment: Appointment) -> None:
    refused = write(appointment, "refused", error_detail="The EHR would not cancel the appointment.")
    assert "Failed: cancel: refused The EHR would not cancel the appointment." in page(dana, appointment)
    waiting = write(appointment, "waiting")
    words = page(dana, appointment)
    assert "Pending: cancel: waiting to send Failed: nothing" in words
    markup = dana.get(f"/admin/scheduling/appointment/{appointment.pk}/change/").content.decode()
    assert f"/admin/scheduling/writeback/{waiting.pk}/change/" in markup
    assert f"/admin/scheduling/writeback/{refused.pk}/change/" not in markup
