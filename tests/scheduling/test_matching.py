"""Who is meant: only a number with its system, confirmed by birth date and family name, links by itself."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.utils import timezone

from scheduling.matching import (
    Candidates,
    Evidence,
    Linked,
    Match,
    Nobody,
    PersonDescription,
    Reason,
    confirms,
    decide,
    find,
    find_each,
    same_initial,
)
from scheduling.models import Patient, Source
from scheduling.patients import apply_patient
from scheduling.records import ContactRecord, IdentifierRecord, PatientRecord
from tests import factories

pytestmark = pytest.mark.django_db

MRN = "urn:example:mrn"
BORN = date(1984, 7, 9)
R = Reason


def record(external: str = "p-1", number: str = "M1", given: str = "Ana", **fields: Any) -> PatientRecord:
    plain: dict[str, Any] = {
        "external_id": external,
        "version": "1",
        "given_name": given,
        "family_name": "De la Cruz",
        "birth_date": BORN,
        "identifiers": (IdentifierRecord(MRN, number, "MR"),),
        "contacts": (ContactRecord("phone", "+12125550101", "mobile", 1),),
    }
    return PatientRecord(**plain | fields)


def held(source: Source, *records: PatientRecord) -> list[Patient]:
    return [apply_patient(source, each, timezone.now()) for each in records]


def described(number: str = "M1", given: str = "Ana", **fields: Any) -> PersonDescription:
    numbers = (IdentifierRecord(MRN, number, "MR"),) if number else ()
    plain: dict[str, Any] = {
        "given_name": given,
        "family_name": "de la  CRUZ",
        "birth_date": BORN,
        "identifiers": numbers,
    }
    return PersonDescription(**plain | fields)


def reasons(match: Match) -> dict[int, tuple[Reason, ...]]:
    assert isinstance(match, Candidates), match
    return {each.patient.pk: each.reasons for each in match.people}


def test_a_number_confirmed_by_birth_date_and_family_name_links() -> None:
    source = factories.source()
    (ana,) = held(source, record())
    assert find(source, described()) == Linked(ana)
    assert find(source, described(given="")) == Linked(ana)
    assert find(source, described(given="Bella")) == Linked(ana)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"birth_date": date(1984, 9, 7)}, (R.NUMBER, R.OTHER_BIRTH_DATE)),
        ({"birth_date": None}, (R.NUMBER, R.NO_BIRTH_DATE)),
        ({"family_name": "Okafor"}, (R.NUMBER, R.OTHER_FAMILY_NAME)),
        ({"family_name": ""}, (R.NUMBER, R.OTHER_FAMILY_NAME)),
        ({"number": ""}, (R.BIRTH_DATE_AND_NAMES,)),
        ({"number": "M2"}, (R.BIRTH_DATE_AND_NAMES,)),
        ({"number": "", "given": "Bella"}, (R.BIRTH_DATE_AND_FAMILY, R.OTHER_FIRST_NAME)),
        (
            {"number": "", "family_name": "Okafor", "phones": ("(212) 555-0101",)},
            (R.BIRTH_DATE_AND_PHONE, R.OTHER_FAMILY_NAME),
        ),
    ],
)
def test_anything_weaker_is_for_a_person_with_what_speaks_for_and_against(
    fields: dict[str, Any], why: tuple[Reason, ...]
) -> None:
    source = factories.source()
    (ana,) = held(source, record())
    assert reasons(find(source, described(**fields))) == {ana.pk: why}


def test_what_neither_knows_is_not_the_same() -> None:
    source = factories.source()
    unborn, unnamed = held(source, record(birth_date=None), record("p-2", "M2", family_name=""))
    assert reasons(find(source, described(birth_date=None))) == {unborn.pk: (R.NUMBER, R.NO_BIRTH_DATE)}
    assert reasons(find(source, described("M2", family_name=""))) == {unnamed.pk: (R.NUMBER, R.OTHER_FAMILY_NAME)}
    assert reasons(find(source, described()))[unborn.pk] == (R.NUMBER, R.NO_BIRTH_DATE)
    assert not confirms(unborn, described(birth_date=None))
    assert not confirms(unnamed, described(family_name=""))


def test_a_record_that_nothing_speaks_for_is_nobody() -> None:
    (ana,) = held(factories.source(), record())
    described_elsewhere = described(birth_date=date(1990, 1, 1), family_name="Okafor")
    assert decide(described_elsewhere, [Evidence(ana, by_phone=True)]) == Nobody()


@pytest.mark.parametrize(
    "fields",
    [
        {"number": "", "birth_date": date(1984, 9, 7)},
        {"number": "", "birth_date": None, "phones": ("+12125550101",)},
        {"number": "", "family_name": "Okafor"},
    ],
)
def test_a_name_or_a_phone_alone_is_nobody(fields: dict[str, Any]) -> None:
    source = factories.source()
    held(source, record())
    assert find(source, described(**fields)) == Nobody()


def test_the_same_number_of_another_system_or_another_source_says_nothing() -> None:
    source = factories.source()
    held(source, record())
    elsewhere = (IdentifierRecord("urn:other:mrn", "M1", "MR"),)
    other = date(1990, 1, 1)
    assert find(source, described(birth_date=other, identifiers=elsewhere)) == Nobody()
    assert find(factories.source("other"), described(birth_date=other)) == Nobody()


def test_a_number_without_its_system_or_a_system_without_a_number_says_nothing() -> None:
    source = factories.source()
    for at, number in enumerate((IdentifierRecord("", "M1", "MR"), IdentifierRecord(MRN, " ", "MR"))):
        held(source, record(f"p-{at}", given=f"A{at}", identifiers=(number,)))
        assert find(source, described(family_name="Okafor", identifiers=(number,))) == Nobody()


@pytest.mark.parametrize(("theirs", "ours"), [("MR", ""), ("", "MR")])
def test_a_number_is_a_medical_record_number_where_either_says_so(theirs: str, ours: str) -> None:
    source = factories.source()
    (ana,) = held(source, record(identifiers=(IdentifierRecord(MRN, "M1", ours),)))
    assert find(source, described(identifiers=(IdentifierRecord(MRN, "M1", theirs),))) == Linked(ana)


def test_of_an_ehrs_record_the_patients_own_phones_are_compared() -> None:
    told = record(
        contacts=(
            ContactRecord("phone", "+12125550101", "mobile", 1),
            ContactRecord("email", "ana@example.org"),
            ContactRecord("phone", "+12125550109", guardian=True),
        )
    )
    assert PersonDescription.of(told).phones == ("+12125550101",)


def test_another_number_in_common_never_links_by_itself() -> None:
    """Members of a family share an insurer's number."""
    source = factories.source()
    card = IdentifierRecord("urn:example:card", "C-7", "MB")
    (ana,) = held(source, record(identifiers=(IdentifierRecord(MRN, "M1", "MR"), card)))
    assert reasons(find(source, described(identifiers=(card,)))) == {ana.pk: (R.OTHER_NUMBER, R.BIRTH_DATE_AND_NAMES)}


def test_twins_are_told_apart_by_their_numbers_and_otherwise_by_a_person() -> None:
    source = factories.source()
    ana, alba = held(source, record(), record("p-2", "M2", given="Alba"))
    assert find(source, described("M1", "Ana")) == Linked(ana)
    assert find(source, described("M2", "Alba")) == Linked(alba)
    both = (R.BIRTH_DATE_AND_NAMES, R.BIRTH_DATE_AND_PHONE, R.SEVERAL)
    assert reasons(find(source, described("", phones=("+12125550101",)))) == {ana.pk: both, alba.pk: both}


def test_one_twins_number_with_the_other_twins_name_is_for_a_person() -> None:
    source = factories.source()
    ana, alba = held(source, record(), record("p-2", "M2", given="Alba"))
    match = find(source, described("M1", "Alba"))
    assert isinstance(match, Candidates)
    assert [each.patient for each in match.people] == [ana, alba]


@pytest.mark.parametrize(
    ("given", "own", "beside", "links"),
    [
        ("Ann", {"given": "Bella"}, {"given": "Anna"}, False),
        ("Ana", {"given": "Bella"}, {"given": ""}, False),  # who may be Ana
        ("jose", {"given": "José"}, {"given": "Jose"}, True),
        ("Nan", {"given": "Ana", "preferred_name": "Nan"}, {"given": "Nan"}, True),
        ("", {"given": "Ana", "preferred_name": "Nan"}, {"given": "Alba"}, True),
        ("Ana", {"given": "Bella"}, {"given": "Ana", "family_name": "Okafor"}, True),
        ("Ana", {"given": "Bella"}, {"given": "Ana", "replaced_by": "p-1"}, True),  # another record of Bella's
    ],
)
def test_a_confirmed_number_is_for_a_person_only_where_a_namesake_born_that_day_fits_better(
    given: str, own: dict[str, Any], beside: dict[str, Any], links: bool
) -> None:
    source = factories.source()
    first, _ = held(source, record(**own), record("p-2", "M2", **beside))
    match = find(source, described(given=given, phones=("+12125550101",)))
    assert match == Linked(first) if links else len(reasons(match)) == 2


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [("Élodie", "elodie", True), ("‘Aisha", "Aisha", True), ("Ana", "Bella", False), ("", "Ana", False)],
)
def test_first_names_begin_alike_whatever_their_accents_and_an_unknown_one_is_like_none(
    one: str, other: str, alike: bool
) -> None:
    assert same_initial(one, other) is same_initial(other, one) is alike
    assert not same_initial("", " ")


def test_records_that_replace_one_another_in_a_circle_end_the_search() -> None:
    source = factories.source()
    ana, first, second = held(source, record(), record("p-2", "M2"), record("p-3", "M3"))
    for row, following in ((ana, first), (first, second), (second, first)):
        Patient.objects.filter(pk=row.pk).update(replaced_by=following)
    match = find(source, described())
    assert isinstance(match, Linked)
    assert match.patient in (first, second)


def test_a_record_that_was_replaced_stands_for_its_successor() -> None:
    source = factories.source()
    kept, _ = held(source, record(), record("p-2", "M2", replaced_by="p-1"))
    assert find(source, described("M2")) == Linked(kept)


def test_of_two_records_of_one_person_what_speaks_most_counts() -> None:
    """The number stands on the record under the name before the marriage, the new name on the one in use."""
    source = factories.source()
    kept, before = held(source, record(), record("p-2", "M2", family_name="Okafor", replaced_by="p-1"))
    by_number = (R.NUMBER, R.OTHER_FAMILY_NAME)
    assert reasons(find(source, described("M2"))) == {kept.pk: by_number}
    found = [Evidence(kept), Evidence(before, by_number=True)]
    for evidence in (found, found[::-1]):
        assert reasons(decide(described("M2"), evidence)) == {kept.pk: by_number}


def test_a_look_takes_three_queries_however_many_there_are(django_assert_max_num_queries: Any) -> None:
    source = factories.source()
    held(source, *(record(f"p-{number}", f"M{number}", given=f"A{number}") for number in range(8)))
    with django_assert_max_num_queries(3):
        match = find(source, described("", phones=("+12125550101",)))
    assert len(reasons(match)) == 8


def test_many_are_found_as_each_alone_would_be_in_as_many_queries(django_assert_max_num_queries: Any) -> None:
    source, other = factories.source(), factories.source("other")
    held(
        source,
        record(),
        record("p-2", "M2", "Bella"),
        record("p-3", "M3", "Juan", family_name="Okafor", birth_date=date(1990, 1, 2), contacts=()),
    )
    asked = [
        (source, described()),
        (source, described("M2", "Ana")),
        (source, described("M3", "Juan", family_name="Okafor")),  # of Ana's birth date
        (other, described("M3", "Juan", family_name="Okafor", birth_date=date(1990, 1, 2))),
        (source, described("", "Zoe", family_name="Silva", phones=("(212) 555-0101",))),
        (source, described("", "Zoe", family_name="Silva", birth_date=date(1990, 1, 2), phones=("(212) 555-0101",))),
        (source, described("", "Zoe", family_name="", birth_date=None, phones=("(212) 555-0101",))),
    ]
    alone = [find(*each) for each in asked]
    with django_assert_max_num_queries(4):
        assert find_each(asked) == alone
    assert [type(each) for each in alone] == [Linked, Candidates, Candidates, Candidates, Candidates, Nobody, Nobody]
