"""A booking that lies with staff as a dead letter is looked for once more shortly before the visit, by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from integrations import outbox
from integrations.ehr.gateway import Unavailable
from scheduling.models import Appointment, ExternalId, Opening, Writeback
from tests.integrations.conftest import Booking, open_items
from tests.integrations.test_late_news import dead, kinds, stored_in_the_ehr
from tests.integrations.test_outbox_books_once import assert_booked_once
from waitlist.models import Claim

__all__ = ["dead"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def close(dead: Booking) -> Booking:
    """The dead letter when its visit is about to begin."""
    now = timezone.now()
    hour_ago, soon = now - timedelta(hours=1), now + timedelta(minutes=9)
    Writeback.objects.update(deadline_at=now - timedelta(seconds=1), due_at=hour_ago, sent_at=hour_ago)
    times = {"start": soon, "end": soon + timedelta(minutes=30)}
    Appointment.objects.filter(pk=dead.claim.appointment_id).update(**times)
    Opening.objects.filter(pk=dead.opening.pk).update(**times)
    dead.opening.refresh_from_db()
    dead.clinic.ehr.calls.clear()
    return dead


def test_what_the_ehr_does_not_have_is_given_up_and_the_patient_hears_it_in_time(close: Booking) -> None:
    assert outbox.due() == [close.writeback.pk]
    assert close.process()
    assert (close.status, close.state) == ("refused", "refused")
    assert kinds(close) == ["received", "refused"]
    assert open_items() == []
    assert "create" not in close.clinic.ehr.calls, "nothing is written any more"
    assert outbox.due() == []


def test_what_the_ehr_has_is_adopted_and_confirmed(close: Booking) -> None:
    stored_in_the_ehr(close)
    close.clinic.ehr.calls.clear()
    assert close.process()
    assert_booked_once(close)
    assert kinds(close) == ["confirmed", "received"]
    assert open_items() == []
    assert "create" not in close.clinic.ehr.calls


def test_what_was_never_sent_for_want_of_a_name_there_is_given_up_too(close: Booking) -> None:
    Writeback.objects.update(sent_at=None)
    ExternalId.objects.filter(kind="provider").delete()
    assert close.process()
    assert (close.status, close.state) == ("refused", "refused")
    assert kinds(close) == ["received", "refused"]
    assert open_items() == []


@pytest.mark.parametrize("why", ["it cannot be named any more", "its call may be under way"])
def test_what_may_have_been_stored_is_not_given_up_before_its_absence_is_proven(close: Booking, why: str) -> None:
    if why == "its call may be under way":
        Writeback.objects.update(sent_at=timezone.now())
    else:
        ExternalId.objects.filter(kind="provider").delete()
    assert not close.process()
    assert (close.status, close.state) == ("dead", "pending")
    assert (kinds(close), open_items()) == (["received"], ["writeback.dead"])


def test_what_is_there_otherwise_than_asked_for_is_left_alone_and_to_staff(close: Booking) -> None:
    record = stored_in_the_ehr(close)
    later = {"start": close.opening.start + timedelta(hours=1), "end": close.opening.end + timedelta(hours=1)}
    close.clinic.ehr.change(record.external_id, **later)
    close.clinic.ehr.calls.clear()
    assert not close.process()
    assert (close.status, close.state) == ("dead", "pending")
    assert open_items() == ["writeback.dead"]
    assert close.clinic.ehr.appointments[record.external_id].status == "booked"
    assert not {"create", "cancel"} & set(close.clinic.ehr.calls)


def test_an_ehr_that_does_not_answer_is_asked_again_in_a_minute(close: Booking) -> None:
    close.clinic.ehr.fail("find_by_identifier", Unavailable())
    assert not close.process()
    assert (close.status, outbox.due()) == ("dead", [])
    assert outbox.due(timezone.now() + timedelta(seconds=61)) == [close.writeback.pk]


@pytest.mark.parametrize("why", ["there is time", "it has begun", "somebody settled it"])
def test_otherwise_it_stays_with_staff(close: Booking, why: str) -> None:
    now = timezone.now()
    if why == "there is time":
        Writeback.objects.update(deadline_at=now + timedelta(minutes=1))
    elif why == "it has begun":
        Appointment.objects.filter(pk=close.claim.appointment_id).update(start=now - timedelta(seconds=1))
    else:
        Claim.objects.update(state="released")
    assert outbox.due() == []
    assert not close.process()
    assert close.clinic.ehr.calls == []
    assert close.status == "dead"
