"""An EHR's abilities are read from its own statement, kept for a day, and what is missing is said in plain words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from integrations.ehr import poll
from integrations.ehr.fhir.capabilities import declared_by
from integrations.ehr.gateway import Booking, Rejected, Unavailable, connect
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, Opening
from tests import factories
from tests.fixtures import sandbox as ehr


def statement(software: str = "", **appointment: Any) -> dict[str, Any]:
    interactions = appointment.pop("interaction", ["read", "search-type"])
    search = appointment.pop("search", [])
    resource = {
        "type": "Appointment",
        "interaction": [{"code": code} for code in interactions],
        "searchParam": [{"name": name, "type": "date"} for name in search],
        **appointment,
    }
    return {
        "resourceType": "CapabilityStatement",
        "software": {"name": software},
        "rest": [{"mode": "client"}, {"mode": "server", "resource": [resource]}],
    }


def test_the_least_an_ehr_can_do() -> None:
    declared = declared_by(statement())
    assert (declared.writes_appointments, declared.patch, declared.slots, declared.events) == (False,) * 4
    assert declared.retry_safety == "none"
    assert declared.missing == (
        "It does not take new appointments: staff enter each booking by hand.",
        "It cannot change an appointment: cancelling for a move-up is left to staff.",
        "It cannot recognise a repeated booking: a lost answer is left to staff.",
        "It cannot search by time of change: whole days are compared instead.",
        "It has no patients to read.",
    )


@pytest.mark.parametrize("maker", ["Oracle Health Millennium", "Cerner Ignite"])
def test_a_maker_who_books_one_slot(maker: str) -> None:
    declared = declared_by(statement(maker, interaction=["read", "search-type", "create", "patch"]))
    assert (declared.book_mode, declared.retry_safety) == ("one_slot", "slot_guard")


@pytest.mark.parametrize(
    "broken", [{}, {"rest": "none"}, {"rest": [{"mode": "server", "resource": 7}]}, {"software": 3}]
)
def test_a_statement_that_says_nothing_promises_nothing(broken: dict[str, Any]) -> None:
    assert not declared_by({"resourceType": "CapabilityStatement", **broken}).writes_appointments


@pytest.mark.django_db
def test_the_sandbox_can_do_everything(sandbox: ehr.Sandbox, connection: Connection) -> None:
    declared = connect(connection).capabilities
    assert declared.missing == ()
    assert (declared.retry_safety, declared.book_mode, declared.slots) == ("conditional_create", "plain", True)


@pytest.mark.django_db
def test_it_is_asked_once_a_day_and_the_old_answer_serves_while_it_cannot_be(
    sandbox: ehr.Sandbox, connection: Connection
) -> None:
    def asked() -> int:
        return len(sandbox.calls("/fhir/metadata"))

    connection.capabilities = {}
    connection.save()
    declared = connect(connection).capabilities
    assert connect(Connection.objects.get(pk=connection.pk)).capabilities == declared
    assert asked() == 1
    known = dict(connection.capabilities["declared"], at=(timezone.now() - timedelta(days=2)).isoformat())
    connection.capabilities = {**connection.capabilities, "declared": known}
    connection.save()
    sandbox.fault("500", path="metadata")
    assert connect(connection).capabilities == declared
    assert asked() == 2
    connection.capabilities = {}
    Connection.objects.update(quiet_until=None)
    sandbox.fault("500", path="metadata")
    with pytest.raises(Unavailable):
        _ = connect(connection).capabilities


class WindowEhr:
    """A server without ``_lastUpdated``, with PUT instead of PATCH, that books one slot with the patient alone."""

    def __init__(self, server: HTTPServer) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.sent: list[Request] = []
        self.status = 200
        server.expect_request("/token").respond_with_json({"access_token": "token", "expires_in": 600})
        can = statement("Oracle Health", interaction=["read", "search-type", "create", "update"])
        server.expect_request("/fhir/metadata").respond_with_json(can)
        server.expect_request("/fhir/Appointment", method="GET").respond_with_handler(self._search)
        server.expect_request("/fhir/Appointment", method="POST").respond_with_handler(self._create)
        for external in ("w-1", "w-2"):
            server.expect_request(f"/fhir/Appointment/{external}", method="GET").respond_with_handler(self._fetch)
            server.expect_request(f"/fhir/Appointment/{external}", method="PUT").respond_with_handler(self._update)

    def _search(self, request: Request) -> Response:
        self.sent.append(request)
        entries = [{"resource": each} for each in self.held.values()]
        bundle = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
        return Response(json.dumps(bundle), status=self.status)

    def _fetch(self, request: Request) -> Response:
        found = self.held.get(request.path.rpartition("/")[2])
        return Response(json.dumps(found), headers={"ETag": 'W/"4"'}) if found else Response("", status=404)

    def _create(self, request: Request) -> Response:
        self.sent.append(request)
        return Response("", status=201, headers={"Location": "https://ehr/fhir/Appointment/w-9", "ETag": 'W/"1"'})

    def _update(self, request: Request) -> Response:
        self.sent.append(request)
        return Response(request.get_data(), status=200)


@pytest.fixture
def window(httpserver: HTTPServer, db: None) -> tuple[WindowEhr, Connection]:
    server = WindowEhr(httpserver)
    base, token = httpserver.url_for("/fhir"), httpserver.url_for("/token")
    now = timezone.now()
    row = factories.connection(base_url=base, token_url=token, loaded_at=now, cursor=now)
    for kind, make, external in (
        ("patient", factories.patient, "patient-1"),
        ("provider", factories.provider, "ana"),
        ("location", factories.location, "elm"),
    ):
        factories.external_id(row.source, kind, make(), external)
    return server, row


def booked(external: str, number: int) -> dict[str, Any]:
    return ehr.booking(external, number, meta={"versionId": "1"}, appointmentType={})


def test_without_times_of_change_the_window_is_compared_and_absence_asked_about(
    window: tuple[WindowEhr, Connection], work_inbox: Callable[[], int]
) -> None:
    server, connection = window
    server.held = {each: booked(each, number) for number, each in enumerate(("w-1", "w-2"))}
    assert poll.poll(connection.pk) == poll.Poll(seen=2, changed=2)
    work_inbox()
    assert Appointment.objects.filter(status="booked").count() == 2
    assert "_lastUpdated" not in server.sent[-1].args

    del server.held["w-2"]
    poll.poll(connection.pk)
    work_inbox()
    assert sorted(Appointment.objects.values_list("status", flat=True)) == ["booked", "entered-in-error"]
    assert Opening.objects.get().start == ehr.start_of(1)
    assert InboundEvent.objects.latest("pk").outcome == "deleted in the EHR; 1 opening"


def test_absence_in_a_read_that_broke_off_proves_nothing(
    window: tuple[WindowEhr, Connection], work_inbox: Callable[[], int]
) -> None:
    server, connection = window
    server.held = {"w-1": booked("w-1", 0)}
    poll.poll(connection.pk)
    work_inbox()
    server.held = {}
    server.status = 500
    assert poll.poll(connection.pk) is None
    work_inbox()
    assert Appointment.objects.get().status == "booked"
    assert not Opening.objects.exists()


def test_absence_from_a_search_that_the_ehr_does_not_confirm_changes_nothing(
    window: tuple[WindowEhr, Connection], work_inbox: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search forgot it; asked by its id, the EHR still has it."""
    server, connection = window
    server.held = {"w-1": booked("w-1", 0)}
    poll.poll(connection.pk)
    work_inbox()
    kept = dict(server.held)
    server.held = {}
    poll.poll(connection.pk)
    server.held = kept
    work_inbox()
    assert Appointment.objects.get().status == "booked"
    assert not Opening.objects.exists()


def one_slot(**fields: Any) -> Booking:
    return Booking(
        **{
            "key": "6f1f9d1c-6d2c-4f3e-9d53-0d6f6d3c2b11",
            "patient_id": "patient-1",
            "provider_id": "ana",
            "location_id": "elm",
            "start": ehr.start_of(0),
            "end": ehr.start_of(1),
            "slot_ids": ("ana-0",),
            **fields,
        }
    )


def test_a_booking_where_one_slot_is_booked_with_the_patient_alone(window: tuple[WindowEhr, Connection]) -> None:
    server, connection = window
    stored = connect(connection).create(one_slot())
    assert (stored.external_id, stored.version) == ("w-9", "1")
    sent = json.loads(server.sent[-1].get_data())
    assert [each["actor"]["reference"] for each in sent["participant"]] == ["Patient/patient-1"]
    assert sent["slot"] == [{"reference": "Slot/ana-0"}]
    assert "If-None-Exist" not in server.sent[-1].headers
    for slots in ((), ("ana-0", "ana-1")):
        with pytest.raises(Rejected):
            connect(connection).create(one_slot(slot_ids=slots))
    assert len(server.sent) == 1


def test_without_patch_the_whole_resource_is_sent_back_as_it_was_read(window: tuple[WindowEhr, Connection]) -> None:
    server, connection = window
    strange = booked("w-1", 0) | {"vendorField": {"kept": [1, 2]}, "_status": {"id": "x"}}
    server.held = {"w-1": strange}
    connect(connection).cancel("w-1", "")
    request = server.sent[-1]
    sent = json.loads(request.get_data())
    assert (request.method, request.headers["If-Match"]) == ("PUT", 'W/"4"')
    assert sent.pop("status") == "cancelled"
    assert sent.pop("cancelationReason")
    assert sent == {name: value for name, value in strange.items() if name != "status"}
