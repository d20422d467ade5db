"""Known patients of a page, described anew: in bulk they end up as they would one by one."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from scheduling import bulk_renewal, corrections, merging, patient_writes
from scheduling.models import ContactPoint, ExternalId, Patient, Source
from scheduling.patients import apply_patient, find_patients
from scheduling.records import ContactRecord, IdentifierRecord, PatientRecord
from tests import factories, race
from tests.scheduling.test_bulk_people import MRN, described, load, logged, record

pytestmark = pytest.mark.django_db

CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "names": {"preferred_name": "Robbie", "family_name": "Married"},
    "birth date": {"birth_date": date(1981, 3, 4)},
    "language": {"language": "en", "language_code": "eng"},
    "address": {"address": "5 New Street"},
    "portal": {"portal_active": False},
    "another number": {"contacts": (ContactRecord("phone", "+12125550103", "mobile", 6),)},
    "another rank": {"contacts": (ContactRecord("phone", "+12125550102", "work", 1),)},
    "unread": {"unread": frozenset({"preferred_name", "phones", "birth_date"}), "contacts": ()},
}


def renew(source: Source, *records: PatientRecord, later: int = 1) -> list[PatientRecord]:
    return bulk_renewal.renew_patients(source, records, timezone.now() + timedelta(seconds=later))


def patient_of(source: Source, external: str = "p-1") -> Patient:
    return Patient.objects.get(pk=ExternalId.objects.get(source=source, kind="patient", value=external).object_id)


def trail(patient: Patient) -> list[str]:
    """What the audit log says of the patient and their contacts."""
    contacts = ContactPoint.objects.filter(patient=patient).order_by("pk")
    return sorted(
        str((action, sorted(changes.items()), *rest)) for action, changes, *rest in logged(patient, *contacts)
    )


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("owned", [[], ["preferred_name", "address"]], ids=["the EHR's", "some of it ours"])
def test_who_is_renewed_in_bulk_is_as_who_is_renewed_singly(change: dict[str, Any], owned: list[str]) -> None:
    one, many = (factories.source(name, practice_owns=owned) for name in ("one", "many"))
    for source in (one, many):
        load(source, record())
        ContactPoint.objects.filter(patient=patient_of(source), rank=1).update(state="frozen")
    apply_patient(one, record(version="2", **change), timezone.now() + timedelta(seconds=1))
    assert renew(many, record(version="2", **change)) == []

    single, bulk = patient_of(one), patient_of(many)
    assert described(bulk) == described(single)
    assert trail(bulk) == trail(single)
    assert ExternalId.objects.get(source=many, kind="patient").version == "2"
    if "family_name" in change:
        assert set(find_patients("married", Patient.objects.all())) == {single, bulk}


def test_a_page_costs_the_same_however_many_are_on_it(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    source = factories.source()
    people = [record(f"p-{number}", f"M{number}") for number in range(60)]
    load(source, *people)
    changed = [record(f"p-{number}", f"M{number}", version="2", address="5 New Street") for number in range(60)]
    with django_assert_num_queries(13):
        assert renew(source, changed[0]) == []
    with django_assert_num_queries(13):
        assert renew(source, *changed[1:]) == []
    assert {row.address for row in Patient.objects.all()} == {"5 New Street"}


def test_what_was_fetched_earlier_changes_nothing() -> None:
    source = factories.source()
    load(source, record())
    assert renew(source, record(version="0", family_name="Before"), later=-60) == []
    assert (patient_of(source).family_name, ExternalId.objects.get(source=source).version) == ("Sample", "1")


@pytest.mark.parametrize(
    "fields",
    [
        {"active": False},
        {"deceased": True},
        {"replaced_by": "p-2"},
        {"identifiers": (IdentifierRecord(MRN, "M9", "MR"),)},
    ],
)
def test_what_concerns_more_than_the_description_is_left_to_the_single_way(fields: dict[str, Any]) -> None:
    source = factories.source()
    load(source, record(), record("p-2", "M2"))
    told, plain = record(version="2", family_name="Changed", **fields), record("p-2", "M2", version="2")
    assert renew(source, told, plain) == [told]
    assert patient_of(source).family_name == "Sample"


def test_a_merged_record_and_one_that_was_corrected_here_are_left() -> None:
    source = factories.source()
    load(source, record(), record("p-2", "M2"), record("p-3", "M3"))
    merging.merge(patient_of(source), patient_of(source, "p-2"), told_by=merging.ToldBy.STAFF)
    correction = corrections.Correction(corrections.Detail.LANGUAGE, "en", "es")
    patient_writes.correct(patient_of(source, "p-3"), [correction])
    told = [record(f"p-{number}", f"M{number}", version="2") for number in (1, 2, 3)]
    assert renew(source, *told) == [told[0], told[2]]


def test_one_that_is_not_here_yet_or_has_two_names_is_left() -> None:
    source = factories.source()
    load(source, record())
    factories.external_id(source, "patient", patient_of(source), "p-1-too")
    told = [record(version="2"), record("p-1-too", version="2"), record("p-9", "M9", version="2")]
    assert renew(source, *told) == told


def test_when_another_worker_adds_the_same_number_first_each_is_taken_singly() -> None:
    source = factories.source()
    load(source, record())
    told = record(version="2", contacts=(ContactRecord("phone", "+12125550107", "mobile", 1),))

    def rival() -> None:
        factories.contact(patient_of(source), "+12125550107", consent=False)

    with race.right_before("scheduling.bulk_renewal._renew_contacts", rival):
        assert renew(source, told) == [told]
    assert ExternalId.objects.get(source=source).version == "1"
    assert not LogEntry.objects.filter(changes__has_key="version").exists()
