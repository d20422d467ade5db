"""What staff can do about the work items that EHRs cause."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser

from integrations.ehr import inbox
from integrations.models import InboundEvent
from scheduling.models import WorkItem
from scheduling.worklist import Action, register_action


def _read_again(item: WorkItem, user: AbstractBaseUser) -> str:
    event = InboundEvent.objects.filter(pk=item.subject_id or 0).first()
    if event is None or not inbox.retry(event):
        return "It was dealt with already; nothing was changed."
    return "It is read again; if it still cannot be, you are asked again."


def _leave(item: WorkItem, user: AbstractBaseUser) -> str:
    return "It was dealt with by hand."


def register() -> None:
    """Put the buttons on their work items. Called when the app is ready."""
    again = Action("again", "Read it again", "The EHR is asked for it once more. Nobody is told.", _read_again)
    by_hand = Action("by_hand", "Done by hand", "Nothing happens; the item closes.", _leave)
    for kind in ("event.unreadable", "event.dead"):
        register_action(kind, again)
        register_action(kind, by_hand)
    for kind in ("connection.subscription_ended", "patient.gone"):
        register_action(kind, by_hand)
