"""Patients on the list whom an EHR does not know: that they are registered there, once, and found again by our key."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.context import correlation_id, current_actor
from audit.log import record_created
from scheduling import mirror
from scheduling.exceptions import UnknownReference
from scheduling.families import all_records
from scheduling.models import ContactPoint, ExternalId, Patient, PatientWrite, Source
from scheduling.records import ContactRecord, IdentifierRecord, PatientRecord
from scheduling.transitions import move
from scheduling.wake import wake

Status = PatientWrite.Status
_OF_PATIENTS = ExternalId.Kind.PATIENT


def name_at(source: Source, patient_id: int) -> str:
    """Return what ``source`` calls the patient, or a record that was found to be the same person.

    That may be several merges away. Raises UnknownReference when it knows none of them.
    """
    try:
        return mirror.external_value(source, _OF_PATIENTS, patient_id)
    except UnknownReference:
        same = all_records(Patient.objects.get(pk=patient_id))
        names = ExternalId.objects.filter(source=source, kind=_OF_PATIENTS, object_id__in=same).order_by("pk")
        if (name := names.first()) is None:
            raise
        return mirror.external_value(source, _OF_PATIENTS, name.object_id)


def is_known(source: Source, patient_id: int) -> bool:
    """Return whether ``source`` has a name for the patient."""
    try:
        name_at(source, patient_id)
    except UnknownReference:
        return False
    return True


def request(patient: Patient, source: Source) -> PatientWrite:
    """Have the patient registered at ``source``, unless that is under way or waits for staff; return the row."""
    rows = PatientWrite.objects.filter(patient=patient, source=source, kind=PatientWrite.Kind.REGISTER)
    if (held := rows.order_by("-pk").first()) is not None:
        if held.status in (Status.DROPPED, Status.DONE) and not is_known(source, patient.pk):
            move(held, Status.WAITING, due_at=timezone.now(), attempts=0, finished_at=None, error_code="")
            wake("writebacks")
        return held
    try:
        with transaction.atomic():
            row = _registration(patient, source)
            row.save(force_insert=True)
    except IntegrityError:  # asked for by somebody else at the same moment
        return rows.latest("pk")
    wake("writebacks")
    return row


def look_again(patient_ids: Iterable[int]) -> None:
    """Somebody said who one of these is: a registration that rests with staff, or waits for that, is looked at now."""
    rows = PatientWrite.objects.filter(kind=PatientWrite.Kind.REGISTER, patient_id__in=list(patient_ids))
    if rows.filter(status__in=(Status.BY_HAND, Status.CONFLICT)).update(due_at=timezone.now()):
        wake("writebacks")


def request_for_list(patients: Iterable[Patient]) -> None:
    """Have those who joined the list registered where the one EHR that registers by machine does not know them.

    Elsewhere they are registered before their first booking.
    """
    sources = list(Source.objects.filter(registers_patients=Source.Registers.MACHINE)[:2])
    if len(sources) != 1:
        return
    by_id = {patient.pk: patient for patient in patients}
    known = ExternalId.objects.filter(kind=_OF_PATIENTS, object_id__in=list(by_id))
    unknown = by_id.keys() - set(known.values_list("object_id", flat=True))
    asked_for = PatientWrite.objects.filter(source=sources[0], kind=PatientWrite.Kind.REGISTER, patient_id__in=unknown)
    held = set(asked_for.values_list("patient_id", flat=True))
    for pk in sorted(held):
        request(by_id[pk], sources[0])
    _request_new([by_id[pk] for pk in sorted(unknown - held)], sources[0])


def _request_new(patients: Sequence[Patient], source: Source) -> None:
    """:func:`request` for patients nobody has asked for yet; a list brings thousands."""
    try:
        with transaction.atomic():
            rows = PatientWrite.objects.bulk_create([_registration(each, source) for each in patients], batch_size=1000)
            record_created(rows)
    except IntegrityError:  # somebody else asked for one of them at the same moment
        for patient in patients:
            request(patient, source)
    if patients:
        wake("writebacks")


def _registration(patient: Patient, source: Source) -> PatientWrite:
    return PatientWrite(
        kind=PatientWrite.Kind.REGISTER,
        patient=patient,
        source=source,
        due_at=timezone.now(),
        requested_by=current_actor().name[:150],
        correlation_id=correlation_id(),
    )


def record_of(patient: Patient) -> PatientRecord:
    """Return the patient as they are to be registered: what we hold, with the numbers that are theirs today."""
    points = patient.contact_points.filter(guardian=False, state=ContactPoint.State.USABLE).exclude(use="old")
    return PatientRecord(
        external_id="",
        given_name=patient.given_name,
        family_name=patient.family_name,
        preferred_name=patient.preferred_name,
        birth_date=patient.birth_date,
        language=patient.language,
        address=patient.address or "",
        contacts=tuple(
            ContactRecord("email" if row.system == ContactPoint.System.EMAIL else "phone", row.value, use=row.use)
            for row in points
        ),
    )


def own(source: Source, identifiers: Iterable[IdentifierRecord]) -> PatientWrite | None:
    """Return the registration that a record with these identifiers is the EHR's answer to, although not heard yet."""
    keys = [each.value for each in identifiers if _is_key(each.value)]
    if not keys:
        return None
    rows = PatientWrite.objects.filter(source=source, kind=PatientWrite.Kind.REGISTER, key__in=keys)
    row = rows.exclude(sent_at=None).select_related("patient").first()
    return None if row is None or _is_named(source, row.patient_id) else row


def recogniser(source: Source) -> Callable[[PatientRecord], bool]:
    """Return what says whether a record is one that we registered, without a query for each of thousands."""
    rows = PatientWrite.objects.filter(source=source, kind=PatientWrite.Kind.REGISTER).exclude(sent_at=None)
    keys = {str(key) for key in rows.values_list("key", flat=True)}
    return lambda record: not keys.isdisjoint(each.value for each in record.identifiers)


def _is_named(source: Source, patient_id: int) -> bool:
    return ExternalId.objects.filter(source=source, kind=_OF_PATIENTS, object_id=patient_id).exists()


def _is_key(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True
