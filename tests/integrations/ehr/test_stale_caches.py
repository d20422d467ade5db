"""A cache between us and the EHR goes on telling what was: we ask past it, and take no old answer for news."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from integrations.ehr import inbox, intake, poll
from integrations.ehr.fhir.events import Notice
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Unavailable, connect
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, ExternalId, Opening
from tests import factories
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db


@pytest.fixture
def cached(sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]) -> Connection:
    """A booked visit that we know, whose address and search a cache keeps as they are."""
    sandbox.load(ehr.booking("b-1"))
    sandbox.fault("stale-cache")
    tell(connection)
    work_inbox()
    poll.poll(connection.pk)
    connect(connection).availability("ana", "elm", ehr.start_of(0), ehr.start_of(1))
    connection.refresh_from_db()
    return connection


def tell(connection: Connection) -> None:
    intake.remember(connection, InboundEvent.Via.WEBHOOK, Notice("appointment", "b-1"))


def state() -> tuple[str, str, list[tuple[str, str]]]:
    openings = list(Opening.objects.values_list("status", "closed_reason"))
    return Appointment.objects.get().status, ExternalId.objects.get(kind="appointment").version, openings


@pytest.mark.parametrize("way", ["notification", "poll"])
def test_a_cancellation_and_its_taking_back_are_seen_past_the_cache(
    sandbox: ehr.Sandbox, cached: Connection, work_inbox: Callable[[], int], way: str
) -> None:
    def hear() -> None:
        tell(cached) if way == "notification" else poll.poll(cached.pk)
        work_inbox()

    sandbox.control.post("appointments/b-1/cancel", {"reason_code": "pat"})
    hear()
    assert state() == ("cancelled", "2", [("open", "")])
    free = connect(cached).availability("ana", "elm", ehr.start_of(0), ehr.start_of(1)).free
    assert [(each.start, each.end) for each in free] == [(ehr.start_of(0), ehr.start_of(1))]
    sandbox.control.post("appointments/b-1/uncancel")
    hear()
    assert state() == ("booked", "3", [("closed", "restored")])
    assert not connect(cached).availability("ana", "elm", ehr.start_of(0), ehr.start_of(1)).free


def test_a_cache_that_answers_all_the_same_brings_nothing_back(db: None, httpserver: HTTPServer) -> None:
    """It holds the visit as booked; we know that it was cancelled. The answer is refused, and asked for again."""
    row = factories.connection(base_url=httpserver.url_for("/fhir"), login_method="none")
    provider, place, patient = factories.provider(), factories.location(), factories.patient(names=row.source)
    visit = factories.appointment(patient, provider, place, status="cancelled")
    factories.external_id(row.source, ExternalId.Kind.APPOINTMENT, visit, "b-1", version="2")
    old = {**ehr.booking("b-1"), "meta": {"versionId": "1"}}
    httpserver.expect_request("/fhir/Appointment/b-1").respond_with_json(old, headers={"Age": "90"})
    tell(row)
    event = InboundEvent.objects.get()
    assert inbox.process(event.pk) is None
    event.refresh_from_db()
    assert (event.status, event.error, event.attempts) == ("received", "unavailable", 0)
    assert (Appointment.objects.get().status, ExternalId.objects.get(kind="appointment").version) == ("cancelled", "2")
    assert Connection.objects.get().last_error == "The answer came from a cache and is 90 seconds old."


@pytest.mark.parametrize(
    ("path", "age", "taken"),
    [
        ("Appointment/b-1", "2", False),
        ("Appointment", "2", False),
        ("Appointment/b-1", "1", True),
        ("Appointment/b-1", "0", True),
        ("Appointment/b-1", "old", True),
        ("metadata", "86400", True),
    ],
)
def test_how_old_an_answer_may_be(db: None, httpserver: HTTPServer, path: str, age: str, taken: bool) -> None:
    row = factories.connection(base_url=httpserver.url_for("/fhir"), login_method="none")
    httpserver.expect_request(f"/fhir/{path}").respond_with_response(Response(b"{}", headers={"Age": age}))
    if taken:
        assert Transport(row).read(path).status == 200
        return
    with pytest.raises(Unavailable, match="from a cache"):
        Transport(row).read(path)
