"""What staff can do about the work items that writing, sending and looking put on the worklist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from integrations import by_hand, discovered, late_news, outcomes
from integrations.meanings import Key
from integrations.models import CodeMapping, Connection
from scheduling import openings
from scheduling.models import Opening, WorkItem, Writeback
from scheduling.standing import nothing_changed
from scheduling.worklist import Action, NotYet, register_action, register_counter
from waitlist.models import Message
from waitlist.resending import send_again


def _writeback(item: WorkItem) -> Writeback:
    return Writeback.objects.select_related("opening", "appointment").get(pk=item.subject_id or 0)


def _give_up(item: WorkItem, user: AbstractBaseUser) -> str:
    detail = f"Given up by {user.get_username()}."
    row = _writeback(item)
    # One that was sent again meanwhile is the outbox's: its call may be on its way.
    is_ours = row.status in (Writeback.Status.DEAD, Writeback.Status.BY_HAND)
    if not is_ours or not outcomes.refused(row, "staff", detail, ask=False):
        return "It is under way or finished already; nothing was changed."
    late_news.look_again(row)
    if row.kind == Writeback.Kind.CANCEL:
        return "Given up: the appointment stands as the EHR has it, and a patient who asked for this is told."
    return "Given up: the patient is told that it is not booked, and the time is offered again."


def _entered(item: WorkItem, user: AbstractBaseUser) -> str:
    row = _writeback(item)
    Writeback.objects.filter(pk=row.pk, status=Writeback.Status.BY_HAND).update(due_at=timezone.now())
    row.refresh_from_db()
    if row.status == Writeback.Status.BY_HAND and not Connection.objects.filter(source_id=row.source_id).exists():
        outcomes.taken_at_their_word(row)
        return "Noted. The patient is told."
    if row.status == Writeback.Status.BY_HAND:
        by_hand.look(row)
        row.refresh_from_db()
    if row.status == Writeback.Status.DONE:
        return "The EHR shows it. The patient is told."
    if row.status == Writeback.Status.BY_HAND:
        return NotYet(
            "The EHR does not show it yet, so this stays open. We keep looking; once the EHR shows it, this is "
            "finished by itself."
        )
    return "It was settled before; nothing was changed."


def _send_message(item: WorkItem, user: AbstractBaseUser) -> str:
    if send_again(Message.objects.select_related("opening").get(pk=item.subject_id or 0), user.get_username()):
        return "It is sent again; the patient may get it twice."
    return "It was settled before; nothing was sent."


def _called(item: WorkItem, user: AbstractBaseUser) -> str:
    return "The patient was told by phone."


def _not_reached(item: WorkItem, user: AbstractBaseUser) -> str:
    return "The patient was not reached."


def _mended(item: WorkItem, user: AbstractBaseUser) -> str:
    return "The carrier's account was mended."


def _kept(item: WorkItem, user: AbstractBaseUser) -> str:
    return "The booking stays, and the patient was told."


def _undone(item: WorkItem, user: AbstractBaseUser) -> str:
    return "It was cancelled in the EHR."


def _look_again(item: WorkItem, user: AbstractBaseUser) -> str:
    openings.request_check(item.subject_id or 0, timezone.now())
    return "The EHR is asked again now."


def _close(item: WorkItem, user: AbstractBaseUser) -> str:
    opening = Opening.objects.get(pk=item.subject_id or 0)
    return "The time is not offered." if openings.close(opening, Opening.Closed.STAFF) else nothing_changed(opening)


_NOT_BOOKED = "The patient is told it is not booked; the time is offered again."
_BOOKED_THERE = "We look in the EHR; once it is there the patient is told."


def _given_up_says(item: WorkItem) -> str:
    if not _is_cancellation(item):
        return _NOT_BOOKED
    return "The appointment stands as the EHR has it; a patient who asked to cancel it is told so."


def _entered_says(item: WorkItem) -> str:
    if not _is_cancellation(item):
        return _BOOKED_THERE
    return "We look in the EHR; once it is cancelled there, a patient who asked for that is told."


def _is_cancellation(item: WorkItem) -> bool:
    return Writeback.objects.filter(pk=item.subject_id or 0, kind=Writeback.Kind.CANCEL).exists()


def register() -> None:
    """Put the buttons on their work items. Called when the app is ready."""
    give_up = Action("give_up", "Give up", _NOT_BOOKED, _give_up, _given_up_says)
    entered = Action("entered", "It is entered", _BOOKED_THERE, _entered, _entered_says)
    called = Action("called", "I have told the patient", "Nothing more is sent.", _called)
    not_reached = Action("not_reached", "Not reached", "Nothing more is sent.", _not_reached)
    again = Action("send", "Send it again", "The patient may get it twice.", _send_message)
    look = Action("look", "Ask the EHR again", "The time is offered if the EHR says that it is free.", _look_again)
    close = Action("close", "Close this opening", "Nobody is offered the time.", _close)
    kept = Action("kept", "Kept, patient told", "Nothing is sent; the appointment stays in the EHR.", _kept)
    undone = Action("undone", "Cancelled in the EHR", "Nothing is sent; the EHR's news of it opens the time.", _undone)
    mended = Action("mended", "It is mended", "Nothing is sent; you are told again if it goes on.", _mended)
    for kind, actions in {
        "writeback.dead": (give_up,),
        "writeback.stray": (kept, undone),
        "writeback.by_hand": (entered, give_up),
        "message.dead": (called, not_reached, again),
        "message.call": (called, not_reached),
        "message.sender": (mended,),
        "opening.cannot_check": (look, close),
    }.items():
        for action in actions:
            register_action(kind, action)
    for domain in CodeMapping.Domain.values:
        register_counter(f"mapping.{domain}", _carriers)


def _carriers(items: Sequence[WorkItem]) -> dict[int, int]:
    """Return by item how many carry the code it asks about."""
    rows = CodeMapping.objects.select_related("connection").in_bulk([item.subject_id for item in items])
    known: dict[tuple[int, str], Counter[Key]] = {}
    found: dict[int, int] = {}
    for item in items:
        row = rows.get(item.subject_id or 0)
        if row is not None:
            kind = (row.connection_id, row.domain)
            if kind not in known:
                known[kind] = discovered.counts(row.connection, row.domain)
            found[item.pk] = known[kind][Key(row.domain, row.system, row.code)]
    return found
