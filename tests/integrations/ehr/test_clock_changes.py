"""On the days the clocks change a visit is offered at the hour it had on the wall's clock, or shown to staff."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from integrations.draining import drain
from integrations.ehr import availability, inbox, intake, onward
from integrations.ehr.fhir.events import Notice
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, AppointmentType, Location, Opening, Provider, WorkItem
from tests import factories
from tests.fixtures import sandbox as ehr
from waitlist import attention
from waitlist.models import Message, Offer

pytestmark = pytest.mark.django_db

#: The Sundays on which New York's clocks go forward and back.
SPRING, AUTUMN = datetime(2031, 3, 9, tzinfo=UTC), datetime(2031, 11, 2, tzinfo=UTC)


def hear(connection: Connection, resource: ehr.Resource, sandbox: ehr.Sandbox) -> None:
    sandbox.change(resource)
    intake.remember(connection, InboundEvent.Via.WEBHOOK, Notice("appointment", resource["id"]))
    drain("inbox", inbox.due, onward.process)


def local(day: datetime, clock: str, status: str = "booked") -> ehr.Resource:
    """A visit of half an hour as an EHR writes it that leaves the offset out."""
    hour, minute = clock.split(":")
    begin = day.replace(hour=int(hour), minute=int(minute), tzinfo=None)
    times = {"start": begin.isoformat(), "end": (begin + timedelta(minutes=30)).isoformat()}
    reason = {"coding": [{"system": ehr.REASON_SYSTEM, "code": "pat"}]}
    more = {"cancelationReason": reason} if status == "cancelled" else {}
    return ehr.booking("b-1", status=status, **times, **more)


@pytest.mark.parametrize(
    ("day", "clock", "start", "said"),
    [
        (SPRING, "09:00", SPRING.replace(hour=13), "Sun Mar 9, 9:00 AM"),
        (SPRING, "01:00", SPRING.replace(hour=6), "Sun Mar 9, 1:00 AM"),
        (AUTUMN, "10:00", AUTUMN.replace(hour=15), "Sun Nov 2, 10:00 AM"),
        (AUTUMN, "00:15", AUTUMN.replace(hour=4, minute=15), "Sun Nov 2, 12:15 AM"),
        (SPRING, "02:30", None, ""),
        (AUTUMN, "01:30", None, ""),
    ],
)
def test_a_cancelled_visit_is_offered_at_the_hour_it_had_or_shown_to_staff(
    sandbox: ehr.Sandbox, day: datetime, clock: str, start: datetime | None, said: str
) -> None:
    with time_machine.travel(day - timedelta(days=4) + timedelta(hours=15), tick=True) as traveller:
        sandbox.load(ehr.location(), ehr.practitioner("ana"), ehr.patient("patient-1", 1), ehr.booking("b-1"))
        connection = sandbox.connect()
        hear(connection, ehr.booking("b-0"), sandbox)  # the place and its zone are known from now on
        place, doctor, kind = Location.objects.get(), Provider.objects.get(), AppointmentType.objects.get()
        factories.bookable(doctor, place, kind)
        factories.entry(factories.patient(names=connection.source, locations=[place]), kind)
        hear(connection, local(day, clock), sandbox)
        hear(connection, local(day, clock, "cancelled"), sandbox)
        attention.drain()
        traveller.shift(timedelta(minutes=10))
        drain("checks", availability.due, availability.look)
        if start is None:
            assert WorkItem.objects.filter(kind="event.unreadable").exists()
            assert not Opening.objects.exists()
            return
        opening, offer = Opening.objects.get(), Offer.objects.get()
        assert (opening.start, opening.end) == (start, start + timedelta(minutes=30))
        assert offer.start == start
        assert said in Message.objects.filter(kind="offer").order_by("pk")[0].body
        assert Appointment.objects.get(status="cancelled").start == start
