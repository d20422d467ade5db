"""What an HL7 v2 message about patients changes.

Where the EHR speaks FHIR too, whoever it names is fetched again, and a merge is followed: the message is believed about
which records became one or were separated, and about fields that the practice has given an HL7 v2 path. Where there
is no FHIR, the message is the record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils import timezone

from integrations.ehr import mirroring
from integrations.ehr.gateway import NotFound
from integrations.ehr.hl7v2 import people, times
from integrations.ehr.hl7v2.messages import News, Reading, news, parsed
from integrations.ehr.hl7v2.segments import Message
from integrations.models import Connection, InboundEvent
from scheduling import merging, mirror, reviews
from scheduling.exceptions import UnknownReference
from scheduling.models import ExternalId, Patient, PatientIdentifier, PatientMerge
from scheduling.patients import identifier_index
from scheduling.records import PatientRecord
from scheduling.worklist import ask_staff

MERGES = frozenset({"A18", "A30", "A34", "A39", "A40"})
SEPARATIONS = frozenset({"A37", "A43", "A45"})
#: A patient's record was deleted.
DELETIONS = frozenset({"A23", "A29"})


def take(event: InboundEvent, gateway: Any) -> str:
    """Do what a stored message asks for and return what came of it; raises Unreadable and GatewayError.

    Raises ReferenceMissing, so that it is tried again, when a merge keeps a record that the EHR does not have yet, and
    WaitsForReview and AnotherPerson where it may mean somebody else than the patient with its number.
    """
    connection = event.connection
    reading = Reading.of(connection)
    message = parsed(bytes(event.body), reading)
    named = news(message, reading)
    find = _described(event, message, named) if connection.only_sends else _fetched(event, message, named, gateway)
    ours = {number: find(number) for number in named.numbers}
    if named.trigger in MERGES and named.merged:
        return _follow(named, ours)
    found = [patient for patient in ours.values() if patient is not None]
    if named.trigger in SEPARATIONS:
        return _separate(found)
    if named.trigger in DELETIONS and connection.only_sends:
        return _deleted(found)
    return "patient brought up to date" if found else "the EHR has no patient with this number"


def _holder(connection: Connection, number: str) -> Patient | None:
    """Return the record of ours that has or had a number."""
    system = connection.mrn_system
    rows = PatientIdentifier.objects.filter(
        source=connection.source, system=system, value_index=identifier_index(system, number)
    )
    row = rows.select_related("patient").first()
    return row.patient if row is not None else None


def _described(event: InboundEvent, message: Message, named: News) -> Callable[[str], Patient | None]:
    """Return what takes over one patient from the message itself."""
    connection = event.connection
    sent_at = times.sent_at(message, event.received_at)
    # What stands in PID is of the record that is kept; of one that is merged or deleted nothing more is said.
    told = set() if named.trigger in SEPARATIONS | DELETIONS else set(named.numbers)
    told -= {given_up for given_up, _ in named.merged}

    def find(number: str) -> Patient | None:
        if number in told:
            return people.apply(connection, message, number, event, sent_at)
        return _holder(connection, number)

    return find


def _fetched(event: InboundEvent, message: Message, named: News, gateway: Any) -> Callable[[str], Patient | None]:
    """Return what brings one patient up to date by FHIR, and by the message where fields stand in it."""
    connection = event.connection
    source, system = connection.source, connection.mrn_system
    tells = connection.messages_tell == Connection.MessagesTell.FIELDS and len(named.numbers) == 1
    sent_at = times.sent_at(message, event.received_at)

    def apply(record: PatientRecord, asked_at: Any) -> None:
        try:
            told = people.over(connection, message, record, event, sent_at) if tells else record
        except (people.WaitsForReview, people.AnotherPerson):
            mirroring.apply_person(gateway, source, record, asked_at)
            raise
        mirroring.apply_person(gateway, source, told, asked_at)

    def find(number: str) -> Patient | None:
        """Bring whoever has the number up to date, and return the record of ours that has or had it."""
        held = _holder(connection, number)
        if held is None:
            asked_at = timezone.now()
            for record in gateway.find_patients(system, number):
                apply(record, asked_at)
            return _holder(connection, number)
        try:
            external_id = mirror.external_value(source, ExternalId.Kind.PATIENT, held.pk)
            asked_at = timezone.now()
            apply(gateway.fetch("patient", external_id), asked_at)
        except (NotFound, UnknownReference):
            pass  # a merged record may be gone from the EHR; the message says what became of it
        return Patient.objects.get(pk=held.pk)

    return find


def _follow(named: News, ours: dict[str, Patient | None]) -> str:
    merged = 0
    for given_up, kept_number in named.merged:
        retired, kept = ours[given_up], ours[kept_number]
        if retired is None:
            continue
        if kept is None:
            raise mirroring.ReferenceMissing("The record that is kept could not be found.")
        retired.refresh_from_db()
        if retired.pk == kept.pk or retired.replaced_by_id is not None:
            merged += retired.replaced_by_id is not None
            continue
        try:
            merging.merge(retired, kept, told_by=PatientMerge.ToldBy.MESSAGE)
            merged += 1
        except merging.MergeRefused:
            continue
    return "two patient records are one" if merged else "nothing of ours was merged"


def _separate(named: list[Patient]) -> str:
    keys = [patient.pk for patient in named]
    merges = PatientMerge.objects.filter(
        retired_id__in=keys, undone_at__isnull=True, told_by=PatientMerge.ToldBy.MESSAGE
    )
    undone = [merge for merge in merges if merging.undo(merge)]
    for merge in undone:
        reviews.taken_apart(merge.retired, merge.kept_id)
    return "two patient records were separated" if undone else "patients brought up to date"


def _deleted(named: list[Patient]) -> str:
    for patient in named:
        ask_staff(
            "patient.gone",
            "The EHR no longer has a patient that we know",
            advice="Look the patient up in the EHR. If the record was removed, take the patient off the waitlist.",
            dedupe_key=f"patient.gone:{patient.pk}",
            subject=patient,
            patient=patient,
        )
    return "the EHR no longer has this patient; staff were asked" if named else "deleted in the EHR; we never had it"
