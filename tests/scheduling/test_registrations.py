"""By which name an EHR knows a patient, and that who has none there is registered once: as themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling import merging, registrations
from scheduling.exceptions import UnknownReference
from scheduling.models import ExternalId, Patient, PatientMerge, PatientWrite, Source
from scheduling.patients import apply_patient
from scheduling.records import IdentifierRecord, PatientRecord
from tests import factories

pytestmark = pytest.mark.django_db

Kind, Status = PatientWrite.Kind, PatientWrite.Status
MACHINE = Source.Registers.MACHINE


def merged(retired: object, kept: object) -> None:
    merging.merge(retired, kept, told_by=PatientMerge.ToldBy.STAFF)  # type: ignore[arg-type]


def test_a_patient_is_known_by_their_own_name_else_by_that_of_a_record_of_the_same_person() -> None:
    source = factories.source()
    known, listed, again, stranger = (factories.patient() for _ in range(4))
    for elsewhere, kind in (
        (factories.source("elsewhere"), ExternalId.Kind.PATIENT),
        (source, ExternalId.Kind.PROVIDER),
    ):
        factories.external_id(elsewhere, kind, listed, "something else")
    factories.external_id(source, ExternalId.Kind.PATIENT, known, "pat-known")
    merged(known, listed)
    assert registrations.name_at(source, listed.pk) == "pat-known"
    merged(listed, again)
    assert [registrations.name_at(source, each.pk) for each in (known, listed, again)] == ["pat-known"] * 3
    factories.external_id(source, ExternalId.Kind.PATIENT, again, "pat-again")
    assert registrations.name_at(source, again.pk) == "pat-again"
    assert not registrations.is_known(source, stranger.pk)


def test_a_name_elsewhere_or_of_something_else_is_not_the_patients_name() -> None:
    """A booking goes out under it: it would be in the record of somebody else."""
    source, elsewhere = factories.source(), factories.source("elsewhere")
    retired, kept = factories.patient(), factories.patient()
    merged(retired, kept)
    for row in (retired, kept):
        factories.external_id(elsewhere, ExternalId.Kind.PATIENT, row, f"pat-{row.pk}")
        factories.external_id(source, ExternalId.Kind.PROVIDER, row, f"prov-{row.pk}")
        with pytest.raises(UnknownReference):
            registrations.name_at(source, row.pk)


def test_what_was_asked_for_others_elsewhere_or_otherwise_is_no_registration_of_this_patient() -> None:
    source, patient = factories.source(), factories.patient()
    others = [
        registrations.request(factories.patient(), source),
        registrations.request(patient, factories.source("elsewhere")),
        PatientWrite.objects.create(kind=Kind.UPDATE, patient=patient, source=source, due_at=timezone.now()),
    ]
    row = registrations.request(patient, source)
    assert row not in others
    assert (row.patient, row.source, row.kind) == (patient, source, Kind.REGISTER)
    assert registrations.request(patient, source) == row


@pytest.mark.parametrize(
    ("status", "is_known", "now"),
    [
        (Status.DONE, False, Status.WAITING),
        (Status.DROPPED, False, Status.WAITING),
        (Status.DONE, True, Status.DONE),
        (Status.BY_HAND, False, Status.BY_HAND),
        (Status.CONFLICT, False, Status.CONFLICT),
    ],
)
def test_a_registration_begins_anew_only_where_it_had_ended_and_the_ehr_knows_nobody(
    status: str, is_known: bool, now: str
) -> None:
    source = factories.source()
    patient = factories.patient(names=source if is_known else None)
    row = registrations.request(patient, source)
    PatientWrite.objects.filter(pk=row.pk).update(status=status, attempts=3, error_code="x")
    assert registrations.request(patient, source).pk == row.pk
    row.refresh_from_db()
    assert (row.status, row.attempts, row.error_code) == (now, *((0, "") if now == Status.WAITING else (3, "x")))


def test_of_those_who_join_the_list_whoever_no_ehr_knows_is_registered_at_the_one_that_does_it_by_machine() -> None:
    source, elsewhere = factories.source(registers_patients=MACHINE), factories.source("elsewhere")
    new, dropped, known, known_elsewhere = (factories.patient() for _ in range(4))
    factories.external_id(source, ExternalId.Kind.PATIENT, known, "pat-1")
    factories.external_id(elsewhere, ExternalId.Kind.PATIENT, known_elsewhere, "pat-2")
    factories.external_id(source, ExternalId.Kind.PROVIDER, new, "prov-1")
    row = registrations.request(dropped, source)
    PatientWrite.objects.filter(pk=row.pk).update(status=Status.DROPPED)
    registrations.request(new, elsewhere)
    PatientWrite.objects.create(kind=Kind.UPDATE, patient=new, source=source, due_at=timezone.now())

    registrations.request_for_list([new, dropped, known, known_elsewhere])
    rows = PatientWrite.objects.filter(source=source, kind=Kind.REGISTER)
    assert dict(rows.values_list("patient", "status")) == {new.pk: Status.WAITING, dropped.pk: Status.WAITING}


@pytest.mark.parametrize("by", [[Source.Registers.STAFF], [MACHINE, MACHINE]])
def test_nobody_who_joins_the_list_is_registered_where_it_is_not_clear_at_which_ehr(by: list[str]) -> None:
    for number, registers in enumerate(by):
        factories.source(f"s-{number}", registers_patients=registers)
    registrations.request_for_list([factories.patient()])
    assert not PatientWrite.objects.exists()


def test_only_what_reaches_the_patient_today_goes_into_their_record_there() -> None:
    patient = factories.patient(phone="+12125550101", email="robin@example.org")
    factories.contact(patient, "+12125550102", guardian=True)
    factories.contact(patient, "+12125550103", use="old")
    factories.contact(patient, "+12125550104", state="invalid")
    told = [(each.system, each.value) for each in registrations.record_of(patient).contacts]
    assert told == [("phone", "+12125550101"), ("email", "robin@example.org")]


def told_with_key(row: PatientWrite, at: Source, external: str) -> Patient:
    """Take over a record that carries the row's key."""
    key = IdentifierRecord("urn:example:keys", str(row.key))
    return apply_patient(at, PatientRecord(external, "1", identifiers=(key,)), timezone.now())


def test_a_record_with_our_key_is_the_patient_whom_we_sent_there_and_whose_try_goes_on_at_once() -> None:
    source, patient, later = factories.source(), factories.patient(), timezone.now() + timedelta(hours=1)
    other, row = registrations.request(factories.patient(), source), registrations.request(patient, source)
    PatientWrite.objects.update(sent_at=timezone.now(), due_at=later)
    assert told_with_key(row, source, "pat-1") == patient
    assert registrations.name_at(source, patient.pk) == "pat-1"
    for each in (row, other):
        each.refresh_from_db()
    assert row.due_at <= timezone.now()
    assert other.due_at == later


@pytest.mark.parametrize("why", ["never sent", "of another EHR", "a correction"])
def test_a_key_that_no_registration_took_there_says_nothing_of_whose_record_it_is(why: str) -> None:
    """Somebody may have copied it: taken for ours, two people would be one."""
    source, patient = factories.source(), factories.patient()
    row = registrations.request(patient, factories.source("elsewhere") if why == "of another EHR" else source)
    PatientWrite.objects.update(sent_at=None if why == "never sent" else timezone.now())
    if why == "a correction":
        PatientWrite.objects.update(kind=Kind.UPDATE)
    assert told_with_key(row, source, "pat-1") != patient
    assert not registrations.is_known(source, patient.pk)


def test_a_registration_that_was_given_up_stays_so_when_its_record_turns_up() -> None:
    source, patient, later = factories.source(), factories.patient(), timezone.now() + timedelta(hours=1)
    row = registrations.request(patient, source)
    PatientWrite.objects.update(sent_at=timezone.now(), due_at=later, status=Status.DROPPED)
    assert told_with_key(row, source, "pat-1") == patient
    row.refresh_from_db()
    assert (row.status, row.due_at) == (Status.DROPPED, later)
