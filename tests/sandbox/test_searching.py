"""Search parameters, pages and sorting."""

import pytest

from tests.sandbox.client import FhirClient, appointment, issue_code


def ids(ehr: FhirClient, path: str) -> list[str]:
    return [resource["id"] for resource in ehr.all(path)]


def test_pages_hold_every_match_once_although_bookings_arrive_meanwhile(ehr: FhirClient) -> None:
    free = iter(ehr.free_slots())
    before = set(ids(ehr, "Appointment?_count=500"))
    bundle = ehr.get("Appointment?_count=300&_sort=_lastUpdated").json()
    total, seen = bundle["total"], [entry["resource"]["id"] for entry in bundle["entry"]]
    while following := [link["url"] for link in bundle["link"] if link["relation"] == "next"]:
        assert ehr.create(appointment(next(free))).status_code == 201
        assert following[0].startswith(f"{ehr.base}/Appointment?")
        bundle = ehr.get(following[0]).json()
        seen += [entry["resource"]["id"] for entry in bundle["entry"]]
        assert bundle["total"] == total == len(before)
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


def test_a_page_has_at_most_500_entries_and_count_zero_only_the_total(ehr: FhirClient) -> None:
    assert len(ehr.get("Slot?_count=10000").json()["entry"]) == 500
    empty = ehr.get("Slot?_count=0").json()
    assert "entry" not in empty
    assert empty["total"] == 45 * 104


def test_sorting_both_ways(ehr: FhirClient) -> None:
    for key, field in (("date", "start"), ("_lastUpdated", "lastUpdated")):
        path = "Appointment?practitioner=raman&status=booked,fulfilled&_count=37"
        found = [item | item["meta"] for item in ehr.all(f"{path}&_sort={key}")]
        assert len(found) > 100
        assert [item["id"] for item in found][::-1] == ids(ehr, f"{path}&_sort=-{key}")
        if key == "_lastUpdated":
            assert [item[field] for item in found] == sorted(item[field] for item in found)
    slots = [slot["start"] for slot in ehr.all("Slot?schedule=chen-riverside&_sort=start")]
    assert slots == sorted(slots)


def test_last_updated_bounds(ehr: FhirClient) -> None:
    slots = ehr.free_slots()
    first = ehr.create(appointment(slots[0])).json()
    second = ehr.create(appointment(slots[1])).json()
    at = first["meta"]["lastUpdated"]
    assert ids(ehr, f"Appointment?_lastUpdated=ge{at}") == [first["id"], second["id"]]
    assert ids(ehr, f"Appointment?_lastUpdated=gt{at}") == [second["id"]]
    assert first["id"] in ids(ehr, f"Appointment?_lastUpdated=le{at}&_count=500")
    assert first["id"] not in ids(ehr, f"Appointment?_lastUpdated=lt{at}&_count=500")


def test_patients_by_identifier_name_birth_date_and_phone(ehr: FhirClient) -> None:
    mrn = "https://sandbox-ehr.example.org/mrn"
    assert ids(ehr, f"Patient?identifier={mrn}|HFP-100025") == ["patient-025"]
    assert ids(ehr, "Patient?identifier=HFP-100025") == ["patient-025"]
    assert ids(ehr, "Patient?identifier=https://elsewhere.example.org|HFP-100025") == []
    assert len(ids(ehr, f"Patient?identifier={mrn}|")) == 300
    for family in ("nunez", "NÚÑEZ-I", "Núñez-Iñárritu"):
        assert ids(ehr, f"Patient?family={family}") == ["patient-025"]
    assert ids(ehr, "Patient?family:exact=nunez") == []
    assert ids(ehr, "Patient?family=hernandez&given=maria&birthdate=1991") == []
    twin = ehr.get("Patient/patient-020").json()
    assert twin["birthDate"] == "1991-11-02"
    assert ids(ehr, "Patient?birthdate=1991-11-02") == ["patient-020", "patient-021"]
    phone = twin["telecom"][0]["value"]
    assert ids(ehr, f"Patient?phone={phone.replace('+', '%2B')}") == ["patient-020", "patient-021"]
    assert "patient-011" in ids(ehr, "Patient?active=false")


def test_appointments_by_time_status_and_actors(ehr: FhirClient) -> None:
    window = "date=ge2026-03-05T05:00:00Z&date=lt2026-03-06T05:00:00Z"
    found = ehr.all(f"Appointment?{window}&practitioner=Practitioner/chen&status=booked,pending")
    assert found
    for item in found:
        assert item["start"].startswith("2026-03-05")
        assert item["status"] in ("booked", "pending")
        actors = [participant["actor"]["reference"] for participant in item["participant"]]
        assert "Practitioner/chen" in actors
    patient = found[0]["participant"][0]["actor"]["reference"]
    for search in (
        f"patient={patient}",
        f"actor={patient}",
        f"actor:Patient={patient[8:]}",
        f"patient={ehr.base}/{patient}",
    ):
        assert found[0]["id"] in ids(ehr, f"Appointment?{search}")
    here, there = (set(ids(ehr, f"Appointment?location={place}")) for place in ("riverside", "lakeview"))
    assert not here & there
    assert len(here | there) == ehr.get("Appointment?_summary=count").json()["total"]


@pytest.mark.parametrize("prefix", ["", "eq", "ge", "gt", "le", "lt", "ne", "sa", "eb"])
def test_date_prefixes_agree_with_python(ehr: FhirClient, prefix: str) -> None:
    bound = "2026-03-09T13:00:00Z"
    compare = {
        "": str.__eq__, "eq": str.__eq__, "ge": str.__ge__, "gt": str.__gt__, "le": str.__le__, "lt": str.__lt__,
        "ne": str.__ne__, "sa": str.__gt__, "eb": str.__lt__,
    }[prefix]  # fmt: skip
    slots = ehr.all("Slot?schedule=chen-riverside&_count=500")
    expected = [slot["id"] for slot in slots if compare(slot["start"], bound)]
    assert expected
    assert ids(ehr, f"Slot?schedule=chen-riverside&start={prefix}{bound}&_count=500") == expected


def test_a_search_by_post_is_the_same(ehr: FhirClient) -> None:
    answer = ehr.call("POST", "Patient/_search", data={"family": "nunez", "_count": "5"})
    assert answer.status_code == 200
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] == ["patient-025"]


def test_an_unknown_parameter_is_named_or_refused(ehr: FhirClient) -> None:
    bundle = ehr.get("Patient?family=nunez&shoe-size=43").json()
    assert [entry["search"]["mode"] for entry in bundle["entry"]] == ["match", "outcome"]
    assert "shoe-size" in bundle["entry"][1]["resource"]["issue"][0]["details"]["text"]
    assert bundle["total"] == 1
    strict = ehr.get("Patient?shoe-size=43", headers={"Prefer": "handling=strict"})
    assert (strict.status_code, issue_code(strict)) == (400, "not-supported")


@pytest.mark.parametrize(
    "query", ["date=yesterday", "date=2026-03-05T10:00:00", "_count=many", "_cursor=x", "date=ap2026"]
)
def test_a_value_that_makes_no_sense_is_refused(ehr: FhirClient, query: str) -> None:
    answer = ehr.get(f"Appointment?{query}")
    assert (answer.status_code, issue_code(answer)) == (400, "invalid")
