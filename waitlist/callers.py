"""How many more patients staff can be asked to call with an offer just now."""

from __future__ import annotations

from typing import Final

from scheduling import office_hours
from scheduling.models import LocationAccess, WorkItem
from waitlist.offering import Wave
from waitlist.policies import policy_for

#: Work items that are calls to make, whatever about.
CALLS: Final = ("offer.call", "claim.chase", "claim.tell", "message.call", "message.dead", "calendar.not_booked")


def free_calls(wave: Wave) -> int:
    """Return how many calls the location's staff can take on; none outside of office hours.

    Calls of every kind that are on the list already count. Those that must be made, since somebody waits for word, are
    never held back; they leave the less room for offers.
    """
    location = wave.opening.location_id
    if not office_hours.is_open(office_hours.of_row(wave.house, location), wave.facts.now):
        return 0
    return max(0, most_calls(location) - waiting_calls(location))


def most_calls(location_id: int) -> int:
    """Return how many calls the location's staff have on their list at most because of the machine's offers.

    Where nobody is named for the location, one person is reckoned with.
    """
    staff = LocationAccess.objects.filter(location_id=location_id, user__is_active=True, user__is_staff=True).count()
    return policy_for(location_id, None).calls_per_clerk * max(staff, 1)


def waiting_calls(location_id: int) -> int:
    """Return how many calls wait for the location's staff."""
    return WorkItem.objects.filter(kind__in=CALLS, status=WorkItem.Status.OPEN, location_id=location_id).count()
