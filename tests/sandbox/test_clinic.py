"""The synthetic clinic: always the same, complete, and free of contradictions."""

import json
import re
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from integrations.ehr.sandbox.booking import HOLDING_STATUSES
from integrations.ehr.sandbox.clinic import build_clinic
from integrations.ehr.sandbox.clinic_people import is_bookable
from integrations.ehr.sandbox.indexing import phone_digits
from integrations.ehr.sandbox.validation import APPOINTMENT_STATUSES, check_shape

TODAY = date(2026, 3, 4)
Clinic = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    kinds: Clinic = defaultdict(dict)
    for resource in build_clinic(TODAY)[0]:
        kinds[resource["resourceType"]][resource["id"]] = resource
    return kinds


def test_the_same_day_gives_the_same_clinic_and_another_day_another() -> None:
    first, second = (json.dumps(build_clinic(TODAY)) for _ in range(2))
    assert first == second
    assert first != json.dumps(build_clinic(TODAY + timedelta(days=1)))


def test_its_size(clinic: Clinic) -> None:
    sizes = {kind: len(resources) for kind, resources in clinic.items()}
    assert sizes["Location"] == 2
    assert sizes["Practitioner"] == 6
    assert sizes["Patient"] == 300
    assert sizes["Schedule"] == sizes["PractitionerRole"] == 7
    assert sizes["Slot"] == 4680
    assert 2500 < sizes["Appointment"] < 3500
    assert sizes["Organization"] == 4
    assert sizes["Coverage"] == 360


def test_every_resource_is_valid_and_refers_to_earlier_ones() -> None:
    known: set[str] = set()
    for resource in build_clinic(TODAY)[0]:
        check_shape(resource, resource["resourceType"])
        known.add(f"{resource['resourceType']}/{resource['id']}")
        if resource["resourceType"] != "Patient":
            assert set(re.findall(r'"reference": "([^"]+)"', json.dumps(resource))) <= known


@pytest.mark.parametrize("today", [date(2026, 3, 4), date(2026, 10, 31), date(2027, 1, 3)])
def test_nobody_is_in_two_places(today: date) -> None:
    busy: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for resource in build_clinic(today)[0]:
        if resource["resourceType"] == "Appointment" and resource["status"] in HOLDING_STATUSES:
            times = datetime.fromisoformat(resource["start"]), datetime.fromisoformat(resource["end"])
            for participant in resource["participant"][:2]:
                busy[participant["actor"]["reference"]].append(times)
    for intervals in busy.values():
        ordered = sorted(intervals)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(ordered))


def test_slots_are_busy_exactly_where_appointments_hold_them(clinic: Clinic) -> None:
    held = {slot for slot, _ in build_clinic(TODAY)[1]}
    assert {slot["id"] for slot in clinic["Slot"].values() if slot["status"] == "busy"} == held
    named = {
        slot["reference"].removeprefix("Slot/")
        for item in clinic["Appointment"].values()
        if item["status"] in HOLDING_STATUSES and item["start"] >= (TODAY - timedelta(days=30)).isoformat()
        for slot in item["slot"]
    }
    assert named == held


def test_every_status_and_every_kind_of_reason_occurs(clinic: Clinic) -> None:
    statuses = Counter(item["status"] for item in clinic["Appointment"].values())
    assert set(statuses) == set(APPOINTMENT_STATUSES)
    cancelled = [item for item in clinic["Appointment"].values() if item["status"] == "cancelled"]
    codes = {item.get("cancelationReason", {"coding": [{"code": None}]})["coding"][0]["code"] for item in cancelled}
    assert {"pat", "prov", "ZZ-LEGACY-17", None} <= codes
    assert any("slot" in item for item in cancelled)
    assert any("slot" not in item for item in cancelled)


def test_about_seventy_percent_of_the_coming_slots_are_taken(clinic: Clinic) -> None:
    ahead = [
        slot
        for slot in clinic["Slot"].values()
        if slot["start"] > "2026-03-05" and slot["status"] != "busy-unavailable"
    ]
    share = sum(slot["status"] == "busy" for slot in ahead) / len(ahead)
    assert 0.65 < share < 0.8


def test_office_hours_are_local_before_and_after_the_clock_change(clinic: Clinic) -> None:
    zones = {"riverside": "America/New_York", "lakeview": "America/Chicago"}
    for site, zone in zones.items():
        extension = clinic["Location"][site]["extension"][0]
        assert extension["url"] == "http://hl7.org/fhir/StructureDefinition/timezone"
        assert extension["valueCode"] == zone
    for slot in clinic["Slot"].values():
        zone = zones[slot["schedule"]["reference"].rpartition("-")[2]]
        local = datetime.fromisoformat(slot["start"]).astimezone(ZoneInfo(zone))
        assert local.hour in (8, 9, 10, 11, 13, 14, 15, 16)
        assert local.weekday() < 5
    starts = {slot["start"] for slot in clinic["Slot"].values() if slot["id"].startswith("chen-riverside")}
    assert {"2026-03-06T13:00:00Z", "2026-03-09T12:00:00Z"} <= starts


def test_provider_numbers_pass_their_check_digit(clinic: Clinic) -> None:
    for practitioner in clinic["Practitioner"].values():
        digits = [int(digit) for digit in "80840" + practitioner["identifier"][0]["value"]]
        doubled = [sum(divmod(digit * 2, 10)) for digit in digits[-2::-2]]
        assert (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def test_every_number_is_a_reserved_one_and_every_address_too(clinic: Clinic) -> None:
    invalid = {"555-014", "call my wife", "000-000-0000"}
    people = [*clinic["Patient"].values(), *clinic["Location"].values(), *clinic["Practitioner"].values()]
    for telecom in [item for person in people for item in person.get("telecom", [])]:
        if telecom["system"] == "email":
            assert telecom["value"].endswith("@example.org")
        elif telecom["value"] not in invalid:
            assert re.fullmatch(r"\d{3}55501\d\d", phone_digits(telecom["value"])), telecom


def test_numbers_are_shared_only_in_the_families_that_share(clinic: Clinic) -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for patient in clinic["Patient"].values():
        for telecom in patient.get("telecom", []):
            if telecom["system"] != "email":
                owners[phone_digits(telecom["value"])].add(patient["id"])
    shared = sorted(sorted(group) for group in owners.values() if len(group) > 1)
    families = [["patient-020", "patient-021"], ["patient-022", "patient-023", "patient-038"]]
    assert [group for group in shared if group in families] == families
    assert all(set(group) <= set(families[0]) or set(group) <= set(families[1]) for group in shared)


def test_the_odd_patients_are_as_the_readme_says(clinic: Clinic) -> None:
    def patient(number: int) -> dict[str, Any]:
        return clinic["Patient"][f"patient-{number:03d}"]

    assert [item["use"] for item in patient(1)["telecom"]] == ["home"]
    assert sorted(item["rank"] for item in patient(2)["telecom"]) == [1, 2, 3]
    assert patient(3)["telecom"][0]["period"]["end"] < TODAY.isoformat()
    assert patient(4)["telecom"][0]["use"] == "old"
    assert patient(6)["telecom"][1]["rank"] == "1"
    assert patient(7)["telecom"][0]["value"].endswith(" x3")
    assert "telecom" not in patient(8)
    assert [item["system"] for item in patient(9)["telecom"]] == ["email"]
    assert patient(10)["active"] is True
    assert "deceasedDateTime" in patient(10)
    assert patient(11)["active"] is False
    assert patient(12)["link"] == [{"other": {"reference": "Patient/patient-013"}, "type": "replaced-by"}]
    assert patient(14)["link"][0]["other"]["reference"] == "Patient/patient-015"
    assert patient(15)["link"][0]["other"]["reference"] == "Patient/patient-014"
    assert (patient(16)["name"], patient(16)["birthDate"]) == (patient(17)["name"], patient(17)["birthDate"])
    assert patient(18)["name"] == patient(19)["name"]
    assert patient(18)["birthDate"] != patient(19)["birthDate"]
    assert patient(20)["telecom"] == patient(21)["telecom"]
    assert patient(23)["contact"][0]["name"] == patient(22)["name"][0]
    assert "telecom" not in patient(24)
    spanish = [p for p in clinic["Patient"].values() if any(is_preferred_spanish(c) for c in p["communication"])]
    assert 25 < len(spanish) < 55


def is_preferred_spanish(communication: dict[str, Any]) -> bool:
    return bool(communication["preferred"] and communication["language"]["coding"][0]["code"] == "es")


def test_nobody_who_is_gone_has_an_appointment_ahead(clinic: Clinic) -> None:
    today = datetime(2026, 3, 5, tzinfo=UTC)
    for item in clinic["Appointment"].values():
        if "start" in item and datetime.fromisoformat(item["start"]) >= today:
            patient = item["participant"][0]["actor"]["reference"].removeprefix("Patient/")
            assert is_bookable(clinic["Patient"][patient])


def test_ninety_days_of_cancellations_some_filled_again_and_none_changed_after_its_start(clinic: Clinic) -> None:
    past = [each for each in clinic["Appointment"].values() if each.get("start", "9") < TODAY.isoformat()]
    cancelled = [each for each in past if each["status"] == "cancelled"]
    assert min(each["start"] for each in cancelled) < (TODAY - timedelta(days=85)).isoformat()
    assert 150 < len(cancelled) < 300
    for each in cancelled:
        changed = datetime.fromisoformat(each["meta"]["lastUpdated"])
        assert changed < datetime.fromisoformat(each["start"])
    old = [each for each in past if each["start"] < (TODAY - timedelta(days=31)).isoformat()]
    assert 20 < Counter(each["status"] for each in old)["fulfilled"] < 60
