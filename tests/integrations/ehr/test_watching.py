"""Each connection is watched: how well it answers, its silence while the office is open, its login's end."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import IntegrityError

from integrations import alerts, health, performance
from integrations.ehr import watching
from integrations.models import AlertContact, ApiCall, Connection, StaffAlert
from scheduling import closed_days
from scheduling.models import WorkItem
from scheduling.office_hours import OfficeHours, open_time
from scheduling.worklist import ask_staff
from tests import factories
from tests.integrations.ehr.test_login_by_certificate import Authority
from tests.integrations.messaging.conftest import CarrierClient, carrier, carrier_process

__all__ = ["carrier", "carrier_process"]

pytestmark = pytest.mark.django_db

#: A Tuesday, noon in New York.
NOON = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
HOURS = OfficeHours(ZoneInfo("America/New_York"), frozenset({1, 2, 3, 4, 5}), time(8), time(18))


def at(day: int, hour: int, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=HOURS.zone)


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        (at(24, 9), at(24, 12), 3),
        (at(24, 6), at(24, 9), 1),
        (at(24, 17), at(25, 9), 2),
        (at(27, 17), at(30, 9), 2),  # over a weekend
        (at(28, 9), at(29, 20), 0),
        (at(24, 12), at(24, 9), 0),
        (at(24, 19), at(25, 7), 0),
    ],
)
def test_only_office_hours_count(since: datetime, until: datetime, hours: int) -> None:
    assert open_time(HOURS, since, until) == timedelta(hours=hours)


@pytest.mark.parametrize(("day", "month", "hours"), [(1, 11, 25), (8, 3, 23)])
def test_a_day_on_which_the_clocks_change_counts_as_it_is(day: int, month: int, hours: int) -> None:
    always = OfficeHours(HOURS.zone, frozenset(range(1, 8)), time(0), time(23, 59, 59))
    open_for = open_time(always, at(day, 0, month), at(day + 1, 0, month))
    assert open_for == timedelta(hours=hours) - timedelta(seconds=1)


def quiet_since(moment: datetime) -> Connection:
    return factories.connection("elm", loaded_at=moment, last_event_at=moment, last_poll_at=moment)


def test_silence_over_night_and_weekend_is_none(db: None) -> None:
    factories.practice()
    connection = quiet_since(at(27, 17))
    assert not watching.is_silent(connection, at(30, 12))
    assert not watching.is_silent(connection, at(30, 12) + timedelta(minutes=59))
    assert watching.is_silent(connection, at(30, 13))


def test_silence_on_a_public_holiday_is_none(db: None) -> None:
    factories.practice()
    connection = quiet_since(at(25, 17))
    closed_days.add(None, [(at(26, 12).date(), "Thanksgiving")])
    assert not watching.is_silent(connection, at(26, 17))
    assert watching.is_silent(connection, at(27, 13))


def call(connection: Connection, result: str, ms: int = 100, ago: int = 5) -> None:
    ApiCall.objects.create(
        connection=connection,
        system="ehr",
        at=NOON - timedelta(minutes=ago),
        actor="worker",
        method="GET",
        resource="Appointment",
        status=200 if result in ("ok", "taken", "not_found") else None,
        duration_ms=ms,
        result=result,
    )


def test_how_well_it_answers_is_counted_from_its_calls() -> None:
    connection = factories.connection("elm")
    for number in range(1, 20):
        call(connection, "ok", ms=number * 10)
    call(connection, "taken", ms=200)
    call(connection, "unavailable", ms=15000)
    call(connection, "unavailable", ago=90)
    found = performance.of_connection(connection.pk, NOON - timedelta(hours=1), NOON)
    # 21 calls, of which one went unanswered; "taken" is a good answer
    assert (found.calls, found.failed, found.success_percent) == (21, 1, 95)
    assert (found.median_ms, found.slow_ms) == (105, 190)


def test_without_calls_nothing_is_claimed() -> None:
    found = performance.of_connection(factories.connection("elm").pk, NOON - timedelta(hours=1), NOON)
    assert (found.success_percent, found.median_ms, found.slow_ms) == (None, None, None)


@pytest.mark.parametrize(("failed", "is_trouble"), [(1, False), (2, True)])
def test_below_95_percent_staff_are_told(failed: int, is_trouble: bool) -> None:
    connection = quiet_since(NOON)
    for number in range(20):
        call(connection, "unavailable" if number < failed else "ok")
    found = health.watch(NOON)
    assert (f"health.success:{connection.pk}" in found) is is_trouble
    assert WorkItem.objects.filter(kind="health.success", title__contains="90 %").exists() is is_trouble


def test_a_handful_of_calls_proves_nothing() -> None:
    connection = quiet_since(NOON)
    for _ in range(19):
        call(connection, "unavailable")
    assert health.watch(NOON) == []


@pytest.mark.parametrize(("days", "is_told"), [(22, False), (21, True), (-3, True)])
def test_a_login_that_is_about_to_end_is_told_of_in_time(days: int, is_told: bool) -> None:
    connection = quiet_since(NOON)
    Connection.objects.update(credentials_due_on=date(2026, 11, 24) + timedelta(days=days))
    assert (f"health.login_ends:{connection.pk}" in health.watch(NOON)) is is_told


def test_the_day_a_certificate_ends_is_read_from_it() -> None:
    certificate, _ = Authority("An authority").issue("sooner")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    assert watching.certificate_ends(certificate) == tomorrow
    assert watching.certificate_ends("") is None
    connection = factories.connection("elm", client_certificate=certificate)
    connection.credentials_due_on = tomorrow + timedelta(days=90)
    assert watching.login_ends(connection) == tomorrow


# --- who hears of it --------------------------------------------------------------------------------------------------


@pytest.fixture
def live(settings: Any) -> None:
    settings.EMAIL_CHANNEL, settings.INSTALLATION = "email", "live"


def tell(kind: str) -> StaffAlert:
    ask_staff(kind, "The EHR elm does not answer", advice="Call IT.", dedupe_key=kind, urgency=0)
    alerts.raise_alerts()
    alert = StaffAlert.objects.get()
    assert alerts.send(alert.pk) is True
    alert.refresh_from_db()
    return alert


def test_those_named_for_it_hear_of_technical_trouble_and_nobody_else(live: None) -> None:
    User.objects.create_user("clerk", email="clerk@example.org", is_staff=True)
    AlertContact.objects.create(name="IT", email="it@example.org")
    AlertContact.objects.create(name="Gone", email="gone@example.org", active=False)
    assert tell("health.failing").recipients == 1
    assert [message.to for message in mail.outbox] == [["it@example.org"]]


def test_a_booking_in_trouble_is_told_to_those_who_work_with_bookings(live: None) -> None:
    User.objects.create_user("clerk", email="clerk@example.org", is_staff=True)
    AlertContact.objects.create(name="IT", email="it@example.org")
    tell("writeback.dead")
    assert [message.to for message in mail.outbox] == [["clerk@example.org"]]


def test_a_contact_with_a_phone_gets_a_text_that_says_where_to_look(carrier: CarrierClient) -> None:
    AlertContact.objects.create(name="IT", phone="+12125550177")
    assert tell("health.failing").recipients == 1
    (text,) = carrier.messages()
    assert text["to"] == "+12125550177"
    assert text["body"] == "Our practice: The EHR elm does not answer. http://localhost:1/admin/"


def test_a_contact_that_cannot_be_reached_is_refused_by_the_database() -> None:
    with pytest.raises(IntegrityError):
        AlertContact.objects.create(name="Nobody")
