"""A cache between client and EHR that goes on telling what was."""

from tests.sandbox.client import FhirClient

PATH = "Patient/patient-001"
CHANGE = [{"op": "replace", "path": "/active", "value": False}]
PAST_THE_CACHE = {"Cache-Control": "no-cache"}


def test_an_old_version_is_told_unless_one_asks_past_the_cache(ehr: FhirClient) -> None:
    ehr.fault("stale-cache")
    assert ehr.get(PATH).headers["ETag"] == 'W/"1"'
    ehr.patch(PATH, CHANGE)
    old = ehr.get(PATH)
    assert (old.headers["ETag"], old.json()["active"], "Age" in old.headers) == ('W/"1"', True, True)
    new = ehr.get(PATH, headers=PAST_THE_CACHE)
    assert (new.headers["ETag"], new.json()["active"]) == ('W/"2"', False)
    assert "Age" not in new.headers
    assert ehr.get(PATH).headers["ETag"] == 'W/"2"'


def test_searches_are_stale_too_and_each_by_its_own_address(ehr: FhirClient) -> None:
    ehr.fault("stale-cache")
    assert ehr.get("Patient?_id=patient-001&active=true").json()["total"] == 1
    ehr.patch(PATH, CHANGE)
    assert ehr.get("Patient?_id=patient-001&active=true").json()["total"] == 1
    assert ehr.get("Patient?active=true&_id=patient-001").json()["total"] == 0
    assert ehr.get("Patient?_id=patient-001&active=true", headers=PAST_THE_CACHE).json()["total"] == 0


def test_it_forgets_after_its_seconds(ehr: FhirClient) -> None:
    ehr.fault("stale-cache", seconds=0)
    ehr.get(PATH)
    ehr.patch(PATH, CHANGE)
    assert ehr.get(PATH).headers["ETag"] == 'W/"2"'


def test_it_forgets_when_it_is_cleared(ehr: FhirClient) -> None:
    ehr.fault("stale-cache")
    ehr.get(PATH)
    ehr.patch(PATH, CHANGE)
    assert ehr.control("DELETE", "faults").status_code == 200
    assert ehr.get(PATH).headers["ETag"] == 'W/"2"'


def test_errors_are_not_kept(ehr: FhirClient) -> None:
    ehr.fault("stale-cache")
    assert ehr.get("Patient/later").status_code == 404
    patient = ehr.get(PATH).json() | {"id": "later"}
    assert ehr.call("PUT", "Patient/later", json=patient).status_code == 201
    assert ehr.get("Patient/later").status_code == 200
