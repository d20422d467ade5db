"""A detail is corrected here at the moment in which the EHR's word on the patient is taken over."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections
from django.utils import timezone

from scheduling import patient_writes
from scheduling.corrections import Correction, Detail
from scheduling.models import ExternalId, Patient
from scheduling.patients import apply_patient
from scheduling.records import ContactRecord, PatientRecord
from tests import factories, race

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

OLD, NEW = "+12015550123", "+12015550188"


def test_the_correction_stands() -> None:
    """It comes before the news, which then hears of it, or after: never in between, where nobody would."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite writes one transaction after the other: nothing there can come in between")
    source = factories.source()
    told = PatientRecord("pat-1", "1", "Ana", "Diaz", contacts=(ContactRecord("phone", OLD, "mobile"),))
    patient = apply_patient(source, told, timezone.now())

    def correct() -> None:
        try:
            patient_writes.correct(patient, [Correction(Detail.PHONE, NEW, OLD)])
        finally:
            connections.close_all()

    staff = threading.Thread(target=correct)

    def correct_in_between() -> None:
        staff.start()
        staff.join(0.5)  # it has to wait, else it would have ended by then

    with race.right_after("scheduling.patients._with_corrections", correct_in_between):
        apply_patient(source, told, timezone.now())
    staff.join(10)
    in_use = Patient.objects.get().contact_points.exclude(use="old").values_list("value", flat=True)
    assert list(map(str, in_use)) == [NEW]
    assert ExternalId.objects.count() == 1
