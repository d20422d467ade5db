"""Patients of the practice's own: made from a list, taken back with it, and what the practice enters of any."""

from __future__ import annotations

from typing import Any

import pytest
from auditlog.models import LogEntry

from scheduling import local_patients, own_details
from scheduling.models import ExternalId, Patient, PatientIdentifier, Source
from scheduling.patient_contacts import contact_points
from scheduling.records import ContactRecord, PatientRecord
from tests import factories

pytestmark = pytest.mark.django_db

OF_PATIENTS, OF_PROVIDERS = ExternalId.Kind.PATIENT, ExternalId.Kind.PROVIDER


def listed(*numbers: str, at: Source | None = None) -> list[Patient]:
    """New patients of a list with these chart numbers, at no place."""
    records = [
        PatientRecord("", given_name="Noor", family_name="Listed", identifiers=(local_patients.chart_number(number),))
        for number in numbers
    ]
    return local_patients.create(at or local_patients.spreadsheet(), records, [None] * len(records))


def numbers(source: Source) -> dict[int, str]:
    rows = PatientIdentifier.objects.filter(source=source)
    return {row.patient_id: row.value for row in rows}


def logged(row: Patient) -> list[dict[str, Any]]:
    return [each.changes for each in LogEntry.objects.get_for_object(row).order_by("pk")]


def test_whom_a_list_brings_is_on_record_and_keeps_a_number_that_nobody_has() -> None:
    sheet, elsewhere = local_patients.spreadsheet(), factories.source("elsewhere")
    (first,) = listed("M1")
    (theirs,) = listed("M2", at=elsewhere)
    again, second, third = listed("M1", "M2", "M2")
    assert numbers(sheet) == {first.pk: "M1", second.pk: "M2"}
    assert numbers(elsewhere) == {theirs.pk: "M2"}
    assert [bool(logged(row)) for row in (first, again, second, third)] == [True] * 4
    assert not first.locations.exists()


def test_who_is_taken_back_is_used_no_more_with_their_number_free_and_whom_an_ehr_knows_stays() -> None:
    sheet, ehr = local_patients.spreadsheet(), factories.source()
    gone, known, kept, closed = listed("M1", "M2", "M3", "M4")
    factories.external_id(ehr, OF_PATIENTS, known, "pat-2")
    factories.external_id(ehr, OF_PROVIDERS, gone, "prov-1")
    Patient.objects.filter(pk=closed.pk).update(active=False)
    PatientIdentifier.objects.create(
        patient=gone, source=ehr, system="urn:example:mrn", value="E-9", value_index="e-9", type_code="MR"
    )
    before = len(logged(closed))

    assert local_patients.in_ehr([gone.pk, kept.pk, known.pk]) == {known.pk}
    assert local_patients.in_ehr([gone.pk, kept.pk]) == set()
    assert local_patients.retire([gone.pk, known.pk, closed.pk]) == 1
    rows = (gone, known, kept, closed)
    assert [Patient.objects.get(pk=row.pk).active for row in rows] == [False, True, True, False]
    assert numbers(sheet) == {known.pk: "M2", kept.pk: "M3", closed.pk: "M4"}
    assert numbers(ehr) == {gone.pk: "E-9"}
    assert logged(gone)[-1] == {"active": ["True", "False"]}
    assert len(logged(closed)) == before


def test_the_practice_owns_what_it_took_over_from_a_system_that_knows_the_patient() -> None:
    ours, other = factories.source(practice_owns=["address"]), factories.source("other", practice_owns=["language"])
    patient = factories.patient(names=ours)
    factories.patient(names=other)
    factories.external_id(other, OF_PROVIDERS, patient, "prov-1")
    assert own_details.owned(patient) == {"address"}
    with pytest.raises(ValueError, match="language: the EHR owns it"):
        own_details.enter(patient, {"address": "1 Elm St", "language": "es"})
    before = len(logged(patient))
    assert own_details.enter(patient, {"address": "1 Elm St"}) is True
    assert own_details.enter(patient, {"address": "1 Elm St"}) is False
    assert (Patient.objects.get(pk=patient.pk).address, len(logged(patient))) == ("1 Elm St", before + 1)
    factories.external_id(other, OF_PATIENTS, patient, "pat-9")
    assert own_details.owned(patient) == {"address", "language"}


@pytest.mark.parametrize(
    ("value", "use", "may_be_texted"),
    [
        ("+12125550101", "mobile", True),
        ("+12125550101", "home", True),
        ("+12125550101", "", True),
        ("+12125550101", "work", False),
        ("+12125550101 x44", "mobile", False),
        ("555", "mobile", False),
    ],
)
def test_what_is_texted_is_a_whole_number_of_the_patients_own(value: str, use: str, may_be_texted: bool) -> None:
    (row,) = contact_points(factories.patient(), (ContactRecord("phone", value, use),))
    assert row.can_text is may_be_texted
