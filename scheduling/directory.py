"""Clinicians and places as their source describes them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import available_timezones

from django.db import IntegrityError, transaction

from scheduling import mirror
from scheduling.models import ExternalId, Location, Practice, Provider, Source
from scheduling.records import LocationRecord, ProviderRecord
from scheduling.worklist import ask_staff, finish_for


def apply_provider(source: Source, record: ProviderRecord, fetched_at: datetime) -> Provider:
    """Create or update the clinician ``source`` describes; a record older than what we hold changes nothing."""
    try:
        with transaction.atomic():
            return _apply_provider(source, record, fetched_at)
    except IntegrityError:  # another worker met the same clinician first
        with transaction.atomic():
            return _apply_provider(source, record, fetched_at)


def apply_location(source: Source, record: LocationRecord, fetched_at: datetime) -> Location:
    """Create or update the place ``source`` describes; a record older than what we hold changes nothing.

    Name, phone and address are the EHR's; the time zone is the EHR's where it has one. A new place without one gets
    the practice's zone, and staff are asked to check it, because times without an offset are read in it.
    """
    try:
        with transaction.atomic():
            return _apply_location(source, record, fetched_at)
    except IntegrityError:  # another worker met the same place first
        with transaction.atomic():
            return _apply_location(source, record, fetched_at)


def describe_provider(provider: Provider, record: ProviderRecord) -> None:
    """Set what the source says of a clinician, without saving; what it leaves out stays."""
    provider.name = record.name or provider.name or f"Clinician {record.external_id}"
    provider.npi = record.npi or provider.npi
    provider.active = record.active


def describe_location(location: Location, record: LocationRecord) -> None:
    """Set what the source says of a place, without saving; what it leaves out stays."""
    location.name = record.name or location.name or f"Location {record.external_id}"
    location.time_zone = told_zone(record) or location.time_zone or Practice.current().time_zone
    location.phone = record.phone or location.phone
    location.address = record.address or location.address
    location.active = record.active


def told_zone(record: LocationRecord) -> str:
    """Return the place's time zone if the source names one that exists, else an empty string."""
    return record.time_zone if record.time_zone in available_timezones() else ""


def _apply_provider(source: Source, record: ProviderRecord, fetched_at: datetime) -> Provider:
    external = mirror.known(source, ExternalId.Kind.PROVIDER, record.external_id)
    provider = Provider() if external is None else Provider.objects.get(pk=external.object_id)
    if external is not None and not (
        mirror.accept(external, record.version, fetched_at) and mirror.describes(external)
    ):
        return provider
    describe_provider(provider, record)
    provider.save()
    if external is None:
        mirror.name(
            source,
            ExternalId.Kind.PROVIDER,
            record.external_id,
            provider.pk,
            version=record.version,
            fetched_at=fetched_at,
        )
    return provider


def _apply_location(source: Source, record: LocationRecord, fetched_at: datetime) -> Location:
    external = mirror.known(source, ExternalId.Kind.LOCATION, record.external_id)
    location = Location() if external is None else Location.objects.get(pk=external.object_id)
    if external is not None and not (
        mirror.accept(external, record.version, fetched_at) and mirror.describes(external)
    ):
        return location
    describe_location(location, record)
    location.save()
    if external is None:
        mirror.name(
            source,
            ExternalId.Kind.LOCATION,
            record.external_id,
            location.pk,
            version=record.version,
            fetched_at=fetched_at,
        )
    _ask_for_zone(location, is_told=bool(told_zone(record)), is_new=external is None)
    return location


def _ask_for_zone(location: Location, *, is_told: bool, is_new: bool) -> None:
    key = f"location.time_zone:{location.pk}"
    if is_told:
        finish_for(key, "The EHR says which zone it is in.")
    elif is_new:
        ask_staff(
            "location.time_zone",
            "The EHR does not say which time zone a location is in",
            advice=f"{location.time_zone} is assumed. Correct it at the location if that is wrong.",
            dedupe_key=key,
            subject=location,
            location=location,
        )
