"""What an HL7 v2 message about patients changes: whoever it names is fetched again, and a merge is followed.

The message is believed only about which records became one or were separated; everything else is what the EHR says
when it is asked.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from integrations.ehr import mirroring
from integrations.ehr.gateway import NotFound
from integrations.ehr.hl7v2.messages import News, read
from integrations.models import Connection
from scheduling import merging, mirror
from scheduling.exceptions import UnknownReference
from scheduling.models import ExternalId, Patient, PatientIdentifier, PatientMerge
from scheduling.patients import identifier_index

MERGES = frozenset({"A18", "A30", "A34", "A39", "A40"})
SEPARATIONS = frozenset({"A37", "A43", "A45"})


def take(connection: Connection, body: bytes, gateway: Any) -> str:
    """Do what a stored message asks for and return what came of it; raises Unreadable and GatewayError.

    Raises ReferenceMissing, so that it is tried again, when a merge keeps a record that the EHR does not have yet.
    """
    news = read(body)
    system = connection.mrn_system
    ours = {number: _fetch_again(connection, gateway, system, number) for number in news.numbers}
    if news.trigger in MERGES and news.merged:
        return _follow(news, ours)
    if news.trigger in SEPARATIONS:
        return _separate([patient for patient in ours.values() if patient is not None])
    count = sum(patient is not None for patient in ours.values())
    return "patient brought up to date" if count else "the EHR has no patient with this number"


def _fetch_again(connection: Connection, gateway: Any, system: str, number: str) -> Patient | None:
    """Bring whoever has the number up to date, and return the record of ours that has or had it."""
    source = connection.source
    row = PatientIdentifier.objects.filter(
        source=source, system=system, value_index=identifier_index(system, number)
    ).select_related("patient")
    held = row.first()
    if held is None:
        asked_at = timezone.now()
        for record in gateway.find_patients(system, number):
            mirroring.apply_person(gateway, source, record, asked_at)
        held = row.first()
        return held.patient if held is not None else None
    try:
        external_id = mirror.external_value(source, ExternalId.Kind.PATIENT, held.patient_id)
        asked_at = timezone.now()
        mirroring.apply_person(gateway, source, gateway.fetch("patient", external_id), asked_at)
    except (NotFound, UnknownReference):
        pass  # a merged record may be gone from the EHR; the message says what became of it
    return Patient.objects.get(pk=held.patient_id)


def _follow(news: News, ours: dict[str, Patient | None]) -> str:
    merged = 0
    for given_up, kept_number in news.merged:
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
        retired_id__in=keys, undone_at__isnull=True, told_by=PatientMerge.ToldBy.MESSAGE, retired__active=True
    )
    undone = sum(merging.undo(merge) for merge in merges)
    return "two patient records were separated" if undone else "patients brought up to date"
