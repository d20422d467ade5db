"""The fresh look at the EHR before each wave: taken once, outside transactions, and stored with the wave it allows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection
from django.utils import timezone

from integrations import draining
from integrations.ehr import availability, pulse
from integrations.ehr.gateway import Malformed, Rejected, Throttled, Unavailable
from scheduling import openings, practice
from scheduling.contention import DEADLOCK
from scheduling.models import ExternalId, Opening
from tests import factories, race
from tests.integrations.conftest import Clinic, open_items
from tests.queries import asked
from waitlist import attention
from waitlist.models import Offer

pytestmark = pytest.mark.django_db


@pytest.fixture
def opening(clinic: Clinic) -> Opening:
    """An old enough opening that somebody waits for, due for a look."""
    factories.policy(start_delay_seconds=0, quiet_from="00:00", quiet_until="00:00")
    factories.entry(clinic.patient(), clinic.type)
    row = clinic.opening(checked_at=None)
    openings.request_check(row.pk, timezone.now())
    return row


def now_of(opening: Opening) -> Opening:
    return Opening.objects.get(pk=opening.pk)


def test_free_time_is_offered_in_the_same_transaction(clinic: Clinic, opening: Opening) -> None:
    assert availability.due() == [opening.pk]
    assert availability.look(opening.pk)
    assert clinic.ehr.calls == ["availability"]
    after = now_of(opening)
    assert after.status == Opening.Status.OFFERING
    assert after.checked_at is not None
    assert Offer.objects.filter(opening=opening, status=Offer.Status.SENT).count() == 1
    assert not availability.look(opening.pk)


def test_a_look_asks_once_for_what_it_needs(clinic: Clinic, opening: Opening) -> None:
    factories.practice()
    with asked() as found:
        assert availability.look(opening.pk)
    assert Offer.objects.filter(opening=opening, status=Offer.Status.SENT).exists()
    once = ("scheduling_practice", "scheduling_externalid", "scheduling_workitem", "waitlist_messagetemplate")
    assert {table: found[table] for table in once} == dict.fromkeys(once, 1)
    assert found.total() <= 30


def test_taken_time_is_closed_and_nobody_is_offered_it(clinic: Clinic, opening: Opening) -> None:
    clinic.ehr.put(patient_id="pat-x", provider_id="prov-1", location_id="loc-1", start=opening.start, end=opening.end)
    availability.look(opening.pk)
    after = now_of(opening)
    assert (after.status, after.closed_reason) == (Opening.Status.CLOSED, Opening.Closed.TAKEN)
    assert Offer.objects.count() == 0


def test_two_workers_one_look(clinic: Clinic, opening: Opening) -> None:
    rival: list[bool] = []
    clinic.ehr.before("availability", lambda: rival.append(availability.look(opening.pk)))
    assert availability.look(opening.pk)
    assert rival == [False]
    assert clinic.ehr.calls == ["availability"]
    assert Offer.objects.count() == 1


@pytest.mark.parametrize("error", [Unavailable(status=503), Throttled(status=429), Malformed()])
def test_no_answer_loses_nothing_and_is_told_once(clinic: Clinic, opening: Opening, error: Any) -> None:
    clinic.ehr.fail("availability", error, times=3)
    for _ in range(3):
        availability.look(opening.pk)
        after = now_of(opening)
        assert after.check_due_at is not None
        assert after.check_due_at > timezone.now()
        assert availability.due() == []
        Opening.objects.update(check_due_at=timezone.now())
    assert opening.timeline.filter(kind__startswith="check.").count() == 1
    assert Offer.objects.count() == 0
    availability.look(opening.pk)
    assert Offer.objects.count() == 1


def test_waits_as_long_as_the_ehr_asks(clinic: Clinic, opening: Opening) -> None:
    until = timezone.now() + timedelta(minutes=5)
    pulse.note_trouble(clinic.connection.pk, "throttled", until)
    availability.look(opening.pk)
    assert clinic.ehr.calls == []
    due = now_of(opening).check_due_at
    assert due is not None
    assert until <= due <= until + timedelta(seconds=1)


def test_paused_looks_at_nothing(opening: Opening) -> None:
    practice.pause("clerk", "power cut")
    assert availability.due() == []
    practice.resume("clerk")
    assert availability.due() == [opening.pk]


@pytest.mark.parametrize("trouble", ["rejected", "unknown provider"])
def test_what_the_ehr_will_not_say_goes_to_staff(clinic: Clinic, opening: Opening, trouble: str) -> None:
    if trouble == "rejected":
        clinic.ehr.fail("availability", Rejected(status=400))
    else:
        ExternalId.objects.filter(kind=ExternalId.Kind.PROVIDER).delete()
    availability.look(opening.pk)
    assert open_items() == ["opening.cannot_check"]
    assert availability.due() == []
    # Nobody fills it by hand: it must not stay open, and asked about, after its time has come.
    availability.look(opening.pk, opening.start)
    assert now_of(opening).closed_reason == Opening.Closed.CUT_OFF
    attention.drain()
    assert open_items() == []


def test_a_time_that_came_while_the_ehr_was_silent_is_over(clinic: Clinic, opening: Opening) -> None:
    clinic.ehr.fail("availability", Unavailable(status=503))
    availability.look(opening.pk)
    Opening.objects.update(check_due_at=opening.start)
    assert availability.look(opening.pk, opening.start)
    assert (now_of(opening).status, clinic.ehr.calls) == (Opening.Status.CLOSED, ["availability"])


def test_a_worker_that_died_with_it_is_replaced(clinic: Clinic, opening: Opening) -> None:
    Opening.objects.update(check_lease_until=timezone.now() + timedelta(seconds=20))
    assert availability.due() == []
    later = timezone.now() + timedelta(seconds=26)
    assert availability.due(later) == [opening.pk]


@pytest.mark.django_db(transaction=True)
def test_the_ehr_is_asked_outside_any_transaction(clinic: Clinic, opening: Opening) -> None:
    inside: list[bool] = []
    clinic.ehr.before("availability", lambda: inside.append(connection.in_atomic_block))
    availability.look(opening.pk)
    assert inside == [False]


def test_who_gave_way_to_another_worker_looks_again_at_once_and_asks_nobody(
    clinic: Clinic, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.entry(clinic.patient(), clinic.type)
    with monkeypatch.context() as once:
        ended = race.ended_by_the_database(DEADLOCK)
        once.setattr(availability.offers, "send_wave", Mock(side_effect=ended))
        assert availability.look(opening.pk)
    assert open_items() == []
    assert availability.due() == [opening.pk]
    assert availability.look(opening.pk)
    assert now_of(opening).status == Opening.Status.OFFERING


def test_a_look_that_stood_still_stores_no_older_answer_than_the_next_one_s(clinic: Clinic, opening: Opening) -> None:
    booked = clinic.ehr.put(
        patient_id="pat-x", provider_id="prov-1", location_id="loc-1", start=opening.start, end=opening.end
    )

    def somebody_else_looks() -> None:
        clinic.ehr.appointments.pop(booked.external_id)
        later = timezone.now() + availability.LEASE + timedelta(seconds=1)
        assert availability.look(opening.pk, later)

    with race.right_after("integrations.ehr.availability.ask", somebody_else_looks):
        availability.look(opening.pk)
    assert now_of(opening).status == Opening.Status.OFFERING
    assert Offer.objects.filter(opening=opening, status=Offer.Status.SENT).exists()


def test_a_fault_of_ours_at_one_opening_leaves_the_others_alone(
    clinic: Clinic, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = clinic.opening(start=factories.in_days(6), checked_at=None)
    openings.request_check(other.pk, timezone.now())
    factories.entry(clinic.patient(), clinic.type)
    send_wave = availability.offers.send_wave

    def failing(row: Opening, now: Any) -> int:
        if row.pk == opening.pk:
            raise ZeroDivisionError
        return send_wave(row, now)

    monkeypatch.setattr(availability.offers, "send_wave", failing)
    draining.drain("checks", availability.due, availability.look)
    assert now_of(other).status == Opening.Status.OFFERING
    after = now_of(opening)
    assert (after.status, after.checked_at) == (Opening.Status.OPEN, None), "the look was not stored without its wave"
    assert after.check_due_at is not None
    assert after.check_due_at > timezone.now()
    assert open_items() == ["opening.stuck"]
    monkeypatch.setattr(availability.offers, "send_wave", send_wave)
    Opening.objects.filter(pk=opening.pk).update(check_due_at=timezone.now())
    assert availability.look(opening.pk)
    assert open_items() == []
