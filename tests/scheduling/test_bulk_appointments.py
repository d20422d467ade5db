"""A page of an initial load in one go: what is new is inserted, everything unusual is left to the single way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.forms.models import model_to_dict
from django.utils import timezone

from audit.context import correlated, service
from audit.models import AccessRecord
from scheduling.bulk import AppointmentLoad
from scheduling.models import Appointment, ExternalId, Opening, Patient, Writeback
from scheduling.records import AppointmentRecord, IdentifierRecord
from tests import factories, race
from tests.scheduling.conftest import Clinic


def take(clinic: Clinic, *records: AppointmentRecord) -> list[AppointmentRecord]:
    return AppointmentLoad(clinic.source).take(records, timezone.now())


def ids(records: list[AppointmentRecord]) -> list[str]:
    return [record.external_id for record in records]


def test_an_appointment_is_the_same_in_bulk_as_singly(clinic: Clinic) -> None:
    factories.appointment_type(code="follow-up")
    fields: dict[str, Any] = {
        "type_system": "urn:types",
        "type_code": "F",
        "type_display": "Follow “up”\t\\N",
        "type_target": "follow-up",
        "slot_ids": ("s-1", "s-2"),
        "status": "fulfilled",
        "status_code": "fulfilled",
    }
    single = clinic.apply(clinic.record("a1", **fields), opens=False).appointment
    Patient.objects.update(established=False)
    Patient.locations.through.objects.all().delete()

    timeless = clinic.record("a3", status="proposed", start=None, end=None, patient_id="", location_id="")
    assert take(clinic, clinic.record("a2", **fields), timeless) == []

    name = ExternalId.objects.get(kind="appointment", value="a2")
    bulk = Appointment.objects.get(pk=name.object_id)
    assert {**model_to_dict(bulk), "id": 0} == {**model_to_dict(single), "id": 0}
    assert (bulk.type_display, bulk.slot_ids, name.version) == ("Follow “up”\t\\N", ["s-1", "s-2"], "1")
    assert timezone.now() - bulk.created_at < timedelta(minutes=1)
    patient = Patient.objects.get()
    assert (patient.established, list(patient.locations.all())) == (True, [clinic.location])
    other = Appointment.objects.get(status="proposed")
    assert (other.start, other.patient_id, other.location_id, other.slot_ids) == (None, None, None, [])
    assert not Opening.objects.exists()


def test_the_trail_names_the_rows_that_came(clinic: Clinic) -> None:
    with service("worker: load"), correlated("c" * 32):
        take(clinic, *(clinic.record(f"a{number}") for number in range(5)))
    entry = AccessRecord.objects.get(action="import")
    keys = sorted(Appointment.objects.values_list("pk", flat=True))
    assert entry.detail == {"source": clinic.source.pk, "count": 5, "ids": [f"{keys[0]}-{keys[4]}"]}
    assert (entry.actor_name, entry.subject_kind, entry.correlation_id) == (
        "worker: load",
        "scheduling.appointment",
        "c" * 32,
    )


def test_what_we_hold_is_left_alone_and_what_differs_is_left_over(clinic: Clinic) -> None:
    known = clinic.record("a1")
    take(clinic, known)
    changed = replace(known, version="2", status="cancelled")
    assert take(clinic, known) == []
    assert take(clinic, changed) == [changed]
    assert take(clinic, replace(known, version="")) == [replace(known, version="")]
    assert Appointment.objects.get().status == "booked"


@pytest.mark.parametrize("fields", [{"patient_id": "new"}, {"provider_id": "new"}, {"location_id": "new"}])
def test_what_refers_to_somebody_unknown_is_left(clinic: Clinic, fields: dict[str, str]) -> None:
    stranger = clinic.record("a2", **fields)
    assert take(clinic, clinic.record("a1"), stranger) == [stranger]
    assert Appointment.objects.count() == 1


def test_somebody_met_on_a_later_page_is_known_there(clinic: Clinic) -> None:
    loading = AppointmentLoad(clinic.source)
    later = clinic.record("a1", patient_id="new")
    assert loading.take([later], timezone.now()) == [later]
    factories.external_id(clinic.source, ExternalId.Kind.PATIENT, factories.patient(), "new")
    assert loading.take([later], timezone.now()) == []


def test_time_that_we_offer_is_left_to_the_single_way_which_closes_the_opening(clinic: Clinic) -> None:
    opening = factories.opening(clinic.provider, clinic.location, source=clinic.source, start=factories.in_days(3))
    taking = clinic.record("a1")
    before = clinic.record("a2", start=opening.start - timedelta(hours=1), end=opening.start)
    assert take(clinic, taking, before) == [taking]
    clinic.apply(taking, opens=False)
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == ("closed", "taken")


@pytest.mark.parametrize("by_key", [True, False])
def test_a_booking_of_ours_whose_answer_was_lost_is_left_to_be_adopted(clinic: Clinic, by_key: bool) -> None:
    ours = factories.appointment(
        clinic.patient, clinic.provider, clinic.location, source=clinic.source, status="pending"
    )
    write = Writeback.objects.create(
        source=clinic.source,
        kind=Writeback.Kind.CREATE,
        appointment=ours,
        status=Writeback.Status.DEAD if by_key else Writeback.Status.UNKNOWN,
        sent_at=timezone.now(),
        due_at=timezone.now(),
        deadline_at=timezone.now(),
    )
    identifiers = (IdentifierRecord("urn:sooner:booking", f"urn:uuid:{write.key}"),) if by_key else ()
    moved = timedelta(hours=1 if by_key else 0)
    assert ours.start is not None
    assert ours.end is not None
    seen = clinic.record("a1", start=ours.start + moved, end=ours.end + moved, identifiers=identifiers)
    assert take(clinic, seen) == [seen]
    assert clinic.apply(seen, opens=False).appointment == ours
    assert Appointment.objects.count() == 1


def test_an_identifier_of_somebody_else_is_no_booking_of_ours(clinic: Clinic) -> None:
    named = (IdentifierRecord("urn:other", "6f1f9d1c-6d2c-4f3e-9d53-0d6f6d3c2b11"), IdentifierRecord("urn:x", "17"))
    assert take(clinic, clinic.record("a1", identifiers=named)) == []


def test_when_another_worker_meets_one_of_them_first_none_is_lost(clinic: Clinic) -> None:
    records = [clinic.record("a1"), clinic.record("a2")]
    with race.right_before("scheduling.bulk._Ours", lambda: clinic.apply(records[0], opens=False)):
        left = take(clinic, *records)
    assert ids(left) == ["a1", "a2"]
    for record in left:
        clinic.apply(record, opens=False)
    assert Appointment.objects.count() == 2
    assert sorted(ExternalId.objects.filter(kind="appointment").values_list("value", flat=True)) == ["a1", "a2"]
