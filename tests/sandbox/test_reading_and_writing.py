"""Read, create, update, patch and delete: versions, conditions and refusals."""

import pytest

from tests.sandbox.client import FhirClient, Json, appointment, issue_code

CANCEL = [{"op": "replace", "path": "/status", "value": "cancelled"}]
IDENTIFIER = {"system": "https://waitlist.example.org/booking", "value": "B-1"}


def stored(ehr: FhirClient, **search: str) -> int:
    return int(ehr.get("Appointment", params={**search, "_summary": "count"}).json()["total"])


def test_create_answers_with_location_version_and_body(ehr: FhirClient) -> None:
    answer = ehr.create(appointment(ehr.free_slots()[0]))
    assert answer.status_code == 201
    assert answer.headers["ETag"] == 'W/"1"'
    created = answer.json()
    assert answer.headers["Location"] == f"{ehr.base}/Appointment/{created['id']}/_history/1"
    assert ehr.get(f"Appointment/{created['id']}").json() == created


def test_create_with_a_wish_for_no_body(ehr: FhirClient) -> None:
    answer = ehr.create(appointment(ehr.free_slots()[0]), Prefer="return=minimal")
    assert (answer.status_code, answer.content) == (201, b"")
    assert ehr.get(answer.headers["Location"]).json()["status"] == "booked"


def test_conditional_create_makes_one_finds_one_and_refuses_many(ehr: FhirClient) -> None:
    first, second, third = ehr.free_slots()[:3]
    condition = f"identifier={IDENTIFIER['system']}|{IDENTIFIER['value']}"
    made = ehr.create(appointment(first, identifier=[IDENTIFIER]), If_None_Exist=condition)
    found = ehr.create(appointment(first, identifier=[IDENTIFIER]), If_None_Exist=condition)
    assert (made.status_code, found.status_code) == (201, 200)
    assert made.json()["id"] == found.json()["id"]
    assert ehr.create(appointment(second, identifier=[IDENTIFIER])).status_code == 201
    many = ehr.create(appointment(third, identifier=[IDENTIFIER]), If_None_Exist=condition)
    assert (many.status_code, issue_code(many)) == (412, "multiple-matches")
    assert stored(ehr, identifier=IDENTIFIER["value"]) == 2


def test_conditional_create_refuses_a_condition_it_does_not_know(ehr: FhirClient) -> None:
    answer = ehr.create(appointment(ehr.free_slots()[0]), If_None_Exist="colour=blue")
    assert answer.status_code == 400


def test_patch_needs_the_present_version(ehr: FhirClient) -> None:
    identity = ehr.create(appointment(ehr.free_slots()[0])).json()["id"]
    missing = ehr.patch(f"Appointment/{identity}", CANCEL)
    assert (missing.status_code, issue_code(missing)) == (412, "required")
    done = ehr.patch(f"Appointment/{identity}", CANCEL, version=1)
    assert (done.status_code, done.headers["ETag"], done.json()["status"]) == (200, 'W/"2"', "cancelled")
    stale = ehr.patch(f"Appointment/{identity}", CANCEL, version=1)
    assert (stale.status_code, issue_code(stale)) == (409, "conflict")
    assert ehr.get(f"Appointment/{identity}").headers["ETag"] == 'W/"2"'


def test_patch_adds_removes_and_tests(ehr: FhirClient) -> None:
    operations: list[Json] = [
        {"op": "test", "path": "/gender", "value": ehr.get("Patient/patient-002").json()["gender"]},
        {"op": "add", "path": "/telecom/-", "value": {"system": "email", "value": "added@example.org"}},
        {"op": "remove", "path": "/telecom/0"},
        {"op": "replace", "path": "/name/0/family", "value": "Changed"},
    ]
    patient = ehr.patch("Patient/patient-002", operations).json()
    assert [item.get("rank") for item in patient["telecom"]] == [1, 2, None]
    assert [found["id"] for found in ehr.all("Patient?family=changed")] == ["patient-002"]


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([{"op": "test", "path": "/gender", "value": "unknown"}], 422),
        ([{"op": "remove", "path": "/photo"}], 422),
        ([{"op": "replace", "path": "/telecom/99", "value": {}}], 422),
        ([{"op": "move", "from": "/name", "path": "/photo"}], 400),
        ([{"op": "replace", "path": "/gender"}], 400),
        ({"op": "replace"}, 400),
        ([{"op": "replace", "path": "/id", "value": "other"}], 422),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(ehr: FhirClient, operations: list[Json], status: int) -> None:
    before = ehr.get("Patient/patient-001").json()
    assert ehr.patch("Patient/patient-001", operations).status_code == status
    assert ehr.get("Patient/patient-001").json() == before


def test_update_honours_if_match(ehr: FhirClient) -> None:
    patient = ehr.get("Patient/patient-001").json() | {"active": False}
    stale = ehr.call("PUT", "Patient/patient-001", json=patient, headers={"If-Match": 'W/"7"'})
    assert stale.status_code == 412
    assert ehr.get("Patient/patient-001").json()["active"] is True
    assert ehr.call("PUT", "Patient/patient-001", json=patient, headers={"If-Match": 'W/"1"'}).status_code == 200
    assert ehr.get("Patient/patient-001").json()["active"] is False
    assert ehr.get("Patient/patient-001/_history/1").json()["active"] is True


def test_unknown_deleted_and_unchanged(ehr: FhirClient) -> None:
    unknown = ehr.get("Patient/nobody")
    assert (unknown.status_code, issue_code(unknown)) == (404, "not-found")
    identity = ehr.create(appointment(ehr.free_slots()[0])).json()["id"]
    unchanged = ehr.get(f"Appointment/{identity}", headers={"If-None-Match": 'W/"1"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert ehr.call("DELETE", f"Appointment/{identity}").status_code == 204
    gone = ehr.get(f"Appointment/{identity}")
    assert (gone.status_code, issue_code(gone)) == (410, "deleted")
    assert ehr.call("DELETE", "Patient/patient-001").status_code == 405
    other = ehr.get("Observation/1")
    assert (other.status_code, issue_code(other)) == (404, "not-supported")


def timeless(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if name not in ("start", "end", "slot")}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"status": "maybe"}, 422, "code-invalid"),
        ({"status": None}, 400, "structure"),
        ({"participant": []}, 422, "required"),
        ({"participant": [{"status": "accepted"}]}, 422, "invariant"),
        ({"participant": [{"actor": {"reference": "Patient/nobody"}, "status": "accepted"}]}, 422, "not-found"),
        ({"participant": "nobody"}, 400, "structure"),
        ({"slot": [{"reference": "Slot/none"}]}, 422, "not-found"),
        ({"start": "2026-03-12T09:00:00"}, 422, "value"),
        ({"start": "2026-03-12"}, 422, "value"),
        ({"end": "2020-03-12T09:00:00Z"}, 422, "invariant"),
        ({"cancelationReason": {"text": "ill"}}, 422, "invariant"),
        ({"resourceType": "Slot"}, 400, "invalid"),
    ],
)
def test_a_wrong_appointment_is_refused_and_not_stored(ehr: FhirClient, change: Json, status: int, code: str) -> None:
    before = stored(ehr)
    answer = ehr.call("POST", "Appointment", json=appointment(ehr.free_slots()[0]) | change)
    assert (answer.status_code, issue_code(answer)) == (status, code)
    assert stored(ehr) == before


def test_times_may_lack_only_together_and_only_while_they_are_open(ehr: FhirClient) -> None:
    complete = appointment(ehr.free_slots()[0])
    assert ehr.create(timeless(complete)).status_code == 422
    for status in ("proposed", "waitlist", "cancelled"):
        assert ehr.create(timeless(complete) | {"status": status}).status_code == 201
    half = {name: value for name, value in complete.items() if name != "end"} | {"status": "proposed"}
    assert ehr.create(half).status_code == 422


def test_a_slot_that_is_gone_does_not_keep_an_appointment_from_being_cancelled(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    identity = ehr.create(appointment(slot)).json()["id"]
    assert ehr.call("DELETE", f"Slot/{slot['id']}").status_code == 204
    assert ehr.patch(f"Appointment/{identity}", CANCEL, version=1).status_code == 200


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"resourceType": NaN}', b"\xff", b"[" * 100_000, b'"text"', b"null"])
def test_a_body_that_is_no_resource(ehr: FhirClient, body: bytes) -> None:
    answer = ehr.call("POST", "Patient", data=body, headers={"Content-Type": "application/fhir+json"})
    assert (answer.status_code, issue_code(answer)) == (400, "structure")


def test_too_large_unknown_length_and_wrong_type(ehr: FhirClient) -> None:
    headers = {"Content-Type": "application/fhir+json"}
    large = ehr.call("POST", "Patient", data=b" " * (2 * 1024 * 1024 + 1), headers=headers)
    assert (large.status_code, issue_code(large)) == (413, "too-long")
    assert ehr.call("POST", "Patient", data=iter([b"{}"]), headers=headers).status_code == 411
    assert (
        ehr.call("POST", "Patient", data=b"<Patient/>", headers={"Content-Type": "application/xml"}).status_code == 415
    )


def test_stamps_strictly_increase_and_bundles_tell_the_servers_time(ehr: FhirClient) -> None:
    stamps = [ehr.create(appointment(slot)).json()["meta"]["lastUpdated"] for slot in ehr.free_slots()[:20]]
    assert stamps == sorted(set(stamps))
    bundle = ehr.get("Appointment?_count=1").json()
    assert bundle["timestamp"] >= stamps[-1]


def test_head_is_a_get_without_body(ehr: FhirClient) -> None:
    answer = ehr.call("HEAD", "Patient/patient-001")
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (200, b"", 'W/"1"')
