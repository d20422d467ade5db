"""OAuth2 client credentials, and what happens without a token."""

import requests

from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import CLIENT_ID, CLIENT_SECRET, FhirClient, client_of, issue_code

GRANT = {"grant_type": "client_credentials"}


def test_the_token_endpoint_is_found_by_discovery(server: SandboxServer) -> None:
    found = requests.get(f"{server.base_url}/.well-known/smart-configuration", timeout=10).json()
    assert found["token_endpoint"] == f"{server.origin}/oauth/token"
    assert found["grant_types_supported"] == ["client_credentials"]


def test_secret_in_the_form_and_by_basic_authentication(server: SandboxServer) -> None:
    url = f"{server.origin}/oauth/token"
    by_form = requests.post(url, data=GRANT | {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}, timeout=10)
    by_basic = requests.post(url, data=GRANT, auth=(CLIENT_ID, CLIENT_SECRET), timeout=10)
    for answer in (by_form, by_basic):
        assert answer.status_code == 200
        assert answer.json()["token_type"] == "Bearer"
        assert answer.json()["expires_in"] == 300
        assert answer.headers["Cache-Control"] == "no-store"


def test_wrong_secret_and_wrong_grant(server: SandboxServer) -> None:
    url = f"{server.origin}/oauth/token"
    wrong = requests.post(url, data=GRANT, auth=(CLIENT_ID, "guess"), timeout=10)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    grant = requests.post(url, data={"grant_type": "password"}, auth=(CLIENT_ID, CLIENT_SECRET), timeout=10)
    assert (grant.status_code, grant.json()["error"]) == (400, "unsupported_grant_type")


def test_metadata_is_open_and_the_rest_is_not(server: SandboxServer) -> None:
    assert requests.get(f"{server.base_url}/metadata", timeout=10).status_code == 200
    answer = requests.get(f"{server.base_url}/Patient/patient-001", timeout=10)
    assert (answer.status_code, issue_code(answer)) == (401, "login")
    assert "Bearer" in answer.headers["WWW-Authenticate"]


def test_an_expired_token_is_called_expired(ehr: FhirClient) -> None:
    ehr.control("POST", "settings", {"token_seconds": 0})
    ehr.log_in()
    answer = ehr.get("Patient/patient-001")
    assert (answer.status_code, issue_code(answer)) == (401, "expired")


def test_a_restart_forgets_tokens_and_nothing_else(settings_of_sandbox: SandboxSettings) -> None:
    with SandboxServer(settings_of_sandbox) as first:
        client = client_of(first)
        client.patch("Patient/patient-001", [{"op": "replace", "path": "/active", "value": False}])
        settings_of_sandbox.port = first.port
    with SandboxServer(settings_of_sandbox):
        refused = client.get("Patient/patient-001")
        assert (refused.status_code, issue_code(refused)) == (401, "login")
        client.log_in()
        patient = client.get("Patient/patient-001").json()
        assert (patient["active"], patient["meta"]["versionId"]) == (False, "2")


def test_the_capability_statement_declares_what_is_there(ehr: FhirClient) -> None:
    statement = ehr.get("metadata").json()
    resources = {resource["type"]: resource for resource in statement["rest"][0]["resource"]}
    assert set(resources) == {
        "Patient", "Practitioner", "PractitionerRole", "Location", "Schedule", "Slot", "Appointment", "Subscription",
        "Organization", "Coverage",
    }  # fmt: skip
    assert resources["Appointment"]["conditionalCreate"] is True
    assert resources["Appointment"]["versioning"] == "versioned-update"
    for resource_type, resource in resources.items():
        for parameter in resource["searchParam"]:
            value = "ge2020-01-01" if parameter["type"] == "date" else "x"
            answer = ehr.get(f"{resource_type}?{parameter['name']}={value}", headers={"Prefer": "handling=strict"})
            assert answer.status_code == 200, parameter
