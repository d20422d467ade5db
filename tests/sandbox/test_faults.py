"""Each fault as a client meets it, and whether the request took effect."""

import json
import threading
import time
from typing import Any

import pytest
import requests

from integrations.ehr.sandbox.faults import KINDS
from tests.sandbox.client import FhirClient, appointment, issue_code
from tests.sandbox.receiver import Receiver

BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def total(ehr: FhirClient) -> int:
    return int(ehr.get("Appointment?_summary=count").json()["total"])


def book(ehr: FhirClient, **options: Any) -> requests.Response:
    return ehr.call("POST", "Appointment", json=appointment(ehr.free_slots()[0]), **options)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("500", 500, "transient"),
        ("429", 429, "throttled"),
        ("401", 401, "expired"),
        ("stale-409", 409, "conflict"),
        ("taken-409", 409, "conflict"),
        ("duplicate-409", 409, "duplicate"),
    ],
)
def test_refusals_come_as_often_as_asked_and_without_effect(ehr: FhirClient, kind: str, status: int, code: str) -> None:
    before = total(ehr)
    ehr.fault(kind, method="POST", path="Appointment", count=2)
    for _ in range(2):
        answer = book(ehr)
        assert (answer.status_code, issue_code(answer)) == (status, code)
    assert total(ehr) == before
    assert book(ehr).status_code == 201


def test_html_instead_of_fhir(ehr: FhirClient) -> None:
    before = total(ehr)
    ehr.fault("503-html", method="POST")
    ehr.fault("html-200", method="POST")
    down, login = book(ehr), book(ehr)
    assert (down.status_code, login.status_code) == (503, 200)
    for answer in (down, login):
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.text.startswith("<!doctype html>")
    assert total(ehr) == before


def test_an_error_after_the_effect(ehr: FhirClient) -> None:
    before = total(ehr)
    ehr.fault("500", method="POST", processed=True)
    assert book(ehr).status_code == 500
    assert total(ehr) == before + 1


@pytest.mark.parametrize("retry_after", ["3", "Wed, 04 Mar 2026 15:30:00 GMT"])
def test_retry_after_in_seconds_or_as_a_date(ehr: FhirClient, retry_after: str) -> None:
    ehr.fault("429", retry_after=retry_after)
    assert ehr.get("Patient/patient-001").headers["Retry-After"] == retry_after


def test_reset_before_has_no_effect_and_reset_after_commit_has(ehr: FhirClient) -> None:
    before = total(ehr)
    for kind, effect in (("reset-before", 0), ("reset-after-commit", 1)):
        ehr.fault(kind, method="POST", path="Appointment")
        with pytest.raises(requests.ConnectionError, match="reset by peer"):
            book(ehr)
        assert total(ehr) == before + effect


def test_reset_after_commit_lets_reads_pass_unless_told(ehr: FhirClient) -> None:
    ehr.fault("reset-after-commit")
    assert ehr.get("Patient/patient-001").status_code == 200
    with pytest.raises(requests.ConnectionError):
        book(ehr)


def test_cut_json_is_half_a_body_of_something_done(ehr: FhirClient) -> None:
    before = total(ehr)
    ehr.fault("cut-json", method="POST")
    slot = ehr.free_slots()[0]
    answer = ehr.call("POST", "Appointment", json=appointment(slot), stream=True)
    assert answer.status_code == 201
    chunks: list[bytes] = []
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        chunks.extend(answer.iter_content(1))
    read = b"".join(chunks)
    assert len(read) == int(answer.headers["Content-Length"]) // 2
    with pytest.raises(json.JSONDecodeError):
        json.loads(read)
    assert total(ehr) == before + 1


def test_empty_201_keeps_location_and_version(ehr: FhirClient) -> None:
    ehr.fault("empty-201")
    answer = book(ehr)
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (201, b"", 'W/"1"')
    assert ehr.get(answer.headers["Location"]).json()["status"] == "booked"


def test_timeout_answers_nobody(ehr: FhirClient) -> None:
    before = total(ehr)
    ehr.fault("timeout", method="POST", path="Appointment")
    with pytest.raises(requests.ReadTimeout):
        book(ehr, timeout=0.3)
    assert total(ehr) == before


def test_slow_takes_effect_after_the_client_has_left(ehr: FhirClient) -> None:
    before = total(ehr)
    ehr.fault("slow", method="POST", path="Appointment", seconds=0.6)
    with pytest.raises(requests.ReadTimeout):
        book(ehr, timeout=0.2)
    assert total(ehr) == before
    deadline = time.monotonic() + 10
    while total(ehr) == before and time.monotonic() < deadline:
        pass
    assert total(ehr) == before + 1


def test_clearing_ends_the_wait_of_a_slow_request(ehr: FhirClient) -> None:
    ehr.fault("slow", path="Patient", seconds=60)
    answers: list[int] = []
    reader = threading.Thread(target=lambda: answers.append(ehr.get("Patient/patient-001").status_code))
    reader.start()
    while ehr.control("GET", "faults").json()["faults"][0]["hits"] == 0:
        pass
    assert ehr.control("DELETE", "faults").status_code == 200
    reader.join(timeout=10)
    assert answers == [200]


def test_down_resets_everything_but_the_control_api(ehr: FhirClient) -> None:
    ehr.fault("down")
    for path in ("Patient/patient-001", "metadata", f"{ehr.origin}/oauth/token"):
        with pytest.raises(requests.ConnectionError):
            ehr.get(path)
    assert ehr.control("GET", "state").json()["faults"][0]["kind"] == "down"
    ehr.control("DELETE", "faults")
    assert ehr.get("Patient/patient-001").status_code == 200


def test_down_for_a_time_ends_by_itself(ehr: FhirClient) -> None:
    ehr.fault("down", seconds=0.3)
    with pytest.raises(requests.ConnectionError):
        ehr.get("Patient/patient-001")
    deadline, status = time.monotonic() + 10, 0
    while status != 200 and time.monotonic() < deadline:
        try:
            status = ehr.get("Patient/patient-001").status_code
        except requests.ConnectionError:
            continue
    assert status == 200


@pytest.mark.parametrize("field", ["start", "patient", "practitioner", "location", "status"])
def test_wrong_readback_distorts_one_field_of_a_read(ehr: FhirClient, field: str) -> None:
    slot = ehr.free_slots()[0]
    place = {"actor": {"reference": "Location/riverside"}, "status": "accepted"}
    wanted = appointment(slot)
    wanted["participant"].append(place)
    made = ehr.create(wanted).json()
    ehr.fault("wrong-readback", field=field)
    wrong = ehr.get(f"Appointment/{made['id']}").json()
    changed = {"start": {"start", "end"}, "status": {"status"}}.get(field, {"participant"})
    assert {name for name in made if made[name] != wrong[name]} == changed
    assert ehr.get(f"Appointment/{made['id']}").json() == made


def next_link(bundle: dict[str, Any]) -> str:
    return str(next(link["url"] for link in bundle["link"] if link["relation"] == "next"))


def test_page_loop_leads_back_to_itself(ehr: FhirClient) -> None:
    ehr.fault("page-loop", page=2)
    first = ehr.get("Appointment?_count=50").json()
    second = ehr.get(next_link(first)).json()
    assert next_link(second) == next_link(first)


def test_page_500_hits_the_page_named(ehr: FhirClient) -> None:
    ehr.fault("page-500", page=3)
    first = ehr.get("Appointment?_count=50").json()
    second = ehr.get(next_link(first)).json()
    answer = ehr.get(next_link(second))
    assert (answer.status_code, issue_code(answer)) == (500, "transient")
    assert ehr.get(next_link(second)).status_code == 200


def test_next_and_redirect_to_another_host(ehr: FhirClient) -> None:
    ehr.fault("foreign-next", path="Appointment")
    assert next_link(ehr.get("Appointment?_count=50").json()).startswith(
        "http://other-ehr.example.org/fhir/Appointment"
    )
    with Receiver() as elsewhere:
        ehr.fault("redirect", url=elsewhere.url)
        answer = ehr.get("Patient/patient-001", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, elsewhere.url)


def test_bad_entry_spoils_one_of_the_page(ehr: FhirClient) -> None:
    good = ehr.get("Appointment?_count=100").json()["entry"]
    ehr.fault("bad-entry")
    bad = ehr.get("Appointment?_count=100").json()["entry"]
    differing = [number for number in range(100) if good[number] != bad[number]]
    assert differing == [50]
    assert bad[50]["resource"]["status"] == 7


def test_skip_method_and_path_choose_the_request(ehr: FhirClient) -> None:
    ehr.fault("500", method="GET", path="Patient/patient-002", skip=1)
    assert ehr.get("Patient/patient-001").status_code == 200
    assert ehr.get("Patient?_count=1").status_code == 200
    assert [ehr.get("Patient/patient-002").status_code for _ in range(3)] == [200, 500, 200]
    ehr.fault("500", path="oauth/token")
    assert requests.post(f"{ehr.origin}/oauth/token", timeout=10).status_code == 500


def test_the_list_counts_down_and_one_can_be_cleared(ehr: FhirClient) -> None:
    ehr.fault("500", path="Patient", count=2)
    ehr.fault("429", path="Patient", count=None)
    ehr.get("Patient/patient-001")
    first, second = ehr.control("GET", "faults").json()["faults"]
    assert (first["count"], first["hits"], second["count"], second["hits"]) == (1, 1, None, 0)
    ehr.control("DELETE", f"faults/{first['number']}")
    assert [fault["kind"] for fault in ehr.control("GET", "faults").json()["faults"]] == ["429"]


@pytest.mark.parametrize("body", [{}, {"kind": "flood"}, {"kind": "500", "cuont": 1}, {"kind": "500", "count": "two"}])
def test_a_fault_that_makes_no_sense_is_refused(ehr: FhirClient, body: dict[str, Any]) -> None:
    answer = ehr.control("POST", "faults", body)
    assert (answer.status_code, issue_code(answer)) == (400, "invalid")
    assert ehr.control("GET", "faults").json() == {"faults": [], "kinds": list(KINDS)}
