"""The EHR is away for hours while somebody has said yes: kept, held, seen by staff, resumed; never after its start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.health import watch
from scheduling.models import Opening, TimelineEntry, Writeback
from tests.faults.people import asked_of_staff, offer_of, tap, told
from tests.flows.clinic import Clinic
from waitlist.models import Claim

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]


def says_yes_while_it_is_down(clinic: Clinic, pump: Callable[[], None]) -> None:
    clinic.fault("down")
    tap(offer_of(clinic, 1))
    pump()


def hours_later(
    clock: Any, pump: Callable[[], None], hours: float, each_time: Callable[[], None] | None = None
) -> None:
    for _ in range(round(hours * 2)):
        clock.shift(1800)
        pump()
        if each_time:
            each_time()


def test_held_seen_and_resumed(offering: Clinic, pump: Callable[[], None], clock: Any) -> None:
    says_yes_while_it_is_down(offering, pump)
    hours_later(clock, pump, 6, watch)
    row = Writeback.objects.get()
    assert (row.status, row.sent_at) == ("waiting", None)
    assert Claim.objects.get().state == "pending"
    assert Opening.objects.get().status == "claimed"
    assert told(offering, 1) == ["offer", "received"]
    assert asked_of_staff().count("health.failing") == 1
    assert TimelineEntry.objects.filter(kind="writeback.held").count() == 1

    offering.heal()
    hours_later(clock, pump, 1, watch)
    assert "health.failing" not in asked_of_staff()
    assert Claim.objects.get().state == "confirmed"
    assert told(offering, 1) == ["offer", "received", "confirmed"]
    (booked,) = offering.bookings_at(0)
    assert offering.patient_of(booked) == "waiting-1"


def test_while_it_is_away_staff_are_asked_to_call_who_waits_too_long(
    offering: Clinic, pump: Callable[[], None], clock: Any
) -> None:
    says_yes_while_it_is_down(offering, pump)
    assert "claim.chase" not in asked_of_staff()
    hours_later(clock, pump, 25)
    assert asked_of_staff().count("claim.chase") == 1
    assert Claim.objects.get().state == "pending"


def test_who_said_yes_hears_the_end_before_the_visit(offering: Clinic, pump: Callable[[], None], clock: Any) -> None:
    says_yes_while_it_is_down(offering, pump)
    clock.move_to(offering.start_of(0) - timedelta(minutes=11))
    pump()
    assert Claim.objects.get().state == "pending"
    clock.shift(120)
    pump()
    assert Claim.objects.get().refused_because == "too_late"
    assert told(offering, 1) == ["offer", "received", "refused"]
    assert timezone.now() < offering.start_of(0)


def test_never_written_after_the_start(offering: Clinic, pump: Callable[[], None], clock: Any) -> None:
    says_yes_while_it_is_down(offering, pump)
    clock.move_to(offering.start_of(0) - timedelta(minutes=11))
    pump()
    clock.move_to(offering.start_of(0) + timedelta(minutes=1))
    offering.heal()
    pump()
    clock.shift(120)
    pump()

    claim = Claim.objects.get()
    assert (claim.state, claim.refused_because) == ("refused", "too_late")
    assert Writeback.objects.get().status == "refused"
    assert offering.bookings_at(0) == []
    log = offering.control.get("log", limit=2000)["requests"]
    assert not [each for each in log if each["method"] == "POST" and each["path"].endswith("/Appointment")]
    assert timezone.now() > offering.start_of(0)
