"""Patients as messages describe them: who is meant, and what of it is taken over.

A number alone says nothing: birth date and family name confirm it, else both stand side by side in *Patient reviews*
and the message waits for the answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Literal

from django.db import transaction
from django.utils import timezone

from integrations.codebook import CodeBook
from integrations.ehr.fhir import people as fhir
from integrations.ehr.fhir.elements import Json
from integrations.ehr.hl7v2 import clock, messages, translation
from integrations.ehr.hl7v2.fields import MessageFields
from integrations.ehr.hl7v2.segments import Message
from integrations.models import Connection, InboundEvent
from scheduling import matching, mirror, reviews
from scheduling.exceptions import UnknownReference
from scheduling.matching import Linked, PersonDescription, Reason
from scheduling.models import ContactPoint, ExternalId, Patient, PatientIdentifier, PatientReview
from scheduling.patient_keys import birth_date_index, family_index
from scheduling.patients import apply_patient, identifier_index
from scheduling.records import ContactRecord, PatientRecord

_KIND = ExternalId.Kind.PATIENT


class WaitsForReview(Exception):
    """Whether a message means the patient who has its number, a person must say first."""


class AnotherPerson(Exception):
    """A person said that the message means somebody else than the patient who has its number."""


def external_id(connection: Connection, number: str) -> str:
    """Return the name of a patient at an EHR that has no other than the record number, which does not stand in it."""
    return identifier_index(connection.mrn_system, number)


def name_of(connection: Connection, number: str) -> str:
    """Return what the EHR calls our patient with this number, empty where we have none."""
    rows = PatientIdentifier.objects.filter(
        source=connection.source,
        system=connection.mrn_system,
        value_index=identifier_index(connection.mrn_system, number),
    )
    held = rows.values_list("patient_id", flat=True).first()
    try:
        return mirror.external_value(connection.source, _KIND, held) if held else ""
    except UnknownReference:
        return ""


def apply(connection: Connection, message: Message, number: str, event: InboundEvent, sent_at: datetime) -> Patient:
    """Take over what a message made at ``sent_at`` says of the patient with this number; an older one changes nothing.

    Raises WaitsForReview and AnotherPerson where birth date and family name do not confirm the number.
    """
    message = messages.about(message, number, messages.Reading.of(connection))
    subject = messages.patient_key(number)
    fields, codes = MessageFields(connection), CodeBook(connection)
    record = _record(connection, message, number, fields, codes)
    held = _known(connection, record)
    if held is not None and not clock.is_newest(connection, subject, sent_at):
        return held
    if held is not None:
        try:
            confirm(connection, held, record, event)
        except WaitsForReview:
            # Counted at the first look, however often it is looked at again.
            if not event.error:
                fields.flush()
            raise
        record = _with_held(message, record, held)
    with transaction.atomic():
        is_newest = clock.advance(connection, subject, sent_at)
        # Another worker may have met them since: whom that message meant this one must mean too.
        is_met = held is None and mirror.known(connection.source, _KIND, record.external_id) is not None
        if not is_met:
            if held is not None and not is_newest:
                return held
            fields.flush()
            codes.flush()
            return apply_patient(connection.source, record, timezone.now())
    return apply(connection, message, number, event, sent_at)


def told(connection: Connection, message: Message, number: str, held: Patient) -> PatientRecord:
    """Return what a message says of a patient we hold; what it leaves out is marked as unread."""
    message = messages.about(message, number, messages.Reading.of(connection))
    record = _record(connection, message, number, MessageFields(connection), CodeBook(connection))
    return _with_held(message, record, held)


def read(connection: Connection, message: Message, number: str) -> PatientRecord:
    """Return what a message says of a patient, without the practice's own paths and with codes as they came."""
    return fhir.patient_record(as_fhir(connection, message, number), "", connection.mrn_system)


def as_fhir(connection: Connection, message: Message, number: str) -> Json:
    """Return what a message says of a patient as FHIR."""
    return translation.patient(message, external_id(connection, number), connection.mrn_system, number)


def _record(
    connection: Connection, message: Message, number: str, fields: MessageFields, codes: CodeBook
) -> PatientRecord:
    record = read(connection, message, number)
    return codes.with_language(fields.read(message, record, translation.silent(message)))


def _known(connection: Connection, record: PatientRecord) -> Patient | None:
    """Return our patient with this number; one whom something else told us of is taken where all three agree."""
    source = connection.source
    external = mirror.known(source, _KIND, record.external_id)
    if external is not None:
        return Patient.objects.get(pk=external.object_id)
    match = matching.find(source, PersonDescription.of(record))
    if not isinstance(match, Linked):
        return None
    ExternalId.objects.get_or_create(
        source=source, kind=_KIND, value=record.external_id, defaults={"object_id": match.patient.pk}
    )
    return match.patient


def confirm(connection: Connection, patient: Patient, record: PatientRecord, event: InboundEvent) -> None:
    """Return only where the message means this patient: by birth date and family name, else by what a person said."""
    described = PersonDescription.of(record)
    if means(connection, patient, record):
        return
    key = _review_key(connection, patient, described)
    candidate = matching.Candidate(patient, (Reason.NUMBER, *_against(patient, described)))
    reviews.note_described(candidate, described, origin="an HL7 v2 message", subject=event, dedupe_key=key)
    state = PatientReview.objects.values_list("state", flat=True).get(dedupe_key=key)
    raise AnotherPerson if state == PatientReview.State.DIFFERENT else WaitsForReview


def means(connection: Connection, patient: Patient, record: PatientRecord) -> bool:
    """Return whether what a message says is of this patient: by birth date and family name, else by what a person said.

    Nobody is asked.
    """
    described = PersonDescription.of(record)
    said_so = PatientReview.objects.filter(state=PatientReview.State.SAME)
    return (
        matching.confirms(patient, described)
        or said_so.filter(dedupe_key=_review_key(connection, patient, described)).exists()
    )


def _review_key(connection: Connection, patient: Patient, described: PersonDescription) -> str:
    who = f"{family_index(described.family_name)}:{birth_date_index(described.birth_date)}"
    return f"message:{connection.pk}:{patient.pk}:{hashlib.sha256(who.encode()).hexdigest()[:32]}"


def _against(patient: Patient, described: PersonDescription) -> tuple[Reason, ...]:
    against = []
    if described.birth_date is None or patient.birth_date is None:
        against.append(Reason.NO_BIRTH_DATE)
    elif described.birth_date != patient.birth_date:
        against.append(Reason.OTHER_BIRTH_DATE)
    if family_index(described.family_name) != family_index(patient.family_name):
        against.append(Reason.OTHER_FAMILY_NAME)
    return tuple(against)


def _with_held(message: Message, record: PatientRecord, patient: Patient) -> PatientRecord:
    """Return the record with those contact points as we hold them whose list the message leaves out."""
    left_out = translation.silent_lists(message)
    rows = patient.contact_points.filter(entered_by="").exclude(use="old")
    kept = [_as_told(row) for row in rows if _list_of(row) in left_out]
    return replace(record, contacts=(*record.contacts, *kept))


def _list_of(row: ContactPoint) -> str:
    return "guardian" if row.guardian else "work" if row.use == "work" else "other"


def _as_told(row: ContactPoint) -> ContactRecord:
    system: Literal["phone", "email"] = "email" if row.system == ContactPoint.System.EMAIL else "phone"
    return ContactRecord(system, row.value, row.use, row.rank, row.valid_from, row.valid_until, row.guardian)


def over(
    connection: Connection, message: Message, record: PatientRecord, event: InboundEvent, sent_at: datetime
) -> PatientRecord:
    """Return what FHIR told of a patient, with the fields over it that messages tell here.

    A message older than one that was taken over leaves those fields as they are. Raises as :func:`apply` does.
    """
    held = mirror.known(connection.source, _KIND, record.external_id)
    if held is not None and not clock.is_newest(connection, event.subject_key, sent_at):
        return record
    described = read(connection, message, "-")
    patient = Patient(given_name=record.given_name, family_name=record.family_name, birth_date=record.birth_date)
    if held is not None:
        patient = Patient.objects.get(pk=held.object_id)
    elif not matching.confirms(patient, PersonDescription.of(described)):
        return record  # it is met now, as FHIR has it; the next message is compared with that
    if held is not None:
        confirm(connection, patient, described, event)
    clock.advance(connection, event.subject_key, sent_at)
    fields, codes = MessageFields(connection), CodeBook(connection)
    both = fields.over(message, record)
    fields.flush()
    if "language" not in both.unread:
        both = codes.with_language(both)
        codes.flush()
    return both
