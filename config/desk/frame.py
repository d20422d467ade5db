"""What stands around every page: whose practice, test or live, paused or not, and where one can go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from scheduling import shadow
from scheduling.models import Practice, WorkItem


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the navigation; ``count`` is shown beside it when it is not 0."""

    label: str
    address: str
    current: bool
    count: int = 0


def frame(request: HttpRequest, installation: str) -> dict[str, Any]:
    """Return the context of the header. Before anybody is signed in it tells the practice's name and nothing more."""
    practice = Practice.objects.filter(pk=1).first() or Practice()
    is_demo = bool(getattr(settings, "SANDBOX_CONTROL_URL", ""))
    signed_in = request.user.is_active and getattr(request.user, "is_staff", False)
    return {
        "practice": practice,
        "installation": installation,
        "places": _places(request) if signed_in else (),
        "may_pause": signed_in and may_pause(request),
        "in_shadow": shadow.names() if signed_in else (),
        "shows_sandbox": signed_in and is_demo,
        "is_demo": is_demo,
    }


def may_pause(request: HttpRequest) -> bool:
    """Whoever works with openings may stop and start everything."""
    return request.user.has_perm("scheduling.change_opening")


def _places(request: HttpRequest) -> list[Place]:
    user = request.user
    needs = WorkItem.objects.for_user(user).filter(status=WorkItem.Status.OPEN)
    wanted = [
        ("Today", "index", "", "", 0),
        ("Needs you", "scheduling_workitem_changelist", "?status__exact=open", "scheduling.view_workitem", None),
        ("Openings", "scheduling_opening_changelist", "", "scheduling.view_opening", 0),
        ("Waitlist", "waitlist_waitlistentry_changelist", "?status__exact=waiting", "waitlist.view_waitlistentry", 0),
        ("Replies", "waitlist_reply_changelist", "?waits=yes", "waitlist.view_reply", 0),
        ("Patients", "scheduling_patient_changelist", "", "scheduling.view_patient", 0),
        ("Sync status", "desk_status", "", "", 0),
    ]
    if getattr(settings, "SANDBOX_CONTROL_URL", ""):
        wanted.append(("Sandbox", "desk_sandbox", "", "scheduling.change_opening", 0))
    wanted.append(("All lists", "desk_lists", "", "", 0))
    places = []
    for label, view, query, permission, count in wanted:
        if permission and not user.has_perm(permission):
            continue
        address = reverse(f"admin:{view}")
        current = request.path == address if view == "index" else request.path.startswith(address)
        places.append(Place(label, address + query, current, needs.count() if count is None else 0))
    return places
