"""Sixty made-up patients who wait, with the wishes that real ones have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta
from random import Random

from django.utils import timezone

from config.demo import plan
from scheduling.models import AppointmentType, ContactPoint, Location, Patient, Provider, Source
from waitlist import consent, entries
from waitlist.models import ConsentRecord, EntryWindow, WaitlistEntry


def fill_waitlist(source: Source) -> None:
    """Put sixty patients on the list, with consent to be written to; the same sixty each time."""
    dice = Random(60)  # noqa: S311 - made-up wishes, nothing secret
    wanted = [code for code, count in plan.WAITING for _ in range(count)]
    dice.shuffle(wanted)
    types = {row.code: row for row in AppointmentType.objects.all()}
    patients = _who_wait(len(wanted), dice)
    drafts = [
        _wish(dice, patient, types[code], position)
        for position, (patient, code) in enumerate(zip(patients, wanted, strict=True))
    ]
    entries.bulk_add(drafts)
    for patient in patients:
        _agree(patient)


def _who_wait(count: int, dice: Random) -> list[Patient]:
    adults = [
        patient
        for patient in Patient.objects.filter(active=True, deceased=False, replaced_by=None).order_by("pk")
        if (patient.age_on(timezone.now().date()) or 0) >= 18 and patient.contact_points.exists()
    ]
    return dice.sample(adults, count)


def _wish(dice: Random, patient: Patient, wanted: AppointmentType, position: int) -> entries.Draft:
    joined = timezone.now() - timedelta(days=dice.randint(2, 60), minutes=position)
    providers: tuple[Provider, ...] = ()
    if dice.random() < 0.25:
        takers = Provider.objects.filter(bookables__appointment_type=wanted).distinct().order_by("pk")
        providers = (dice.choice(list(takers)),)
    locations = tuple(Location.objects.filter(bookables__provider__in=providers).distinct()) if providers else ()
    windows = tuple(_mornings()) if dice.random() < 0.15 else ()
    Patient.objects.filter(pk=patient.pk).update(established=wanted.code != "new-patient")
    return entries.Draft(
        patient,
        wanted,
        providers=providers,
        locations=locations,
        windows=windows,
        fields={
            "urgency": dice.choices(list(WaitlistEntry.Urgency), weights=[1, 3, 16])[0],
            "minimum_notice_minutes": dice.choice([60, 120, 120, 240, 1440]),
            "joined_at": joined,
        },
    )


def _mornings() -> Iterator[EntryWindow]:
    for weekday in range(5):
        yield EntryWindow(weekday=weekday, start=time(8), end=time(12))


def _agree(patient: Patient) -> None:
    for contact in patient.contact_points.filter(state=ContactPoint.State.USABLE):
        consent.grant(patient, contact, source=ConsentRecord.Source.DEMO, wording_version="demo")
