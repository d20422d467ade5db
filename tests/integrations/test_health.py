"""Silence, outages, overdue work and a stopped scheduler are noticed, told once, and closed when they are over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.utils import timezone

from config.desk.lines import carrier_line
from integrations import alerts, health, sweep, tasks
from integrations.models import CarrierState, Connection, StaffAlert
from scheduling.models import LocationAccess, WorkItem
from scheduling.worklist import ask_staff
from tests import factories
from tests.integrations.conftest import Booking, Clinic, open_items

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk() -> User:
    return User.objects.create_user("clerk", email="clerk@example.org", is_staff=True)


@pytest.fixture
def live_email(settings: Any) -> None:
    settings.EMAIL_CHANNEL, settings.INSTALLATION = "email", "live"


def test_silence_is_a_fault_and_ends(clinic: Clinic) -> None:
    factories.practice(office_days="1234567", office_opens="00:00", office_closes="23:59:59")
    hours = timezone.now() - timedelta(hours=7)
    Connection.objects.update(loaded_at=hours, last_poll_at=hours, last_event_at=hours)
    assert health.watch() == [f"health.silent:{clinic.connection.pk}"]
    assert open_items() == ["health.silent"]
    assert "6 hours" in WorkItem.objects.get().title
    Connection.objects.update(last_event_at=timezone.now(), last_poll_at=timezone.now())
    assert health.watch() == []
    assert open_items() == []


@pytest.mark.parametrize("heard", ["last_poll_at", "last_event_at"])
def test_a_poll_or_an_event_breaks_the_silence(clinic: Clinic, heard: str) -> None:
    hours = timezone.now() - timedelta(hours=7)
    Connection.objects.update(**{"loaded_at": hours, heard: timezone.now()})
    assert f"health.silent:{clinic.connection.pk}" not in health.watch()


def test_a_connection_that_is_new_or_paused_is_not_silent(clinic: Clinic) -> None:
    assert health.watch() == []
    hours = timezone.now() - timedelta(hours=7)
    Connection.objects.update(loaded_at=hours, state=Connection.State.PAUSED)
    assert health.watch() == []


def test_stopped_login_is_red(clinic: Clinic) -> None:
    Connection.objects.update(state=Connection.State.STOPPED)
    health.watch()
    item = WorkItem.objects.get()
    assert (item.kind, item.urgency) == ("health.stopped", WorkItem.Urgency.RED)


def test_carrier_that_does_not_work_is_red_after_five_minutes() -> None:
    state = CarrierState.objects.create(channel="sms", failing_since=timezone.now() - timedelta(minutes=4))
    assert health.watch() == []
    CarrierState.objects.filter(pk=state.pk).update(failing_since=timezone.now() - timedelta(minutes=6))
    assert health.watch() == ["health.carrier:sms"]


@pytest.mark.parametrize(("failures", "is_told"), [(1, False), (2, False), (3, True)])
def test_a_call_or_two_that_failed_with_none_since_is_no_outage(failures: int, is_told: bool) -> None:
    """The answer to an e-mail was lost, staff were asked about that one, and there was nothing else to send."""
    long_ago = timezone.now() - timedelta(hours=2)
    state = CarrierState.objects.create(channel="email", failing_since=long_ago, failures=failures)
    assert health.watch() == (["health.carrier:email"] if is_told else [])
    assert carrier_line(state, timezone.now()).is_trouble == is_told


def test_a_carrier_that_is_known_to_be_down_is_told_of() -> None:
    long_ago = timezone.now() - timedelta(hours=2)
    CarrierState.objects.create(channel="sms", failing_since=long_ago, down_since=long_ago, failures=1)
    assert health.watch() == ["health.carrier:sms"]


def test_work_nobody_takes_up_is_noticed(booking: Booking) -> None:
    assert health.watch() == []
    found = health.watch(timezone.now() + timedelta(minutes=3))
    assert "health.overdue:writebacks" in found


def test_scheduler_that_stood_still_is_told_afterwards() -> None:
    start = timezone.now()
    sweep.sweep(start)
    sweep.sweep(start + timedelta(minutes=5))
    assert health.watch() == ["health.late"]
    assert "4 minutes" in WorkItem.objects.get().title
    assert health.watch() == []
    assert open_items() == ["health.late"], "it is over by nature; a person reads and closes it"


def test_scheduler_that_does_not_run_is_noticed_by_woken_workers(booking: Booking) -> None:
    sweep.sweep(timezone.now() - timedelta(minutes=2))
    tasks.drain_writebacks()
    tasks.drain_writebacks()
    item = WorkItem.objects.get(kind="health.late")
    assert item.times_seen == 1
    assert StaffAlert.objects.filter(work_item=item).count() == 1
    assert health.readiness() == {"sweep": "late"}
    sweep.sweep()
    assert health.readiness() == {"sweep": "ok"}


def test_a_running_scheduler_is_no_news(booking: Booking) -> None:
    sweep.sweep()
    tasks.drain_writebacks()
    assert "health.late" not in open_items()


@pytest.mark.usefixtures("live_email")
def test_red_item_is_mailed_once_and_names_nobody(clerk: User) -> None:
    place = factories.location()
    LocationAccess.objects.create(user=clerk, location=place)
    patient = factories.patient(family_name="Zebulon")
    for _ in range(3):
        ask_staff(
            "writeback.dead",
            "We could not finish a booking in the EHR",
            advice="Look in the EHR.",
            dedupe_key="writeback.dead:1",
            urgency=WorkItem.Urgency.RED,
            patient=patient,
            location=place,
        )
        health.watch()
        tasks.drain_messages()
    [sent] = mail.outbox
    assert sent.to == ["clerk@example.org"]
    assert "We could not finish a booking in the EHR" in sent.subject
    assert "Look in the EHR." in sent.body
    assert "Zebulon" not in sent.subject + sent.body
    assert StaffAlert.objects.get().recipients == 1


@pytest.mark.usefixtures("live_email")
def test_only_staff_of_the_location_are_told(clerk: User) -> None:
    ask_staff("x.dead", "Something", dedupe_key="x", location=factories.location())
    health.watch()
    tasks.drain_messages()
    assert mail.outbox == []
    assert StaffAlert.objects.get().recipients == 0


@pytest.mark.usefixtures("live_email")
def test_everyday_items_are_not_mailed(clerk: User) -> None:
    ask_staff("opening.reason", "A reason is not mapped", dedupe_key="y")
    health.watch()
    assert StaffAlert.objects.count() == 0


def test_a_test_installation_mails_only_its_list(clerk: User, settings: Any) -> None:
    settings.EMAIL_CHANNEL, settings.INSTALLATION, settings.TEST_RECIPIENTS = "email", "test", []
    ask_staff("x.dead", "Something", dedupe_key="x")
    alerts.raise_alerts()
    tasks.drain_messages()
    assert mail.outbox == []


@pytest.mark.usefixtures("live_email")
def test_mail_server_down_is_tried_later(clerk: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    ask_staff("x.dead", "Something", dedupe_key="x")
    alerts.raise_alerts()
    tasks.drain_messages()
    alert = StaffAlert.objects.get()
    assert (alert.status, alert.attempts) == (StaffAlert.Status.WAITING, 1)
    assert alerts.due() == []
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    StaffAlert.objects.update(due_at=timezone.now())
    tasks.drain_messages()
    assert len(mail.outbox) == 1
