"""What is known of an opening and of those who wait, read from the database in a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.utils import timezone

from scheduling.models import Appointment, Bookable, ContactPoint, Opening
from scheduling.records import Interval
from waitlist.facts import Booking, Candidate, Contact, Fit, MoveUp, Need, OpeningFacts, Window
from waitlist.ledger import Line, consenting_patients
from waitlist.models import Channel, ConsentRecord, EntryWindow, Offer, WaitlistEntry
from waitlist.policies import policies_for

DAY, WEEK = timedelta(days=1), timedelta(days=7)
#: Appointments that can still be given up for an earlier one.
STANDING = (Appointment.Status.BOOKED, Appointment.Status.PENDING)

_ENTRY_COLUMNS = (
    "pk",
    "patient_id",
    "appointment_type_id",
    "status",
    "urgency",
    "lost_races",
    "joined_at",
    "earliest_date",
    "latest_date",
    "minimum_notice_minutes",
    "needs",
    "referral_required",
    "referral_valid_until",
    "authorization_required",
    "authorization_valid_until",
    "silences",
    "move_up_id",
    "move_up__start",
    "move_up__status",
    "patient__birth_date",
    "patient__active",
    "patient__deceased",
    "patient__restricted",
    "patient__replaced_by_id",
    "patient__established",
    "patient__language",
    "patient__time_zone",
)


def facts_for(opening: Opening, now: datetime | None = None) -> OpeningFacts:
    """Return the opening as eligibility sees it, with every active type its provider takes there."""
    bookables = Bookable.objects.filter(
        provider_id=opening.provider_id, location_id=opening.location_id, appointment_type__active=True
    ).select_related("appointment_type")
    rows = sorted(bookables, key=lambda row: row.appointment_type_id)
    policies = policies_for(opening.location_id, [row.appointment_type_id for row in rows])
    fits = tuple(
        Fit(
            type_id=row.appointment_type_id,
            duration=timedelta(minutes=row.duration_minutes),
            automation=row.appointment_type.automation,
            mode=row.mode,
            minimum_notice=timedelta(minutes=row.appointment_type.minimum_notice_minutes),
            policy=policies[row.appointment_type_id],
        )
        for row in rows
    )
    return OpeningFacts(
        opening_id=opening.pk,
        start=opening.start,
        end=opening.end,
        provider_id=opening.provider_id,
        location_id=opening.location_id,
        zone=ZoneInfo(opening.location.time_zone),
        now=now or timezone.now(),
        fits=fits,
        slots=tuple(_slot(slot) for slot in opening.slots),
        books_one_slot=opening.source.books_one_slot,
        depth=opening.depth,
        freed_by_patient_id=opening.freed_by.patient_id if opening.freed_by else None,
    )


def _slot(stored: dict[str, str]) -> Interval:
    return Interval(datetime.fromisoformat(stored["start"]), datetime.fromisoformat(stored["end"]))


def load(entry_ids: Sequence[int], facts: OpeningFacts) -> list[Candidate]:
    """Return the candidates of these entries in the order given; entries that are gone are left out.

    Eight queries, however many entries there are.
    """
    rows = {row["pk"]: row for row in WaitlistEntry.objects.filter(pk__in=entry_ids).values(*_ENTRY_COLUMNS)}
    patient_ids = {row["patient_id"] for row in rows.values()}
    wishes = _wishes(list(rows))
    contacts = _contacts(patient_ids, facts)
    bookings = _bookings(patient_ids, facts.now)
    histories = _histories(patient_ids, facts)
    return [
        _candidate(
            rows[pk],
            wishes,
            contacts.get(rows[pk]["patient_id"], ()),
            tuple(bookings.get(rows[pk]["patient_id"], ())),
            histories.get(rows[pk]["patient_id"], History()),
        )
        for pk in entry_ids
        if pk in rows
    ]


@dataclass(frozen=True, slots=True)
class Wishes:
    """Providers, locations and windows by entry."""

    providers: dict[int, set[int]]
    locations: dict[int, set[int]]
    windows: dict[int, list[Window]]


@dataclass(slots=True)
class History:
    """What a patient was offered in the last week, seen from one opening."""

    last_day: int = 0
    last_week: int = 0
    has_live_offer: bool = False
    offer_here: str = ""
    declined_this_time: bool = False


def _candidate(
    row: dict[str, Any], wishes: Wishes, contacts: Iterable[Contact], bookings: tuple[Booking, ...], history: History
) -> Candidate:
    pk = row["pk"]
    move_up = None
    if row["move_up_id"] is not None:
        move_up = MoveUp(row["move_up_id"], row["move_up__start"], row["move_up__status"] in STANDING)
    return Candidate(
        entry_id=pk,
        patient_id=row["patient_id"],
        type_id=row["appointment_type_id"],
        status=row["status"],
        urgency=row["urgency"],
        lost_races=row["lost_races"],
        joined_at=row["joined_at"],
        providers=frozenset(wishes.providers.get(pk, ())),
        locations=frozenset(wishes.locations.get(pk, ())),
        windows=tuple(wishes.windows.get(pk, ())),
        earliest_date=row["earliest_date"],
        latest_date=row["latest_date"],
        notice=timedelta(minutes=row["minimum_notice_minutes"]),
        needs=tuple(_need(need) for need in row["needs"]),
        referral_required=row["referral_required"],
        referral_valid_until=row["referral_valid_until"],
        authorization_required=row["authorization_required"],
        authorization_valid_until=row["authorization_valid_until"],
        move_up=move_up,
        silences=row["silences"],
        birth_date=row["patient__birth_date"],
        active=row["patient__active"],
        deceased=row["patient__deceased"],
        restricted=row["patient__restricted"],
        replaced=row["patient__replaced_by_id"] is not None,
        established=row["patient__established"],
        language=row["patient__language"] or "en",
        time_zone=row["patient__time_zone"],
        contacts=tuple(contacts),
        bookings=bookings,
        offers_last_day=history.last_day,
        offers_last_week=history.last_week,
        has_live_offer=history.has_live_offer,
        offer_here=history.offer_here,
        declined_this_time=history.declined_this_time,
    )


def _need(stored: dict[str, Any]) -> Need:
    return Need(str(stored.get("need", "")), timedelta(minutes=int(stored.get("notice_minutes") or 0)))


def _wishes(entry_ids: list[int]) -> Wishes:
    wishes = Wishes(defaultdict(set), defaultdict(set), defaultdict(list))
    for through, column, named in (
        (WaitlistEntry.providers.through, "provider_id", wishes.providers),
        (WaitlistEntry.locations.through, "location_id", wishes.locations),
    ):
        pairs = through.objects.filter(waitlistentry_id__in=entry_ids)
        for entry_id, other in pairs.values_list("waitlistentry_id", column):
            named[entry_id].add(other)
    stored = EntryWindow.objects.filter(entry_id__in=entry_ids).order_by("weekday", "start", "end")
    for entry_id, weekday, start, end in stored.values_list("entry_id", "weekday", "start", "end"):
        wishes.windows[entry_id].append(Window(weekday, start, end))
    return wishes


def _contacts(patient_ids: set[int], facts: OpeningFacts) -> dict[int, list[Contact]]:
    """Return each patient's usable contact points, the preferred one first, texts before e-mail at equal rank."""
    today = facts.now.astimezone(facts.zone).date()
    # The address itself stays encrypted in its column: its index tells all that is decided here.
    points = [
        point
        for point in ContactPoint.objects.filter(patient_id__in=patient_ids).defer("value")
        if point.usable_on(today)
    ]
    agreed = _agreed({point.address_index for point in points})
    contacts: dict[int, list[Contact]] = defaultdict(list)
    for point in sorted(points, key=lambda each: (each.rank, each.system != ContactPoint.System.PHONE, each.pk)):
        channel = _channel(point)
        contacts[point.patient_id].append(
            Contact(
                contact_point_id=point.pk,
                channel=channel,
                address_index=point.address_index,
                consented=point.patient_id in agreed.get((channel, point.address_index), ()),
                guardian=point.guardian,
            )
        )
    return contacts


def _channel(point: ContactPoint) -> str:
    if point.system == ContactPoint.System.EMAIL:
        return Channel.EMAIL.value
    return Channel.SMS.value if point.can_text else "call"


def _agreed(address_indexes: set[str]) -> dict[tuple[str, str], set[int]]:
    lines: dict[tuple[str, str], list[Line]] = defaultdict(list)
    ledger = ConsentRecord.objects.filter(address_index__in=address_indexes).order_by("pk")
    for channel, index, patient_id, action in ledger.values_list("channel", "address_index", "patient_id", "action"):
        lines[channel, index].append((patient_id, action))
    return {address: consenting_patients(told) for address, told in lines.items()}


def _bookings(patient_ids: set[int], now: datetime) -> dict[int, list[Booking]]:
    bookings: dict[int, list[Booking]] = defaultdict(list)
    rows = Appointment.objects.filter(patient_id__in=patient_ids, end__gt=now, status__in=Appointment.OCCUPYING)
    for pk, patient_id, start, end, type_id in rows.values_list(
        "pk", "patient_id", "start", "end", "appointment_type_id"
    ):
        if start and end:
            bookings[patient_id].append(Booking(pk, Interval(start, end), type_id))
    return bookings


def _histories(patient_ids: set[int], facts: OpeningFacts) -> dict[int, History]:
    histories: dict[int, History] = defaultdict(History)
    recent = Q(created_at__gt=facts.now - WEEK) | Q(status=Offer.Status.SENT)
    same_time = Q(opening__provider_id=facts.provider_id, start__lt=facts.end, end__gt=facts.start)
    rows = Offer.objects.filter(recent | Q(opening_id=facts.opening_id) | same_time, patient_id__in=patient_ids)
    columns = ("patient_id", "opening_id", "opening__provider_id", "status", "start", "end", "created_at")
    for row in rows.values(*columns):
        _remember(histories[row["patient_id"]], row, facts)
    return histories


def _remember(history: History, row: dict[str, Any], facts: OpeningFacts) -> None:
    status = row["status"]
    if status != Offer.Status.PROPOSED:  # a proposal is staff's affair until it is sent
        history.last_day += row["created_at"] > facts.now - DAY
        history.last_week += row["created_at"] > facts.now - WEEK
    if row["opening_id"] == facts.opening_id:
        history.offer_here = status
        return
    history.has_live_offer |= status == Offer.Status.SENT
    overlaps = row["start"] < facts.end and row["end"] > facts.start
    if status == Offer.Status.NO and overlaps and row["opening__provider_id"] == facts.provider_id:
        history.declined_this_time = True
