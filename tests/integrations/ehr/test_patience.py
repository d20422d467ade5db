"""An EHR that asks for patience, or is down, is left in peace by all workers together, and returned to by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.utils import timezone

from integrations.ehr import inbox, pulse
from integrations.ehr.gateway import Throttled, Unavailable, connect
from integrations.models import ApiCall, Connection, InboundEvent
from scheduling.models import Appointment
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing

pytestmark = pytest.mark.django_db


def quiet_for(connection: Connection) -> float:
    connection.refresh_from_db()
    assert connection.quiet_until is not None
    return (connection.quiet_until - timezone.now()).total_seconds()


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed_by_every_worker(sandbox: ehr.Sandbox, connection: Connection, form: str) -> None:
    when = "40" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=41), usegmt=True)
    sandbox.fault("429", path="Location", retry_after=when)
    with pytest.raises(Throttled) as told:
        connect(connection).fetch("location", "elm")
    assert 37 < quiet_for(connection) <= 41
    connection.refresh_from_db()
    assert told.value.retry_at == connection.quiet_until

    calls = ApiCall.objects.count()
    with pytest.raises(Throttled) as waiting:  # another worker, another resource
        connect(Connection.objects.get(pk=connection.pk)).fetch("patient", "patient-1")
    assert waiting.value.retry_at == connection.quiet_until
    assert ApiCall.objects.count() == calls

    Connection.objects.update(quiet_until=timezone.now() - timedelta(seconds=1))
    assert connect(connection).fetch("patient", "patient-1").external_id == "patient-1"
    connection.refresh_from_db()
    assert (connection.quiet_until, connection.failing_since, connection.last_error) == (None, None, "")


def test_503_with_retry_after_and_an_html_body(sandbox: ehr.Sandbox, connection: Connection) -> None:
    sandbox.fault("503-html", path="Location", retry_after="25")
    with pytest.raises(Throttled):
        connect(connection).fetch("location", "elm")
    assert 22 < quiet_for(connection) <= 25


def test_patience_without_end_is_asked_for_in_vain(sandbox: ehr.Sandbox, connection: Connection) -> None:
    sandbox.fault("429", path="Location", retry_after="99999999")
    with pytest.raises(Throttled):
        connect(connection).fetch("location", "elm")
    assert quiet_for(connection) <= pulse.LONGEST_PATIENCE.total_seconds()


def test_a_shorter_pause_does_not_end_a_longer_one(connection: Connection) -> None:
    now = timezone.now()
    pulse.note_trouble(connection.pk, "throttled", now + timedelta(seconds=60))
    pulse.note_trouble(connection.pk, "unavailable", now + timedelta(seconds=5))
    assert quiet_for(connection) > 55


def test_a_success_that_was_on_its_way_does_not_end_the_pause(connection: Connection) -> None:
    known = Connection.objects.get(pk=connection.pk)
    pulse.note_trouble(connection.pk, "throttled", timezone.now() + timedelta(seconds=60))
    pulse.note_success(connection.pk, Connection.objects.get(pk=connection.pk))
    assert quiet_for(known) > 55


def test_the_pause_grows_with_the_outage_up_to_its_cap(connection: Connection) -> None:
    pauses = []
    for minutes in (0, 0.1, 60):
        since = timezone.now() - timedelta(minutes=minutes)
        Connection.objects.update(failing_since=since, quiet_until=None)
        pulse.note_trouble(connection.pk, "unavailable")
        pauses.append(quiet_for(connection))
    assert 0.5 < pauses[0] <= 1.25 < 4 < pauses[1] <= 7.6 < 14 < pauses[2] <= 25


def test_events_wait_through_an_outage_without_using_up_their_tries(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]
) -> None:
    sandbox.load(ehr.booking("b-1"))
    sandbox.fault("down")
    body = b'{"resourceType": "Appointment", "id": "b-1", "meta": {"versionId": "1"}}'
    signing.send(connection, body)
    for _ in range(10):
        Connection.objects.update(quiet_until=None)
        InboundEvent.objects.update(due_at=timezone.now())
        assert work_inbox() == 0
    event = InboundEvent.objects.get()
    assert (event.status, event.attempts, event.error) == ("received", 0, "unavailable")
    connection.refresh_from_db()
    assert connection.failing_since is not None
    assert inbox.due() == []  # nobody even tries while the EHR is left in peace

    sandbox.heal()
    Connection.objects.update(quiet_until=None)
    InboundEvent.objects.update(due_at=timezone.now())
    assert work_inbox() == 1
    assert Appointment.objects.get().status == "booked"
    assert InboundEvent.objects.get().status == "done"


def test_a_paused_connection_stores_events_and_leaves_them(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]
) -> None:
    sandbox.load(ehr.booking("b-1"))
    Connection.objects.update(state="paused")
    signing.send(connection, b'{"resourceType": "Appointment", "id": "b-1"}')
    assert work_inbox() == 0
    assert InboundEvent.objects.get().status == "received"
    Connection.objects.update(state="active")
    assert work_inbox() == 1
    assert Appointment.objects.get().status == "booked"


def test_an_ehr_that_refuses_connections_is_unavailable(connection: Connection) -> None:
    connection.base_url = "http://127.0.0.1:9/fhir"
    with pytest.raises(Unavailable):
        connect(connection).fetch("location", "elm")
    assert ApiCall.objects.latest("pk").status is None
    assert ApiCall.objects.latest("pk").result == "unavailable"
