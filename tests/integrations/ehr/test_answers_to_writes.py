"""What an EHR answers to a booking: booked, refused for a named reason, or unknown; never taken for more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from integrations.ehr.gateway import (
    Booking,
    Duplicate,
    Gateway,
    LoginRefused,
    NotFound,
    OutcomeUnknown,
    Refused,
    Rejected,
    StaleVersion,
    Stored,
    Taken,
    Throttled,
    Unavailable,
    connect,
)
from integrations.models import ApiCall, Connection
from scheduling.records import AppointmentRecord
from tests import factories
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

KEY = "6f1f9d1c-6d2c-4f3e-9d53-0d6f6d3c2b11"


def booking(number: int = 0, **fields: Any) -> Booking:
    return Booking(
        **{
            "key": KEY,
            "patient_id": "patient-1",
            "provider_id": "ana",
            "location_id": "elm",
            "start": ehr.start_of(number),
            "end": ehr.start_of(number + 1),
            "type_system": ehr.TYPE_SYSTEM,
            "type_code": "FOLLOWUP",
            "type_display": "Follow-up",
            "slot_ids": (f"ana-{number}",),
            **fields,
        }
    )


def stored_in(sandbox: ehr.Sandbox) -> list[dict[str, Any]]:
    return sandbox.appointments(status="booked")


@pytest.fixture
def gateway(connection: Connection) -> Gateway:
    return connect(connection)


def test_a_booking_reaches_the_ehr_whole_and_is_read_back(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    stored = gateway.create(booking())
    assert stored.version == "1"
    resource = stored_in(sandbox)[0]
    assert resource["id"] == stored.external_id
    assert resource["identifier"] == [{"system": "urn:sooner:booking", "value": KEY}]
    assert resource["slot"] == [{"reference": "Slot/ana-0"}]
    assert resource["minutesDuration"] == 30
    assert [each["actor"]["reference"] for each in resource["participant"]] == [
        "Patient/patient-1",
        "Practitioner/ana",
        "Location/elm",
    ]
    record = gateway.fetch("appointment", stored.external_id)
    assert isinstance(record, AppointmentRecord)
    assert (record.status, record.patient_id, record.provider_id, record.location_id, record.start, record.end) == (
        "booked",
        "patient-1",
        "ana",
        "elm",
        ehr.start_of(0),
        ehr.start_of(1),
    )


def test_the_same_key_again_books_nothing_new(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    first = gateway.create(booking())
    assert gateway.create(booking()) == first
    assert len(stored_in(sandbox)) == 1


def test_a_taken_time_is_taken(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.control.post(
        "appointments",
        {
            "patient": "patient-2",
            "practitioner": "ana",
            "location": "elm",
            "start": ehr.start_of(0).isoformat(),
            "end": ehr.start_of(1).isoformat(),
        },
    )
    with pytest.raises(Taken) as taken:
        gateway.create(booking())
    assert taken.value.status == 409


@pytest.mark.parametrize("kind", ["reset-after-commit", "cut-json", "500", "503-html"])
def test_booked_but_the_answer_was_lost_is_unknown_and_found_by_its_key(
    sandbox: ehr.Sandbox, gateway: Gateway, connection: Connection, kind: str
) -> None:
    sandbox.fault(kind, method="POST", path="Appointment", processed=True)
    with pytest.raises(OutcomeUnknown):
        gateway.create(booking())
    assert len(stored_in(sandbox)) == 1
    found = gateway.find_booking(KEY, "patient-1", ehr.start_of(0))
    assert found is not None
    assert found.external_id == stored_in(sandbox)[0]["id"]
    assert ApiCall.objects.filter(method="POST", resource="Appointment").get().result == "outcome_unknown"


def test_not_booked_and_no_answer_is_unknown_too_and_then_proven_absent(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.fault("reset-before", method="POST", path="Appointment")
    with pytest.raises(OutcomeUnknown):
        gateway.create(booking())
    assert gateway.find_booking(KEY, "patient-1", ehr.start_of(0)) is None
    assert stored_in(sandbox) == []


def test_a_write_is_never_repeated_by_the_transport(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    gateway.fetch("location", "elm")  # so that the write meets a kept connection
    sandbox.fault("reset-before", method="POST", path="Appointment", count=None)
    with pytest.raises(OutcomeUnknown):
        gateway.create(booking())
    assert len(sandbox.calls("/fhir/Appointment", "POST")) == 1


def test_201_with_an_empty_body_tells_id_and_version_by_its_headers(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.fault("empty-201", method="POST", path="Appointment")
    stored = gateway.create(booking())
    assert stored == Stored(stored_in(sandbox)[0]["id"], "1")


def test_200_with_a_login_page_is_unknown(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.fault("html-200", method="POST", path="Appointment")
    with pytest.raises(OutcomeUnknown):
        gateway.create(booking())
    assert stored_in(sandbox) == []


def test_duplicate_means_look_it_up(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.fault("duplicate-409", method="POST", path="Appointment")
    with pytest.raises(Duplicate) as error:
        gateway.create(booking())
    assert error.value.outcome_code == "duplicate"


def test_a_timeout_is_unknown_within_its_deadline(sandbox: ehr.Sandbox, connection: Connection) -> None:
    from integrations.ehr.fhir.adapter import FhirGateway

    gateway = FhirGateway(connection)
    assert gateway.capabilities.conditional_create
    gateway.transport._seconds = 0.4
    sandbox.fault("timeout", method="POST", path="Appointment", seconds=20)
    with pytest.raises(OutcomeUnknown):
        gateway.create(booking())
    assert ApiCall.objects.latest("pk").duration_ms < 3000


# --- answers no sandbox gives -----------------------------------------------------------------------------------------

OUTCOME = '{"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "%s", "diagnostics": "%s"}]}'
STATEMENT = {
    "resourceType": "CapabilityStatement",
    "rest": [
        {
            "mode": "server",
            "resource": [
                {
                    "type": "Appointment",
                    "conditionalCreate": True,
                    "versioning": "versioned",
                    "interaction": [{"code": code} for code in ("read", "create", "patch", "search-type")],
                }
            ],
        }
    ],
}


@pytest.fixture
def odd(httpserver: HTTPServer) -> Connection:
    """A connection to a server that answers as each test says."""
    httpserver.expect_request("/token").respond_with_json({"access_token": "token", "expires_in": 600})
    httpserver.expect_request("/fhir/metadata").respond_with_json(STATEMENT)
    return factories.connection(base_url=httpserver.url_for("/fhir"), token_url=httpserver.url_for("/token"))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (409, OUTCOME % ("conflict", ""), Taken),
        (409, OUTCOME % ("duplicate", ""), Duplicate),
        (409, "<html>Conflict</html>", Taken),
        (409, "", Taken),
        (409, OUTCOME % ("business-rule", ""), Taken),
        (409, OUTCOME % ("lock-error", ""), Unavailable),
        (412, OUTCOME % ("multiple-matches", ""), Duplicate),
        (412, OUTCOME % ("processing", ""), Duplicate),
        (412, OUTCOME % ("conflict", ""), Taken),
        (412, OUTCOME % ("transient", ""), Unavailable),
        (422, OUTCOME % ("business-rule", ""), Rejected),
        (400, "", Rejected),
        (404, "", Rejected),
        (405, "", Rejected),
        (501, "", Rejected),
        (403, OUTCOME % ("forbidden", ""), LoginRefused),
        (423, "", Unavailable),
        (429, OUTCOME % ("throttled", ""), Throttled),
        (302, "", Refused),
        (500, OUTCOME % ("transient", ""), OutcomeUnknown),
        (502, "<html>Bad gateway</html>", OutcomeUnknown),
        (503, OUTCOME % ("transient", ""), OutcomeUnknown),
        (504, "", OutcomeUnknown),
        (408, "", OutcomeUnknown),
        (200, "<html>Sign in</html>", OutcomeUnknown),
        (201, "", OutcomeUnknown),
        (201, '{"resourceType": "Appointment", "id": "1"', OutcomeUnknown),
        (201, '{"resourceType": "Appointment"}', OutcomeUnknown),
        (201, OUTCOME % ("informational", ""), OutcomeUnknown),
    ],
)
def test_what_an_answer_to_a_booking_means(
    httpserver: HTTPServer, odd: Connection, status: int, body: str, error: type[Exception]
) -> None:
    httpserver.expect_request("/fhir/Appointment", method="POST").respond_with_data(body, status=status)
    with pytest.raises(error) as raised:
        connect(odd).create(booking())
    assert type(raised.value) is error


def test_nothing_of_the_diagnostics_reaches_the_error_or_the_record(httpserver: HTTPServer, odd: Connection) -> None:
    body = OUTCOME % ("business-rule", "Robin Sample is already booked")
    httpserver.expect_request("/fhir/Appointment", method="POST").respond_with_data(body, status=422)
    with pytest.raises(Rejected) as raised:
        connect(odd).create(booking())
    assert (str(raised.value), raised.value.outcome_code) == ("HTTP 422 business-rule", "business-rule")
    assert "Robin" not in str(list(ApiCall.objects.values()))


def test_201_with_an_operation_outcome_and_a_location_is_booked(httpserver: HTTPServer, odd: Connection) -> None:
    headers = {"Location": f"{odd.base_url}/Appointment/77/_history/3", "ETag": 'W/"3"'}
    httpserver.expect_request("/fhir/Appointment", method="POST").respond_with_data(
        OUTCOME % ("informational", ""), status=201, headers=headers
    )
    assert connect(odd).create(booking()) == Stored("77", "3")


def test_503_to_a_write_is_unknown_and_its_patience_is_obeyed(httpserver: HTTPServer, odd: Connection) -> None:
    httpserver.expect_request("/fhir/Appointment", method="POST").respond_with_data(
        "", status=503, headers={"Retry-After": "30"}
    )
    with pytest.raises(OutcomeUnknown):
        connect(odd).create(booking())
    with pytest.raises(Throttled):
        connect(odd).find_booking(KEY, "patient-1", ehr.start_of(0))


def test_what_is_sent_says_once_and_at_which_version(httpserver: HTTPServer, odd: Connection) -> None:
    sent: list[Request] = []

    def answer(request: Request) -> Response:
        sent.append(request)
        return Response('{"resourceType": "Appointment", "id": "77", "meta": {"versionId": "8"}}', status=200)

    httpserver.expect_request("/fhir/Appointment", method="POST").respond_with_handler(answer)
    httpserver.expect_request("/fhir/Appointment/77", method="PATCH").respond_with_handler(answer)
    gateway = connect(odd)
    gateway.create(booking())
    assert gateway.cancel("77", "7") == Stored("77", "8")
    create, patch = sent
    assert create.headers["If-None-Exist"] == f"identifier=urn%3Asooner%3Abooking%7C{KEY}"
    assert create.headers["Prefer"] == "return=representation"
    assert create.headers["Content-Type"] == "application/fhir+json"
    assert patch.headers["If-Match"] == 'W/"7"'
    assert patch.headers["Content-Type"] == "application/json-patch+json"


# --- what the patient has already -------------------------------------------------------------------------------------


def named(found: list[AppointmentRecord]) -> list[str]:
    return sorted(record.external_id for record in found)


def test_the_patients_appointments_that_take_up_some_of_the_time(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.load(
        ehr.booking("before", 0, provider="ben"),
        ehr.booking("first", 1, provider="ben"),
        ehr.booking("second", 2, status="arrived"),
        ehr.booking("after", 3),
        ehr.booking("given-up", 1, status="cancelled"),
        ehr.booking("did-not-come", 1, status="noshow"),
        ehr.booking("somebody-elses", 1, who="patient-2", provider="ben"),
    )
    found = gateway.appointments_of("patient-1", ehr.start_of(1), ehr.start_of(3))
    assert named(found) == ["first", "second"]
    assert named(gateway.appointments_of("patient-1", ehr.start_of(4), ehr.start_of(5))) == []


def test_a_server_that_ignores_the_patient_names_nobody_elses(httpserver: HTTPServer, odd: Connection) -> None:
    entries = [{"resource": ehr.booking(f"of-{number}", who=f"patient-{number}")} for number in (1, 2)]
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    httpserver.expect_request("/fhir/Appointment", method="GET").respond_with_json(bundle)
    found = connect(odd).appointments_of("patient-1", ehr.start_of(0), ehr.start_of(1))
    assert named(found) == ["of-1"]


# --- cancelling -------------------------------------------------------------------------------------------------------


def test_a_cancellation_keeps_everything_else_as_it_was(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    extra = {"extension": [{"url": "https://example.org/kept", "valueString": "kept"}], "comment": "kept"}
    sandbox.load(ehr.booking("b-1", 2, **extra))
    record = gateway.fetch("appointment", "b-1")
    stored = gateway.cancel("b-1", record.version)
    after = sandbox.appointments(_id="b-1")[0]
    assert (after["status"], after["comment"], after["extension"]) == ("cancelled", "kept", extra["extension"])
    assert after["cancelationReason"]["coding"][0]["code"] == "pat"
    assert after["meta"]["versionId"] == stored.version != record.version


def test_a_cancellation_of_an_older_version_is_stale(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.load(ehr.booking("b-1", 2))
    record = gateway.fetch("appointment", "b-1")
    moved = {"start": ehr.start_of(4).isoformat(), "end": ehr.start_of(5).isoformat()}
    sandbox.control.post("appointments/b-1/move", moved)
    with pytest.raises(StaleVersion):
        gateway.cancel("b-1", record.version)
    assert gateway.fetch("appointment", "b-1").status == "booked"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "error"),
    [(409, StaleVersion), (412, StaleVersion), (404, NotFound), (422, Rejected), (500, OutcomeUnknown)],
)
def test_what_an_answer_to_a_cancellation_means(
    httpserver: HTTPServer, odd: Connection, status: int, error: type[Exception]
) -> None:
    httpserver.expect_request("/fhir/Appointment/77", method="PATCH").respond_with_data("", status=status)
    with pytest.raises(error) as raised:
        connect(odd).cancel("77", "7")
    assert type(raised.value) is error


@pytest.mark.parametrize(("writes", "versioning"), [("update", "versioned"), ("patch", "no-version"), ("patch", None)])
def test_where_no_version_guards_the_call_what_it_has_become_is_read_first(
    httpserver: HTTPServer, odd: Connection, writes: str, versioning: str | None
) -> None:
    """Else the visit is cancelled whoever it is for by now, and whenever."""
    held = {**ehr.booking("77"), "meta": {"versionId": "8"}}
    method = {"update": "PUT", "patch": "PATCH"}[writes]
    declare(httpserver, odd, writes, versioning)
    httpserver.expect_request("/fhir/Appointment/77", method="GET").respond_with_json(held)
    httpserver.expect_request("/fhir/Appointment/77", method=method).respond_with_json(held)
    with pytest.raises(StaleVersion):
        connect(odd).cancel("77", "7")
    assert [request.method for request, _ in httpserver.log if request.path.endswith("/77")] == ["GET"]
    assert connect(odd).cancel("77", "8") == Stored("77", "8")
    assert httpserver.log[-1][0].headers["If-Match"] == 'W/"8"'


def declare(httpserver: HTTPServer, odd: Connection, writes: str, versioning: str | None) -> None:
    """Have the EHR declare how an appointment is changed there."""
    resource: dict[str, Any] = {"type": "Appointment", "interaction": [{"code": writes}], "versioning": versioning}
    statement = {"resourceType": "CapabilityStatement", "rest": [{"mode": "server", "resource": [resource]}]}
    Connection.objects.filter(pk=odd.pk).update(capabilities={})
    odd.refresh_from_db()
    httpserver.clear()
    httpserver.expect_request("/token").respond_with_json({"access_token": "token", "expires_in": 600})
    httpserver.expect_request("/fhir/metadata").respond_with_json(statement)


# --- finding a booking again ------------------------------------------------------------------------------------------


def test_a_server_that_ignores_the_search_does_not_lend_us_somebody_elses_booking(
    httpserver: HTTPServer, odd: Connection
) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": ehr.booking("other", who="patient-2")}],
    }
    httpserver.expect_request("/fhir/Appointment", method="GET").respond_with_json(bundle)
    gateway = connect(odd)
    assert gateway.find_by_identifier("urn:sooner:booking", KEY) is None
    assert gateway.find_booking(KEY, "patient-1", ehr.start_of(0)) is None


def test_the_patients_booking_at_exactly_this_start_is_found(sandbox: ehr.Sandbox, gateway: Gateway) -> None:
    sandbox.load(ehr.booking("b-1", 0), ehr.booking("b-2", 1), ehr.booking("b-3", 2, status="cancelled"))
    found = [gateway.find_booking(KEY, "patient-1", ehr.start_of(number)) for number in (0, 1, 2)]
    assert [each.external_id if each else None for each in found] == ["b-1", "b-2", None]
    assert gateway.find_booking(KEY, "patient-1", ehr.start_of(0) + timedelta(minutes=5)) is None
