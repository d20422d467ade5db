"""Patients, clinicians and places as EHRs write them: untidy, and read without losing what matters."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.ehr.fhir import people, search
from integrations.ehr.fhir.elements import Unreadable
from scheduling.records import ContactRecord, EmergencyContact, IdentifierRecord

BASE = "https://ehr.example.org/fhir"
MRN = "urn:example:mrn"


def read(**fields: Any) -> Any:
    return people.patient_record({"resourceType": "Patient", "id": "p-1", **fields}, BASE, MRN)


def phone(value: str = "+12125550101", **fields: Any) -> dict[str, Any]:
    return {"system": "phone", "value": value, **fields}


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (phone(use="mobile", rank=1), ContactRecord("phone", "+12125550101", "mobile", 1)),
        (phone(rank="2"), ContactRecord("phone", "+12125550101", "", 2)),
        (phone(rank="first"), ContactRecord("phone", "+12125550101", "", 99)),
        (phone(rank=0), ContactRecord("phone", "+12125550101", "", 99)),
        (phone(rank=1e400), ContactRecord("phone", "+12125550101", "", 99)),
        (phone(use="cell"), ContactRecord("phone", "+12125550101", "")),
        (phone(use="old"), ContactRecord("phone", "+12125550101", "old")),
        ({"system": "sms", "value": "+12125550101"}, ContactRecord("phone", "+12125550101", "mobile")),
        ({"system": "sms", "value": "+12125550101", "use": "old"}, ContactRecord("phone", "+12125550101", "old")),
        ({"system": "email", "value": " a@example.org "}, ContactRecord("email", "a@example.org")),
        (
            phone(period={"start": "2020-01-01", "end": "2024-06-30T00:00:00Z"}),
            ContactRecord("phone", "+12125550101", "", 99, date(2020, 1, 1), date(2024, 6, 30)),
        ),
        (phone(period={"end": "2024"}), ContactRecord("phone", "+12125550101")),
        (phone(period="always"), ContactRecord("phone", "+12125550101")),
        (
            phone(extension=[{"url": people.PHONE_EXTENSION, "valueString": "12"}]),
            ContactRecord("phone", "+12125550101 x12"),
        ),
    ],
)
def test_a_contact(point: dict[str, Any], expected: ContactRecord) -> None:
    assert read(telecom=[point]).contacts == (expected,)


@pytest.mark.parametrize(
    "point", [{"use": "home"}, {"system": "fax", "value": "1"}, {"value": "1"}, phone(""), {"system": "phone"}]
)
def test_what_is_no_way_to_reach_somebody_is_left_out(point: dict[str, Any]) -> None:
    assert read(telecom=[point, phone()]).contacts == (ContactRecord("phone", "+12125550101"),)


def contact(*codes: str, text: str = "") -> dict[str, Any]:
    relation: dict[str, Any] = {"coding": [{"code": code} for code in codes]}
    if text:
        relation["text"] = text
    return {"relationship": [relation], "telecom": [phone("+12125550102", use="mobile")]}


@pytest.mark.parametrize(
    ("born", "person", "is_taken"),
    [
        ("2020-05-01", contact("MTH"), True),
        ("2020-05-01", contact("72705000", "N", "MTH"), True),
        ("2020-05-01", contact("N", text="guardian"), True),
        ("2020-05-01", contact("GUARD"), True),
        ("2020-05-01", contact("N"), False),  # next of kin may be anybody
        ("2020-05-01", contact("C"), False),
        ("2020-05-01", contact("SPS", text="spouse"), False),
        ("1980-05-01", contact("MTH"), False),  # an adult's mother is another person
        (None, contact("MTH"), False),
    ],
)
def test_another_persons_number_is_taken_only_for_a_childs_guardian(
    born: str | None, person: dict[str, Any], is_taken: bool
) -> None:
    record = read(birthDate=born, contact=[person])
    expected = (ContactRecord("phone", "+12125550102", "mobile", guardian=True),)
    assert record.contacts == (expected if is_taken else ())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([{"family": "Sample", "given": ["Robin", "A."]}], ("Robin A.", "Sample", "")),
        (
            [
                {"use": "maiden", "family": "Old", "given": ["Robin"]},
                {"use": "official", "family": "New", "given": ["Robin"]},
            ],
            ("Robin", "New", ""),
        ),
        (
            [{"use": "official", "family": "Sample", "given": ["Robert"]}, {"use": "nickname", "given": ["Bob"]}],
            ("Robert", "Sample", "Bob"),
        ),
        (
            [{"family": "Past", "given": ["R"], "period": {"end": "2001-01-01"}}, {"family": "Now", "given": ["R"]}],
            ("R", "Now", ""),
        ),
        ([{"text": "张无忌"}], ("", "张无忌", "")),
        ([], ("", "", "")),
        ([{"family": "Nul\x00l", "given": ["\ud800x"]}], ("?x", "Null", "")),
        ([{"given": "Robin", "family": "Sample"}], ("Robin", "Sample", "")),
        ([{"given": [1, None, "Robin"], "family": 7}], ("Robin", "", "")),
    ],
)  # fmt: skip
def test_the_name_in_use(names: list[dict[str, Any]], expected: tuple[str, str, str]) -> None:
    record = read(name=names)
    assert (record.given_name, record.family_name, record.preferred_name) == expected


@pytest.mark.parametrize(
    ("fields", "active", "deceased"),
    [
        ({}, True, False),
        ({"active": True, "deceasedDateTime": "2024-01-01"}, True, True),  # both occur together
        ({"deceasedBoolean": True}, True, True),
        ({"deceasedBoolean": "true"}, True, True),
        ({"deceasedBoolean": False}, True, False),
        ({"active": False}, False, False),
        ({"active": "false"}, False, False),
    ],
)
def test_alive_and_active(fields: dict[str, Any], active: bool, deceased: bool) -> None:
    record = read(**fields)
    assert (record.active, record.deceased) == (active, deceased)


def language(code: str, **fields: Any) -> dict[str, Any]:
    return {"language": {"coding": [{"code": code}]}, **fields}


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        ([language("en"), language("es", preferred=True)], "es"),
        ([language("es")], "es"),
        ([language("es-MX", preferred=True)], "es-MX"),
        ([language("es_MX", preferred="true")], "es-MX"),
        ([], ""),
        ([{"language": {"text": "Spanish"}}], "Spanish"),
    ],
)
def test_the_preferred_language(spoken: list[dict[str, Any]], expected: str) -> None:
    assert read(communication=spoken).language == expected


def test_numbers_count_only_with_their_system() -> None:
    mr = {"coding": [{"code": "MR"}]}
    record = read(
        identifier=[
            {"system": MRN, "value": "1"},
            {"value": "2"},
            {"system": "urn:other", "value": "3", "type": mr},
            {"system": MRN, "value": "4", "use": "old"},
            {"system": "urn:empty"},
        ]
    )
    assert record.identifiers == (IdentifierRecord(MRN, "1", "MR"), IdentifierRecord("urn:other", "3", "MR"))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("Patient/p-2", "p-2"),
        (f"{BASE}/Patient/p-2", "p-2"),
        (f"{BASE}/Patient/p-2/_history/3", "p-2"),
        ("https://elsewhere.example.org/fhir/Patient/p-2", ""),
        ("RelatedPerson/p-2", ""),
        ("#p-2", ""),
        ("urn:uuid:6f1f9d1c-6d2c-4f3e-9d53-0d6f6d3c2b11", ""),
        ("Patient/../../admin", ""),
        ("Patient/..", ""),
        (7, ""),
    ],
)
def test_the_record_that_replaces_this_one(other: Any, expected: str) -> None:
    record = read(
        link=[
            {"type": "seealso", "other": {"reference": "Patient/x"}},
            {"type": "replaced-by", "other": {"reference": other}},
        ]
    )
    assert record.replaced_by == expected


@pytest.mark.parametrize("birth", ["1974", "1974-12", "1974-13-01", "yesterday", 1974, None])
def test_a_birth_date_that_is_no_day_is_unknown(birth: Any) -> None:
    assert read(birthDate=birth).birth_date is None


@pytest.mark.parametrize(
    "broken", [{"id": ""}, {"id": 5}, {"id": "a/b"}, {"id": None}, {"name": 3}, {"telecom": "none"}]
)
def test_what_cannot_be_read_says_why(broken: dict[str, Any]) -> None:
    with pytest.raises(Unreadable) as problem:
        read(**broken)
    assert problem.value.detail


def test_a_clinician_and_a_place() -> None:
    clinician = people.provider_record(
        {
            "resourceType": "Practitioner",
            "id": "d-1",
            "name": [{"prefix": ["Dr."], "given": ["Maya"], "family": "Chen", "suffix": ["MD"]}],
            "identifier": [{"system": people.NPI, "value": "1999999901"}],
        }
    )
    assert (clinician.name, clinician.npi, clinician.active) == ("Dr. Maya Chen, MD", "1999999901", True)
    place = people.location_record(
        {
            "resourceType": "Location",
            "id": "l-1",
            "status": "suspended",
            "name": "Elm Street",
            "extension": [{"url": people.TIME_ZONE, "valueCode": "America/Chicago"}],
            "telecom": [{"system": "fax", "value": "1"}, phone("(312) 555-0100")],
            "address": {"line": ["240 Shore Avenue"], "city": "Chicago", "state": "IL", "postalCode": "60611"},
        }
    )
    assert (place.time_zone, place.phone, place.active) == ("America/Chicago", "(312) 555-0100", False)
    assert place.address == "240 Shore Avenue, Chicago IL 60611"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("name", "telecom", "identifier", "link", "contact", "communication", "birthDate", "active", "address", "meta")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, json_values)))
def test_nothing_that_is_json_breaks_the_reader(fields: dict[str, Any]) -> None:
    for kind, parse in (
        ("Patient", lambda raw: people.patient_record(raw, BASE, MRN)),
        ("Practitioner", people.provider_record),
        ("Location", people.location_record),
    ):
        try:
            told = search.guarded(parse, {"resourceType": kind, "id": "x", **fields}).external_id
        except Unreadable as problem:
            told = problem.detail and "unreadable"
        assert told in ("x", "unreadable")


def test_where_the_patient_lives_and_whom_to_call_in_an_emergency() -> None:
    home = {"use": "home", "line": ["12 Elm St", "Apt 3"], "city": "Troy", "state": "NY", "postalCode": "12180"}
    over = {**home, "line": ["1 Old Rd"], "period": {"end": "2019-12-31"}}
    emergency = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0131", "code": "C"}]}
    person = {
        "relationship": [emergency, {"text": "sister"}],
        "name": {"given": ["Ana"], "family": "Ruiz"},
        "telecom": [{"system": "email", "value": "a@example.org"}, phone("(212) 555-0109")],
    }
    next_of_kin = {"relationship": [{"coding": [{"code": "N"}]}], "name": {"text": "Bo Ruiz"}}

    told = read(address=[over, {"use": "work", "city": "Albany"}, home], contact=[next_of_kin, person])

    assert told.address == "12 Elm St, Apt 3, Troy NY 12180"
    assert told.emergency_contact == EmergencyContact("Ana Ruiz", "sister", "(212) 555-0109")
    assert (read(address=[over]).address, read(contact=[next_of_kin]).emergency_contact) == ("", None)
    assert read(address="12 Elm St").address == ""
