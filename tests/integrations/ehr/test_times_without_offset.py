"""A time without an offset is the location's; one that the clocks skip or repeat goes to a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.fhir.times import instant
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, WorkItem
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing

NEW_YORK = ZoneInfo("America/New_York")


def at(year: int, month: int, day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-03-02T09:00:00Z", at(2026, 3, 2, 9)),
        ("2026-03-02T09:00:00.123456789Z", datetime(2026, 3, 2, 9, 0, 0, 123456, UTC)),
        ("2026-03-02T09:00:00.5+01:00", datetime(2026, 3, 2, 8, 0, 0, 500000, UTC)),
        ("2026-03-02T09:00:00-05:00", at(2026, 3, 2, 14)),
        ("2026-03-02T09:00-05:00", at(2026, 3, 2, 14)),
        ("2026-06-30T23:59:60Z", at(2026, 6, 30, 23, 59, 59)),
        ("2026-01-15T09:00:00", at(2026, 1, 15, 14)),  # winter: five hours behind
        ("2026-07-15T09:00:00", at(2026, 7, 15, 13)),  # summer: four
        ("2026-03-08T01:59:59", at(2026, 3, 8, 6, 59, 59)),  # the last second before the gap
        ("2026-03-08T03:00:00", at(2026, 3, 8, 7)),  # the first one after it
        ("2026-11-01T00:59:59", at(2026, 11, 1, 4, 59, 59)),
        ("2026-11-01T02:00:00", at(2026, 11, 1, 7)),
        ("2026-11-01T01:30:00-04:00", at(2026, 11, 1, 5, 30)),  # said which of the two is meant
        ("2026-11-01T01:30:00-05:00", at(2026, 11, 1, 6, 30)),
    ],
)
def test_what_a_time_means_in_new_york(written: str, moment: datetime) -> None:
    assert instant(written, lambda: NEW_YORK, "start") == moment


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("2026-03-08T02:00:00", "skip in spring"),
        ("2026-03-08T02:59:59", "skip in spring"),
        ("2026-11-01T01:00:00", "repeat in autumn"),
        ("2026-11-01T01:59:59", "repeat in autumn"),
        ("2026-03-02", "not a date with a time"),
        ("2026-03", "not a date with a time"),
        ("next Tuesday", "not a date with a time"),
        ("2026-02-30T09:00:00Z", "not a date with a time"),
        ("2026-03-02T25:00:00Z", "not a date with a time"),
        ("", "not a date with a time"),
        (20260302, "not a date with a time"),
        ("0001-01-01T00:00:00Z", "outside any calendar"),
        ("9999-12-31T23:59:59Z", "outside any calendar"),
    ],
)
def test_what_goes_to_a_person(written: object, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        instant(written, lambda: NEW_YORK, "start")


def test_without_a_zone_nothing_is_guessed() -> None:
    with pytest.raises(Unreadable, match="no time zone is known"):
        instant("2026-03-02T09:00:00", lambda: None, "start")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("zone", "start", "end", "expected"),
    [
        ("America/New_York", "2031-01-15T09:00:00", "2031-01-15T09:30:00", at(2031, 1, 15, 14)),
        ("America/Chicago", "2031-01-15T09:00:00", "2031-01-15T09:30:00", at(2031, 1, 15, 15)),
        ("America/New_York", "2031-11-02T01:30:00", "2031-11-02T02:00:00", None),
        ("America/New_York", "2031-03-09T02:15:00", "2031-03-09T03:00:00", None),
    ],
    ids=["New York", "Chicago", "autumn", "spring"],
)
def test_an_appointment_in_local_time(
    sandbox: ehr.Sandbox, work_inbox: Callable[[], int], zone: str, start: str, end: str, expected: datetime | None
) -> None:
    sandbox.load(ehr.location(zone=zone), ehr.practitioner("ana"), ehr.patient("patient-1", 1), ehr.booking("b-1"))
    sandbox.change(ehr.booking("b-1", start=start, end=end))
    connection = sandbox.connect()
    signing.send(connection, b'{"resourceType": "Appointment", "id": "b-1"}')
    work_inbox()
    assert [row.start for row in Appointment.objects.all()] == ([expected] if expected else [])
    items = WorkItem.objects.filter(kind="event.unreadable")
    assert items.count() == (0 if expected else 1)
    assert InboundEvent.objects.get().status == ("done" if expected else "quarantined")


@pytest.mark.django_db
def test_at_a_place_whose_zone_nobody_knows_it_is_shown(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]
) -> None:
    nowhere = ehr.booking("b-1", start="2031-01-15T09:00:00", end="2031-01-15T09:30:00")
    nowhere["participant"] = nowhere["participant"][:2]
    sandbox.load(ehr.booking("b-1"))
    sandbox.change(nowhere)
    signing.send(connection, b'{"resourceType": "Appointment", "id": "b-1"}')
    work_inbox()
    assert not Appointment.objects.exists()
    assert "no time zone is known" in WorkItem.objects.get(kind="event.unreadable").advice
