"""Fewer scopes than asked for, tokens that wear out, and a server that publishes nothing about its logins."""

import pytest
import requests

from integrations.ehr.sandbox import scopes
from integrations.ehr.sandbox.server import SandboxServer
from tests.sandbox.client import CLIENT_ID, CLIENT_SECRET, FhirClient, appointment, issue_code


def ask(server: SandboxServer, scope: str = "") -> requests.Response:
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    return requests.post(f"{server.origin}/oauth/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET), timeout=10)


def test_what_may_not_be_granted_is_left_out_and_then_forbidden(server: SandboxServer, ehr: FhirClient) -> None:
    ehr.control("POST", "settings", {"granted_scopes": "system/Appointment.read system/Slot.rs"})
    answer = ask(server, "system/Appointment.read system/Appointment.write system/Patient.read")
    assert (answer.status_code, answer.json()["scope"]) == (200, "system/Appointment.read")
    slot = ehr.free_slots()[0]
    ehr.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    assert ehr.get("Appointment?_count=1").status_code == 200
    before = ehr.control("GET", "state").json()["resources"]["Appointment"]
    for refused in (ehr.get("Patient/patient-001"), ehr.create(appointment(slot)), ehr.get("Slot?_count=1")):
        assert (refused.status_code, issue_code(refused)) == (403, "forbidden")
    assert ehr.control("GET", "state").json()["resources"]["Appointment"] == before


def test_without_a_wish_all_that_may_be_granted_is(server: SandboxServer, ehr: FhirClient) -> None:
    ehr.control("POST", "settings", {"granted_scopes": "system/Appointment.read system/Slot.rs"})
    assert ask(server).json()["scope"] == "system/Appointment.read system/Slot.rs"
    nothing = ask(server, "system/Patient.read")
    assert (nothing.status_code, nothing.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("granted", "resource_type", "interaction", "allowed"),
    [
        ("system/*.read", "Slot", "search-type", True),
        ("system/*.read", "Slot", "update", False),
        ("system/Appointment.write", "Appointment", "create", True),
        ("system/Appointment.write", "Appointment", "read", False),
        ("system/Appointment.*", "Appointment", "patch", True),
        ("system/Appointment.cu", "Appointment", "patch", True),
        ("system/Appointment.cu", "Appointment", "delete", False),
        ("system/Appointment.rs", "Patient", "read", False),
        ("user/*.read", "Slot", "read", False),
        ("", "Slot", "read", False),
    ],
)
def test_scopes_of_both_versions(granted: str, resource_type: str, interaction: str, allowed: bool) -> None:
    assert scopes.allow(granted, resource_type, interaction) is allowed


def test_a_token_wears_out_after_so_many_requests(ehr: FhirClient) -> None:
    ehr.control("POST", "settings", {"token_requests": 2})
    ehr.log_in()
    answers = [ehr.get("Patient/patient-001") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 401]
    assert issue_code(answers[2]) == "expired"
    ehr.log_in()
    assert ehr.get("Patient/patient-001").status_code == 200


def test_it_wears_out_in_the_middle_of_a_search(ehr: FhirClient) -> None:
    ehr.control("POST", "settings", {"token_requests": 2})
    ehr.log_in()
    link = "Patient?_count=100"
    for _ in range(2):
        bundle = ehr.get(link).json()
        link = next(item["url"] for item in bundle["link"] if item["relation"] == "next")
    assert ehr.get(link).status_code == 401
    ehr.log_in()
    assert len(ehr.get(link).json()["entry"]) == 100


def test_discovery_can_be_absent_while_logins_work(server: SandboxServer, ehr: FhirClient) -> None:
    ehr.control("POST", "settings", {"is_discoverable": False})
    answer = requests.get(f"{server.base_url}/.well-known/smart-configuration", timeout=10)
    assert (answer.status_code, issue_code(answer)) == (404, "not-found")
    assert ask(server).status_code == 200


@pytest.mark.parametrize(
    "change", [{"token_requests": -1}, {"token_seconds": "1"}, {"is_discoverable": 1}, {"client_secret": "mine"}]
)
def test_a_setting_that_does_not_exist_or_fit_changes_nothing(ehr: FhirClient, change: dict[str, object]) -> None:
    answer = ehr.control("POST", "settings", {"token_seconds": 7} | change)
    assert (answer.status_code, issue_code(answer)) == (400, "invalid")
    assert ehr.control("POST", "settings", {}).json() == {
        "token_seconds": 300,
        "token_requests": None,
        "granted_scopes": "",
        "is_discoverable": True,
        "hold_seconds": 600,
        "rate_limit": None,
        "rate_window_seconds": 60,
        "retry_after_is_date": False,
        "gather_seconds": 0,
        "deletes_told": False,
    }
