"""Records of the EHR that may be one person are put to a person, once; none is merged by the machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling import bulk_people, reviews
from scheduling.matching import Reason
from scheduling.models import Patient, PatientMerge, PatientReview, Source, WorkItem
from scheduling.patients import apply_patient
from scheduling.records import ContactRecord, IdentifierRecord, PatientRecord
from tests import factories

pytestmark = pytest.mark.django_db

MRN = "urn:example:mrn"
Take = Callable[[Source, PatientRecord], Any]


def record(external: str, number: str, given: str = "Ana", **fields: Any) -> PatientRecord:
    plain: dict[str, Any] = {
        "external_id": external,
        "version": "1",
        "given_name": given,
        "family_name": "De la Cruz",
        "birth_date": date(1984, 7, 9),
        "identifiers": (IdentifierRecord(MRN, number, "MR"),),
        "contacts": (ContactRecord("phone", "+12125550101", "mobile", 1),),
    }
    return PatientRecord(**plain | fields)


def singly(source: Source, each: PatientRecord) -> Patient:
    return apply_patient(source, each, timezone.now())


def in_bulk(source: Source, each: PatientRecord) -> None:
    assert bulk_people.load_patients(source, [each], timezone.now()) == []


@pytest.mark.parametrize("take", [singly, in_bulk])
@pytest.mark.parametrize(
    ("given", "fields", "is_asked"),
    [
        ("Ana", {}, True),  # perhaps entered twice
        ("Álvaro", {}, True),  # twins whose names begin alike: only a person can tell
        ("Bella", {}, False),  # twins with names of their own
        ("Ana", {"birth_date": date(1984, 9, 7)}, False),
        ("Ana", {"birth_date": None}, False),
        ("", {}, False),
        ("Ana", {"active": False}, False),
        ("Ana", {"contacts": ()}, True),  # another number, or none, makes nobody another person
        ("Bella", {"contacts": ()}, False),
        ("Ana", {"contacts": (), "family_name": "Okafor"}, False),
    ],
)
def test_a_new_record_that_resembles_another_is_asked_about(
    take: Take, given: str, fields: dict[str, Any], is_asked: bool
) -> None:
    source = factories.source()
    take(source, record("p-1", "M1"))
    take(source, record("p-2", "M2", given, **fields))
    assert PatientReview.objects.count() == is_asked
    assert not any(str(Reason.SEVERAL) in each.reasons for each in PatientReview.objects.all())
    assert WorkItem.objects.filter(kind="patient.reviews").count() == is_asked
    assert (Patient.objects.count(), PatientMerge.objects.count()) == (2, 0)


@pytest.mark.parametrize("take", [singly, in_bulk])
@pytest.mark.parametrize("closed", [{"active": False}, {"deceased": True}, {"restricted": True}])
def test_nobody_is_asked_about_a_record_that_is_closed(take: Take, closed: dict[str, bool]) -> None:
    source = factories.source()
    take(source, record("p-1", "M1"))
    Patient.objects.update(**closed)
    take(source, record("p-2", "M2"))
    assert not PatientReview.objects.exists()


@pytest.mark.parametrize(("given", "is_asked"), [("Ana", True), ("Bella", False)])
def test_another_family_name_with_birth_date_and_phone_is_asked_about_where_first_names_begin_alike(
    given: str, is_asked: bool
) -> None:
    """As after a marriage; else it is a family at one phone."""
    source = factories.source()
    singly(source, record("p-1", "M1"))
    singly(source, record("p-2", "M2", given, family_name="Okafor"))
    assert PatientReview.objects.count() == is_asked


@pytest.mark.parametrize("unknown", [{"family_name": ""}, {"birth_date": None}])
@pytest.mark.parametrize("take", [singly, in_bulk])
def test_what_is_known_of_neither_makes_nobody_alike(take: Take, unknown: dict[str, Any]) -> None:
    source = factories.source()
    for number in (1, 2):
        take(source, record(f"p-{number}", f"M{number}", contacts=(), **unknown))
    assert not PatientReview.objects.exists()


def test_two_on_one_page_are_asked_about_once_however_often_they_are_read() -> None:
    source = factories.source()
    both = [record("p-1", "M1"), record("p-2", "M2")]
    assert bulk_people.load_patients(source, both, timezone.now()) == []
    assert PatientReview.objects.get().reasons == [str(Reason.BIRTH_DATE_AND_NAMES)]
    for each in both:
        singly(source, record(each.external_id, each.identifiers[0].value, version="2"))
    assert PatientReview.objects.count() == 1


def test_a_page_of_any_length_takes_one_query_more(django_assert_num_queries: Any) -> None:
    new = [factories.patient(phone=None, email=None) for _ in range(30)]
    with django_assert_num_queries(1):
        assert reviews.look_around_in_bulk(new) == 0


def test_a_name_changed_by_marriage_on_the_same_record_is_no_question() -> None:
    source = factories.source()
    singly(source, record("p-1", "M1"))
    patient = singly(source, record("p-1", "M1", family_name="Okafor", version="2"))
    assert (patient.family_name, PatientReview.objects.count(), Patient.objects.count()) == ("Okafor", 0, 1)


def test_a_second_record_under_the_new_name_with_the_same_number_is_a_question() -> None:
    source = factories.source()
    first = singly(source, record("p-1", "M1"))
    second = singly(source, record("p-2", "M1", family_name="Okafor"))
    review = PatientReview.objects.get()
    assert (review.patient, review.other) == (first, second)
    assert {Reason.NUMBER, Reason.OTHER_FAMILY_NAME} <= set(review.reasons)
    assert second.replaced_by is None


def test_an_answer_to_an_earlier_look_changes_nothing() -> None:
    source, now = factories.source(), timezone.now()
    apply_patient(source, record("p-1", "M1", family_name="Okafor", version="2"), now)
    patient = apply_patient(source, record("p-1", "M1"), now - timedelta(seconds=1))
    assert (patient.family_name, Patient.objects.get().family_name) == ("Okafor", "Okafor")


def test_a_number_that_moves_to_another_record_is_a_question() -> None:
    source = factories.source()
    singly(source, record("p-1", "M1"))
    second = singly(source, record("p-2", "M2", "Zoe", family_name="Okafor", birth_date=date(1990, 1, 1)))
    assert not PatientReview.objects.exists()
    told = record("p-2", "M1", "Zoe", family_name="Okafor", birth_date=date(1990, 1, 1), version="2")
    singly(source, told)
    review = PatientReview.objects.get()
    assert (review.other, review.reasons) == (second, [str(Reason.NUMBER)])


def test_the_same_number_elsewhere_on_a_closed_record_or_read_again_is_no_question() -> None:
    source, elsewhere = factories.source(), factories.source("elsewhere")
    mine: dict[str, Any] = {"given": "Zoe", "family_name": "Okafor", "birth_date": date(1990, 1, 1)}
    singly(source, record("p-1", "M1"))
    singly(source, record("p-1", "M1", version="2"))
    singly(elsewhere, record("q-1", "M1", "Kim", family_name="Sato", birth_date=date(1971, 2, 3)))
    singly(source, record("p-2", "M2", **mine))
    singly(source, record("p-2", "M1", version="2", active=False, **mine))
    assert not PatientReview.objects.exists()


def test_the_number_of_a_record_that_another_replaces_may_move_to_that_one() -> None:
    """As an EHR leaves it after a merge; of anybody else's record it is a question."""
    source = factories.source()
    mine: dict[str, Any] = {"given": "Zoe", "family_name": "Okafor"}
    kept = singly(source, record("p-1", "M1"))
    singly(source, record("p-2", "M2", **mine, replaced_by="p-1"))
    numbers = (IdentifierRecord(MRN, "M1", "MR"), IdentifierRecord(MRN, "M2", "MR"))
    singly(source, record("p-1", "M1", version="2", identifiers=numbers))
    assert not PatientReview.objects.exists()
    third = singly(source, record("p-3", "M3", "Kim", family_name="Sato"))
    singly(source, record("p-3", "M3", "Kim", family_name="Sato", version="2", identifiers=numbers[1:]))
    review = PatientReview.objects.get()
    assert third in (review.patient, review.other)
    assert kept not in (review.patient, review.other)


def test_a_record_whose_successor_is_not_known_yet_is_not_used() -> None:
    source = factories.source()
    patient = singly(source, record("p-1", "M1", replaced_by="p-2"))
    assert (patient.replaced_by, patient.may_be_offered) == (None, False)
    second = singly(source, record("p-2", "M2"))
    patient = singly(source, record("p-1", "M1", version="2", replaced_by="p-2"))
    assert (patient.replaced_by, patient.active) == (second, True)


def test_records_that_replace_one_another_in_a_circle_are_not_used_and_shown() -> None:
    source = factories.source()
    singly(source, record("p-1", "M1"))
    first = singly(source, record("p-2", "M2", "Zoe", replaced_by="p-1"))
    second = singly(source, record("p-1", "M1", version="2", replaced_by="p-2"))
    assert first.replaced_by == second
    assert (second.replaced_by, second.may_be_offered) == (None, False)
    assert WorkItem.objects.filter(kind="patient.replaced_in_a_circle").count() == 1


def test_a_record_that_leads_into_a_circle_of_others_is_not_used_and_shown() -> None:
    """Two workers that mirror both of them at the same moment may leave one."""
    source = factories.source()
    one, two = (singly(source, record(f"p-{at}", f"M{at}", given)) for at, given in ((1, "Zoe"), (2, "Kim")))
    for row, other in ((one, two), (two, one)):
        Patient.objects.filter(pk=row.pk).update(replaced_by=other)
    third = singly(source, record("p-3", "M3", replaced_by="p-1"))
    assert (third.replaced_by, third.may_be_offered) == (None, False)
    assert WorkItem.objects.filter(kind="patient.replaced_in_a_circle").count() == 1


def test_the_ehrs_own_merge_answers_the_question() -> None:
    source = factories.source()
    first = singly(source, record("p-1", "M1"))
    singly(source, record("p-2", "M2"))
    replaced = singly(source, record("p-2", "M2", version="2", replaced_by="p-1"))
    assert (replaced.replaced_by, PatientReview.objects.get().state) == (first, "same")
    assert not WorkItem.objects.filter(status="open").exists()
    singly(source, record("p-2", "M2", version="3"))  # separated there again
    assert PatientReview.objects.get().state == "different"


def test_a_record_replaced_by_another_one_than_before_follows_the_new_one() -> None:
    source = factories.source()
    singly(source, record("p-1", "M1"))
    third = singly(source, record("p-3", "M3", "Zoe"))
    singly(source, record("p-2", "M2", replaced_by="p-1"))
    replaced = singly(source, record("p-2", "M2", version="2", replaced_by="p-3"))
    assert replaced.replaced_by == third
    assert [merge.kept_id for merge in PatientMerge.objects.filter(undone_at=None)] == [third.pk]
    assert PatientMerge.objects.count() == 2
