"""How many more patients staff can be asked to call with an offer just now."""

from __future__ import annotations

from scheduling import office_hours
from scheduling.models import LocationAccess, WorkItem
from waitlist.offering import Wave
from waitlist.policies import policy_for

CALL = "offer.call"


def free_calls(wave: Wave) -> int:
    """Return how many calls the location's staff can take on; none outside of office hours.

    Calls already on the list count. Where nobody is named for the location, one person is reckoned with.
    """
    location = wave.opening.location_id
    if not office_hours.is_open(office_hours.of_row(wave.house, location), wave.facts.now):
        return 0
    staff = LocationAccess.objects.filter(location_id=location, user__is_active=True, user__is_staff=True).count()
    waiting = WorkItem.objects.filter(kind=CALL, status=WorkItem.Status.OPEN, location_id=location).count()
    return max(0, policy_for(location, None).calls_per_clerk * max(staff, 1) - waiting)
