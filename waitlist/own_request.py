"""What patients change about their own request: the days and hours they could come, with whom, and how soon before.

Whatever they choose here can be chosen again: only leaving the list cannot be taken back on the page.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import time

from django.db import models
from django.utils.translation import gettext_lazy as _

from scheduling.models import Bookable, Provider
from waitlist import entries
from waitlist.models import EntryWindow, WaitlistEntry

WEEK = frozenset(range(7))
NOON, DAY_START, DAY_END = time(12, 0), time(0, 0), time(23, 59)
#: What a patient may choose for "how long before must you know?", in minutes.
NOTICES = (0, 120, 240, 24 * 60, 2 * 24 * 60, 3 * 24 * 60, 7 * 24 * 60)


class Part(models.TextChoices):
    """The part of the day a patient could come."""

    ANY = "any", _("at any time of day")
    MORNING = "morning", _("in the morning, until noon")
    AFTERNOON = "afternoon", _("in the afternoon, from noon on")


_HOURS = {Part.ANY: (DAY_START, DAY_END), Part.MORNING: (DAY_START, NOON), Part.AFTERNOON: (NOON, DAY_END)}
_PARTS = {hours: part for part, hours in _HOURS.items()}


@dataclass(frozen=True, slots=True)
class Days:
    """Weekdays (0: Monday) and the part of the day; ``part`` is None where staff entered other hours."""

    weekdays: frozenset[int]
    part: Part | None


def days_of(windows: Iterable[EntryWindow]) -> Days:
    """Return what an entry's windows say, as far as it can be said in weekdays and one part of the day."""
    rows = list(windows)
    if not rows:
        return Days(WEEK, Part.ANY)
    parts = {_PARTS.get((row.start, row.end)) for row in rows}
    return Days(frozenset(row.weekday for row in rows), parts.pop() if len(parts) == 1 else None)


def choose_days(entry: WaitlistEntry, weekdays: Collection[int], part: Part) -> bool:
    """Offer the patient only these weekdays and this part of the day; False, changing nothing, for no day at all."""
    wanted = WEEK.intersection(weekdays)
    if not wanted:
        return False
    start, end = _HOURS[part]
    is_always = wanted == WEEK and part == Part.ANY
    windows = [] if is_always else [EntryWindow(weekday=day, start=start, end=end) for day in sorted(wanted)]
    entries.change(entry, windows=windows)
    return True


def leave_out(entry: WaitlistEntry, weekday: int) -> bool:
    """Offer the patient no more time on a weekday; False when that would leave no day at all."""
    rows = list(entry.windows.all())
    kept = [row for row in rows if row.weekday != weekday]
    if not rows:
        kept = [EntryWindow(weekday=day, start=DAY_START, end=DAY_END) for day in sorted(WEEK - {weekday})]
    if not kept:
        return False
    entries.change(entry, windows=kept)
    return True


def possible_providers(entry: WaitlistEntry) -> Sequence[Provider]:
    """Return who takes the visit at the places the entry accepts and may be named to patients there."""
    takes = Bookable.objects.filter(
        appointment_type_id=entry.appointment_type_id,
        location__names_providers=True,
        location__active=True,
        provider__active=True,
    ).exclude(mode=Bookable.Mode.OFF)
    places = list(entry.locations.values_list("pk", flat=True))
    if places:
        takes = takes.filter(location__in=places)
    return list(Provider.objects.filter(pk__in=takes.values("provider_id")))


def choose_providers(entry: WaitlistEntry, chosen: Collection[int]) -> None:
    """Offer the patient time with these clinicians only; none chosen means any.

    One whom staff entered and who cannot be named here stays.
    """
    possible = possible_providers(entry)
    named = {each.pk for each in possible}
    wanted = [each for each in possible if each.pk in chosen]
    unnamed = entry.providers.exclude(pk__in=named)
    entries.change(entry, providers=[*wanted, *unnamed] if wanted else [])


def choose_night(entry: WaitlistEntry, *, wanted: bool) -> None:
    """Text the patient at once what would be gone by the morning, or text by day only."""
    entries.change(entry, texts_by_night=wanted)


def is_offered_on(entry: WaitlistEntry, weekday: int) -> bool:
    """Return whether the entry's days leave a weekday in."""
    days = set(entry.windows.values_list("weekday", flat=True))
    return not days or weekday in days


def can_leave_out(entry: WaitlistEntry, weekday: int) -> bool:
    """Return whether another day is left without this one."""
    days = set(entry.windows.values_list("weekday", flat=True)) or WEEK
    return weekday in days and len(days) > 1


def choose_notice(entry: WaitlistEntry, minutes: int) -> bool:
    """Offer only what starts so many minutes later; False for a number that cannot be chosen."""
    if minutes not in NOTICES:
        return False
    entries.change(entry, minimum_notice_minutes=minutes)
    return True
