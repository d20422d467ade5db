"""Every payload other people wrote comes to a stated outcome, by webhook and by poll. Most of them: no opening."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_httpserver import HTTPServer

from integrations.ehr import poll
from integrations.ehr.gateway import (
    Duplicate,
    GatewayError,
    LoginRefused,
    OutcomeUnknown,
    Rejected,
    Taken,
    Throttled,
    connect,
)
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, Location, Opening, Patient, Provider, WorkItem
from tests import factories
from tests.integrations.ehr import signing
from tests.integrations.ehr.payload_ehr import PAYLOADS, PayloadEhr, as_page, needs_payloads, payload
from tests.integrations.ehr.test_answers_to_writes import booking

pytestmark = [pytest.mark.django_db, pytest.mark.long, needs_payloads]

OWN = Path(__file__).parents[2] / "payloads"

MIRRORED = ("done", "mirrored; no opening")
PATIENT = ("done", "patient brought up to date")
PROVIDER = ("done", "provider brought up to date")
LOCATION = ("done", "location brought up to date")
SLOT = ("done", "no opening rests on this slot")
SCHEDULE = ("ignored", "schedules are asked for when time is looked up")
CALL = ("ignored", "a message about a call, not about an appointment")
CAPABILITIES = ("ignored", "capabilities are asked for once a day")
NEVER_HAD = ("done", "the EHR no longer has it, and we never had it")
NOT_FOUND = ("done", "the EHR has no appointment with this identifier")

#: What a poll comes to: entries read, of these quarantined, and whether the cursor moved.
NOT_AN_APPOINTMENT = (0, 1, True)
READ = (1, 0, True)
NOTHING = (0, 0, True)
BROKEN_OFF = (0, 0, False)

#: file: (events by webhook with their outcomes, appointments mirrored by it, what a poll that returns it comes to)
TABLE: dict[str, tuple[list[tuple[str, str]], int, tuple[int, int, bool]]] = {
    "fhir-r4/Appointment-2docs.json": ([MIRRORED], 1, READ),
    "fhir-r4/Appointment-example.json": ([MIRRORED], 1, READ),
    "fhir-r4/Appointment-examplereq.json": ([MIRRORED], 1, READ),
    # An answer to an invitation names its appointment, which is fetched.
    "fhir-r4/AppointmentResponse-example.json": ([MIRRORED], 1, NOT_AN_APPOINTMENT),
    "fhir-r4/AppointmentResponse-exampleresp.json": ([MIRRORED], 1, NOT_AN_APPOINTMENT),
    "fhir-r4/Bundle-bundle-search-warning.json": ([CALL], 0, NOTHING),
    "fhir-r4/CapabilityStatement-base.json": ([CAPABILITIES], 0, NOT_AN_APPOINTMENT),
    "fhir-r4/CapabilityStatement-example.json": ([CAPABILITIES], 0, NOT_AN_APPOINTMENT),
    "fhir-r4/HealthcareService-example.json": (
        [("ignored", "not about an appointment or a patient")],
        0,
        NOT_AN_APPOINTMENT,
    ),
    **{
        f"fhir-r4/Location-{each}.json": ([LOCATION], 0, NOT_AN_APPOINTMENT)
        for each in ("1", "2", "amb", "hl7", "ph", "ukp")
    },
    # An outcome is no search result, whatever its severity: nothing is concluded from it.
    **{
        f"fhir-r4/OperationOutcome-{each}.json": ([CALL], 0, BROKEN_OFF)
        for each in ("101", "allok", "break-the-glass", "exception", "searchfail", "validationfail")
    },
    **{
        f"fhir-r4/Patient-{each}.json": ([PATIENT], 0, NOT_AN_APPOINTMENT)
        for each in (
            "animal",
            "ch-example",
            "dicom",
            "example",
            "f001",
            "glossy",
            "infant-twin-1",
            "mom",
            "newborn",
            "pat1",
            "pat2",
            "pat3",
            "pat4",
        )
    },
    **{
        f"fhir-r4/Practitioner-{each}.json": ([PROVIDER], 0, NOT_AN_APPOINTMENT)
        for each in ("example", "f001", "f002", "f003", "f201")
    },
    "fhir-r4/PractitionerRole-example.json": (
        [("ignored", "roles are asked for when an appointment names one")],
        0,
        NOT_AN_APPOINTMENT,
    ),
    **{
        f"fhir-r4/Schedule-{each}.json": ([SCHEDULE], 0, NOT_AN_APPOINTMENT)
        for each in ("example", "exampleloc1", "exampleloc2")
    },
    **{f"fhir-r4/Slot-{each}.json": ([SLOT], 0, NOT_AN_APPOINTMENT) for each in ("1", "2", "3", "example")},
    "fhir-r4/Subscription-example.json": ([("ignored", "the subscription is in order")], 0, NOT_AN_APPOINTMENT),
    "fhir-r4/Subscription-example-error.json": (
        [("done", "the EHR's subscription has ended; staff were asked")],
        0,
        NOT_AN_APPOINTMENT,
    ),
    # Their participants are named by urn:uuid, which leads nowhere: mirrored without a patient.
    "nhs-bars/appointment_GET-success.json": (
        [("done", "divided into 2 events"), NEVER_HAD, NEVER_HAD],
        0,
        (2, 0, True),
    ),
    # A PATCH body is half an appointment: by webhook it is fetched whole, in a page it is set aside.
    "nhs-bars/appointment_PATCH-body.json": ([NEVER_HAD], 0, READ),
    "nhs-bars/slots_GET-success.json": (
        [
            ("done", "divided into 5 events"),
            SLOT,
            SLOT,
            SLOT,
            ("done", "the EHR no longer has this provider"),
            ("done", "the EHR no longer has this location"),
        ],
        0,
        (0, 8, True),
    ),
    "nhs-bars/conflict.json": ([CALL], 0, BROKEN_OFF),
    **{
        f"nhs-bars/OperationOutcome_{each}.json": ([CALL], 0, BROKEN_OFF)
        for each in (
            "REC_409-REC_CONFLICT-conflict",
            "REC_409-REC_CONFLICT-duplicate",
            "REC_422-REC_UNPROCESSABLE_ENTITY-too-costly",
            "REC_500-REC_SERVER_ERROR-transient",
            "REC_503-REC_SERVICE_UNAVAILABLE-transient",
            "SEND_401-SEND_UNAUTHORIZED-expired",
            "SEND_429-SEND_TOO_MANY_REQUESTS-throttled",
        )
    },
    # Named by an identifier alone. A notification in the place of a search result is none.
    "athena/appointment-schedule-notification.json": ([NOT_FOUND], 0, BROKEN_OFF),
    "athena/notification-bundle.json": ([NOT_FOUND], 0, BROKEN_OFF),
}  # fmt: skip

#: The HTTP status each outcome of the NHS travels with, and what it means in answer to a booking.
ANSWERS: dict[str, tuple[int, type[GatewayError]]] = {
    "nhs-bars/conflict.json": (409, Duplicate),
    "nhs-bars/OperationOutcome_REC_409-REC_CONFLICT-conflict.json": (409, Taken),
    "nhs-bars/OperationOutcome_REC_409-REC_CONFLICT-duplicate.json": (409, Duplicate),
    "nhs-bars/OperationOutcome_REC_422-REC_UNPROCESSABLE_ENTITY-too-costly.json": (422, Rejected),
    "nhs-bars/OperationOutcome_REC_500-REC_SERVER_ERROR-transient.json": (500, OutcomeUnknown),
    "nhs-bars/OperationOutcome_REC_503-REC_SERVICE_UNAVAILABLE-transient.json": (503, OutcomeUnknown),
    "nhs-bars/OperationOutcome_SEND_401-SEND_UNAUTHORIZED-expired.json": (401, LoginRefused),
    "nhs-bars/OperationOutcome_SEND_429-SEND_TOO_MANY_REQUESTS-throttled.json": (429, Throttled),
}


@pytest.fixture
def ehr(httpserver: HTTPServer) -> PayloadEhr:
    factories.practice()
    return PayloadEhr(httpserver)


def outcomes() -> list[tuple[str, str]]:
    return list(InboundEvent.objects.order_by("pk").values_list("status", "outcome"))


def test_no_payload_is_left_out() -> None:
    present = {
        str(path.relative_to(PAYLOADS))
        for kind in ("fhir-r4", "nhs-bars", "athena")
        for path in (PAYLOADS / kind).glob("*")
    }
    assert set(TABLE) == present


@pytest.mark.parametrize("name", TABLE)
def test_by_webhook(ehr: PayloadEhr, work_inbox: Callable[[], int], name: str) -> None:
    connection = ehr.connect()
    assert signing.send(connection, payload(name)).status_code == 200
    work_inbox()
    expected, mirrored, _ = TABLE[name]
    assert outcomes() == expected
    assert Appointment.objects.count() == mirrored
    assert not Opening.objects.exists()


@pytest.mark.parametrize("name", TABLE)
def test_by_poll(ehr: PayloadEhr, work_inbox: Callable[[], int], name: str) -> None:
    connection = ehr.connect()
    ehr.page = payload(name) if "OperationOutcome" in name or "conflict" in name else as_page(payload(name))
    ehr.page_status = ANSWERS.get(name, (200, None))[0]
    found = poll.poll(connection.pk)
    work_inbox()
    read, quarantined, moved = TABLE[name][2]
    assert (found.seen, found.quarantined) == (read, quarantined) if found else (read, quarantined) == (0, 0)
    after = Connection.objects.get(pk=connection.pk)
    assert after.cursor is not None
    assert connection.cursor is not None
    assert (found is not None) is moved
    assert moved or after.cursor == connection.cursor
    assert (
        WorkItem.objects.filter(kind="event.unreadable").count()
        == InboundEvent.objects.filter(status="quarantined").count()
    )
    assert not Opening.objects.exists()


@pytest.mark.parametrize("name", ANSWERS)
def test_an_outcome_of_the_nhs_in_answer_to_a_booking(ehr: PayloadEhr, httpserver: HTTPServer, name: str) -> None:
    status, error = ANSWERS[name]
    httpserver.expect_request("/fhir/Appointment", method="POST").respond_with_data(payload(name), status=status)
    with pytest.raises(error) as raised:
        connect(ehr.connect()).create(booking())
    assert type(raised.value) is error


@pytest.mark.parametrize("name", ["appointment-schedule-notification", "notification-bundle"])
def test_an_identifier_in_a_notification_is_looked_up(
    ehr: PayloadEhr, work_inbox: Callable[[], int], name: str
) -> None:
    system, value = {
        "appointment-schedule-notification": ("urn:athenahealth:athenanet:appointment:195900", "2"),
        "notification-bundle": ("urn:athenahealth:athenanet:api:appointments:195900", "1"),
    }[name]
    appointment = json.loads((OWN / "appointment-booked.json").read_bytes())
    ehr.by_identifier = [{**appointment, "identifier": [{"system": system, "value": value}]}]
    connection = ehr.connect()
    signing.send(connection, payload(f"athena/{name}.json"))
    work_inbox()
    assert outcomes() == [MIRRORED]
    assert Appointment.objects.get().status == "booked"
    again = signing.send(connection, payload(f"athena/{name}.json"))
    assert again.json() == {"status": "known"}  # at-least-once delivery, replayed for up to seven days


#: Our own copies, for the forms that the others lack.
OWN_TABLE: dict[str, list[tuple[str, str]]] = {
    "appointment-booked.json": [MIRRORED],
    "appointment-cancelled-without-slot.json": [MIRRORED],  # what is fetched counts: it is still booked there
    "topic-handshake.json": [("ignored", "a handshake")],
    "topic-heartbeat.json": [("ignored", "a heartbeat")],
    "topic-empty.json": [("done", "it names nothing; the EHR is polled")],
    "topic-id-only.json": [MIRRORED],
    "topic-full-resource.json": [MIRRORED],
    "topic-as-parameters.json": [MIRRORED],
    "topic-two-appointments.json": [("done", "divided into 2 events"), MIRRORED, MIRRORED],
    "history-with-deletion.json": [MIRRORED],  # not believed: the EHR still has it
    "collection-with-bad-entry.json": [MIRRORED],
    "no-resource.json": [("quarantined", "it is not a FHIR resource")],
    "appointment-without-id.json": [("quarantined", "it has no usable id")],
}


@pytest.mark.parametrize("name", OWN_TABLE)
def test_other_forms_by_webhook(ehr: PayloadEhr, work_inbox: Callable[[], int], name: str) -> None:
    ehr.add(json.loads((OWN / "appointment-booked.json").read_bytes()))
    connection = ehr.connect()
    assert signing.send(connection, (OWN / name).read_bytes()).status_code == 200
    work_inbox()
    assert outcomes() == OWN_TABLE[name]
    assert not Opening.objects.exists()


@pytest.mark.parametrize(
    ("name", "status", "openings"),
    [
        ("appointment-cancelled-without-slot.json", "cancelled", 1),
        ("appointment-provider-cancelled.json", "cancelled", 0),
        ("appointment-noshow.json", "noshow", 0),
    ],
)
@pytest.mark.parametrize("via", ["webhook", "poll"])
def test_what_frees_time(
    ehr: PayloadEhr, work_inbox: Callable[[], int], name: str, status: str, openings: int, via: str
) -> None:
    from integrations import mapping
    from integrations.mapping import Domain

    connection = ehr.connect()
    factories.appointment_type(code="follow-up")
    mapping.map_code(connection, Domain.TYPE, "http://terminology.hl7.org/CodeSystem/v2-0276", "FOLLOWUP", "follow-up")
    for each in ("appointment-booked.json", name):
        body = (OWN / each).read_bytes()
        ehr.add(json.loads(body))
        if via == "webhook":
            signing.send(connection, body)
        else:
            ehr.page = as_page(body)
            assert poll.poll(connection.pk) is not None
        work_inbox()
    assert Appointment.objects.get().status == status
    assert Opening.objects.count() == openings
    expected = f"mirror brought up to date; {'1 opening' if openings else 'no opening'}"
    assert outcomes()[-1] == ("done", expected)


def test_what_the_official_appointments_are_read_as(ehr: PayloadEhr, work_inbox: Callable[[], int]) -> None:
    connection = ehr.connect()
    for name in ("example", "2docs", "examplereq"):
        signing.send(connection, payload(f"fhir-r4/Appointment-{name}.json"))
    work_inbox()
    read = {
        row.externals: (
            row.status,
            row.start and row.start.isoformat(),
            row.type_code,
            row.provider_id,
            row.location_id,
        )
        for row in _named(connection)
    }
    careful, wing = Provider.objects.get().pk, Location.objects.get().pk
    assert read == {
        "example": ("booked", "2013-12-10T09:00:00+00:00", "FOLLOWUP", careful, wing),
        "2docs": ("booked", "2013-12-09T09:00:00+00:00", "WALKIN", careful, None),
        "examplereq": ("proposed", None, "WALKIN", None, wing),
    }
    patient = Patient.objects.get()
    assert (patient.given_name, patient.family_name, patient.preferred_name) == ("Peter James", "Chalmers", "Jim")


def _named(connection: Connection) -> list[Appointment]:
    from scheduling.models import ExternalId

    rows = []
    for external in ExternalId.objects.filter(source=connection.source, kind="appointment"):
        row = Appointment.objects.get(pk=external.object_id)
        row.externals = external.value  # type: ignore[attr-defined]
        rows.append(row)
    return rows


def test_a_bundle_that_was_divided_is_done_only_when_each_part_is(
    ehr: PayloadEhr, work_inbox: Callable[[], int]
) -> None:
    ehr.add(json.loads((OWN / "appointment-booked.json").read_bytes()))
    connection = ehr.connect()
    signing.send(connection, (OWN / "topic-two-appointments.json").read_bytes())
    work_inbox()
    assert sorted(InboundEvent.objects.values_list("subject_key", flat=True)) == [
        "",
        "Appointment/example",
        "Appointment/future",
    ]
    assert timezone.now() >= InboundEvent.objects.latest("pk").received_at
