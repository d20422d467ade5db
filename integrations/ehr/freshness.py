"""How old what we know of a calendar is, and what is not done while it is older than the connection allows.

A calendar is as old as the beginning of the last read that went through to its end. A notification proves nothing about
those that did not come, so it makes nothing younger.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from integrations.models import Connection
from scheduling.counting import counted
from scheduling.models import Opening, Writeback
from scheduling.wake import wake

#: What waits for a younger calendar looks again after this; the read that ends the wait wakes it at once.
LOOKS_AGAIN = timedelta(seconds=60)


def as_of(connection: Connection) -> datetime | None:
    """Return the moment up to which we know the calendar; None for one that was never read to its end."""
    known = (connection.calendar_as_of or connection.last_poll_at, connection.loaded_at)
    return max((at for at in known if at is not None), default=None)


def why_no_offers(connection: Connection, opening: Opening, now: datetime | None = None) -> str:
    """Return why this time is not offered now, in words for staff; empty when the calendar is young enough."""
    now = now or timezone.now()
    zone = opening.location.zone
    if opening.start.astimezone(zone).date() <= now.astimezone(zone).date():
        return _too_old(connection, connection.same_day_minutes, now, "same-day times are not offered")
    return _too_old(connection, connection.later_day_minutes, now, "this time is not offered")


def why_no_booking(connection: Connection, row: Writeback, now: datetime | None = None) -> str:
    """Return why this booking waits, empty when it need not. Cancellations go on: they are compared with the EHR."""
    if row.kind != Writeback.Kind.CREATE:
        return ""
    return _too_old(connection, connection.booking_minutes, now or timezone.now(), "the booking waits")


def troubles_of(connection: Connection, now: datetime) -> str:
    """Return what is not done because of the calendar's age, as the status shows it; empty when nothing is."""
    for limit, what in (
        (connection.later_day_minutes, "nothing is offered"),
        (connection.same_day_minutes, "same-day times are not offered"),
        (connection.booking_minutes, "bookings wait"),
    ):
        if said := _too_old(connection, limit, now, what):
            return said
    return ""


def _too_old(connection: Connection, limit: int | None, now: datetime, what: str) -> str:
    if connection.only_sends:
        return ""  # there is nothing to read; its adapter says by itself when messages have stopped coming
    known = as_of(connection)
    if limit is None or known is None or now - known <= timedelta(minutes=limit):
        return ""
    return f"The calendar was last read {_spoken(now - known)} ago; {what} until it has been read again."


def _spoken(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    if minutes < 120:
        return counted(minutes, "minute")
    return counted(minutes // 60, "hour") if minutes < 2880 else counted(minutes // 1440, "day")


def read_soon(connection: Connection, now: datetime) -> None:
    """Have the calendar read now, unless that is about to happen or was tried a moment ago."""
    later = Q(poll_due_at__gt=now + LOOKS_AGAIN)
    rows = Connection.objects.filter(later, pk=connection.pk, state=Connection.State.ACTIVE)
    if rows.update(poll_due_at=now):
        wake("polls")


def go_on(connection: Connection, now: datetime) -> None:
    """The calendar was read to its end: what waited for that is looked at now. ``connection`` is as before the read."""
    if not troubles_of(connection, now):
        return
    live = Opening.objects.filter(source_id=connection.source_id, status__in=Opening.CLAIMABLE, held=Opening.Held.NO)
    live.filter(check_due_at__gt=now, check_due_at__lte=now + LOOKS_AGAIN).update(check_due_at=now)
    waiting = Writeback.objects.filter(source_id=connection.source_id, error_code="old_calendar", due_at__gt=now)
    waiting.filter(status=Writeback.Status.WAITING).update(due_at=now)
    wake("checks")
    wake("writebacks")
