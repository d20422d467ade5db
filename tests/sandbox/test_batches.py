"""Several reads and searches in one request, where a server takes them."""

import pytest
import requests

from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import FhirClient, Json, appointment, client_of, issue_code


def batch(*requests_: Json, kind: str = "batch") -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"request": each} for each in requests_]}


def get(url: str) -> Json:
    return {"method": "GET", "url": url}


def test_each_entry_has_its_answer_in_its_place(ehr: FhirClient) -> None:
    asked = batch(get("Patient/patient-001"), get("Patient/nobody"), get("Patient?_id=patient-002"), get("Nothing/1"))
    answer = ehr.call("POST", "", json=asked)
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "batch-response")
    found, missing, searched, unknown = bundle["entry"]
    assert found["resource"] == ehr.get("Patient/patient-001").json()
    assert found["response"] == {"status": "200", "etag": 'W/"1"'}
    assert (missing["response"]["status"], missing["response"]["outcome"]["issue"][0]["code"]) == ("404", "not-found")
    assert [entry["resource"]["id"] for entry in searched["resource"]["entry"]] == ["patient-002"]
    assert unknown["response"]["status"] == "404"


def test_writes_in_a_batch_are_refused_and_have_no_effect(ehr: FhirClient) -> None:
    before = ehr.control("GET", "state").json()["resources"]["Appointment"]
    asked = batch({"method": "POST", "url": "Appointment"}, get("Patient/patient-001"))
    asked["entry"][0]["resource"] = appointment(ehr.free_slots()[0])
    refused, read = ehr.call("POST", "", json=asked).json()["entry"]
    assert (refused["response"]["status"], read["response"]["status"]) == ("405", "200")
    assert ehr.control("GET", "state").json()["resources"]["Appointment"] == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (batch(kind="transaction"), 400, "invalid"),
        ({"resourceType": "Patient"}, 400, "invalid"),
        ({"resourceType": "Bundle", "type": "batch", "entry": {}}, 400, "structure"),
        (batch(*[get("Patient/patient-001")] * 101), 413, "too-costly"),
    ],
)
def test_what_is_no_batch_of_a_sane_size_is_refused(ehr: FhirClient, body: Json, status: int, code: str) -> None:
    answer = ehr.call("POST", "", json=body)
    assert (answer.status_code, issue_code(answer)) == (status, code)


def test_a_batch_needs_a_token(server: SandboxServer) -> None:
    answer = requests.post(f"{server.base_url}/", json=batch(get("Patient/patient-001")), timeout=10)
    assert answer.status_code == 401


def test_it_is_declared_where_it_is_taken_and_refused_elsewhere(settings_of_sandbox: SandboxSettings) -> None:
    for dialect, interactions, status in (("plain", [{"code": "batch"}], 200), ("oracle", None, 404)):
        settings_of_sandbox.dialect = dialect
        with SandboxServer(settings_of_sandbox) as server:
            ehr = client_of(server)
            assert ehr.get("metadata").json()["rest"][0].get("interaction") == interactions
            assert ehr.call("POST", "", json=batch(get("Patient/patient-001"))).status_code == status
