"""What is corrected of a patient stands over their own EHR's word, and over nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from scheduling import patient_writes
from scheduling.corrections import Correction, Detail
from scheduling.models import Patient, PatientWrite, Source
from scheduling.patients import apply_patient
from scheduling.records import ContactRecord, PatientRecord
from tests import factories

pytestmark = pytest.mark.django_db

SHARED, CORRECTED = "+12125550101", "+12125550188"


def told(source: Source, external: str, version: str = "1") -> Patient:
    contacts = (ContactRecord("phone", SHARED, "mobile", 1),)
    fields: dict[str, Any] = {"given_name": external, "family_name": "Sample", "contacts": contacts}
    return apply_patient(source, PatientRecord(external, version, **fields), timezone.now())


def numbers(patient: Patient) -> set[str]:
    return {row.value for row in patient.contact_points.exclude(use="old")}


def test_a_number_that_two_share_is_corrected_for_the_one_only() -> None:
    source = factories.source()
    robin, sam = told(source, "robin"), told(source, "sam")
    patient_writes.correct(robin, [Correction(Detail.PHONE, CORRECTED, SHARED)])
    assert PatientWrite.objects.get().patient == robin
    for external in ("robin", "sam"):
        told(source, external, "2")
    assert (numbers(robin), numbers(sam)) == ({CORRECTED}, {SHARED})


def test_a_correction_on_its_way_to_another_ehr_does_not_stand_over_this_ones_word() -> None:
    source, elsewhere = factories.source(), factories.source("elsewhere")
    robin = told(source, "robin")
    patient_writes.correct(robin, [Correction(Detail.PHONE, CORRECTED, SHARED)])
    PatientWrite.objects.update(source=elsewhere)
    told(source, "robin", "2")
    assert SHARED in numbers(robin)
