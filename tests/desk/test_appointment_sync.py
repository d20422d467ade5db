"""An appointment's page says when it was last in step with the EHR, what of ours is pending and what failed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from config.desk.patient_sync import sync_of
from integrations.models import Difference, InboundEvent
from scheduling.models import Appointment, ExternalId, Patient, PatientWrite, Writeback
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import text_of


@pytest.fixture
def appointment(practice: Practice) -> Appointment:
    return factories.appointment(practice.patient, practice.chen, practice.riverside, source=practice.source)


def write(appointment: Appointment, status: str, **fields: str) -> Writeback:
    now = timezone.now()
    return Writeback.objects.create(
        kind="cancel",
        appointment=appointment,
        source=appointment.source,
        status=status,
        due_at=now,
        deadline_at=now,
        **fields,
    )


def page(client: Client, appointment: Appointment) -> str:
    return text_of(client.get(f"/admin/scheduling/appointment/{appointment.pk}/change/"))


def test_what_the_ehr_says_is_said_in_words(dana: Client, appointment: Appointment) -> None:
    Appointment.objects.update(slot_ids=["chen-0800", "chen-0815"])
    words = page(dana, appointment)
    assert "Slots: chen-0800, chen-0815 Origin:" in words
    assert "Changed here: just now" in words or "s ago" in words


def test_it_says_when_it_was_synced_and_that_nothing_waits(dana: Client, appointment: Appointment) -> None:
    words = page(dana, appointment)
    assert "Last synced not yet: the EHR has no name for it Waiting nothing Failed nothing" in words
    factories.external_id(appointment.source, "appointment", appointment, "a-1")
    assert "Last synced just now" in page(dana, appointment) or "s ago Waiting" in page(dana, appointment)
    ExternalId.objects.update(seen_at=None)
    assert "Last synced when the calendar was loaded Waiting" in page(dana, appointment)


def test_what_is_on_its_way_and_what_the_ehr_refused_lead_to_the_change(dana: Client, appointment: Appointment) -> None:
    refused = write(appointment, "refused", error_detail="The EHR would not cancel the appointment.")
    words = page(dana, appointment)
    assert "Failed cancel: refused since" in words
    assert "The EHR would not cancel the appointment." in words
    waiting = write(appointment, "waiting")
    words = page(dana, appointment)
    assert "Waiting cancel: waiting to send since" in words
    assert "Failed nothing" in words
    markup = dana.get(f"/admin/scheduling/appointment/{appointment.pk}/change/").content.decode()
    assert f"/admin/scheduling/writeback/{waiting.pk}/change/" in markup
    assert f"/admin/scheduling/writeback/{refused.pk}/change/" not in markup


@pytest.mark.parametrize("status", ["dead", "refused"])
def test_what_ended_without_the_ehr_taking_it_has_failed(dana: Client, appointment: Appointment, status: str) -> None:
    write(appointment, status, error_code="tries_used_up")
    assert "tries_used_up" in page(dana, appointment)


def test_news_of_the_ehr_that_wait_or_could_not_be_read_and_what_differs_stand_there(
    dana: Client, practice: Practice, appointment: Appointment
) -> None:
    factories.external_id(appointment.source, "appointment", appointment, "a-1")
    now = timezone.now()
    told = [("Appointment/a-1", "received"), ("Appointment/a-1", "quarantined"), ("Appointment/a-2", "dead")]
    for number, (subject, status) in enumerate(told):
        InboundEvent.objects.create(
            connection=practice.connection, via="webhook", dedupe_key=str(number), subject_key=subject, status=status,
            body=b"{}", due_at=now, received_at=now,
        )  # fmt: skip
    row = Difference.objects.create(
        connection=practice.connection, subject="ext:a-1", kind="differs", appointment=appointment,
        patient=practice.patient, location=practice.riverside, found_at=now, seen_at=now,
    )  # fmt: skip
    words = page(dana, appointment)
    assert "Waiting waiting 1 message of the EHR to be read To be decided differs different in the EHR found" in words
    assert "Failed failed 1 message of the EHR could not be read; what we have stays" in words
    patient = f"/admin/scheduling/patient/{practice.patient.pk}/change/"
    assert "To be decided differs 1 appointment that the EHR has in another way" in text_of(dana.get(patient))
    Difference.objects.filter(pk=row.pk).update(state="left")
    assert "To be decided" not in page(dana, appointment)
    assert "To be decided" not in text_of(dana.get(patient))


def test_what_could_not_be_read_is_over_once_the_ehr_was_asked_again(
    dana: Client, practice: Practice, appointment: Appointment
) -> None:
    name = factories.external_id(appointment.source, "appointment", appointment, "a-1")
    now = timezone.now()
    InboundEvent.objects.create(
        connection=practice.connection, via="webhook", dedupe_key="1", subject_key="Appointment/a-1", status="dead",
        body=b"{}", due_at=now, received_at=now,
    )  # fmt: skip
    patient = f"/admin/scheduling/patient/{practice.patient.pk}/change/"
    for seen_at, failed in ((now - timedelta(hours=1), True), (None, True), (now + timedelta(seconds=1), False)):
        ExternalId.objects.filter(pk=name.pk).update(seen_at=seen_at)
        told = "Failed failed 1 message of the EHR could not be read" if failed else "Failed nothing"
        assert told in page(dana, appointment)
        assert told in text_of(dana.get(patient))


def test_a_patients_page_counts_what_is_theirs_under_any_of_their_records_and_nobody_elses(
    dana: Client, practice: Practice
) -> None:
    now, source = timezone.now(), practice.source
    retired, other = (factories.patient(locations=[practice.riverside], names=source) for _ in range(2))
    Patient.objects.filter(pk=retired.pk).update(replaced_by=practice.patient)

    def under_way(patient: Patient, name: str) -> None:
        visit = factories.appointment(patient, practice.chen, practice.riverside, source=source, external=name)
        write(visit, "waiting")
        Difference.objects.create(
            connection=practice.connection, subject=f"ext:{name}", kind="differs", appointment=visit, patient=patient,
            location=practice.riverside, found_at=now, seen_at=now,
        )  # fmt: skip
        PatientWrite.objects.create(kind="register", patient=patient, source=source, due_at=now)
        for subject in (f"Appointment/{name}", f"Patient/pat-{patient.pk}"):
            InboundEvent.objects.create(
                connection=practice.connection, via="webhook", dedupe_key=subject, subject_key=subject,
                status="received", body=b"{}", due_at=now, received_at=now,
            )  # fmt: skip

    def counts(patient: Patient) -> tuple[int, ...]:
        told = sync_of(patient, User.objects.get(username="dana"))
        return (len(told.read), told.news_waiting, told.writes_waiting, told.details_waiting, told.differing)

    under_way(other, "a-1")
    assert counts(practice.patient) == (1, 0, 0, 0, 0)
    under_way(retired, "a-2")
    assert counts(practice.patient) == (1, 1, 1, 0, 1)
    under_way(practice.patient, "a-3")
    assert counts(practice.patient) == (1, 3, 2, 1, 2)
    assert [line.details for line in sync_of(practice.patient, User.objects.get(username="dana")).corrections] == [
        "Registration"
    ]
