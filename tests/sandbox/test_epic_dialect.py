"""Epic's form of Argonaut Scheduling: R4 to read, $find and $book by POST at STU3, absolute references."""

import pytest
import requests

from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import FhirClient, Json, issue_code

EPIC = "/interconnect/api/FHIR"
TIMES = [
    {"name": "startTime", "valueDateTime": "2026-03-05T00:00:00Z"},
    {"name": "endTime", "valueDateTime": "2026-03-06T00:00:00Z"},
]


@pytest.fixture
def settings_of_sandbox(settings_of_sandbox: SandboxSettings) -> SandboxSettings:
    settings_of_sandbox.dialect = "epic"
    return settings_of_sandbox


def operate(ehr: FhirClient, name: str, *parameters: Json) -> requests.Response:
    body = {"resourceType": "Parameters", "parameter": list(parameters)}
    return ehr.call("POST", f"{ehr.origin}{EPIC}/STU3/Appointment/${name}", json=body)


def proposed(answer: requests.Response) -> list[Json]:
    assert answer.status_code == 200, answer.text
    resources = [entry["resource"] for entry in answer.json()["entry"]]
    return [each for each in resources if each["resourceType"] == "Appointment"]


def identified(**values: str) -> list[Json]:
    return [{"name": name, "valueIdentifier": {"value": value}} for name, value in values.items()]


def test_records_are_read_at_r4_and_operations_are_not_there(ehr: FhirClient) -> None:
    assert ehr.get(f"{ehr.origin}{EPIC}/R4/Practitioner/chen").json()["id"] == "chen"
    assert ehr.get(f"{ehr.origin}{EPIC}/R4/metadata").json()["software"]["name"] == "Epic (sandbox)"
    assert ehr.get(f"{ehr.origin}{EPIC}/R4/Appointment/$find?start=2026-03-05&end=2026-03-06").status_code == 404


def test_operations_take_no_get_and_nothing_in_the_address(ehr: FhirClient) -> None:
    address = f"{ehr.origin}{EPIC}/STU3/Appointment/$find"
    assert ehr.get(address).status_code == 405
    body = {"resourceType": "Parameters", "parameter": TIMES}
    assert ehr.call("POST", f"{address}?practitioner=Practitioner/chen", json=body).status_code == 405
    assert ehr.get(f"{ehr.origin}{EPIC}/STU3/Patient").status_code == 404


def test_everybodys_times_at_the_place_are_proposed_with_absolute_references(ehr: FhirClient) -> None:
    place = {
        "name": "location-reference",
        "valueReference": {"reference": f"{ehr.origin}{EPIC}/STU3/Location/riverside"},
    }
    asked = {"name": "practitioner", "valueUri": "Practitioner/chen"}
    found = proposed(operate(ehr, "find", *TIMES, place, asked))
    actors = {each["actor"]["reference"] for one in found for each in one["participant"]}
    base = f"{ehr.origin}{EPIC}/STU3"
    people = {each for each in actors if each.startswith(f"{base}/Practitioner/")}
    assert f"{base}/Practitioner/chen" in people
    assert len(people) > 1
    assert actors - people == {f"{base}/Location/riverside"}


def test_a_proposal_is_booked_by_identifiers(ehr: FhirClient) -> None:
    wanted = proposed(operate(ehr, "find", *TIMES))[0]
    note = {"name": "appointmentNote", "valueString": "Window seat"}
    parameters = identified(patient="patient-050", appointment=wanted["id"])
    (booked,) = proposed(operate(ehr, "book", *parameters, note))
    assert (booked["status"], booked["comment"], booked["start"]) == ("booked", "Window seat", wanted["start"])
    assert ehr.get(f"Appointment/{booked['id']}").json()["status"] == "booked"


def test_a_booking_without_its_identifiers_is_refused(ehr: FhirClient) -> None:
    wanted = proposed(operate(ehr, "find", *TIMES))[0]
    by_argonauts_names = [
        {"name": "patient-id", "valueUri": "Patient/patient-050"},
        {"name": "appt-id", "valueUri": wanted["id"]},
    ]
    answer = operate(ehr, "book", *by_argonauts_names)
    assert (answer.status_code, issue_code(answer)) == (400, "required")
    assert operate(ehr, "find", TIMES[0]).status_code == 400
