"""From a gateway to the mirror: fetch, apply, and fetch first whatever the thing refers to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from integrations import late_news
from integrations.ehr import coverage
from integrations.ehr.gateway import Gateway, GatewayError, Kind, NotFound, Record
from scheduling import appointments
from scheduling.appointments import Applied, apply_appointment
from scheduling.bulk_people import load_locations, load_patients, load_providers
from scheduling.bulk_renewal import renew_patients
from scheduling.directory import apply_location, apply_provider
from scheduling.exceptions import UnknownReference
from scheduling.models import Location, Patient, Provider, Source
from scheduling.patients import apply_patient
from scheduling.records import AppointmentRecord, LocationRecord, PatientRecord, ProviderRecord, ReasonVerdict

#: An appointment refers to a patient, a provider and a location; no more than these are fetched for it.
MOST_REFERENCES = 3
#: Patient records that replace one another are followed this far.
LONGEST_CHAIN = 5


class ReferenceMissing(GatewayError):
    """An appointment refers to somebody or something the EHR does not have, or does not have yet."""

    code = "reference_missing"


def apply(
    gateway: Gateway, source: Source, record: AppointmentRecord, fetched_at: datetime, *, opens: bool = True
) -> Applied:
    """Mirror an appointment, fetching its patient, provider and location where they are not known yet.

    A write of ours that had come to rest is settled by it, where it says what became of it.

    Raises ReferenceMissing when the EHR has no such thing, and GatewayError when it cannot be asked.
    """
    applied = _apply(gateway, source, record, fetched_at, opens)
    late_news.take(source, applied, record, fetched_at)
    return applied


def apply_absence(
    source: Source, external_id: str, fetched_at: datetime, *, verdict: ReasonVerdict, opens: bool = True
) -> Applied | None:
    """Mirror that the EHR no longer has an appointment; None when we never knew it.

    A cancellation of ours that had come to rest is settled by it.
    """
    applied = appointments.apply_absence(source, external_id, fetched_at, verdict=verdict, opens=opens)
    if applied is not None:
        late_news.take_absence(applied, external_id, fetched_at, verdict)
    return applied


def _apply(gateway: Gateway, source: Source, record: AppointmentRecord, fetched_at: datetime, opens: bool) -> Applied:
    for _ in range(MOST_REFERENCES):
        try:
            return apply_appointment(source, record, fetched_at, opens=opens)
        except UnknownReference as unknown:
            fetch_and_apply(gateway, source, _kind(unknown), unknown.value)
    try:
        return apply_appointment(source, record, fetched_at, opens=opens)
    except UnknownReference as unknown:
        raise ReferenceMissing(f"The {unknown.kind} it names could not be mirrored.") from None


def fetch_and_apply(gateway: Gateway, source: Source, kind: Kind, external_id: str) -> Patient | Provider | Location:
    """Fetch a patient, provider or location and mirror it; raises ReferenceMissing when the EHR has none."""
    fetched_at = timezone.now()
    try:
        record = gateway.fetch(kind, external_id)
    except NotFound:
        raise ReferenceMissing(f"The EHR has no such {kind}.") from None
    return apply_singly(gateway, source, record, fetched_at)


def apply_person(gateway: Gateway, source: Source, record: PatientRecord, fetched_at: datetime) -> Patient:
    """Mirror a patient; the record that replaces it is fetched first, however long that chain is within reason."""
    chain = [(record, fetched_at)]
    seen = {record.external_id}
    while (following := chain[-1][0].replaced_by) and following not in seen and len(chain) < LONGEST_CHAIN:
        seen.add(following)
        asked_at = timezone.now()
        try:
            found = gateway.fetch("patient", following)
        except NotFound:
            break
        if not isinstance(found, PatientRecord):
            break
        chain.append((found, asked_at))
    for each, asked_at in reversed(chain):
        patient = apply_patient(source, each, asked_at)
    coverage.look_again(source, seen)
    return patient


def apply_in_bulk(source: Source, records: Iterable[Record], fetched_at: datetime) -> list[Record]:
    """Mirror a page of patients, clinicians or places; return those that :func:`apply_singly` must take."""
    records = list(records)
    people = [each for each in records if isinstance(each, PatientRecord)]
    if people:
        coverage.look_again(source, [each.external_id for each in people])
    return [
        *_patients(source, people, fetched_at),
        *load_providers(source, (each for each in records if isinstance(each, ProviderRecord)), fetched_at),
        *load_locations(source, (each for each in records if isinstance(each, LocationRecord)), fetched_at),
    ]


def _patients(source: Source, records: list[PatientRecord], fetched_at: datetime) -> list[PatientRecord]:
    """The new ones are inserted in bulk, and those whose description changed are taken over in bulk."""
    return renew_patients(source, load_patients(source, records, fetched_at), fetched_at)


def apply_singly(
    gateway: Gateway, source: Source, record: Record, fetched_at: datetime
) -> Patient | Provider | Location:
    """Mirror a patient, whoever replaces them first, or a clinician or place."""
    if isinstance(record, PatientRecord):
        return apply_person(gateway, source, record, fetched_at)
    return apply_described(source, record, fetched_at)


def apply_described(source: Source, record: Record, fetched_at: datetime) -> Provider | Location:
    """Mirror a provider or location."""
    if isinstance(record, ProviderRecord):
        return apply_provider(source, record, fetched_at)
    if isinstance(record, LocationRecord):
        return apply_location(source, record, fetched_at)
    raise TypeError(type(record).__name__)


def _kind(unknown: UnknownReference) -> Kind:
    for kind in ("patient", "provider", "location"):
        if unknown.kind == kind:
            return kind
    raise unknown
