"""A carrier that does not accept us: suspended, out of money, a changed password, a number that is not ours any more.

That is known at the first call and holds for every message, so none waits for the end of its tries: staff are told at
once, and what falls due goes another way without a call. Once a minute one message is tried all the same; the first
that is taken ends it, and what only this carrier can bring leaves then.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from integrations.messaging import probing
from integrations.models import CarrierState
from integrations.trouble import Trouble
from scheduling.models import WorkItem
from scheduling.worklist import ask_staff

#: With no message to try for so long, a list that the carrier gives us is taken for its word. Sooner only where it had
#: refused that too: a number that is not ours any more stops messages and no list.
FORGOTTEN_AFTER = timedelta(minutes=30)


def begin(channel: str, *, is_message: bool, now: datetime) -> None:
    """Note that the carrier refuses us, and tell staff at once; once that is known, whether it refuses lists too."""
    rows = CarrierState.objects.filter(channel=channel)
    if not is_message:
        rows.update(lists_refused=True)
    if rows.filter(refused_since__isnull=True).update(refused_since=now, probe_at=now + probing.REFUSED_EVERY):
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


def taken(channel: str, *, is_message: bool, now: datetime) -> bool:
    """End it when the carrier took a message, or gives us what it refused; False: it goes on."""
    rows = CarrierState.objects.filter(channel=channel, refused_since__isnull=False)
    if not is_message:
        rows = rows.filter(Q(lists_refused=True) | Q(probe_at__lt=now - FORGOTTEN_AFTER))
    is_over = bool(rows.update(refused_since=None, probe_at=None, lists_refused=False))
    if is_over:
        probing.let_go(channel, now)
    return is_over
