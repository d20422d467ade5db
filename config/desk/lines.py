"""How each outside system fares, in one sentence each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from integrations.ehr import freshness, watching
from integrations.messaging import outage
from integrations.models import CarrierState, Connection, Heartbeat
from scheduling.admin.display import relative

BEAT_LATE_SECONDS = 30
#: A carrier that asks for patience, or that is not reached, for no longer than this is no trouble of anybody's.
CARRIER_MAY_PAUSE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SystemLine:
    """A system's name, its state as tone and word, and what is known about it."""

    name: str
    tone: str
    word: str
    note: str

    @property
    def is_trouble(self) -> bool:
        return self.tone == "danger"


def system_lines(now: datetime | None = None) -> list[SystemLine]:
    """Return the EHR connections, the message carriers and the worker."""
    now = now or timezone.now()
    lines = [connection_line(row, now) for row in Connection.objects.select_related("source").order_by("slug")]
    lines += [carrier_line(row, now) for row in CarrierState.objects.order_by("channel")]
    beat = worker_line(now)
    return [*lines, beat] if beat else lines


def connection_line(row: Connection, now: datetime) -> SystemLine:
    """Return the state of one EHR connection."""
    heard = max((at for at in (row.last_event_at, row.last_poll_at) if at), default=None)
    heard_text = f"last heard {relative(heard, now)}" if heard else "nothing heard yet"
    name = row.source.name
    if row.state == Connection.State.STOPPED:
        return SystemLine(name, "danger", "stopped", "The EHR refused our login. Nothing is read or written.")
    if row.state == Connection.State.PAUSED and heard is None:
        return SystemLine(name, "pause", "not started", "It is being connected: no change is read, nothing written.")
    if row.state == Connection.State.PAUSED:
        return SystemLine(name, "pause", "paused", f"A person paused it; {heard_text}.")
    if row.failing_since:
        since = _so_long(row.failing_since, now)
        return SystemLine(
            name, "danger", "does not answer", f"No answer for {since}. Bookings are kept and written later."
        )
    if heard and watching.is_silent(row, now):
        return SystemLine(name, "danger", "silent", f"{heard_text.capitalize()}, longer than is usual.")
    if row.loaded_at is None:
        return SystemLine(name, "wait", "loading", f"The calendar is not loaded yet; {heard_text}.")
    if behind := freshness.troubles_of(row, now):
        return SystemLine(name, "danger", "behind", behind)
    return SystemLine(name, "ok", "connected", f"{heard_text.capitalize()}.")


def carrier_line(row: CarrierState, now: datetime) -> SystemLine:
    """Return the state of one message channel."""
    name = {"sms": "Texts", "email": "E-mail"}.get(row.channel, row.channel)
    if row.refused_since:
        since = relative(row.refused_since, now)
        note = f"The carrier refused our account {since}. Messages go another way, offers else by a call."
        return SystemLine(name, "danger", "refused", note)
    is_failing = row.failing_since and row.failing_since <= now - CARRIER_MAY_PAUSE
    if row.failing_since and is_failing and not outage.may_be_chance(row):
        since = _so_long(row.failing_since, now)
        kept = "Offers go another way, else by a call" if row.down_since else "They are kept and sent later"
        return SystemLine(name, "danger", "not going out", f"None for {since}. {kept}.")
    note = f"Last handed over {relative(row.last_success_at, now)}." if row.last_success_at else "Nothing sent yet."
    return SystemLine(name, "ok", "going out", note)


def worker_line(now: datetime) -> SystemLine | None:
    """Return the state of the background worker, or None where none has ever reported."""
    newest = Heartbeat.objects.order_by("-at").first()
    if newest is None:
        return None
    if (now - newest.at).total_seconds() > BEAT_LATE_SECONDS:
        return SystemLine(
            "Background work", "danger", "stands still", f"Last sign of life {relative(newest.at, now)}. Call IT."
        )
    return SystemLine("Background work", "ok", "running", f"Last sign of life {relative(newest.at, now)}.")


def _so_long(since: datetime, now: datetime) -> str:
    text = relative(since, now).removesuffix(" ago")
    return "a second" if text == "just now" else text
