"""A carrier that is down: for a while each call to it failed to reach it, or was answered by an error of its own.

One lost call may be chance, so the first are tried again as ever. Once it is known, what cannot wait goes another way
as it does past a carrier that refuses us: an offer's time runs, and nobody knows how long this lasts. A message that
may have been taken is still asked about and never sent a second time; of its offer, staff tell by phone.

Where it fails at messages and goes on to give us its lists, only a message that it takes shows that it works again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F

from integrations.messaging import probing
from integrations.models import CarrierState

#: So many calls in a row must have failed, and the first of them so long ago.
FAILURES = 3
KNOWN_AFTER = timedelta(seconds=60)
#: With no message to try for so long, a list that it gives us is taken for its word.
FORGOTTEN_AFTER = timedelta(minutes=5)


def failed(channel: str, now: datetime, *, is_message: bool) -> None:
    """Count a call that failed; from a number of them on the carrier counts as down."""
    rows = CarrierState.objects.filter(channel=channel)
    rows.update(failures=F("failures") + 1)
    if is_message:
        rows.update(message_failed_at=now)
    known = rows.filter(
        down_since=None, refused_since=None, failures__gte=FAILURES, failing_since__lte=now - KNOWN_AFTER
    )
    known.update(down_since=now, probe_at=now + probing.DOWN_EVERY)


def answered(channel: str, now: datetime) -> None:
    """It answered, whatever it said: it is not down."""
    rows = CarrierState.objects.filter(channel=channel)
    rows.filter(failures__gt=0).update(failures=0, message_failed_at=None)
    if rows.filter(down_since__isnull=False).update(down_since=None, probe_at=None):
        probing.let_go(channel, now)


def says_nothing(state: CarrierState, now: datetime, *, is_message: bool) -> bool:
    """Whether an answer of the carrier's tells nothing of messages, at which it failed lately.

    It tells that it is there, so the next message finds out at once whether it is taken.
    """
    if is_message or state.message_failed_at is None or state.message_failed_at <= now - FORGOTTEN_AFTER:
        return False
    CarrierState.objects.filter(pk=state.pk, down_since__isnull=False, probe_at__gt=now).update(probe_at=now)
    return True


def found_taken(channel: str, now: datetime) -> None:
    """A message whose answer was lost had been taken: messages do leave."""
    answered(channel, now)
    CarrierState.objects.filter(channel=channel, refused_since=None).update(failing_since=None)


def is_known(channel: str) -> bool:
    """Return whether the channel's carrier is known to be down."""
    return CarrierState.objects.filter(channel=channel, down_since__isnull=False).exists()


def may_be_chance(state: CarrierState) -> bool:
    """Whether no more than a call or two failed, and no other has said since that the carrier works."""
    return state.down_since is None and 0 < state.failures < FAILURES


def known_at(channel: str, now: datetime) -> datetime | None:
    """Return when a carrier that fails since lately is known to be down, if it still fails by then; None otherwise."""
    rows = CarrierState.objects.filter(channel=channel, down_since=None, refused_since=None)
    since = rows.values_list("failing_since", flat=True).first()
    at = since + KNOWN_AFTER if since is not None else None
    return at if at is not None and at > now else None
