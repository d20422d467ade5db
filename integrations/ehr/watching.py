"""Watching each connection: stopped, down, failing often, silent, behind, deaf, or with a login about to end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from cryptography import x509

from integrations import performance
from integrations.ehr import freshness, listening
from integrations.models import Connection
from integrations.trouble import Trouble
from scheduling import office_hours
from scheduling.counting import counted
from scheduling.models import Practice, Writeback

#: Staff are told of an EHR that does not answer after this long.
OUTAGE_SHOWS_AFTER = timedelta(minutes=5)
#: The share of good answers below which staff are told, over the last hour, and how many calls that takes.
LEAST_PERCENT = 95
LEAST_CALLS = 20
#: How long before a login ends staff are reminded.
REMINDED_BEFORE = timedelta(days=21)


def troubles(now: datetime) -> Iterator[Trouble]:
    """Yield what is wrong with the connections; of one that does not answer nothing else is said."""
    for connection in Connection.objects.exclude(state=Connection.State.PAUSED):
        if connection.state == Connection.State.STOPPED:
            yield stopped(connection)
        elif connection.failing_since and connection.failing_since <= now - OUTAGE_SHOWS_AFTER:
            yield _failing(connection)
        elif is_silent(connection, now):
            yield _silent(connection)
        elif behind := freshness.troubles_of(connection, now):
            yield _behind(connection, behind)
        elif (percent := _low_success(connection, now)) is not None:
            yield _often_failing(connection, percent)
        if (changes := listening.unheard_changes(connection, now)) >= listening.UNHEARD:
            yield _deaf(connection, changes)
        ends = login_ends(connection)
        if ends is not None and ends - REMINDED_BEFORE <= _today(now):
            yield _login_ends(connection, ends)


def is_silent(connection: Connection, now: datetime) -> bool:
    """Return whether nothing has come for longer than is usual."""
    if connection.loaded_at is None:  # a connection that was never loaded has nothing to be silent about
        return False
    heard = [at for at in (connection.last_event_at, connection.last_poll_at, connection.loaded_at) if at is not None]
    return is_too_long(connection, max(heard), now)


def is_too_long(connection: Connection, since: datetime, now: datetime) -> bool:
    """Return whether ``since`` is longer ago than news may be, counting only the hours when the office is open."""
    allowed = timedelta(minutes=connection.silence_minutes)
    if now - since < allowed:
        return False
    return office_hours.open_time(office_hours.of_practice(), since, now) >= allowed


def login_ends(connection: Connection) -> date | None:
    """Return the day on which the login should be changed or its certificate ends, whichever comes first."""
    days = [connection.credentials_due_on, certificate_ends(connection.client_certificate)]
    return min((day for day in days if day is not None), default=None)


def certificate_ends(certificate: str) -> date | None:
    """Return the last day of a PEM certificate, None without one that can be read."""
    try:
        return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc.date()
    except ValueError:
        return None


def stopped(connection: Connection) -> Trouble:
    """Return what staff are told when the EHR no longer accepts our login."""
    return Trouble(
        f"health.stopped:{connection.pk}",
        "health.stopped",
        f"The EHR connection {connection.slug} is stopped: its login was refused",
        "Nothing is lost: events, bookings and offers wait. Have an administrator mend the login on the page Connect, "
        "check it there, and start the connection again.",
        red=True,
    )


def _failing(connection: Connection) -> Trouble:
    held = Writeback.objects.filter(
        source_id=connection.source_id,
        status__in=(Writeback.Status.WAITING, Writeback.Status.SENDING, Writeback.Status.UNKNOWN),
    ).count()
    return Trouble(
        f"health.failing:{connection.pk}",
        "health.failing",
        f"The EHR {connection.slug} does not answer; bookings held: {held}",
        "Held bookings go out by themselves as soon as it answers. Patients were told they are not confirmed yet. "
        "For an appointment that starts soon, call the patient.",
        red=held > 0,
    )


def _silent(connection: Connection) -> Trouble:
    return Trouble(
        f"health.silent:{connection.pk}",
        "health.silent",
        f"Nothing has come from the EHR {connection.slug} for {_spoken(connection.silence_minutes)}",
        "Cancellations may be going unnoticed. Check in the EHR that its notifications are on, then sync it here.",
    )


def _behind(connection: Connection, behind: str) -> Trouble:
    return Trouble(
        f"health.behind:{connection.pk}",
        "health.behind",
        f"The calendar of {connection.slug} cannot be read to its end",
        f"{behind} That is tried each minute; reports and what is booked go on. If it lasts, send the vendor the "
        "failed calls listed under API calls.",
    )


def _deaf(connection: Connection, changes: int) -> Trouble:
    return Trouble(
        f"health.deaf:{connection.pk}",
        "health.deaf",
        f"The EHR {connection.slug} does not tell us of changes",
        f"Nothing is lost: the poll found {counted(changes, 'change')} since the last notification, but each up to "
        f"{counted(connection.poll_minutes, 'minute')} late. On the page Connect ask the EHR to notify us again; if "
        "that changes nothing, have the vendor look at what its subscription sends, and whether our address answers "
        "it.",
    )


def _low_success(connection: Connection, now: datetime) -> int | None:
    """Return the share of good answers of the last hour when it is too low, else None."""
    lately = performance.of_connection(connection.pk, now - timedelta(hours=1), now)
    percent = lately.success_percent
    return percent if percent is not None and lately.calls >= LEAST_CALLS and percent < LEAST_PERCENT else None


def _often_failing(connection: Connection, percent: int) -> Trouble:
    return Trouble(
        f"health.success:{connection.pk}",
        "health.success",
        f"The EHR {connection.slug} answers less well than it should: {percent} % of calls in the last hour",
        "What failed is tried again by itself. If it goes on, send the vendor the failed calls listed under API calls.",
    )


def _login_ends(connection: Connection, ends: date) -> Trouble:
    return Trouble(
        f"health.login_ends:{connection.pk}",
        "health.login_ends",
        f"The login at the EHR {connection.slug} is to be changed by {ends:%B} {ends.day}",
        "Nothing is broken yet. Change the key, secret or certificate on the page Connect and enter the next date.",
    )


def _today(now: datetime) -> date:
    return now.astimezone(ZoneInfo(Practice.current().time_zone)).date()


def _spoken(minutes: int) -> str:
    return counted(minutes, "minute") if minutes < 120 else counted(minutes // 60, "hour")
