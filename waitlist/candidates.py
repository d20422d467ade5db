"""What is known of an opening and of those who wait, read from the database in a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from scheduling import families
from scheduling.models import Appointment, ContactPoint, Opening, Practice
from scheduling.records import Interval
from waitlist import candidate_rows
from waitlist.consent import bound_by_other_records
from waitlist.facts import Booking, Candidate, Contact, Cover, Fit, MoveUp, Need, OpeningFacts, Window
from waitlist.ledger import Line, consenting_patients
from waitlist.models import Channel, Offer, WaitlistEntry
from waitlist.policies import policies_for

DAY, WEEK = timedelta(days=1), timedelta(days=7)
#: Appointments that can still be given up for an earlier one.
STANDING = (Appointment.Status.BOOKED, Appointment.Status.PENDING)
#: What of an entry is its candidate's under the same name.
_AS_STORED = (
    "status",
    "urgency",
    "lost_races",
    "joined_at",
    "earliest_date",
    "latest_date",
    "referral_required",
    "referral_valid_until",
    "authorization_required",
    "authorization_valid_until",
    "silences",
)


def facts_for(opening: Opening, now: datetime | None = None, house: Practice | None = None) -> OpeningFacts:
    """Return the opening as eligibility sees it, with every active type its provider takes there.

    ``house`` where the caller has it.
    """
    rows = candidate_rows.bookable(opening.provider_id, opening.location_id)
    policies = policies_for(opening.location_id, [type_id for type_id, *_ in rows])
    fits = tuple(
        Fit(
            type_id=type_id,
            duration=timedelta(minutes=minutes),
            automation=automation,
            mode=mode,
            minimum_notice=timedelta(minutes=notice),
            policy=policies[type_id],
            needs_insurance=bool(needs_insurance),
        )
        for type_id, minutes, mode, automation, notice, needs_insurance in rows
    )
    house = house or Practice.current()
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
        deepest_chain=house.deepest_chain,
        guardian_until_age=house.guardian_until_age,
        adult_at_age=house.adult_at_age,
        freed_by_patient_id=opening.freed_by.patient_id if opening.freed_by else None,
        plans=(
            candidate_rows.plans_taken(opening.provider_id) if any(fit.needs_insurance for fit in fits) else frozenset()
        ),
    )


def _slot(stored: dict[str, str]) -> Interval:
    return Interval(datetime.fromisoformat(stored["start"]), datetime.fromisoformat(stored["end"]))


def load(entry_ids: Sequence[int], facts: OpeningFacts) -> list[Candidate]:
    """Return the candidates of these entries in the order given; entries that are gone are left out.

    Nine statements, however many entries there are, one more for each link of a chain of merged records, and one more
    where a visit needs insurance.
    """
    rows = candidate_rows.entries(list(entry_ids))
    patient_ids = list({row["patient"] for row in rows.values()})
    wishes = _wishes(list(rows))
    people = families.records_of(patient_ids)
    contacts = _contacts(people, facts)
    bookings = _bookings(people, facts.now)
    histories = _histories(people, facts)
    covers = _covers(patient_ids) if any(fit.needs_insurance for fit in facts.fits) else {}
    around = Around(people, wishes, contacts, bookings, histories, covers)
    return [_candidate(rows[pk], around) for pk in entry_ids if pk in rows]


@dataclass(frozen=True, slots=True)
class Wishes:
    """Providers, locations and windows by entry."""

    providers: dict[int, set[int]]
    locations: dict[int, set[int]]
    windows: dict[int, list[Window]]


@dataclass(frozen=True, slots=True)
class Around:
    """What is known around a batch of entries: of each patient, the records they have had; the rest by patient."""

    people: Mapping[int, frozenset[int]]
    wishes: Wishes
    contacts: Mapping[int, list[Contact]]
    bookings: Mapping[int, list[Booking]]
    histories: Mapping[int, History]
    covers: Mapping[int, list[Cover]]


@dataclass(slots=True)
class History:
    """What a patient was offered in the last week, seen from one opening; what was over unheard is not counted."""

    last_day: int = 0
    last_week: int = 0
    has_live_offer: bool = False
    offer_here: str = ""
    declined_this_time: bool = False


def _candidate(row: dict[str, Any], around: Around) -> Candidate:
    pk, patient_id = row["id"], row["patient"]
    history = around.histories.get(patient_id, History())
    return Candidate(
        entry_id=pk,
        patient_id=patient_id,
        type_id=row["appointment_type"],
        **{name: row[name] for name in _AS_STORED},
        **_person(row),
        providers=frozenset(around.wishes.providers.get(pk, ())),
        locations=frozenset(around.wishes.locations.get(pk, ())),
        windows=tuple(around.wishes.windows.get(pk, ())),
        notice=timedelta(minutes=row["minimum_notice_minutes"]),
        needs=tuple(_need(need) for need in row["needs"]),
        plan_id=row["plan"],
        covers=tuple(around.covers.get(patient_id, ())),
        move_up=_move_up(row),
        contacts=tuple(around.contacts.get(patient_id, ())),
        bookings=tuple(around.bookings.get(patient_id, ())),
        offers_last_day=history.last_day,
        offers_last_week=history.last_week,
        has_live_offer=history.has_live_offer,
        offer_here=history.offer_here,
        declined_this_time=history.declined_this_time,
        only_written_to=row["origin"] == WaitlistEntry.Origin.BOOKING,
        records=around.people[patient_id],
    )


def _person(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a candidate says of the patient, by its own names."""
    return {
        "birth_date": row["patient__birth_date"],
        "active": row["patient__active"],
        "deceased": row["patient__deceased"],
        "restricted": row["patient__restricted"],
        "replaced": row["patient__replaced_by"] is not None,
        "established": row["patient__established"],
        "language": row["patient__language"] or "en",
        "time_zone": row["patient__time_zone"],
    }


def _move_up(row: dict[str, Any]) -> MoveUp | None:
    if row["move_up"] is None:
        return None
    return MoveUp(row["move_up"], row["move_up__start"], row["move_up__status"] in STANDING)


def _need(stored: dict[str, Any]) -> Need:
    return Need(str(stored.get("need", "")), timedelta(minutes=int(stored.get("notice_minutes") or 0)))


def _wishes(entry_ids: list[int]) -> Wishes:
    wishes = Wishes(defaultdict(set), defaultdict(set), defaultdict(list))
    for entry_id, provider_id in candidate_rows.wanted_providers(entry_ids):
        wishes.providers[entry_id].add(provider_id)
    for entry_id, location_id in candidate_rows.wanted_locations(entry_ids):
        wishes.locations[entry_id].add(location_id)
    for entry_id, *window in candidate_rows.windows(entry_ids):
        wishes.windows[entry_id].append(Window(*window))
    return wishes


def _contacts(people: Mapping[int, frozenset[int]], facts: OpeningFacts) -> dict[int, list[Contact]]:
    """Return each patient's usable contact points, the preferred one first, texts before e-mail at equal rank.

    They are those of the record in use; an opt-out of one that it replaced binds it.
    """
    usable = list(candidate_rows.contacts(list(people), facts.now.astimezone(facts.zone).date()))
    agreed = _agreed({index for _, _, _, index, _, _ in usable})
    merged = {pk for pk, records in people.items() if len(records) > 1}
    bound = bound_by_other_records(merged) if merged else {}
    contacts: dict[int, list[Contact]] = defaultdict(list)
    for patient_id, pk, system, index, can_text, guardian in usable:
        channel = _channel(system, can_text)
        consented = patient_id in agreed.get((channel, index), ()) and patient_id not in bound.get(channel, ())
        contacts[patient_id].append(Contact(pk, channel, index, consented, guardian))
    return contacts


def _channel(system: str, can_text: bool) -> str:
    if system == ContactPoint.System.EMAIL:
        return Channel.EMAIL.value
    return Channel.SMS.value if can_text else "call"


def _agreed(address_indexes: set[str]) -> dict[tuple[str, str], set[int]]:
    lines: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for channel, index, patient_id, action in candidate_rows.ledger(list(address_indexes)):
        lines[channel, index].append((patient_id, action))
    return {address: consenting_patients(told) for address, told in lines.items()}


def _covers(patient_ids: list[int]) -> dict[int, list[Cover]]:
    """Return what pays for their visits, by the record in use: what one merged into it had is the EHR's past."""
    covers: dict[int, list[Cover]] = defaultdict(list)
    for patient_id, *cover in candidate_rows.covers(patient_ids):
        covers[patient_id].append(Cover(*cover))
    return covers


def _bookings(people: Mapping[int, frozenset[int]], now: datetime) -> dict[int, list[Booking]]:
    """Return what each patient has, under whichever of their records."""
    whose = _whose(people)
    bookings: dict[int, list[Booking]] = defaultdict(list)
    for pk, record, start, end, type_id in candidate_rows.appointments(list(whose), now):
        for patient_id in whose[record] if start and end else ():
            bookings[patient_id].append(Booking(pk, Interval(start, end), type_id))
    return bookings


def _histories(people: Mapping[int, frozenset[int]], facts: OpeningFacts) -> dict[int, History]:
    whose = _whose(people)
    histories: dict[int, History] = defaultdict(History)
    for record, *offer in candidate_rows.offers(list(whose), facts.now - WEEK, facts):
        for patient_id in whose[record]:
            _remember(histories[patient_id], offer, facts)
    return histories


def _whose(people: Mapping[int, frozenset[int]]) -> dict[int, list[int]]:
    """Return by record the patients it is one of."""
    whose: dict[int, list[int]] = defaultdict(list)
    for patient_id, records in people.items():
        for record in records:
            whose[record].append(patient_id)
    return whose


def _remember(history: History, offer: list[Any], facts: OpeningFacts) -> None:
    opening_id, provider_id, status, start, end, created_at, is_unheard = offer
    if status != Offer.Status.PROPOSED and not is_unheard:  # a proposal is staff's affair until it is sent
        history.last_day += created_at > facts.now - DAY
        history.last_week += created_at > facts.now - WEEK
    if opening_id == facts.opening_id:
        # Of several records' offers the one that forbids another counts.
        if history.offer_here in ("", Offer.Status.TOO_LATE, Offer.Status.WITHDRAWN):
            history.offer_here = status
        return
    history.has_live_offer |= status == Offer.Status.SENT
    overlaps = start < facts.end and end > facts.start
    if status == Offer.Status.NO and overlaps and provider_id == facts.provider_id:
        history.declined_this_time = True
