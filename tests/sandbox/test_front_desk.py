"""The control API: what staff do in the EHR itself, and who may ask for it."""

import requests

from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import FhirClient, appointment, client_of, issue_code


def booked(ehr: FhirClient) -> tuple[str, str]:
    """Ids of an appointment and of its slot."""
    slot = ehr.free_slots()[0]
    return ehr.create(appointment(slot)).json()["id"], slot["id"]


def slot_status(ehr: FhirClient, slot: str) -> str:
    return str(ehr.get(f"Slot/{slot}").json()["status"])


def test_cancel_and_take_it_back(ehr: FhirClient) -> None:
    identity, slot = booked(ehr)
    cancelled = ehr.control(
        "POST", f"appointments/{identity}/cancel", {"reason_code": "pat-mv", "drop_slot": True}
    ).json()
    assert cancelled["status"] == "cancelled"
    assert cancelled["cancelationReason"]["coding"][0]["code"] == "pat-mv"
    assert "slot" not in cancelled
    assert slot_status(ehr, slot) == "free"
    back = ehr.control("POST", f"appointments/{identity}/uncancel").json()
    assert back["status"] == "booked"
    assert "cancelationReason" not in back
    assert slot_status(ehr, slot) == "busy"


def test_cancel_without_reason_and_with_the_slot_left_busy(ehr: FhirClient) -> None:
    identity, slot = booked(ehr)
    wish = {"reason_code": None, "free_slots": False}
    assert "cancelationReason" not in ehr.control("POST", f"appointments/{identity}/cancel", wish).json()
    assert slot_status(ehr, slot) == "busy"


def test_a_cancellation_is_not_taken_back_when_the_time_is_gone(ehr: FhirClient) -> None:
    identity, slot = booked(ehr)
    ehr.control("POST", f"appointments/{identity}/cancel")
    wish = {
        "patient": "patient-070",
        "practitioner": "chen",
        "location": "riverside",
        "slots": [slot],
        "type": "FOLLOWUP",
    }
    made = ehr.control("POST", "appointments", wish).json()
    assert made["appointmentType"]["coding"][0]["code"] == "FOLLOWUP"
    refused = ehr.control("POST", f"appointments/{identity}/uncancel")
    assert (refused.status_code, issue_code(refused)) == (409, "conflict")
    assert ehr.get(f"Appointment/{identity}").json()["status"] == "cancelled"


def test_move_to_another_time_and_provider(ehr: FhirClient) -> None:
    identity, slot = booked(ehr)
    target = ehr.free_slots("ortega")[5]
    wish = {"start": target["start"], "practitioner": "ortega"}
    moved = ehr.control("POST", f"appointments/{identity}/move", wish).json()
    assert moved["minutesDuration"] == 30
    assert (slot_status(ehr, slot), slot_status(ehr, target["id"])) == ("free", "busy")
    assert [item["id"] for item in ehr.all("Appointment?practitioner=ortega&status=booked&patient=patient-050")].count(
        identity
    ) == 1


def test_a_provider_goes_home(ehr: FhirClient) -> None:
    day = "date=ge2026-03-10T04:00:00Z&date=lt2026-03-11T04:00:00Z&practitioner=chen"
    before = {item["id"] for item in ehr.all(f"Appointment?{day}&status=booked,pending")}
    assert before
    result = ehr.control("POST", "providers/chen/out-today", {"date": "2026-03-10"}).json()
    assert set(result["cancelled"]) == before
    after = ehr.all(f"Appointment?{day}")
    assert {item["cancelationReason"]["coding"][0]["code"] for item in after if item["id"] in before} == {"prov-pers"}
    slots = ehr.all("Slot?start=ge2026-03-10T04:00:00Z&start=lt2026-03-11T04:00:00Z&schedule.actor=Practitioner/chen")
    assert len(slots) == 16
    assert {slot["status"] for slot in slots} == {"busy-unavailable"}


def test_the_calendar_of_a_local_day(ehr: FhirClient) -> None:
    day = ehr.control("GET", "calendar?date=2026-03-09&location=lakeview").json()
    assert day["location"] == {"id": "lakeview", "name": "Harbor Family Practice Lakeview", "zone": "America/Chicago"}
    starts = [item["start"] for item in day["appointments"]]
    assert starts == sorted(starts)
    assert all(start.startswith("2026-03-09") and start.endswith("-05:00") for start in starts)
    assert set(day["appointments"][0]) == {
        "id", "version", "status", "start", "end", "time", "patient", "practitioner", "type",
    }  # fmt: skip


def test_appointments_by_identifier(ehr: FhirClient) -> None:
    identifier = {"system": "https://waitlist.example.org/booking", "value": "B-7"}
    made = ehr.create(appointment(ehr.free_slots()[0], identifier=[identifier])).json()
    found = ehr.control("GET", f"appointments?identifier={identifier['system']}|B-7").json()
    assert found == {"total": 1, "appointments": [made]}


def test_reset_brings_the_clinic_back_and_keeps_subscriptions(ehr: FhirClient) -> None:
    channel = {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/"}
    subscription = {"resourceType": "Subscription", "status": "off", "reason": "tests", "criteria": "Appointment?"}
    assert ehr.create(subscription | {"channel": channel}).status_code == 201
    identity, slot = booked(ehr)
    latest = ehr.get(f"Appointment/{identity}").json()["meta"]["lastUpdated"]
    ehr.fault("500")
    state = ehr.control("POST", "reset").json()
    assert state["resources"]["Subscription"] == 1
    assert state["faults"] == []
    assert ehr.get(f"Appointment/{identity}").status_code == 404
    assert slot_status(ehr, slot) == "free"
    assert ehr.get("Location/riverside").json()["meta"]["lastUpdated"] > latest


def test_bulk_load_keeps_rules_and_subscribers_out(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    entries = [{"resource": appointment(slot) | {"id": f"bulk-{number}"}} for number in range(1000)]
    loaded = ehr.control("POST", "load", {"resourceType": "Bundle", "entry": entries})
    assert loaded.json() == {"loaded": 1000}
    assert ehr.get("Appointment/bulk-999").json()["start"] == slot["start"]
    assert slot_status(ehr, slot["id"]) == "free"


def test_the_log_has_no_tokens_and_no_search_values(ehr: FhirClient) -> None:
    ehr.get("Patient?birthdate=1991-11-02&_count=5")
    text = ehr.control("GET", "log").text
    last = ehr.control("GET", "log?limit=1").json()["requests"][0]
    assert last["parameters"] == {"birthdate": "", "_count": "5"}
    assert (last["method"], last["path"], last["status"]) == ("GET", "/fhir/Patient", 200)
    assert "1991-11-02" not in text
    assert str(ehr.session.headers["Authorization"]).removeprefix("Bearer ") not in text


def test_without_a_control_token_only_programs_on_this_machine_are_answered(ehr: FhirClient) -> None:
    url = f"{ehr.origin}/_sandbox/reset"
    for headers in ({"Origin": "http://evil.example.org"}, {"Host": "rebound.example.org"}):
        answer = requests.post(url, headers=headers, timeout=10)
        assert (answer.status_code, issue_code(answer)) == (403, "forbidden")
    assert ehr.control("GET", "state").status_code == 200


def test_with_a_control_token_it_is_needed(settings_of_sandbox: SandboxSettings) -> None:
    settings_of_sandbox.control_token = "control token"
    with SandboxServer(settings_of_sandbox) as server:
        ehr = client_of(server)
        refused = ehr.control("GET", "state")
        assert (refused.status_code, issue_code(refused)) == (403, "forbidden")
        headers = {"X-Sandbox-Control": "control token"}
        assert requests.get(f"{ehr.origin}/_sandbox/state", headers=headers, timeout=10).status_code == 200


def test_unknown_addresses_and_methods(ehr: FhirClient) -> None:
    assert ehr.control("GET", "nothing").status_code == 404
    wrong = ehr.control("DELETE", "state")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET")
