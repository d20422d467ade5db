"""Patients as their source describes them, and how staff find them again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit.encryption import prefix_tokens, search_tokens
from scheduling import corrections, merging, mirror, registrations, reviews
from scheduling.matching import PersonDescription, Reason, successor
from scheduling.models import (
    ExternalId,
    Patient,
    PatientIdentifier,
    PatientSearchToken,
    PatientWrite,
    Source,
)
from scheduling.patient_contacts import contacts_told
from scheduling.patient_keys import (
    address_index,
    birth_date_index,
    family_index,
    identifier_index,
    normalise_phone,
)
from scheduling.records import IdentifierRecord, PatientRecord
from scheduling.worklist import ask_staff

__all__ = [
    "address_index",
    "apply_patient",
    "birth_date_index",
    "describe",
    "family_index",
    "find_patients",
    "identifier_index",
    "name_tokens",
    "normalise_phone",
]

_NAMES = "patient name"


def apply_patient(source: Source, record: PatientRecord, fetched_at: datetime) -> Patient:
    """Create or update the patient ``source`` describes and return it.

    A record older than what we hold changes nothing. Records that replace one another in a circle are left
    unreplaced and shown to staff. A new record that resembles another one is put to the review queue.
    """
    try:
        with transaction.atomic():
            return _apply(source, record, fetched_at)
    except IntegrityError:
        # Another worker met the same patient first: now it is an update.
        if mirror.known(source, ExternalId.Kind.PATIENT, record.external_id) is None:
            raise
        with transaction.atomic():
            return _apply(source, record, fetched_at)


def _apply(source: Source, record: PatientRecord, fetched_at: datetime) -> Patient:
    external = mirror.known(source, ExternalId.Kind.PATIENT, record.external_id)
    external = external or _registered_by_us(source, record)
    if external is None:
        # The practice's part begins with what the EHR has.
        patient, columns = Patient(), DESCRIBED
    else:
        is_news = mirror.accept(external, record.version, fetched_at)
        if not is_news:
            return Patient.objects.get(pk=external.object_id)
        # Locked before it is asked what was corrected here: who corrects something at this moment comes after us.
        patient = Patient.objects.select_for_update(no_key=True).get(pk=external.object_id)
        columns = DESCRIBED - ours(source) - unread_columns(record)
        record = _with_corrections(source, patient, record)
    before = (patient.may_be_offered, patient.replaced_by_id)
    had_died = patient.deceased
    describe(patient, record, columns)
    if had_died and "deceased" in columns:
        patient.deceased = merging.death_told(patient, told=record.deceased)
    has_link = bool(record.replaced_by)
    patient.replaced_by = merging.replacement(patient, _replacement(source, patient, record), has_link=has_link)
    # Of a patient that is known no other columns are written: somebody may be changing the practice's part meanwhile.
    changed = [*columns, "replaced_by", "updated_at"]
    if external is not None and before != (patient.may_be_offered, patient.replaced_by_id):
        patient.attention_due_at = timezone.now()
        changed.append("attention_due_at")
    patient.save(update_fields=None if external is None else changed)
    merging.note_link(patient, has_link=has_link)
    if before[1] is not None and patient.replaced_by_id != before[1]:
        reviews.taken_apart(patient, before[1])
    if external is None:
        mirror.name(
            source,
            ExternalId.Kind.PATIENT,
            record.external_id,
            patient.pk,
            version=record.version,
            fetched_at=fetched_at,
        )
    keep_search_tokens(patient)
    if patient.replaced_by_id is not None:
        reviews.settle_for(patient)
    elif external is None:
        reviews.look_around(source, patient, PersonDescription.of(record))
    _keep_identifiers(source, patient, record.identifiers)
    _keep_contacts(patient, record)
    return patient


def _registered_by_us(source: Source, record: PatientRecord) -> ExternalId | None:
    """Take a record that carries our key for the patient we registered, although the answer was not heard yet."""
    row = registrations.own(source, record.identifiers)
    if row is None:
        return None
    PatientWrite.objects.filter(pk=row.pk, status__in=PatientWrite.LIVE).update(due_at=timezone.now())
    kind = ExternalId.Kind.PATIENT
    return ExternalId.objects.create(source=source, kind=kind, value=record.external_id, object_id=row.patient_id)


def _with_corrections(source: Source, patient: Patient, record: PatientRecord) -> PatientRecord:
    """Let what was corrected here stand over the EHR's word until it is told; it may be what the EHR says by now."""
    rows = PatientWrite.objects.filter(
        patient=patient, source=source, kind=PatientWrite.Kind.UPDATE, status__in=PatientWrite.LIVE
    )
    standing = list(rows.order_by("pk"))
    if not standing:
        return record
    for row in standing:
        record = corrections.over(record, corrections.read(row.wanted))
    rows.filter(status__in=(PatientWrite.Status.BY_HAND, PatientWrite.Status.CONFLICT)).update(due_at=timezone.now())
    return record


def find_patients(query: str, among: QuerySet[Patient]) -> QuerySet[Patient]:
    """Narrow ``among`` to patients whose names begin with every word of ``query``; none for an empty query."""
    tokens = search_tokens(query, _NAMES)
    if not tokens:
        return among.none()
    for token in tokens:
        among = among.filter(pk__in=PatientSearchToken.objects.filter(token=token).values("patient_id"))
    return among


#: The columns that a source describes.
DESCRIBED = frozenset(
    {
        "given_name",
        "family_name",
        "preferred_name",
        "birth_date",
        "family_index",
        "birth_date_index",
        "language",
        "language_code",
    }
    | {"address", "emergency_contact", "portal_active", "active", "deceased"}
)
#: Those of them that the practice may take over from its EHR.
MAY_BE_OURS = frozenset({"preferred_name", "language", "address", "emergency_contact"})


def ours(source: Source) -> frozenset[str]:
    """Return the columns that the practice has taken over from this source, as of now."""
    owned = Source.objects.values_list("practice_owns", flat=True).get(pk=source.pk)
    return MAY_BE_OURS & {*owned}


def unread_columns(record: PatientRecord) -> set[str]:
    """Return the columns that are left as they are, an index with what it is made of."""
    indexes = {"family_name": "family_index", "birth_date": "birth_date_index", "language": "language_code"}
    return {*record.unread, *(indexes[field] for field in record.unread & indexes.keys())}


def describe(patient: Patient, record: PatientRecord, columns: Iterable[str] = DESCRIBED) -> None:
    """Set what the source says of the person, without saving; not who replaces them."""
    emergency = record.emergency_contact
    told: dict[str, Any] = {
        "given_name": record.given_name,
        "family_name": record.family_name,
        "preferred_name": record.preferred_name,
        "birth_date": record.birth_date,
        "family_index": family_index(record.family_name),
        "birth_date_index": birth_date_index(record.birth_date),
        "language": record.language[:12],
        "language_code": record.language_code[:40],
        "address": record.address or None,
        "emergency_contact": asdict(emergency) if emergency else None,
        "portal_active": record.portal_active,
        "active": record.active,
        "deceased": record.deceased,
    }
    for column in columns:
        setattr(patient, column, told[column])


def _replacement(source: Source, patient: Patient, record: PatientRecord) -> Patient | None:
    """Return the record that replaces this one, when it is known and does not lead back here."""
    if not record.replaced_by:
        return None
    external = mirror.known(source, ExternalId.Kind.PATIENT, record.replaced_by)
    if external is None:
        # Not mirrored yet: the record must not be used all the same, and the next fetch completes the link.
        patient.active = False
        return None
    following: Patient | None = Patient.objects.get(pk=external.object_id)
    first, seen = following, set()
    while following is not None:
        if following.pk == patient.pk or following.pk in seen:
            patient.active = False
            ask_staff(
                "patient.replaced_in_a_circle",
                "Two patient records in the EHR each say the other one replaces them",
                advice="Neither is offered anything. Correct the link in the EHR; this closes by itself.",
                dedupe_key=f"patient.circle:{min(patient.pk or following.pk, following.pk)}",
                patient=following,
            )
            return None
        seen.add(following.pk)
        following = following.replaced_by
    return first


def name_tokens(patient: Patient) -> set[str]:
    """Return the tokens under which the patient's names are found."""
    return set(prefix_tokens(f"{patient.given_name} {patient.preferred_name} {patient.family_name}", _NAMES))


def keep_search_tokens(patient: Patient) -> None:
    """Have the patient found by the names they have now."""
    wanted = name_tokens(patient)
    held = set(patient.search_tokens.values_list("token", flat=True))
    if held - wanted:
        patient.search_tokens.filter(token__in=held - wanted).delete()
    PatientSearchToken.objects.bulk_create(
        [PatientSearchToken(patient=patient, token=token) for token in wanted - held], ignore_conflicts=True
    )


def _keep_identifiers(source: Source, patient: Patient, records: tuple[IdentifierRecord, ...]) -> None:
    for record in records:
        index = identifier_index(record.system, record.value)
        row, _ = PatientIdentifier.objects.get_or_create(
            source=source,
            system=record.system,
            value_index=index,
            defaults={"patient": patient, "value": record.value, "type_code": record.type_code},
        )
        # The number of a record that this one replaces is theirs by now.
        if row.patient_id != patient.pk and patient.may_be_offered and successor(row.patient).pk != patient.pk:
            reviews.note_pair(row.patient, patient, (Reason.NUMBER,))


def _keep_contacts(patient: Patient, record: PatientRecord) -> None:
    for row in contacts_told(patient, record, patient.contact_points.all()):
        row.save()


def request_attention(patient: Patient) -> None:
    """Ask the waitlist to look at what is out to the patient."""
    Patient.objects.filter(pk=patient.pk).update(attention_due_at=timezone.now())
