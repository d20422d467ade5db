"""A page of patients, clinicians or places in one go leaves what taking them one by one would have left."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.forms.models import model_to_dict
from django.utils import timezone

from audit.context import service
from scheduling import bulk_people
from scheduling.directory import apply_location, apply_provider
from scheduling.models import (
    ContactPoint,
    ExternalId,
    Location,
    Patient,
    PatientIdentifier,
    PatientSearchToken,
    Provider,
    Source,
    WorkItem,
)
from scheduling.patients import apply_patient, find_patients
from scheduling.records import ContactRecord, IdentifierRecord, LocationRecord, PatientRecord, ProviderRecord
from tests import factories, race

pytestmark = pytest.mark.django_db

MRN = "urn:example:mrn"
Kind = ExternalId.Kind


def record(external: str = "p-1", number: str = "M1", **fields: Any) -> PatientRecord:
    plain: dict[str, Any] = {
        "external_id": external,
        "version": "1",
        "given_name": "Robin",
        "family_name": "Sample",
        "preferred_name": "Bo",
        "birth_date": date(1980, 1, 2),
        "language": "es",
        "identifiers": (IdentifierRecord(MRN, number, "MR"), IdentifierRecord(MRN, number, "MR")),
        "contacts": (
            ContactRecord("phone", "(212) 555-0101", "mobile", 2),
            ContactRecord("phone", "+12125550101", "home", 1),
            ContactRecord("phone", "+12125550102 x7", "work", 3),
            ContactRecord("email", " Robin@example.org ", rank=4),
            ContactRecord("phone", "12", rank=5),
        ),
    }
    return PatientRecord(**plain | fields)


def load(source: Source, *records: PatientRecord) -> list[PatientRecord]:
    with service("worker: load"):
        return bulk_people.load_patients(source, records, timezone.now())


def plain(row: Any, *without: str) -> dict[str, Any]:
    return {name: value for name, value in model_to_dict(row).items() if name not in ("id", "locations", *without)}


def described(patient: Patient) -> dict[str, Any]:
    """Everything about a patient but keys."""
    numbers = PatientIdentifier.objects.filter(patient=patient).order_by("pk")
    return {
        "patient": plain(patient),
        "indexes": (patient.family_index, patient.birth_date_index),
        "contacts": [
            (plain(row, "patient"), row.address_index)
            for row in ContactPoint.objects.filter(patient=patient).order_by("rank", "pk")
        ],
        "numbers": [(plain(row, "patient", "source"), row.value_index) for row in numbers],
        "tokens": set(PatientSearchToken.objects.filter(patient=patient).values_list("token", flat=True)),
    }


def logged(*rows: Any) -> list[tuple[Any, ...]]:
    """What the audit log says of rows, keys and times aside."""
    found = []
    for row in rows:
        entries = LogEntry.objects.get_for_object(row).order_by("pk")
        for entry in entries:
            changes = {name: value for name, value in entry.changes.items() if name not in ("id", "created_at")}
            changes.pop("patient", None)
            changes.pop("source", None)
            actor = entry.actor.username if entry.actor else ""
            found.append((entry.action, changes, actor, entry.additional_data))
    return found


def test_a_patient_is_the_same_in_bulk_as_singly() -> None:
    with service("worker: load"):
        single = apply_patient(factories.source("one"), record(), timezone.now())
    source = factories.source("many")
    assert load(source, record(), record("p-2", "M2")) == []

    name = ExternalId.objects.get(source=source, kind=Kind.PATIENT, value="p-1")
    bulk = Patient.objects.get(pk=name.object_id)
    assert (name.version, name.seen_at is not None) == ("1", True)
    assert described(bulk) == described(single)
    assert [row.value for row in bulk.contact_points.order_by("rank")] == [
        "+12125550101",
        "+12125550102",
        "robin@example.org",
        "12",
    ]
    assert find_patients("rob sam", Patient.objects.all()).count() == 3


def test_the_audit_log_says_of_each_row_what_it_would_say_singly() -> None:
    with service("worker: load"):
        single = apply_patient(factories.source("one"), record(), timezone.now())
    source = factories.source("many")
    load(source, record())
    bulk = Patient.objects.get(pk=ExternalId.objects.get(source=source, value="p-1").object_id)

    def rows(patient: Patient) -> list[Any]:
        contacts = ContactPoint.objects.filter(patient=patient).order_by("rank")
        return [patient, *contacts, *PatientIdentifier.objects.filter(patient=patient)]

    assert logged(*rows(bulk)) == logged(*rows(single))
    action, changes, actor, _ = logged(bulk)[0]
    assert (action, actor) == (LogEntry.Action.CREATE, "service:worker: load")
    assert changes["family_name"] == ["•••", "•••"]


def test_clinicians_and_places_are_the_same_in_bulk_as_singly() -> None:
    one, many = factories.source("one"), factories.source("many")
    clinician = ProviderRecord("d-1", "1", "Dr. Ana", "1999999901")
    place = LocationRecord("l-1", "1", "Elm Street", "America/Chicago", "(312) 555-0100", "240 Shore Avenue")
    now = timezone.now()
    singly = (apply_provider(one, clinician, now), apply_location(one, place, now))

    assert bulk_people.load_providers(many, [clinician, ProviderRecord("d-2", "1")], now) == []
    assert bulk_people.load_locations(many, [place], now) == []

    in_bulk = (
        Provider.objects.get(pk=ExternalId.objects.get(source=many, value="d-1").object_id),
        Location.objects.get(pk=ExternalId.objects.get(source=many, value="l-1").object_id),
    )
    assert [plain(row) for row in in_bulk] == [plain(row) for row in singly]
    assert logged(*in_bulk) == logged(*singly)
    assert Provider.objects.filter(name="Clinician d-2").count() == 1


def test_a_place_without_a_zone_is_left_to_the_single_way_which_asks_staff() -> None:
    source = factories.source()
    place = LocationRecord("l-1", "1", "Elm Street", "Mars/Olympus")
    assert bulk_people.load_locations(source, [place], timezone.now()) == [place]
    assert not Location.objects.exists()


@pytest.mark.parametrize("fields", [{"version": "2"}, {"version": ""}])
def test_a_patient_we_know_at_another_version_or_none_is_left(fields: dict[str, str]) -> None:
    source = factories.source()
    load(source, record(version=fields["version"] and "1"))
    again = record(family_name="Changed", **fields)
    assert load(source, again) == [again]
    assert list(Patient.objects.values_list("family_name", flat=True)) == ["Sample"]


def test_a_patient_we_know_at_this_version_is_left_alone() -> None:
    source = factories.source()
    gone = record("p-2", "M2", active=False)
    load(source, record(), gone)
    assert load(source, gone) == []
    assert Patient.objects.count() == 2


def test_a_replaced_record_is_left() -> None:
    source = factories.source()
    old = record("p-2", "M2", replaced_by="p-1")
    assert load(source, record(), old) == [old]
    assert Patient.objects.count() == 1


def test_a_number_that_two_have_is_left_to_the_single_way_which_asks_staff() -> None:
    source = factories.source()
    load(source, record("p-1", "M1"))
    known, twin_a, twin_b = record("p-2", "M1"), record("p-3", "M3"), record("p-4", "M3")
    assert load(source, known, twin_a, twin_b) == [known, twin_b]
    for each in (known, twin_b):
        apply_patient(source, each, timezone.now())
    assert Patient.objects.count() == 4
    assert set(WorkItem.objects.values_list("kind", flat=True)) == {"patient.reviews"}


def test_when_another_worker_meets_one_of_them_first_each_is_taken_singly() -> None:
    source = factories.source()
    rival = record("p-1", "M1")
    with race.right_before("scheduling.bulk_people._inserted", lambda: apply_patient(source, rival, timezone.now())):
        left = load(source, rival, record("p-2", "M2"))
    assert [each.external_id for each in left] == ["p-1", "p-2"]
    assert Patient.objects.count() == 1
    for each in left:
        apply_patient(source, each, timezone.now())
    assert sorted(ExternalId.objects.values_list("value", flat=True)) == ["p-1", "p-2"]
    assert (Patient.objects.count(), PatientIdentifier.objects.count()) == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_a_patient_that_many_workers_meet_at_once_is_one_patient() -> None:
    source = factories.source()
    met = race.together(4, lambda _: apply_patient(source, record(), timezone.now()).pk)
    assert set(met) == {Patient.objects.get().pk}
    assert PatientIdentifier.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "is_unchanged"),
    [
        ({}, True),
        ({"deceased": True}, True),
        ({"active": False}, False),  # perhaps replaced by a record that was not here yet
        ({"contacts": (ContactRecord("phone", "+12125550101", guardian=True),)}, False),
        ({"contacts": (ContactRecord("phone", "+12125550101", "old", guardian=True),)}, True),
    ],
)
def test_who_need_not_be_read_again(fields: dict[str, Any], is_unchanged: bool) -> None:
    source = factories.source()
    load(source, record(**fields))
    assert bulk_people.unchanged(source, Kind.PATIENT, {"p-1": "1"}) == ({"p-1"} if is_unchanged else set())
    assert bulk_people.unchanged(source, Kind.PATIENT, {"p-1": "2", "p-2": "1"}) == set()
    assert bulk_people.unchanged(factories.source("other"), Kind.PATIENT, {"p-1": "1"}) == set()


def test_without_a_version_everything_is_read() -> None:
    source = factories.source()
    load(source, record(version=""))
    assert bulk_people.unchanged(source, Kind.PATIENT, {"p-1": ""}) == set()
