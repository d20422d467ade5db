"""A practice with N waiting: four types, forty providers, four places, and every reason not to be offered a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection

from bench.multiplying import chance, dice, finish, multiply, run
from scheduling.models import (
    Appointment,
    AppointmentType,
    Bookable,
    ContactPoint,
    Location,
    Opening,
    Patient,
    Practice,
    Provider,
    Source,
)
from waitlist import match_keys
from waitlist.models import ConsentRecord, EntryWindow, MatchKey, Offer, WaitlistEntry

PROVIDERS, LOCATIONS, TYPES = 40, 4, 4
#: A Monday; the opening is on the Thursday at ten in New York. Fixed, so that each run asks the same question.
NOW = datetime(2030, 3, 4, 12, tzinfo=UTC)
START = datetime(2030, 3, 7, 15, tzinfo=UTC)
MINUTES = 30
INDEX = "encode(sha256(n::text::bytea), 'hex')"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The opening asked about and how many wait. ``child`` is the stored birth date of the underage."""

    size: int
    opening: Opening
    child: str


def build(size: int) -> Waiting:
    """Fill the connected, empty database. One type in four and one provider in forty are those of the opening."""
    run("SET statement_timeout = 0")
    opening = _practice()
    child = _people(size)
    _entries(size)
    _obstacles(size, opening)
    run(_MATCH_KEYS)
    finish()
    run("RESET statement_timeout")
    return Waiting(size, Opening.objects.select_related("location", "source", "freed_by").get(pk=opening.pk), child)


def _practice() -> Opening:
    Practice.current()
    source = Source.objects.create(key="ehr", name="EHR")
    Location.objects.bulk_create(
        Location(pk=pk, name=f"Place {pk}", time_zone="America/New_York") for pk in range(1, LOCATIONS + 1)
    )
    Provider.objects.bulk_create(Provider(pk=pk, name=f"Provider {pk}") for pk in range(1, PROVIDERS + 1))
    AppointmentType.objects.bulk_create(
        AppointmentType(pk=pk, code=f"type-{pk}", name=f"Type {pk}", duration_minutes=MINUTES)
        for pk in range(1, TYPES + 1)
    )
    Bookable.objects.bulk_create(
        Bookable(
            provider_id=1, location_id=1, appointment_type_id=pk, duration_minutes=MINUTES, mode=Bookable.Mode.AUTOMATIC
        )
        for pk in (1, 2)
    )
    return Opening.objects.create(
        provider_id=1,
        location_id=1,
        source=source,
        start=START,
        end=START + timedelta(minutes=MINUTES),
        origin_key="bench",
        checked_at=NOW,
    )


def _people(size: int) -> str:
    """Write patients with a number each; return the stored birth date of a child."""
    adult = Patient.objects.create(
        pk=0, given_name="Robin", family_name="Sample", birth_date=date(1980, 1, 1), established=True
    )
    child = Patient.objects.create(pk=-1, given_name="Robin", family_name="Sample", birth_date=date(2024, 1, 1))
    multiply(
        adult,
        size,
        active=f"NOT {chance(1, 60)}",
        deceased=chance(2, 90),
        restricted=chance(3, 90),
        established=f"NOT {chance(4, 12)}",
        birth_date=f"CASE WHEN {chance(5, 40)} THEN (SELECT birth_date FROM scheduling_patient WHERE id = -1) "
        "ELSE p.birth_date END",
    )
    phone = ContactPoint.objects.create(
        pk=0,
        patient=adult,
        system="phone",
        value="+12125550100",
        address_index="0",
        use="mobile",
        rank=1,
        can_text=True,
    )
    state = f"CASE WHEN {chance(6, 30)} THEN 'invalid' ELSE p.state END"
    multiply(phone, size, patient_id="n", address_index=INDEX, state=state)
    email = ContactPoint.objects.create(
        pk=-1, patient=adult, system="email", value="robin@example.org", address_index="1", rank=2
    )
    multiply(email, size, first=size + 1, patient_id=f"n - {size}", address_index=INDEX)
    consent = ConsentRecord.objects.create(
        pk=0,
        channel="sms",
        address_index="0",
        patient=adult,
        action="granted",
        source="form",
        recorded_by="bench",
        at=NOW,
    )
    multiply(
        consent,
        size,
        patient_id="n",
        address_index=INDEX,
        action=f"CASE WHEN {chance(7, 20)} THEN 'revoked' ELSE p.action END",
    )
    return _stored("scheduling_patient", "birth_date", child.pk)


def _entries(size: int) -> None:
    entry = WaitlistEntry.objects.create(
        pk=0, patient_id=0, appointment_type_id=1, minimum_notice_minutes=0, joined_at=NOW, added_by="bench"
    )
    multiply(
        entry,
        size,
        patient_id="n",
        appointment_type_id=f"1 + {dice(10, TYPES)}",
        urgency=f"CASE {dice(11, 20)} WHEN 0 THEN 0 WHEN 1 THEN 1 WHEN 2 THEN 1 ELSE 2 END",
        lost_races=f"CASE WHEN {chance(12, 30)} THEN 1 ELSE 0 END",
        joined_at=f"p.joined_at - make_interval(secs => {dice(13, 2 * 365 * 86400)})",
        minimum_notice_minutes=f"CASE {dice(14, 4)} WHEN 0 THEN 1440 WHEN 1 THEN 7200 ELSE 120 END",
        needs=f'CASE WHEN {chance(15, 30)} THEN \'[{{"need": "interpreter", "notice_minutes": 2880}}]\'::jsonb '
        "ELSE p.needs END",
        earliest_date=f"CASE WHEN {chance(16, 15)} THEN DATE '2030-03-08' END",
        latest_date=f"CASE WHEN {chance(17, 15)} THEN DATE '2030-04-30' END",
    )
    run("DELETE FROM waitlist_waitlistentry WHERE id = 0")
    wanted = f"FROM generate_series(1, {size}) AS n"
    run(
        "INSERT INTO waitlist_waitlistentry_providers (waitlistentry_id, provider_id) SELECT DISTINCT n, "
        f"1 + (({dice(20, PROVIDERS)} + k * 7) % {PROVIDERS}) {wanted}, generate_series(0, 1) AS k "
        f"WHERE {dice(21, 3)} > 0 AND (k = 0 OR {dice(22, 2)} = 0)"
    )
    run(
        "INSERT INTO waitlist_waitlistentry_locations (waitlistentry_id, location_id) "
        f"SELECT n, 1 + {dice(23, LOCATIONS)} {wanted} WHERE {chance(24, 2)}"
    )
    # Half can come whenever; a quarter on weekday mornings, a quarter on two afternoons.
    window = EntryWindow._meta.db_table
    run(
        f"INSERT INTO {window} (entry_id, weekday, start, \"end\") SELECT n, k, TIME '08:00', TIME '12:00' {wanted}, "
        f"generate_series(0, 4) AS k WHERE {dice(25, 4)} = 0"
    )
    run(
        f"INSERT INTO {window} (entry_id, weekday, start, \"end\") SELECT n, k, TIME '13:00', TIME '17:30' {wanted}, "
        f"generate_series(1, 3, 2) AS k WHERE {dice(25, 4)} = 1"
    )


def _obstacles(size: int, opening: Opening) -> None:
    """Give some another booking at that time, some one of the type they wait for, and some a live offer."""
    booking = Appointment.objects.create(
        pk=0,
        source_id=opening.source_id,
        patient_id=0,
        provider_id=2,
        location_id=2,
        status="booked",
        start=opening.start,
        end=opening.end,
    )
    multiply(booking, size, where=chance(30, 25), patient_id="n")
    of_type = Appointment.objects.create(
        pk=-1,
        source_id=opening.source_id,
        patient_id=0,
        provider_id=2,
        location_id=2,
        appointment_type_id=1,
        status="booked",
        start=opening.start + timedelta(days=20),
        end=opening.end + timedelta(days=20),
    )
    patient = f"n - {size}"
    multiply(
        of_type,
        size,
        first=size + 1,
        where=chance(31, 25),
        patient_id=patient,
        appointment_type_id=f"1 + {dice(10, TYPES, patient)}",
    )
    elsewhere = Opening.objects.create(
        provider_id=3,
        location_id=3,
        source_id=opening.source_id,
        start=opening.start + timedelta(days=1),
        end=opening.end + timedelta(days=1),
        origin_key="elsewhere",
    )
    offer = Offer.objects.create(
        pk=0,
        opening=elsewhere,
        entry_id=1,
        patient_id=0,
        appointment_type_id=1,
        start=elsewhere.start,
        end=elsewhere.end,
        wave=1,
        rank=1,
        code="10",
        token_hash="0",
        expires_at=elsewhere.start,
    )
    created_at = f"TIMESTAMPTZ '{NOW.isoformat()}'"
    multiply(offer, size, where=chance(32, 25), patient_id="n", entry_id="n", token_hash=INDEX, created_at=created_at)


_MATCH_KEYS = f"""
INSERT INTO {MatchKey._meta.db_table}
    (entry_id, appointment_type_id, provider_key, location_key, weekday_key, urgency, moving_up, races_won_by_others,
     joined_at, earliest_date, latest_date, notice_minutes, from_minute, until_minute)
SELECT e.id, e.appointment_type_id, coalesce(p.provider_id, 0), coalesce(l.location_id, 0), coalesce(w.weekday, 7),
    e.urgency, e.move_up_id IS NOT NULL, -e.lost_races, e.joined_at, e.earliest_date, e.latest_date,
    greatest(e.minimum_notice_minutes, coalesce((e.needs -> 0 ->> 'notice_minutes')::integer, 0)),
    coalesce(extract(epoch FROM w.start) / 60, 0), coalesce(extract(epoch FROM w."end") / 60, 1440)
FROM waitlist_waitlistentry AS e
    LEFT JOIN waitlist_waitlistentry_providers AS p ON p.waitlistentry_id = e.id
    LEFT JOIN waitlist_waitlistentry_locations AS l ON l.waitlistentry_id = e.id
    LEFT JOIN waitlist_entrywindow AS w ON w.entry_id = e.id
"""


def keys_as_the_product_makes_them(size: int) -> bool:
    """Return whether the keys written in SQL are those the product would write for the first ``size`` entries."""

    def stored() -> list[tuple[object, ...]]:
        names = [field.attname for field in MatchKey._meta.concrete_fields if field.attname != "id"]
        return sorted(MatchKey.objects.filter(entry_id__lte=size).values_list(*names), key=str)

    ours = stored()
    match_keys.rebuild(list(range(1, size + 1)))
    return ours == stored()


def _stored(table: str, column: str, pk: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE id = %s", [pk])
        return str(cursor.fetchone()[0])
