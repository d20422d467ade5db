"""Patients as messages describe them: who is meant, and what of it is taken over.

A number alone says nothing: birth date and family name confirm it, else both stand side by side in *Patient reviews*
and the message waits for the answer.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from django.db import transaction
from django.utils import timezone

from integrations.codebook import CodeBook
from integrations.ehr.fhir import people as fhir
from integrations.ehr.fhir.elements import Json
from integrations.ehr.hl7v2 import clock, messages, translation
from integrations.ehr.hl7v2.fields import MessageFields
from integrations.ehr.hl7v2.segments import Message
from integrations.fields import FIELDS
from integrations.models import Connection, InboundEvent
from scheduling import corrections, matching, mirror, reviews
from scheduling.exceptions import UnknownReference
from scheduling.matching import Linked, PersonDescription, Reason
from scheduling.models import ContactPoint, ExternalId, Patient, PatientIdentifier, PatientReview, PatientWrite
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
    """Take over what a message made at ``sent_at`` says of the patient with this number.

    What a later one told stands. Raises WaitsForReview and AnotherPerson where birth date and family name do not
    confirm the number.
    """
    message = messages.about(message, number, messages.Reading.of(connection))
    subject = messages.patient_key(number)
    fields, codes = MessageFields(connection), CodeBook(connection)
    record = _record(connection, message, number, fields, codes)
    details = _details(message, record, fields.own)
    held = _known(connection, record)
    if held is not None:
        late = clock.overtaken(connection, subject, sent_at, details)
        if _is_over(connection, held, record, late, details):
            return held
        try:
            confirm(connection, held, record, event)
        except WaitsForReview:
            # Counted at the first look, however often it is looked at again.
            if not event.error:
                fields.flush()
            raise
    with transaction.atomic():
        late = clock.advance_details(connection, subject, sent_at, details)
        # Another worker may have met them since: whom that message meant this one must mean too.
        is_met = held is None and mirror.known(connection.source, _KIND, record.external_id) is not None
        if not is_met:
            if held is not None:
                record = _with_held(message, record, held, late)
            fields.flush()
            codes.flush()
            return apply_patient(connection.source, record, timezone.now())
    return apply(connection, message, number, event, sent_at)


def _details(message: Message, record: PatientRecord, own: frozenset[str]) -> frozenset[str]:
    """Return what a message tells of a patient: fields by their key, and contact points by their list."""
    # Unless they have a path of their own, numbers and addresses are told by their lists.
    fields = {*FIELDS, "deceased"} - ({"phones", "emails"} - own)
    return frozenset((fields - record.unread) | (translation.LISTS - translation.silent_lists(message)))


def _is_over(
    connection: Connection, patient: Patient, record: PatientRecord, late: frozenset[str], details: frozenset[str]
) -> bool:
    """Return whether later messages leave nothing of this one, or it is not certain any more that it means the patient.

    After a change of name an earlier message has the former one: nobody is asked about that.
    """
    return bool(late) and (late == details or not means(connection, patient, record))


def told(connection: Connection, newest_first: Iterable[Message], number: str, held: Patient) -> PatientRecord | None:
    """Return what messages say of a patient we hold, each detail by the newest that tells it; None where none does.

    Those count that mean this patient and nobody else. What none tells is marked as unread; of contact points whose
    list none tells, those are theirs that we hold, but for what was corrected here and is still to be seen there.
    """
    found: PatientRecord | None = None
    heard: set[str] = set()
    for each in newest_first:
        message = messages.about(each, number, messages.Reading.of(connection))
        record = _record(connection, message, number, MessageFields(connection), CodeBook(connection))
        if not means(connection, held, record):
            continue
        contacts = tuple(point for point in record.contacts if _list_of(point) not in heard)
        found = replace(record, contacts=contacts) if found is None else _filled(found, record, contacts)
        heard |= (translation.LISTS - translation.silent_lists(message)) | {_list_of(point) for point in contacts}
    if found is None:
        return None
    corrected = _still_to_be_seen(connection, held)
    rows = held.contact_points.filter(entered_by="").exclude(use="old")
    kept = [_as_told(row) for row in rows if _list_of(row) not in heard and row.value not in corrected]
    return replace(found, contacts=(*found.contacts, *kept))


def _filled(newer: PatientRecord, older: PatientRecord, contacts: tuple[ContactRecord, ...]) -> PatientRecord:
    """Return what the newer record says, with those details of the older one of which the newer says nothing."""
    names = {field.name for field in dataclasses.fields(newer)} & (newer.unread - older.unread)
    names |= {"language_code"} if "language" in names else set()
    filled: dict[str, Any] = {name: getattr(older, name) for name in names}
    unread = newer.unread & older.unread
    return replace(newer, **filled, contacts=(*newer.contacts, *contacts), unread=unread)


def _still_to_be_seen(connection: Connection, patient: Patient) -> set[str]:
    rows = PatientWrite.objects.filter(
        patient=patient, source=connection.source, kind=PatientWrite.Kind.UPDATE, status__in=PatientWrite.LIVE
    )
    return {corrections.normal(each.detail, each.new) for row in rows for each in corrections.read(row.wanted)}


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


def _with_held(
    message: Message, record: PatientRecord, patient: Patient, late: frozenset[str] = frozenset()
) -> PatientRecord:
    """Return the record with those contact points as we hold them whose list the message leaves out.

    ``late`` are details that a later message told; they are left as they are, too.
    """
    left_out = translation.silent_lists(message) | (late & translation.LISTS)
    rows = patient.contact_points.filter(entered_by="").exclude(use="old")
    kept = [_as_told(row) for row in rows if _list_of(row) in left_out]
    told = [each for each in record.contacts if _list_of(each) not in late]
    return replace(record, contacts=(*told, *kept), unread=record.unread | (late - translation.LISTS))


def _list_of(row: ContactPoint | ContactRecord) -> str:
    return "guardian" if row.guardian else "work" if row.use == "work" else "other"


def _as_told(row: ContactPoint) -> ContactRecord:
    system: Literal["phone", "email"] = "email" if row.system == ContactPoint.System.EMAIL else "phone"
    return ContactRecord(system, row.value, row.use, row.rank, row.valid_from, row.valid_until, row.guardian)


def over(
    connection: Connection, message: Message, record: PatientRecord, event: InboundEvent, sent_at: datetime
) -> PatientRecord:
    """Return what FHIR told of a patient, with the fields over it that messages tell here.

    A field that a later message told stays as it is. Raises as :func:`apply` does.
    """
    held = mirror.known(connection.source, _KIND, record.external_id)
    fields, codes = MessageFields(connection), CodeBook(connection)
    both = fields.over(message, record)
    details = fields.own - both.unread
    described = read(connection, message, "-")
    patient = Patient(given_name=record.given_name, family_name=record.family_name, birth_date=record.birth_date)
    if held is not None:
        patient = Patient.objects.get(pk=held.object_id)
        late = clock.overtaken(connection, event.subject_key, sent_at, details)
        if _is_over(connection, patient, described, late, details):
            return record
        confirm(connection, patient, described, event)
    elif not matching.confirms(patient, PersonDescription.of(described)):
        return record  # it is met now, as FHIR has it; the next message is compared with that
    late = clock.advance_details(connection, event.subject_key, sent_at, details)
    fields.flush()
    if "language" not in both.unread:
        both = codes.with_language(both)
        codes.flush()
    return replace(both, unread=both.unread | late)
