"""What staff can do about the work items that the calendar itself puts on the worklist."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser

from scheduling import guards, openings, writebacks
from scheduling.models import Opening, WorkItem, Writeback
from scheduling.standing import nothing_changed
from scheduling.worklist import Action, register_action


def _opening(item: WorkItem) -> Opening:
    return Opening.objects.get(pk=item.subject_id or 0)


def _count(number: int, one: str, several: str) -> str:
    return f"1 opening {one}" if number == 1 else f"{number} openings {several}"


def _offer_day(item: WorkItem, user: AbstractBaseUser) -> str:
    return _count(guards.release_day(_opening(item)), "is offered again.", "are offered again.")


def _close_day(item: WorkItem, user: AbstractBaseUser) -> str:
    return _count(guards.close_day(_opening(item)), "of that day was closed.", "of that day were closed.")


def _offer(item: WorkItem, user: AbstractBaseUser) -> str:
    opening = _opening(item)
    is_about_it = item.kind == f"opening.{opening.held}"
    if not is_about_it or not openings.unhold(opening):
        return nothing_changed(opening)
    return "The time is offered after a fresh look at the EHR."


def _close(item: WorkItem, user: AbstractBaseUser) -> str:
    opening = _opening(item)
    return "The time is not offered." if openings.close(opening, Opening.Closed.STAFF) else nothing_changed(opening)


def _retry(item: WorkItem, user: AbstractBaseUser) -> str:
    row = Writeback.objects.get(pk=item.subject_id or 0)
    if not writebacks.retry(row, user.get_username()):
        return "It is under way or finished already; nothing was sent."
    return "It is sent again; what may have been written before is looked up first."


def register() -> None:
    """Put the buttons on their work items. Called when the app is ready."""
    register_action(
        "opening.provider_day",
        Action("in", "Provider is in: go on", "The day's openings are checked again, then offered.", _offer_day),
    )
    register_action(
        "opening.provider_day",
        Action(
            "out", "Provider is out: close the day", "The day's openings close and nobody is offered them.", _close_day
        ),
    )
    for kind in ("opening.reason", "opening.type", "opening.status", "opening.refused"):
        register_action(kind, Action("offer", "Offer this time", "The waitlist is offered this time.", _offer))
        register_action(kind, Action("close", "Do not offer", "The opening closes; nobody is told.", _close))
    # Before what gives it up, whichever app comes first: the first button is the one that stands out.
    register_action(
        "writeback.dead",
        Action(
            "retry", "Send again", "The EHR is asked first whether it has it already; then it is sent again.", _retry
        ),
        is_first=True,
    )
