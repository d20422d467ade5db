"""Registering a patient in the EHR: search, create only when nobody is found, read back, adopt.

Somebody found, by record number or by birth date and family name, is never merged by the machine: the pair goes to the
review queue, and the registration goes on once every pair was answered with "different".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from integrations import outcomes, patient_outcomes
from integrations.attempt import CALL_SECONDS
from integrations.ehr import mirroring
from integrations.ehr.gateway import (
    Duplicate,
    Gateway,
    GatewayError,
    LoginRefused,
    OutcomeUnknown,
    Rejected,
    StaleVersion,
    Taken,
    Throttled,
    Unavailable,
)
from integrations.models import Connection
from integrations.patient_outcomes import must
from scheduling import matching, mirror, patient_writes, registrations, reviews
from scheduling.matching import MEDICAL_RECORD, Reason
from scheduling.models import ExternalId, Patient, PatientReview, PatientWrite, Source, Writeback
from scheduling.patients import apply_patient
from scheduling.records import PatientRecord
from scheduling.wake import wake

Status = PatientWrite.Status
#: A booking that waits for its patient looks again after so long; the registration shortens the wait.
LOOKS_AGAIN = timedelta(seconds=10)
UNREGISTERED = "unregistered"
NEVER_REGISTERED = "The patient was not registered in the EHR before the appointment's time."
WAITS = "The EHR does not know this patient yet. The booking is kept and goes on once they are registered there."


def register(row: PatientWrite, connection: Connection, gateway: Gateway) -> None:
    """Register the row's patient exactly once in effect; raises GatewayError when the EHR gave no answer."""
    if _is_known_by_now(row):
        return
    if row.sent_at is not None and (_adopt_ours(row, connection, gateway) or not _absence_is_proven(row, connection)):
        return
    alike = _look_around(row, connection, gateway)
    if _is_known_by_now(row):
        # Their own record was among those found, though a search by our key did not show it yet.
        return
    if alike:
        patient_outcomes.to_reviews(row)
    elif alike is None or not _is_by_machine(row, gateway):
        patient_outcomes.to_staff(row, row.error_code)
    else:
        _create(row, connection, gateway)


def _is_known_by_now(row: PatientWrite) -> bool:
    """End the row where the EHR has a name for its patient."""
    if not registrations.is_known(row.source, row.patient_id):
        return False
    must(patient_writes.end(row, Status.DONE))
    let_bookings_go_on(row)
    return True


def _is_by_machine(row: PatientWrite, gateway: Gateway) -> bool:
    source = row.source
    by_machine = source.writable and source.registers_patients == Source.Registers.MACHINE
    return by_machine and gateway.capabilities.creates_patients and row.error_code not in (Rejected.code, "no_right")


def _adopt_ours(row: PatientWrite, connection: Connection, gateway: Gateway) -> bool:
    """Take the record that carries our key, where the EHR has one."""
    asked_at = timezone.now()
    found = gateway.find_patients(connection.identifier_system, str(row.key))
    if len(found) > 1:
        patient_outcomes.dead(row, "several_by_key")
        return True
    return bool(found) and _adopt(row, found[0], asked_at)


def _absence_is_proven(row: PatientWrite, connection: Connection) -> bool:
    """Return whether it may be sent again; else have it looked up once more when it must have settled."""
    sent = row.sent_at or timezone.now()
    settled_at = sent + timedelta(seconds=CALL_SECONDS + connection.settle_seconds)
    if timezone.now() >= settled_at:
        return True
    attempts = max(row.attempts - 1, 0)
    must(patient_writes.put_down(row, Status.UNKNOWN, settled_at, row.error_code, attempts=attempts))
    return False


def _look_around(row: PatientWrite, connection: Connection, gateway: Gateway) -> bool | None:
    """Put everybody in the EHR who may be the patient to the review queue; None where that cannot be asked."""
    patient = row.patient
    if patient.birth_date is None or not patient.family_name:
        return None
    searches: list[tuple[Reason, Callable[[], list[PatientRecord]]]] = []
    if connection.mrn_system:
        numbers = patient.identifiers.filter(type_code=MEDICAL_RECORD)
        for number in sorted({each.value for each in numbers}):
            searches.append((Reason.NUMBER, lambda n=number: gateway.find_patients(connection.mrn_system, n)))  # type: ignore[misc]
    family, born = patient.family_name, patient.birth_date
    searches.append((Reason.BIRTH_DATE_AND_FAMILY, lambda: gateway.find_people(family, born)))
    open_pairs = False
    for reason, search in searches:
        must(patient_writes.keep(row))
        asked_at = timezone.now()
        try:
            found = search()
        except Rejected:
            return None
        for record in found:
            other = mirroring.apply_person(gateway, row.source, record, asked_at)
            open_pairs = _is_open(patient, other, reason, record) or open_pairs
    return open_pairs


def _is_open(patient: Patient, other: Patient, reason: Reason, record: PatientRecord) -> bool:
    """Ask whether two records are one person; False once a person has said that they are not."""
    if other.pk == patient.pk:
        return False
    if reason == Reason.BIRTH_DATE_AND_FAMILY and matching.same_initial(patient.given_name, record.given_name):
        reason = Reason.BIRTH_DATE_AND_NAMES
    reviews.note_pair(patient, other, (reason,))
    return reviews.answer(patient, other) != PatientReview.State.DIFFERENT


def _create(row: PatientWrite, connection: Connection, gateway: Gateway) -> None:
    sent_before = row.sent_at
    must(patient_writes.keep(row, sent=True))
    try:
        stored = gateway.create_patient(str(row.key), registrations.record_of(row.patient))
    except LoginRefused as error:
        _had_no_effect(row, sent_before)
        if error.status != 403:
            raise
        # The connection works: it is patients that we have no right to write.
        patient_outcomes.to_staff(row, "no_right")
        return
    except (Throttled, Unavailable):
        _had_no_effect(row, sent_before)
        raise
    except (Duplicate, Taken, StaleVersion):
        must(patient_writes.keep(row))
        if not _adopt_ours(row, connection, gateway):
            raise OutcomeUnknown("duplicate of nothing") from None
        return
    except Rejected:
        patient_outcomes.to_staff(row, Rejected.code)
        return
    must(patient_writes.keep(row))
    asked_at = timezone.now()
    try:
        record = gateway.fetch("patient", stored.external_id)
    except GatewayError as error:
        raise OutcomeUnknown(f"not readable yet: {error.code}") from None
    if not isinstance(record, PatientRecord):
        raise OutcomeUnknown("not a patient")
    _adopt(row, record, asked_at)


def _had_no_effect(row: PatientWrite, sent_before: datetime | None) -> None:
    PatientWrite.objects.filter(pk=row.pk, lease_until=row.lease_until).update(sent_at=sent_before)
    row.sent_at = sent_before


def _adopt(row: PatientWrite, record: PatientRecord, asked_at: datetime) -> bool:
    """Make our patient the mirror of the record; another person's under our key is for staff."""
    described = matching.PersonDescription.of(record)
    if not matching.confirms(row.patient, described):
        patient_outcomes.dead(row, "mismatch")
        return True
    try:
        with transaction.atomic():
            must(patient_writes.end(row, Status.DONE))
            if mirror.known(row.source, ExternalId.Kind.PATIENT, record.external_id) is None:
                name = {"version": record.version, "fetched_at": asked_at}
                mirror.name(row.source, ExternalId.Kind.PATIENT, record.external_id, row.patient_id, **name)  # type: ignore[arg-type]
            apply_patient(row.source, record, asked_at)
    except IntegrityError:
        # Its event was dealt with at the same moment: the next look finds that the patient is known.
        row.refresh_from_db()
        raise OutcomeUnknown("heard of at the same moment") from None
    let_bookings_go_on(row)
    return True


def waits(row: Writeback) -> bool:
    """Return whether a booking must wait, since the EHR does not know its patient; has them registered."""
    patient = row.appointment.patient
    if patient is None or row.kind != Writeback.Kind.CREATE or registrations.is_known(row.source, patient.pk):
        return False
    registrations.request(patient, row.source)
    return True


def wait(row: Writeback, sent_before: datetime | None) -> None:
    """Hold a booking whose patient is not registered; the outbox refuses it when its time has come."""
    outcomes.held(row, timezone.now() + LOOKS_AGAIN, UNREGISTERED, sent_before=sent_before, summary=WAITS)


def why_too_late(row: Writeback) -> str:
    """Return what kept a booking from the EHR until its time had come."""
    return NEVER_REGISTERED if row.error_code == UNREGISTERED else outcomes.TOO_LATE


def let_bookings_go_on(row: PatientWrite) -> None:
    """The EHR knows the patient: what waited for that is due."""
    if _held(row).update(due_at=timezone.now()):
        wake("writebacks")


def refuse_bookings(row: PatientWrite) -> None:
    """Staff gave the registration up: what waited for it cannot be booked, and the patient is told."""
    for held in _held(row).select_related("opening", "appointment"):
        outcomes.refused(held, "not_registered", "The patient was not registered in the EHR.", ask=False)


def _held(row: PatientWrite) -> QuerySet[Writeback]:
    return Writeback.objects.filter(
        source_id=row.source_id,
        appointment__patient_id=row.patient_id,
        status=Writeback.Status.WAITING,
        error_code=UNREGISTERED,
    )
