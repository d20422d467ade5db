"""The practice may take over what it knows better; the EHR's later word on it is then heard and not taken."""

from __future__ import annotations

from typing import Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone

from integrations.field_mapping import owner_of, set_owner
from integrations.fields import FIELDS
from integrations.models import Connection
from scheduling import bulk_people
from scheduling.models import Patient, Source
from scheduling.patients import DESCRIBED, MAY_BE_OURS, apply_patient
from scheduling.records import EmergencyContact, PatientRecord
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection() -> Connection:
    return factories.connection("elm")


def told(version: str, **fields: Any) -> PatientRecord:
    plain: dict[str, Any] = {
        "given_name": "Roberta",
        "family_name": "Sample",
        "preferred_name": "Bo",
        "language": "en",
        "address": "1 Elm St",
        "emergency_contact": EmergencyContact("Ana", "sister", "+12125550109"),
    }
    return PatientRecord("p-1", version, **plain | fields)


def test_what_the_practice_owns_begins_with_the_ehrs_word_and_is_then_left_alone(connection: Connection) -> None:
    set_owner(connection, "preferred_name", "practice")
    set_owner(connection, "emergency_contact", "practice")
    patient = apply_patient(connection.source, told("1"), timezone.now())
    assert patient.preferred_name == "Bo"

    # The connection at hand read its source before the practice said so, as a load that runs for minutes has.
    stale = Source.objects.get(pk=connection.source_id)
    stale.practice_owns = []
    apply_patient(
        stale,
        told("2", preferred_name="Bobby", emergency_contact=None, language="es", address="2 Oak St"),
        timezone.now(),
    )

    patient.refresh_from_db()
    assert (patient.preferred_name, patient.language, patient.address) == ("Bo", "es", "2 Oak St")
    assert patient.emergency_contact == {"name": "Ana", "relation": "sister", "phone": "+12125550109"}


def test_news_of_a_patient_leave_what_the_practice_decides_meanwhile(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = apply_patient(connection.source, told("1"), timezone.now())
    plain = Patient.save

    def restricted_meanwhile(row: Patient, *args: Any, **kwargs: Any) -> None:
        Patient.objects.filter(pk=row.pk).update(restricted=True)
        plain(row, *args, **kwargs)

    monkeypatch.setattr(Patient, "save", restricted_meanwhile)
    apply_patient(connection.source, told("2", language="es"), timezone.now())

    patient.refresh_from_db()
    assert (patient.restricted, patient.language) == (True, "es")


def test_the_legal_name_is_always_the_ehrs(connection: Connection) -> None:
    for field in ("family_name", "given_name", "birth_date", "phones", "emails", "portal_active"):
        with pytest.raises(ValueError, match=FIELDS[field].fixed):
            set_owner(connection, field, "practice")
        assert owner_of(connection, field) == "ehr"
    # Nor does a row that somebody wrote past the verb change it.
    Source.objects.filter(pk=connection.source_id).update(practice_owns=["family_name", "active"])
    assert owner_of(connection, "family_name") == "ehr"
    apply_patient(connection.source, told("1"), timezone.now())
    patient = apply_patient(connection.source, told("2", family_name="Muster", active=False), timezone.now())
    assert (patient.family_name, patient.active) == ("Muster", False)


def test_an_owner_is_said_on_record_and_given_back(connection: Connection) -> None:
    set_owner(connection, "language", "practice")
    assert owner_of(connection, "language") == "practice"
    set_owner(connection, "language", "ehr")
    assert owner_of(connection, "language") == "ehr"
    changes = [
        entry.changes["practice_owns"]
        for entry in LogEntry.objects.get_for_model(Source).filter(action=LogEntry.Action.UPDATE).order_by("pk")
    ]
    assert changes == [["[]", '["language"]'], ['["language"]', "[]"]]


def test_a_load_carries_address_and_emergency_contact(connection: Connection) -> None:
    assert bulk_people.load_patients(connection.source, [told("1", portal_active=False)], timezone.now()) == []
    patient = Patient.objects.get()
    assert (patient.address, patient.portal_active) == ("1 Elm St", False)
    assert patient.emergency_contact == {"name": "Ana", "relation": "sister", "phone": "+12125550109"}


def test_what_may_be_taken_over_is_the_same_in_the_table_and_in_the_mirror() -> None:
    assert {field.key for field in FIELDS.values() if not field.fixed} == MAY_BE_OURS
    assert MAY_BE_OURS < DESCRIBED
