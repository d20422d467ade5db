"""Whether a time is free is asked anew each time, of slots and of appointments, and doubt counts as taken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.ehr.fhir import free_time
from integrations.ehr.gateway import Gateway, Malformed, connect
from integrations.models import Connection
from scheduling.records import Interval
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

HALF = timedelta(minutes=30)


@pytest.fixture
def gateway(connection: Connection) -> Gateway:
    free_time._schedules.clear()
    return connect(connection)


def times(*numbers: int) -> tuple[Interval, ...]:
    return tuple(Interval(ehr.start_of(each), ehr.start_of(each + 1)) for each in numbers)


def look(gateway: Gateway, first: int = 0, last: int = 1, provider: str = "ana", location: str = "elm") -> Any:
    return gateway.availability(provider, location, ehr.start_of(first), ehr.start_of(last))


def test_a_free_slot(gateway: Gateway) -> None:
    before = timezone.now()
    freshness = look(gateway)
    assert freshness.free == times(0)
    assert [slot.external_id for slot in freshness.slots] == ["ana-0"]
    assert before <= freshness.asked_at <= timezone.now()


def test_slots_beside_one_another_are_one_stretch(gateway: Gateway) -> None:
    freshness = look(gateway, 0, 2)
    assert freshness.free == (Interval(ehr.start_of(0), ehr.start_of(2)),)
    assert [slot.external_id for slot in freshness.slots] == ["ana-0", "ana-1"]


@pytest.mark.parametrize("status", ["busy", "busy-unavailable", "busy-tentative", "anything"])
def test_a_slot_that_is_not_free(sandbox: ehr.Sandbox, gateway: Gateway, status: str) -> None:
    sandbox.change(ehr.slot("ana", 0, status))
    assert look(gateway, 0, 2).free == times(1)
    assert look(gateway).free == ()


def test_a_slot_entered_in_error_is_as_if_it_were_not_there(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.change(ehr.slot("ana", 0, "entered-in-error"))
    assert look(gateway, 0, 2).free == times(1)


def test_an_appointment_takes_its_time_although_its_slot_says_free(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    """Some servers leave the slot as it is, whatever happens to the appointment."""
    sandbox.load(ehr.booking("b-1", 1))
    freshness = look(gateway, 0, 3)
    assert freshness.free == times(0, 2)
    assert [slot.external_id for slot in freshness.slots] == ["ana-0", "ana-2"]


@pytest.mark.parametrize(
    ("status", "is_free"),
    [
        ("booked", False),
        ("pending", False),
        ("arrived", False),
        ("fulfilled", False),
        ("rescinded", False),  # nobody knows what it means: taken
        ("cancelled", True),
        ("noshow", True),
        ("entered-in-error", True),
        ("proposed", True),
        ("waitlist", True),
    ],
)
def test_which_appointments_take_time(sandbox: ehr.Sandbox, gateway: Gateway, status: str, is_free: bool) -> None:
    sandbox.load(ehr.booking("b-1"))
    sandbox.change(ehr.booking("b-1", status=status))
    assert look(gateway).free == (times(0) if is_free else ())


def test_an_appointment_that_began_hours_before_reaches_into_it(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    long = {
        "start": (ehr.start_of(0) - timedelta(hours=6)).isoformat(),
        "end": (ehr.start_of(0) + HALF / 2).isoformat(),
    }
    sandbox.load(ehr.booking("b-1", **long))
    assert look(gateway).free == (Interval(ehr.start_of(0) + HALF / 2, ehr.start_of(1)),)


def test_somebody_elses_time_is_not_ours(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.load(ehr.booking("b-1", provider="ben"))
    assert look(gateway).free == times(0)
    assert look(gateway, provider="ben").free == ()


def test_a_second_practitioner_is_busy_too(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    together = ehr.booking("b-1")
    together["participant"].append({"actor": {"reference": "Practitioner/ben"}, "status": "accepted"})
    sandbox.load(together)
    assert look(gateway, provider="ben").free == ()


def test_a_provider_without_slots_is_free_between_appointments(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.load(ehr.practitioner("cleo"), ehr.booking("b-1", 1, provider="cleo"))
    freshness = look(gateway, 0, 3, provider="cleo")
    assert (freshness.free, freshness.slots) == (times(0, 2), ())


def test_slots_at_another_location_do_not_count(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.load(ehr.location("oak"))
    elsewhere = ehr.schedule("ana-oak") | {"actor": [{"reference": "Practitioner/ana"}, {"reference": "Location/oak"}]}
    sandbox.load(elsewhere, ehr.slot("ana-oak", 20))
    assert look(gateway, 20, 21).slots == ()
    assert [slot.external_id for slot in look(gateway, 20, 21, location="oak").slots] == ["ana-oak-20"]


def test_a_slot_that_is_only_partly_inside_cannot_be_booked_whole(gateway: Gateway) -> None:
    start = ehr.start_of(0) + HALF / 2
    freshness = gateway.availability("ana", "elm", start, ehr.start_of(2))
    assert freshness.free == (Interval(start, ehr.start_of(2)),)
    inside = [slot.external_id for slot in freshness.slots if Interval(start, ehr.start_of(2)).covers(slot.interval)]
    assert inside == ["ana-1"]


def test_a_search_that_broke_off_is_no_answer(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    look(gateway)
    sandbox.fault("bad-entry", path="Slot")
    with pytest.raises(Malformed):
        look(gateway)
    sandbox.fault("cut-json", path="Appointment", method="GET")
    with pytest.raises(Malformed):
        look(gateway)


def test_a_day_of_slots_on_several_pages_is_read_to_its_end(
    sandbox: ehr.Sandbox, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrations.ehr.fhir import search

    monkeypatch.setattr(search, "PAGE_SIZE", 2)
    sandbox.load(ehr.booking("b-1", 6))
    assert look(gateway, 0, 8).free == (Interval(ehr.start_of(0), ehr.start_of(6)), *times(7))


def test_which_schedules_a_provider_has_is_asked_now_and_then_only(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    look(gateway)
    look(gateway, 1, 2)
    assert len(sandbox.calls("/fhir/Schedule")) == 1
    assert len(sandbox.calls("/fhir/Slot")) == 2
