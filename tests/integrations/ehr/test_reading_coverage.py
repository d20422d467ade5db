"""FHIR's Coverage as EHRs write it: which plan it is, from when to when, and what is no news to us."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.ehr.fhir.coverage import coverage_record, read
from integrations.ehr.fhir.elements import Unreadable

BASE = "https://ehr.example.org/fhir"
PLAN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/coverage-class", "code": "plan"}]}
GROUP = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/coverage-class", "code": "group"}]}
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
SELF = ("http://terminology.hl7.org/CodeSystem/coverage-selfpay", "pay", "pays without an insurer")
ACME = {"reference": "Organization/acme", "display": "Acme"}


def written(**fields: Any) -> dict[str, Any]:
    resource = {
        "resourceType": "Coverage",
        "id": "c-1",
        "status": "active",
        "beneficiary": {"reference": "Patient/p-1", "display": "Robin Sample"},
        "payor": [ACME],
        **fields,
    }
    return {name: value for name, value in resource.items() if value is not None}


def record(**fields: Any) -> Any:
    return coverage_record(written(**fields), BASE)


@pytest.mark.parametrize(
    ("fields", "plan"),
    [
        (
            {"class": [{"type": GROUP, "value": "G1"}, {"type": PLAN, "value": "B37FC", "name": "Full coverage"}]},
            ("Organization/acme", "B37FC", "Acme: Full coverage"),
        ),
        ({"class": [{"type": PLAN, "value": "B37FC"}]}, ("Organization/acme", "B37FC", "Acme")),
        ({"class": {"type": PLAN, "value": "B37FC"}, "payor": ACME}, ("Organization/acme", "B37FC", "Acme")),
        # The same number of another payor is another plan.
        (
            {"class": [{"type": PLAN, "value": "B37FC"}], "payor": [{"display": "Beta"}]},
            ("Beta", "B37FC", "Beta"),
        ),
        (
            {"type": {"coding": [{"system": ACT, "code": "PPO", "display": "preferred provider"}]}},
            ("Organization/acme", "PPO", "Acme: preferred provider"),
        ),
        (
            {"type": {"coding": [{"system": ACT, "code": "PUBLICPOL"}]}, "payor": None},
            (ACT, "PUBLICPOL", ""),
        ),
        ({"type": {"text": "Robin's own words"}}, ("", "Organization/acme", "Acme")),
        ({"payor": [{"display": "Acme"}]}, ("", "Acme", "")),
        (
            {
                "payor": [{"reference": "#org"}],
                "contained": [{"resourceType": "Organization", "id": "org", "name": "Acme Contained"}],
            },
            ("", "Acme Contained", ""),
        ),
        ({"payor": None, "class": None, "type": None}, ("", "", "")),
        ({"class": [{"type": GROUP, "value": "G1"}, {"type": PLAN, "value": 7}]}, ("", "Organization/acme", "Acme")),
    ],
)
def test_which_plan_it_is(fields: dict[str, Any], plan: tuple[str, str, str]) -> None:
    found = record(**fields)
    assert (found.system, found.code, found.display) == plan


@pytest.mark.parametrize(
    "payor",
    [
        {"reference": "Patient/p-1", "display": "Robin Sample"},
        {"reference": "RelatedPerson/r-9", "display": "Sam Sample"},
        {"type": "RelatedPerson", "display": "Sam Sample"},
        {"reference": "#me"},
        # A display alone that is the patient's own.
        {"display": "Robin Sample"},
    ],
)
def test_a_person_who_pays_is_never_named(payor: dict[str, Any]) -> None:
    contained = [{"resourceType": "RelatedPerson", "id": "me", "name": [{"text": "Sam Sample"}]}]
    found = record(payor=[payor], contained=contained)
    assert (found.system, found.code, found.display) == SELF
    assert "Sample" not in repr(found)


def test_an_insurer_beside_a_person_is_the_payor() -> None:
    assert record(payor=[{"reference": "Patient/p-1"}, ACME]).code == "Organization/acme"


@pytest.mark.parametrize("status", ["cancelled", "draft", "entered-in-error"])
def test_what_is_not_active_is_no_coverage(status: str) -> None:
    assert record(status=status) is None


def test_what_is_over_is_no_coverage_and_what_ends_today_still_is() -> None:
    today = timezone.now().date()
    assert record(period={"end": (today - timedelta(days=2)).isoformat()}) is None
    assert record(period={"end": today.isoformat()}).valid_until == today


@pytest.mark.parametrize(
    ("period", "days"),
    [
        (None, (None, None)),
        ({}, (None, None)),
        ({"start": "2026-01-01", "end": "2099-12-31"}, (date(2026, 1, 1), date(2099, 12, 31))),
        ({"start": "2026-01-01T00:00:00-05:00"}, (date(2026, 1, 1), None)),
        ({"start": "2026", "end": "2099"}, (date(2026, 1, 1), date(2099, 12, 31))),
        ({"start": "2026-02", "end": "2096-02"}, (date(2026, 2, 1), date(2096, 2, 29))),
    ],
)
def test_from_when_to_when(period: Any, days: tuple[date | None, date | None]) -> None:
    found = record(period=period)
    assert (found.valid_from, found.valid_until) == days


@pytest.mark.parametrize(
    ("order", "position"),
    [(None, None), (1, 1), ("2", 2), (0, None), (-1, None), (True, None), ("first", None), (10**12, 9999)],
)
def test_its_order(order: Any, position: int | None) -> None:
    assert record(order=order).position == position


@pytest.mark.parametrize(
    "fields",
    [
        {"status": None},
        {"status": "on"},
        {"beneficiary": None},
        {"beneficiary": {"reference": "Group/1"}},
        {"beneficiary": {"reference": "https://elsewhere.example.org/fhir/Patient/p-1"}},
        {"period": "always"},
        {"period": {"end": "soon"}},
        {"period": {"end": "2096-02-30"}},
        {"period": {"end": "2096-13"}},
        {"id": None},
    ],
)
def test_what_cannot_be_read(fields: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        record(**fields)


def test_of_a_page_the_good_ones_are_taken_and_the_bad_ones_shown() -> None:
    page = [
        written(id="a"),
        written(id="b", beneficiary=7),
        written(id="c", payor=7, type=[7], order={}),
        written(id="d", beneficiary={"reference": "Patient/somebody-else"}),
        {"resourceType": "Coverage"},
    ]
    told = read(page, [{"resourceType": "Basic", "id": "x"}], "p-1", BASE)
    assert [each.external_id for each in told.records] == ["a", "c"]
    assert [each.reference for each in told.quarantined] == ["Basic/x", "Coverage/b", "Coverage"]
