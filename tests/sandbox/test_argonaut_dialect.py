"""Argonaut's scheduling: open times are found, held for a while and booked; nothing is created or changed otherwise."""

import threading
import time
from email.utils import parsedate_to_datetime

import pytest
import requests

from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import FhirClient, Json, appointment, client_of, issue_code

DAY = "start=2026-03-05T00:00:00Z&end=2026-03-06T00:00:00Z"


@pytest.fixture
def settings_of_sandbox(settings_of_sandbox: SandboxSettings) -> SandboxSettings:
    settings_of_sandbox.dialect = "argonaut"
    return settings_of_sandbox


def parts(answer: requests.Response) -> tuple[list[Json], Json]:
    """The appointments of a bundle, and the OperationOutcome among them."""
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    resources = [entry["resource"] for entry in bundle["entry"]]
    (outcome,) = [each for each in resources if each["resourceType"] == "OperationOutcome"]
    found = [each for each in resources if each["resourceType"] == "Appointment"]
    assert bundle["total"] == len(found)
    return found, outcome


def find(ehr: FhirClient, query: str = f"{DAY}&practitioner=Practitioner/chen") -> list[Json]:
    return parts(ehr.get(f"Appointment/$find?{query}"))[0]


def operate(ehr: FhirClient, name: str, path: str = "Appointment", **values: str) -> requests.Response:
    named = [{"name": each.replace("_", "-"), "valueUri": value} for each, value in values.items()]
    return ehr.call("POST", f"{path}/${name}", json={"resourceType": "Parameters", "parameter": named})


def slot_status(ehr: FhirClient, wanted: Json) -> set[str]:
    return {ehr.get(slot["reference"]).json()["status"] for slot in wanted["slot"]}


def test_open_times_are_proposed_with_an_outcome_among_them(ehr: FhirClient) -> None:
    answer = ehr.get(f"Appointment/$find?{DAY}&practitioner=Practitioner/chen")
    found, outcome = parts(answer)
    free = ehr.all(
        "Slot?status=free&schedule.actor=Practitioner/chen&_sort=start"
        "&start=ge2026-03-05T00:00:00Z&start=lt2026-03-06T00:00:00Z"
    )
    assert [each["start"] for each in found] == [each["start"] for each in free]
    assert {each["status"] for each in found} == {"proposed"}
    assert [each["actor"]["reference"] for each in found[0]["participant"]] == [
        "Practitioner/chen",
        "Location/riverside",
    ]
    assert answer.json()["entry"][1]["resource"] == outcome
    assert outcome["issue"][0]["severity"] == "information"
    assert slot_status(ehr, found[0]) == {"free"}


def test_it_can_be_asked_by_post_and_by_other_names(ehr: FhirClient) -> None:
    parameters = [
        {"name": "start", "valueDateTime": "2026-03-05"},
        {"name": "end", "valueDateTime": "2026-03-05"},
        {"name": "provider", "valueUri": "Practitioner/chen"},
        {"name": "location-reference", "valueUri": "Location/riverside"},
    ]
    answer = ehr.call("POST", "Appointment/$find", json={"resourceType": "Parameters", "parameter": parameters})
    assert parts(answer)[0] == find(ehr)
    assert find(ehr, f"{DAY}&practitioner=chen&location=lakeview") == []


def test_a_visit_type_takes_as_many_slots_as_it_lasts(ehr: FhirClient) -> None:
    found = find(ehr, "start=2026-03-05&end=2026-03-20&practitioner=chen&visit-type=any|NEWPATIENT")
    assert {each["minutesDuration"] for each in found} == {60}
    assert {len(each["slot"]) for each in found} == {2}
    assert found[0]["appointmentType"]["coding"][0]["code"] == "NEWPATIENT"
    assert find(ehr, "start=2026-03-05&end=2026-03-20&practitioner=chen&visit-type=any|PROCEDURE") == []


@pytest.mark.parametrize(
    "query", ["", "start=2026-03-05", "end=2026-03-05", "start=soon&end=2026-03-05", f"{DAY}&_count=x"]
)
def test_a_find_that_cannot_be_done_is_400(ehr: FhirClient, query: str) -> None:
    assert ehr.get(f"Appointment/$find?{query}").status_code == 400


def test_fewer_than_there_are_and_parameters_not_looked_at_are_said(ehr: FhirClient) -> None:
    found, outcome = parts(ehr.get(f"Appointment/$find?{DAY}&practitioner=chen&_count=2"))
    assert (len(found), outcome["issue"][0]["code"]) == (2, "too-costly")
    _, outcome = parts(ehr.get(f"Appointment/$find?{DAY}&practitioner=chen&specialty=x"))
    assert (outcome["issue"][0]["severity"], outcome["issue"][0]["code"]) == ("warning", "not-supported")


def test_found_held_and_booked(ehr: FhirClient) -> None:
    wanted = find(ehr)[0]
    held = operate(ehr, "hold", appt_id=f"Appointment/{wanted['id']}")
    (pending,), _ = parts(held)
    assert (pending["status"], slot_status(ehr, wanted)) == ("pending", {"busy"})
    until = parsedate_to_datetime(held.headers["Expires"]).timestamp()
    assert 500 <= until - time.time() <= 601
    assert wanted["id"] not in [each["id"] for each in find(ehr)]
    (booked,), _ = parts(operate(ehr, "book", appt_id=pending["id"], patient_id="Patient/patient-050", comment="Hi"))
    assert (booked["id"], booked["status"], booked["comment"]) == (pending["id"], "booked", "Hi")
    assert [(each["actor"]["reference"], each["status"]) for each in booked["participant"]] == [
        ("Patient/patient-050", "accepted"),
        ("Practitioner/chen", "accepted"),
        ("Location/riverside", "accepted"),
    ]
    assert ehr.get(f"Appointment/{booked['id']}").json() == booked


def test_booked_without_a_hold_and_at_the_instance(ehr: FhirClient) -> None:
    wanted = find(ehr)[0]
    (booked,), _ = parts(operate(ehr, "book", f"Appointment/{wanted['id']}", patient_id="Patient/patient-050"))
    assert (booked["status"], booked["start"], slot_status(ehr, wanted)) == ("booked", wanted["start"], {"busy"})
    assert booked["id"] != wanted["id"]
    query = f"Appointment?patient=patient-050&date={wanted['start']}"
    assert [each["id"] for each in ehr.all(query)] == [booked["id"]]


def test_an_appointment_of_ones_own_can_be_booked_in_open_slots(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    identifier = {"system": "https://waitlist.example.org/booking", "value": "B-1"}
    own = appointment(slot, identifier=[identifier]) | {"status": "proposed"}
    body = {"resourceType": "Parameters", "parameter": [{"name": "appt-resource", "resource": own}]}
    (booked,), _ = parts(ehr.call("POST", "Appointment/$book", json=body))
    assert (booked["status"], booked["identifier"]) == ("booked", [identifier])
    assert ehr.get(f"Slot/{slot['id']}").json()["status"] == "busy"


def test_a_refusal_is_200_with_the_appointment_cancelled_and_nothing_stored(ehr: FhirClient) -> None:
    wanted = find(ehr)[0]
    operate(ehr, "book", appt_id=wanted["id"], patient_id="Patient/patient-050")
    before = ehr.control("GET", "state").json()["resources"]["Appointment"]
    for again in (
        operate(ehr, "book", appt_id=wanted["id"], patient_id="Patient/patient-060"),
        operate(ehr, "hold", appt_id=wanted["id"]),
    ):
        (refused,), outcome = parts(again)
        assert refused["status"] == "cancelled"
        assert (outcome["issue"][0]["severity"], outcome["issue"][0]["code"]) == ("error", "conflict")
    assert ehr.control("GET", "state").json()["resources"]["Appointment"] == before


def test_a_hold_keeps_others_away(ehr: FhirClient) -> None:
    wanted = find(ehr)[0]
    operate(ehr, "hold", appt_id=wanted["id"])
    (second,), _ = parts(operate(ehr, "hold", appt_id=wanted["id"]))
    assert (second["status"], slot_status(ehr, wanted)) == ("cancelled", {"busy"})


def test_a_hold_ends_by_itself_and_the_time_is_open_again(ehr: FhirClient) -> None:
    ehr.control("POST", "settings", {"hold_seconds": 0})
    wanted = find(ehr)[0]
    (pending,), _ = parts(operate(ehr, "hold", appt_id=wanted["id"]))
    assert ehr.get(f"Appointment/{pending['id']}").json()["status"] == "cancelled"
    assert slot_status(ehr, wanted) == {"free"}
    late = operate(ehr, "book", appt_id=pending["id"], patient_id="Patient/patient-050")
    assert (late.status_code, issue_code(late)) == (422, "business-rule")
    (booked,), _ = parts(operate(ehr, "book", appt_id=wanted["id"], patient_id="Patient/patient-050"))
    assert booked["status"] == "booked"


def test_a_booked_hold_does_not_end(server: SandboxServer, ehr: FhirClient) -> None:
    (pending,), _ = parts(operate(ehr, "hold", appt_id=find(ehr)[0]["id"]))
    operate(ehr, "book", appt_id=pending["id"], patient_id="Patient/patient-050")
    with server.application.store.writing() as transaction:
        transaction.connection.execute("UPDATE holds SET expires_ms = 0")
    assert ehr.get(f"Appointment/{pending['id']}").json()["status"] == "booked"


def test_of_ten_who_book_at_once_one_wins(server: SandboxServer, ehr: FhirClient) -> None:
    wanted = find(ehr)[0]
    together = threading.Barrier(10)
    statuses: list[str] = []

    def book(number: int) -> None:
        client = client_of(server)
        together.wait()
        answer = operate(client, "book", appt_id=wanted["id"], patient_id=f"Patient/patient-{100 + number}")
        statuses.append(parts(answer)[0][0]["status"])

    threads = [threading.Thread(target=book, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == ["booked"] + ["cancelled"] * 9


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"patient_id": "Patient/patient-050"}, 400),
        ({"appt_id": "nothing", "patient_id": "Patient/patient-050"}, 404),
        ({"appt_id": "found"}, 422),
        ({"appt_id": "found", "patient_id": "Practitioner/chen"}, 422),
        ({"appt_id": "found", "patient_id": "Patient/nobody"}, 422),
    ],
)
def test_a_booking_that_lacks_something_takes_nothing(ehr: FhirClient, values: Json, status: int) -> None:
    wanted = find(ehr)[0]
    given = {name: wanted["id"] if value == "found" else value for name, value in values.items()}
    assert operate(ehr, "book", **given).status_code == status
    assert slot_status(ehr, wanted) == {"free"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_created_changed_or_deleted(ehr: FhirClient, method: str) -> None:
    (booked,), _ = parts(operate(ehr, "book", appt_id=find(ehr)[0]["id"], patient_id="Patient/patient-050"))
    path = "Appointment" if method == "POST" else f"Appointment/{booked['id']}"
    answer = ehr.call(method, path, json=booked)
    assert (answer.status_code, issue_code(answer)) == (405, "not-supported")
    assert ehr.get(f"Appointment/{booked['id']}").json() == booked


def test_hold_and_book_are_by_post_only(ehr: FhirClient) -> None:
    wanted = find(ehr)[0]
    for name in ("hold", "book"):
        answer = ehr.get(f"Appointment/${name}?appt-id={wanted['id']}&patient-id=Patient/patient-050")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert slot_status(ehr, wanted) == {"free"}


def test_the_capability_statement_says_so(ehr: FhirClient) -> None:
    statement = ehr.get("metadata").json()
    by_type = {each["type"]: each for each in statement["rest"][0]["resource"]}
    assert "Subscription" not in by_type
    assert [each["name"] for each in by_type["Appointment"]["operation"]] == ["find", "hold", "book"]
    assert [each["code"] for each in by_type["Appointment"]["interaction"]] == ["read", "vread", "search-type"]
    assert "_lastUpdated" not in {each["name"] for each in by_type["Appointment"]["searchParam"]}
