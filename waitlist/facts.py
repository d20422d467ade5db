"""What is known of an opening and of somebody who waits, as plain values: the input of eligibility and ranking."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduling.records import Interval
from waitlist.pacing import Policy


@dataclass(frozen=True, slots=True)
class Fit:
    """A type the provider takes at the location, with how far the machine may go.

    ``automation`` is an AppointmentType.Automation, ``mode`` a Bookable.Mode.
    """

    type_id: int
    duration: timedelta
    automation: str = "automatic"
    mode: str = "automatic"
    minimum_notice: timedelta = timedelta(0)
    policy: Policy = field(default_factory=Policy)
    needs_insurance: bool = False

    @property
    def is_on(self) -> bool:
        """Whether anything of this type is offered at all."""
        return self.automation != "never" and self.mode != "off"


@dataclass(frozen=True, slots=True)
class OpeningFacts:
    """An opening as it is at ``now``. ``slots`` are the EHR's free slots inside it, empty where it has none.

    ``plans`` are the insurance plans its provider takes, empty where nobody entered them. After ``deepest_chain``
    move-ups in a row the rest is left to staff; the ages, in years, are those of the practice.
    """

    opening_id: int
    start: datetime
    end: datetime
    provider_id: int
    location_id: int
    zone: ZoneInfo
    now: datetime
    fits: tuple[Fit, ...] = ()
    slots: tuple[Interval, ...] = ()
    books_one_slot: bool = False
    depth: int = 0
    freed_by_patient_id: int | None = None
    deepest_chain: int = 3
    guardian_until_age: int = 12
    adult_at_age: int = 18
    plans: frozenset[int] = frozenset()

    def fit(self, type_id: int) -> Fit | None:
        """Return what is known about booking a type here; None when the provider does not take it."""
        return next((fit for fit in self.fits if fit.type_id == type_id), None)


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of a weekday (0: Monday) on the location's wall clock; 23:59 as the end stands for midnight."""

    weekday: int
    start: time = time(0, 0)
    end: time = time(23, 59)


@dataclass(frozen=True, slots=True)
class Need:
    """Something to be arranged, such as an interpreter, and how long that takes."""

    need: str
    notice: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact point of the patient that is usable today.

    ``channel`` is sms, email, or call for a number that takes no texts; ``consented`` is the consent ledger's word.
    """

    contact_point_id: int
    channel: str
    address_index: str
    consented: bool
    guardian: bool = False


@dataclass(frozen=True, slots=True)
class MoveUp:
    """The appointment a patient would give up for an earlier one."""

    appointment_id: int
    start: datetime | None
    stands: bool


@dataclass(frozen=True, slots=True)
class Booking:
    """An upcoming appointment of the patient that takes up time."""

    appointment_id: int
    interval: Interval
    type_id: int | None = None


@dataclass(frozen=True, slots=True)
class Cover:
    """An insurance of the patient, as the EHR tells it. ``position``: lower applies before others.

    ``plan_id`` is None where nobody mapped its code.
    """

    plan_id: int | None
    position: int | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    pk: int = 0

    def holds_on(self, day: date) -> bool:
        """Return whether it is in force on this day, the last one included."""
        begun = self.valid_from is None or self.valid_from <= day
        return begun and (self.valid_until is None or day <= self.valid_until)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Everything about a waiting patient that decides whether an opening suits. Empty tuples mean any.

    ``status`` is a WaitlistEntry.Status. ``offer_here`` is the status of the offer of this very opening, "" for none;
    ``only_written_to``: they did not ask to wait, so nobody calls them. ``records`` are all of theirs, those that were
    merged into this one included; what they have and were offered is counted over all of them. ``plan_id`` is what
    staff entered, ``covers`` what the EHR says.
    ``declined_this_time`` is True when the patient said no to the same provider's time under another opening.
    """

    entry_id: int
    patient_id: int
    type_id: int
    status: str = "waiting"
    urgency: int = 2
    lost_races: int = 0
    joined_at: datetime | None = None
    providers: frozenset[int] = frozenset()
    locations: frozenset[int] = frozenset()
    windows: tuple[Window, ...] = ()
    earliest_date: date | None = None
    latest_date: date | None = None
    notice: timedelta = timedelta(0)
    needs: tuple[Need, ...] = ()
    referral_required: bool = False
    referral_valid_until: date | None = None
    authorization_required: bool = False
    authorization_valid_until: date | None = None
    plan_id: int | None = None
    covers: tuple[Cover, ...] = ()
    move_up: MoveUp | None = None
    silences: int = 0
    birth_date: date | None = None
    active: bool = True
    deceased: bool = False
    restricted: bool = False
    replaced: bool = False
    established: bool = True
    language: str = "en"
    time_zone: str = ""
    contacts: tuple[Contact, ...] = ()
    bookings: tuple[Booking, ...] = ()
    offers_last_day: int = 0
    offers_last_week: int = 0
    has_live_offer: bool = False
    offer_here: str = ""
    declined_this_time: bool = False
    only_written_to: bool = False
    records: frozenset[int] = frozenset()

    def age_on(self, day: date) -> int | None:
        """Return full years of age on ``day``, or None when the birth date is not known."""
        if self.birth_date is None:
            return None
        born = self.birth_date
        return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def looseness(left_over: timedelta, *, any_provider: bool, any_location: bool, any_day: bool) -> int:
    """Return how loosely a time fits, 0 for the closest: first the time left over, then what the patient named."""
    return int(left_over / timedelta(minutes=1)) * 8 + any_provider * 4 + any_location * 2 + any_day
