"""A carrier that does not accept us: suspended, out of money, a changed password, a number that is not ours any more.

That is known at the first call and holds for every message, so none waits for the end of its tries: staff are told at
once, and what falls due goes another way without a call. Once a minute one message is tried all the same; the first
that is taken ends it, and what only this carrier can bring leaves then.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from integrations.models import CarrierState
from integrations.trouble import Trouble
from scheduling.models import WorkItem
from scheduling.wake import wake
from scheduling.worklist import ask_staff
from waitlist.models import Message

#: How often one message is tried while the carrier refuses us. A refused call costs nothing and reaches nobody.
PROBE_EVERY = timedelta(seconds=60)
#: With no message to try for so long, a list that the carrier gives us is taken for its word. Sooner only where it had
#: refused that too: a number that is not ours any more stops messages and no list.
FORGOTTEN_AFTER = timedelta(minutes=30)


def begin(channel: str, *, is_message: bool, now: datetime) -> None:
    """Note that the carrier refuses us, and tell staff at once; once that is known, whether it refuses lists too."""
    rows = CarrierState.objects.filter(channel=channel)
    if not is_message:
        rows.update(lists_refused=True)
    if rows.filter(refused_since__isnull=True).update(refused_since=now, probe_at=now + PROBE_EVERY):
        told = trouble(channel)
        ask_staff(told.kind, told.title, advice=told.advice, dedupe_key=told.key, urgency=WorkItem.Urgency.RED)


def trouble(channel: str) -> Trouble:
    """Return what staff read about it; the watch closes the item when it is over."""
    return Trouble(
        f"health.carrier:{channel}",
        "health.carrier",
        f"The carrier of our {'texts' if channel == 'sms' else 'e-mails'} does not accept our account",
        "Nothing goes out by it; patients are reached another way they agreed to, offers by a call too. Have an "
        "administrator look at the account with the carrier: its balance, password, number and notices. One message "
        "is tried each minute, and all goes on by itself once it is taken.",
        red=True,
    )


def next_try(message: Message, now: datetime) -> datetime | None:
    """Return when the carrier may be tried again; None where it accepts us, or where this message is the one to try."""
    state = CarrierState.objects.filter(channel=message.channel, refused_since__isnull=False).first()
    if state is None:
        return None
    mine = CarrierState.objects.filter(pk=state.pk, probe_at=state.probe_at).filter(probe_at__lte=now)
    if mine.update(probe_at=now + PROBE_EVERY):
        return None
    return max(state.probe_at or now, now + timedelta(seconds=1))


def taken(channel: str, *, is_message: bool, now: datetime) -> bool:
    """End it when the carrier took a message, or gives us what it refused; False: it goes on."""
    rows = CarrierState.objects.filter(channel=channel, refused_since__isnull=False)
    if not is_message:
        rows = rows.filter(Q(lists_refused=True) | Q(probe_at__lt=now - FORGOTTEN_AFTER))
    is_over = bool(rows.update(refused_since=None, probe_at=None, lists_refused=False))
    if is_over:
        held = Message.objects.filter(channel=channel, status=Message.Status.WAITING, due_at__gt=now)
        held.exclude(error_code="").update(due_at=now)
        wake("messages")
    return is_over
