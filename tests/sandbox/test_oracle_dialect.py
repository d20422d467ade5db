"""The form of Oracle Health's Millennium: one slot, one patient, JSON Patch, and searches that must be narrow."""

import pytest

from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import FhirClient, Json, issue_code

CANCEL = [
    {"op": "replace", "path": "/status", "value": "cancelled"},
    {"op": "add", "path": "/cancelationReason", "value": {"coding": [{"code": "pat"}]}},
]
DAY = "date=ge2026-03-05T00:00:00Z&date=lt2026-03-06T00:00:00Z"


@pytest.fixture
def settings_of_sandbox(settings_of_sandbox: SandboxSettings) -> SandboxSettings:
    settings_of_sandbox.dialect = "oracle"
    return settings_of_sandbox


def wish(slot: Json, **more: object) -> Json:
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "slot": [{"reference": f"Slot/{slot['id']}"}],
        "participant": [{"actor": {"reference": "Patient/patient-050"}, "status": "accepted"}],
        **more,
    }


def booked(ehr: FhirClient) -> tuple[Json, str]:
    """A free slot that is booked now, and the appointment's path."""
    slot = ehr.free_slots()[0]
    answer = ehr.create(wish(slot))
    assert answer.status_code == 201, answer.text
    return slot, answer.headers["Location"].removeprefix(f"{ehr.base}/")


def stored(ehr: FhirClient) -> int:
    return int(ehr.control("GET", "state").json()["resources"]["Appointment"])


def test_a_create_answers_with_nothing_but_headers(ehr: FhirClient) -> None:
    answer = ehr.create(wish(ehr.free_slots()[0]))
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (201, b"", 'W/"1"')
    kind, identity = answer.headers["Location"].removeprefix(f"{ehr.base}/").split("/")
    assert kind == "Appointment"
    assert ehr.get(f"Appointment/{identity}").json()["id"] == identity


def test_the_slot_says_when_with_whom_and_where_whatever_the_client_says(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    more = {
        "start": "2026-03-20T10:00:00Z",
        "end": "2026-03-20T12:00:00Z",
        "identifier": [{"system": "https://waitlist.example.org/booking", "value": "B-1"}],
        "comment": "Window seat",
    }
    made = ehr.get(ehr.create(wish(slot, **more)).headers["Location"]).json()
    assert (made["start"], made["end"], made["minutesDuration"]) == (slot["start"], slot["end"], 30)
    assert [each["actor"]["reference"] for each in made["participant"]] == [
        "Patient/patient-050",
        "Practitioner/chen",
        "Location/riverside",
    ]
    assert made["comment"] == "Window seat"
    assert "identifier" not in made
    assert ehr.get(f"Slot/{slot['id']}").json()["status"] == "busy"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "proposed"}, "value"),
        ({"slot": []}, "required"),
        ({"slot": [{"reference": "Slot/a"}, {"reference": "Slot/b"}]}, "required"),
        ({"slot": [{"reference": "Slot/nowhere"}]}, "not-found"),
        ({"participant": []}, "required"),
        ({"participant": [{"actor": {"reference": "Practitioner/chen"}, "status": "accepted"}]}, "value"),
        ({"participant": [{"actor": {"reference": "Patient/patient-050"}, "status": "tentative"}]}, "value"),
        (
            {
                "participant": [
                    {"actor": {"reference": f"Patient/patient-{number}"}, "status": "accepted"} for number in (50, 51)
                ]
            },
            "required",
        ),
        (
            {
                "participant": [
                    {"actor": {"reference": "Patient/patient-050"}, "status": "accepted", "type": [{"text": "who"}]}
                ]
            },
            "not-supported",
        ),
    ],
)
def test_anything_but_one_patient_in_one_slot_is_refused_and_not_stored(
    ehr: FhirClient, change: Json, code: str
) -> None:
    before = stored(ehr)
    answer = ehr.create(wish(ehr.free_slots()[0]) | change)
    assert (answer.status_code, issue_code(answer)) == (422, code)
    assert stored(ehr) == before


def test_a_taken_slot_is_409_and_a_repeated_create_finds_it_taken(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    before = stored(ehr)
    assert ehr.create(wish(slot), If_None_Exist="identifier=B-1").status_code == 201
    again = ehr.create(wish(slot), If_None_Exist="identifier=B-1")
    assert (again.status_code, issue_code(again)) == (409, "conflict")
    assert stored(ehr) == before + 1


def test_a_patch_needs_the_present_version_and_answers_without_body(ehr: FhirClient) -> None:
    slot, path = booked(ehr)
    missing = ehr.patch(path, CANCEL)
    assert (missing.status_code, issue_code(missing)) == (412, "required")
    stale = ehr.patch(path, CANCEL, version=7)
    assert (stale.status_code, issue_code(stale)) == (409, "conflict")
    assert ehr.get(path).json()["status"] == "booked"
    done = ehr.patch(path, CANCEL, version=1)
    assert (done.status_code, done.content, done.headers["ETag"]) == (200, b"", 'W/"2"')
    assert ehr.get(path).json()["status"] == "cancelled"
    assert ehr.get(f"Slot/{slot['id']}").json()["status"] == "free"


def test_a_status_that_does_not_follow_is_422(ehr: FhirClient) -> None:
    _, path = booked(ehr)
    done = ehr.patch(path, [{"op": "replace", "path": "/status", "value": "fulfilled"}], version=1)
    assert (done.status_code, issue_code(done)) == (422, "business-rule")
    ehr.patch(path, CANCEL, version=1)
    back = ehr.patch(path, [{"op": "replace", "path": "/status", "value": "booked"}], version=2)
    assert back.status_code == 422
    assert ehr.get(path).json()["status"] == "cancelled"


def test_a_locked_appointment_is_423_and_unchanged(ehr: FhirClient) -> None:
    _, path = booked(ehr)
    ehr.fault("locked-423", method="PATCH")
    locked = ehr.patch(path, CANCEL, version=1)
    assert (locked.status_code, issue_code(locked)) == (423, "lock-error")
    assert ehr.get(path).json()["status"] == "booked"
    assert ehr.patch(path, CANCEL, version=1).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_neither_put_nor_delete(ehr: FhirClient, method: str) -> None:
    _, path = booked(ehr)
    answer = ehr.call(method, path, json=ehr.get(path).json())
    assert (answer.status_code, issue_code(answer), answer.headers["Allow"]) == (405, "not-supported", "GET, PATCH")
    assert ehr.get(path).json()["status"] == "booked"


@pytest.mark.parametrize(
    "query",
    [
        "Appointment",
        f"Appointment?{DAY}",
        "Appointment?practitioner=chen",
        "Appointment?_lastUpdated=ge2026-03-05",
        "Appointment?identifier=B-1",
        f"Appointment?{DAY}&practitioner=chen&location=riverside",
        "Slot?status=free",
        "Slot?start=ge2026-03-05",
        "Slot?schedule=chen-riverside",
    ],
)
def test_a_search_without_its_parameters_is_400(ehr: FhirClient, query: str) -> None:
    answer = ehr.get(query)
    assert (answer.status_code, issue_code(answer)) == (400, "required")


@pytest.mark.parametrize("actor", ["practitioner=chen", "location=riverside", "patient=patient-050"])
def test_an_actor_and_a_date_find_appointments(ehr: FhirClient, actor: str) -> None:
    kind, _, name = actor.partition("=")
    found = ehr.all(f"Appointment?{actor}&{DAY}")
    expected = {
        each["id"]
        for each in ehr.control("GET", f"appointments?{DAY}").json()["appointments"]
        if f"{kind.capitalize()}/{name}" in str(each["participant"])
    }
    assert {each["id"] for each in found} == expected


def test_an_id_is_enough(ehr: FhirClient) -> None:
    _, path = booked(ehr)
    assert [each["id"] for each in ehr.all(f"Appointment?_id={path.partition('/')[2]}")] == [path.partition("/")[2]]


def test_changes_cannot_be_asked_for(ehr: FhirClient) -> None:
    query = f"Appointment?practitioner=chen&{DAY}&_lastUpdated=ge2099-01-01&_sort=_lastUpdated"
    refused = ehr.get(query, headers={"Prefer": "handling=strict"})
    assert (refused.status_code, issue_code(refused)) == (400, "not-supported")
    entries = ehr.get(query).json()["entry"]
    assert entries[-1]["resource"]["issue"][0]["details"]["text"] == (
        "Ignored, because this server does not know it: _lastUpdated, _sort"
    )
    assert len(entries) == 1 + len(ehr.all(f"Appointment?practitioner=chen&{DAY}"))


def test_there_are_no_subscriptions(ehr: FhirClient) -> None:
    answer = ehr.get("Subscription")
    assert (answer.status_code, issue_code(answer)) == (404, "not-supported")


def test_the_capability_statement_says_so(ehr: FhirClient) -> None:
    statement = ehr.get("metadata").json()
    assert statement["software"]["name"] == "Oracle Health Millennium (sandbox)"
    by_type = {each["type"]: each for each in statement["rest"][0]["resource"]}
    assert "Subscription" not in by_type
    appointment = by_type["Appointment"]
    assert [each["code"] for each in appointment["interaction"]] == ["read", "search-type", "create", "patch"]
    assert (appointment["conditionalCreate"], appointment["updateCreate"]) == (False, False)
    assert {each["name"] for each in appointment["searchParam"]} == {
        "_id", "date", "status", "patient", "practitioner", "location",
    }  # fmt: skip
    assert [each["code"] for each in by_type["Patient"]["interaction"]] == ["read", "search-type"]
