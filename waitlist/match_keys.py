"""The line's index: match keys, made from waiting entries in the transaction that writes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from waitlist.facts import Window
from waitlist.hours import day_keys
from waitlist.models import EntryWindow, MatchKey, WaitlistEntry

BATCH = 1000


def longest_notice(minimum_notice_minutes: int, needs: Sequence[dict[str, Any]]) -> int:
    """Return the minutes' notice that covers the patient and everything they need."""
    return max([minimum_notice_minutes, *(int(need.get("notice_minutes") or 0) for need in needs)])


def build(
    entry: WaitlistEntry, providers: Iterable[int], locations: Iterable[int], windows: Iterable[Window]
) -> Iterator[MatchKey]:
    """Yield the unsaved match keys of a waiting entry."""
    for provider, location, (weekday, since, until) in product(
        sorted(providers) or [MatchKey.ANY], sorted(locations) or [MatchKey.ANY], day_keys(windows)
    ):
        yield MatchKey(
            entry_id=entry.pk,
            appointment_type_id=entry.appointment_type_id,
            provider_key=provider,
            location_key=location,
            weekday_key=weekday,
            urgency=entry.urgency,
            moving_up=entry.move_up_id is not None,
            races_won_by_others=-entry.lost_races,
            joined_at=entry.joined_at,
            earliest_date=entry.earliest_date,
            latest_date=entry.latest_date,
            notice_minutes=longest_notice(entry.minimum_notice_minutes, entry.needs),
            from_minute=since,
            until_minute=until,
        )


def window_values(rows: Iterable[EntryWindow]) -> list[Window]:
    """Return stored windows as values."""
    return [Window(row.weekday, row.start, row.end) for row in rows]


def remove(entry_ids: Iterable[int]) -> None:
    """Take entries out of the line."""
    MatchKey.objects.filter(entry_id__in=list(entry_ids)).delete()


def rebuild(entry_ids: Sequence[int]) -> None:
    """Make the keys of these entries anew from what is stored.

    Call it inside the transaction that changed the entries. Entries that are not waiting have none.
    """
    for begin in range(0, len(entry_ids), BATCH):
        some = list(entry_ids[begin : begin + BATCH])
        remove(some)
        MatchKey.objects.bulk_create(_from_stored(some), batch_size=BATCH)


def _from_stored(entry_ids: list[int]) -> Iterator[MatchKey]:
    providers, locations = (
        _named(WaitlistEntry.providers.through, "provider_id", entry_ids),
        _named(WaitlistEntry.locations.through, "location_id", entry_ids),
    )
    windows: dict[int, list[EntryWindow]] = defaultdict(list)
    for row in EntryWindow.objects.filter(entry_id__in=entry_ids):
        windows[row.entry_id].append(row)
    for entry in WaitlistEntry.objects.filter(pk__in=entry_ids, status=WaitlistEntry.Status.WAITING):
        yield from build(entry, providers[entry.pk], locations[entry.pk], window_values(windows[entry.pk]))


def _named(through: Any, column: str, entry_ids: list[int]) -> dict[int, set[int]]:
    named: dict[int, set[int]] = defaultdict(set)
    for entry_id, other in through.objects.filter(waitlistentry_id__in=entry_ids).values_list(
        "waitlistentry_id", column
    ):
        named[entry_id].add(other)
    return named
