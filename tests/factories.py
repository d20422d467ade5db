"""Rows for tests: each function makes one thing with sensible values and takes what the test is about.

Everybody is made up: numbers are reserved ones (555-01xx), e-mail addresses are at example.org. Unless a test says
otherwise, a patient is an established adult who agreed to texts and e-mail, a type is booked automatically and an
opening lies three days ahead.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils import timezone

from integrations.models import Connection
from scheduling import patients
from scheduling.models import (
    Appointment,
    AppointmentType,
    Bookable,
    ContactPoint,
    ExternalId,
    Location,
    Opening,
    Patient,
    Practice,
    Provider,
    Source,
)
from waitlist.models import (
    Channel,
    ConsentRecord,
    EntryWindow,
    Offer,
    OutreachPolicy,
    PastCancellation,
    ShadowOffer,
    WaitlistEntry,
)

_serial = itertools.count(1)

NEW_YORK = "America/New_York"
LOS_ANGELES = "America/Los_Angeles"


def practice(**fields: Any) -> Practice:
    """The practice's one row."""
    row = Practice.current()
    for name, value in {"name": "Elm Street Clinic", "phone": "+12125550100", **fields}.items():
        setattr(row, name, value)
    row.save()
    return row


def source(key: str = "", **fields: Any) -> Source:
    """A system that names things; without a key, the one all rows of a test share."""
    return Source.objects.get_or_create(key=key or "ehr", defaults={"name": "The EHR", **fields})[0]


def connection(slug: str = "", **fields: Any) -> Connection:
    """A connection to a FHIR EHR that nobody answers at, with one webhook secret."""
    slug = slug or f"ehr-{next(_serial)}"
    return Connection.objects.create(
        slug=slug,
        **{
            "source": fields.pop("source", None) or source(slug),
            "base_url": "http://127.0.0.1:9/fhir",
            "token_url": "http://127.0.0.1:9/token",
            "client_id": "sooner",
            "client_secret": "not-a-secret",
            "webhook_secrets": ["webhook-secret"],
            "mrn_system": "urn:example:mrn",
            **fields,
        },
    )


def location(zone: str = NEW_YORK, **fields: Any) -> Location:
    """A place, in New York unless told."""
    return Location.objects.create(
        **{"name": f"Location {next(_serial)}", "time_zone": zone, "phone": "+12125550101", **fields}
    )


def provider(**fields: Any) -> Provider:
    """A clinician."""
    return Provider.objects.create(**{"name": f"Dr. Provider {next(_serial)}", **fields})


def appointment_type(duration: int = 30, **fields: Any) -> AppointmentType:
    """A kind of visit of so many minutes, booked automatically."""
    number = next(_serial)
    return AppointmentType.objects.create(
        **{"code": f"type-{number}", "name": f"Type {number}", "duration_minutes": duration, **fields}
    )


def bookable(provider: Provider, location: Location, type: AppointmentType, **fields: Any) -> Bookable:
    """The provider takes the type at the location, automatically."""
    return Bookable.objects.create(
        provider=provider,
        location=location,
        appointment_type=type,
        **{"duration_minutes": type.duration_minutes, "mode": Bookable.Mode.AUTOMATIC, **fields},
    )


def patient(
    *,
    phone: str | None = "",
    email: str | None = "",
    consent: Iterable[str] = (Channel.SMS, Channel.EMAIL),
    locations: Iterable[Location] = (),
    names: Source | None = None,
    **fields: Any,
) -> Patient:
    """An established adult with a mobile number and an e-mail address who agreed to both.

    ``phone`` and ``email``: "" makes one up, None leaves it out. ``names``: the source that knows the patient,
    under the external id ``pat-<pk>``.
    """
    number = next(_serial)
    family_name = fields.get("family_name", f"Sample{number}")
    born = fields.get("birth_date", date(1980, 1, 1))
    row = Patient.objects.create(
        **{
            "given_name": "Robin",
            "family_name": family_name,
            "birth_date": born,
            "family_index": patients.family_index(family_name),
            "birth_date_index": patients.birth_date_index(born),
            "established": True,
            **fields,
        }
    )
    row.locations.set(locations)
    if phone is not None:
        contact(row, phone or made_up_phone(number), consent=Channel.SMS in set(consent))
    if email is not None:
        contact(row, email or f"patient{number}@example.org", consent=Channel.EMAIL in set(consent), rank=2)
    if names is not None:
        external_id(names, ExternalId.Kind.PATIENT, row, f"pat-{row.pk}")
    return row


def made_up_phone(number: int) -> str:
    """A reserved number, another one for each of the first 2,000."""
    area_codes = (201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225, 228)
    return f"+1{area_codes[number // 100 % len(area_codes)]}55501{number % 100:02d}"


def contact(patient: Patient, value: str, *, consent: bool = True, **fields: Any) -> ContactPoint:
    """A phone number or, with an @, an e-mail address of the patient, with consent on record."""
    is_email = "@" in value
    system = ContactPoint.System.EMAIL if is_email else ContactPoint.System.PHONE
    row = ContactPoint.objects.create(
        patient=patient,
        system=system,
        value=value,
        address_index=patients.address_index(system, value),
        **{"use": "" if is_email else "mobile", "rank": 1, "can_text": not is_email, **fields},
    )
    if consent:
        consents(row)
    return row


def consents(contact_point: ContactPoint, action: str = ConsentRecord.Action.GRANTED, **fields: Any) -> ConsentRecord:
    """A line of the consent ledger on the contact point's address."""
    is_email = contact_point.system == ContactPoint.System.EMAIL
    return ConsentRecord.objects.create(
        **{
            "channel": Channel.EMAIL if is_email else Channel.SMS,
            "address_index": contact_point.address_index,
            "patient": contact_point.patient,
            "action": action,
            "wording_version": "test",
            "source": ConsentRecord.Source.FORM,
            "recorded_by": "tests",
            "at": timezone.now(),
            **fields,
        }
    )


def entry(patient: Patient, type: AppointmentType, **fields: Any) -> WaitlistEntry:
    """The patient waits for the type, anywhere and at any time unless named. Takes what ``entries.add`` takes."""
    from waitlist import entries

    return entries.add(patient, type, **{"minimum_notice_minutes": 0, "added_by": "tests", **fields})


def window(weekday: int, start: time = time(0, 0), end: time = time(23, 59)) -> EntryWindow:
    """Hours of a weekday for ``entry(windows=[…])``; not saved by itself."""
    return EntryWindow(weekday=weekday, start=start, end=end)


def appointment(
    patient: Patient | None = None,
    provider: Provider | None = None,
    location: Location | None = None,
    type: AppointmentType | None = None,
    *,
    start: datetime | None = None,
    minutes: int = 30,
    source: Source | None = None,
    external: str = "",
    **fields: Any,
) -> Appointment:
    """A booked appointment, three days ahead; ``external`` is what its source calls it."""
    start = start or in_days(3)
    row = Appointment.objects.create(
        **{
            "source": source or globals()["source"](),
            "patient": patient,
            "provider": provider,
            "location": location,
            "appointment_type": type,
            "status": Appointment.Status.BOOKED,
            "start": start,
            "end": start + timedelta(minutes=minutes),
            **fields,
        }
    )
    if external:
        external_id(row.source, ExternalId.Kind.APPOINTMENT, row, external)
    return row


def external_id(source: Source, kind: str, row: Any, value: str, version: str = "1") -> ExternalId:
    """What the source calls the row."""
    return ExternalId.objects.create(
        source=source, kind=kind, value=value, version=version, object_id=row.pk, seen_at=timezone.now()
    )


def opening(
    provider: Provider,
    location: Location,
    *,
    start: datetime | None = None,
    minutes: int = 30,
    **fields: Any,
) -> Opening:
    """Free time, three days ahead, looked at just now."""
    start = start or in_days(3)
    now = timezone.now()
    return Opening.objects.create(
        provider=provider,
        location=location,
        **{
            "source": fields.pop("source", None) or source(),
            "start": start,
            "end": start + timedelta(minutes=minutes),
            "origin_key": f"test-{next(_serial)}",
            "checked_at": now,
            "correlation_id": "0" * 32,
            **fields,
        },
    )


def offer(opening: Opening, entry: WaitlistEntry, **fields: Any) -> Offer:
    """An offer of the whole opening, sent and open for an hour."""
    number = next(_serial)
    return Offer.objects.create(
        opening=opening,
        entry=entry,
        patient=entry.patient,
        appointment_type=entry.appointment_type,
        **{
            "start": opening.start,
            "end": opening.end,
            "wave": 1,
            "rank": 1,
            "code": f"{number % 100:02d}",
            "token_hash": f"{number:064d}",
            "expires_at": timezone.now() + timedelta(hours=1),
            **fields,
        },
    )


def shadow_offer(opening: Opening, entry: WaitlistEntry, **fields: Any) -> ShadowOffer:
    """Whom a shadow run would have offered the whole opening, by message."""
    return ShadowOffer.objects.create(
        opening=opening,
        entry=entry,
        appointment_type=entry.appointment_type,
        **{
            "start": opening.start,
            "end": opening.end,
            "wave": 1,
            "rank": 1,
            "way": ShadowOffer.Way.MESSAGE,
            "created_at": timezone.now(),
            **fields,
        },
    )


def past_cancellation(source: Source, external: str, **fields: Any) -> PastCancellation:
    """A time freed forty days ago that went to waste, although it would have been offered."""
    start = fields.pop("start", in_days(-40))
    return PastCancellation.objects.create(
        source=source,
        external_id=external,
        **{
            "start": start,
            "end": start + timedelta(minutes=30),
            "cancelled_at": start - timedelta(days=3),
            "verdict": PastCancellation.Verdict.OFFERED,
            "became": PastCancellation.Became.WASTED,
            "judged_at": timezone.now(),
            **fields,
        },
    )


def policy(**fields: Any) -> OutreachPolicy:
    """Outreach numbers for everybody, or for the location and type named."""
    return OutreachPolicy.objects.create(**fields)


def in_days(days: float, hour: int = 15) -> datetime:
    """That many days from today at ``hour`` o'clock UTC, which is office hours in New York and Los Angeles from 16."""
    today = timezone.now().replace(hour=hour, minute=0, second=0, microsecond=0)
    return today + timedelta(days=days)
