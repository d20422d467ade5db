"""Differences between the EHR's calendar and ours: kept, shown, decided by staff, closed when they are no more.

Taking the EHR's fetches it anew: what is applied is what the EHR says then, not what it said at night. It runs in a
worker, as a due row, so that a hundred can be chosen at once and an EHR that is down only makes them wait. Sending ours
leaves a write for the outbox, which looks, writes once and reads back like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.context import current_actor
from integrations.ehr import comparing
from integrations.ehr.comparing import Said
from integrations.models import Connection, Difference
from scheduling import mirror, writebacks
from scheduling.exceptions import UnknownReference
from scheduling.models import Appointment, ExternalId, WorkItem, Writeback
from scheduling.transitions import move, register
from scheduling.wake import wake
from scheduling.worklist import ask_staff, finish_for

State, Kind = Difference.State, Difference.Kind
register(
    Difference,
    "state",
    {
        State.OPEN: {State.TAKING, State.SENT, State.LEFT, State.GONE},
        State.TAKING: {State.TAKEN, State.OPEN, State.GONE},
        State.LEFT: {State.GONE},
    },
)
#: A worker that died while it took one over is replaced after this long.
LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference as a comparison found it; see :class:`integrations.models.Difference`."""

    kind: str
    subject: str
    ehr_says: Said
    we_hold: Said
    version: str
    appointment: Appointment | None = None
    fields: list[str] = field(default_factory=list)

    @property
    def said(self) -> tuple[Said, Said]:
        """Both sides, by which it is known again."""
        return self.ehr_says, self.we_hold


def store(connection: Connection, found: Iterable[Finding], *, keep: Collection[str], now: datetime) -> int:
    """Keep what a complete comparison found, close what it no longer found, and return how many no event had told.

    What staff left stays closed for as long as both sides say the same as then. ``keep`` names subjects that were not
    judged. Part of the caller's transaction.
    """
    waiting = {row.subject: row for row in connection.differences.filter(state__in=Difference.WAITING)}
    left = {row.subject: row for row in connection.differences.filter(state=State.LEFT, start__gt=now).order_by("pk")}
    missed = 0
    for each in found:
        left.pop(each.subject, None)
        missed += each.kind != Kind.NOT_WRITTEN
        row = waiting.pop(each.subject, None)
        if row is not None and (row.ehr_says, row.we_hold) == each.said:
            Difference.objects.filter(pk=row.pk).update(seen_at=now)
        elif row is not None:
            _renew(row, each, now)
        elif not _was_left(connection, each):
            _insert(connection, each, now)
    for subject, row in waiting.items():
        if subject not in keep and row.state == State.OPEN:
            close(row, State.GONE, "The two agree again.", now)
    for subject, row in left.items():
        if subject not in keep:  # what comes up after this is news
            close(row, State.GONE, "Left as it was, until the two agreed again.", now)
    tell_staff(connection)
    return missed


def _insert(connection: Connection, found: Finding, now: datetime) -> None:
    row = Difference(connection=connection, subject=found.subject, found_at=now)
    _fill(row, found, now)
    row.save()


def _renew(row: Difference, found: Finding, now: datetime) -> None:
    _fill(row, found, now)
    row.save()


def _fill(row: Difference, found: Finding, now: datetime) -> None:
    row.kind, row.fields, row.ehr_version = found.kind, found.fields, found.version[:120]
    row.ehr_says, row.we_hold = found.said
    row.start, row.seen_at = comparing.start_of(*found.said), now
    row.appointment = found.appointment
    if found.appointment is not None:
        row.patient_id, row.location_id = found.appointment.patient_id, found.appointment.location_id
        return
    source = row.connection.source
    for kind, column in ((ExternalId.Kind.PATIENT, "patient_id"), (ExternalId.Kind.LOCATION, "location_id")):
        try:
            setattr(row, column, mirror.object_id(source, kind, found.ehr_says.get(str(kind), "")))
        except UnknownReference:
            setattr(row, column, None)


def _was_left(connection: Connection, found: Finding) -> bool:
    last = connection.differences.filter(subject=found.subject).order_by("-pk").first()
    return last is not None and last.state == State.LEFT and (last.ehr_says, last.we_hold) == found.said


def close(row: Difference, state: str, outcome: str, now: datetime, by: str = "") -> bool:
    by = by or row.decided_by or current_actor().name
    return move(row, state, field="state", outcome=outcome[:200], decided_at=now, decided_by=by[:150], due_at=None)


def key_of(connection_id: int) -> str:
    """Return the worklist's key of a connection's differences."""
    return f"calendar.differs:{connection_id}"


def tell_staff(connection: Connection) -> None:
    if not connection.differences.filter(state=State.OPEN).exists():
        finish_for(key_of(connection.pk), "None is left.")
        return
    ask_staff(
        "calendar.differs",
        "The EHR's calendar and ours differ in some appointments",
        advice="Nothing was changed, and open time that the EHR shows as taken is looked at again. Decide on the page "
        "Differences: take the EHR's, send ours, or leave it.",
        dedupe_key=key_of(connection.pk),
        subject=connection,
    )


def show_implausible(connection: Connection) -> None:
    """The EHR's search lacks so much that nothing was concluded from it."""
    ask_staff(
        "calendar.implausible",
        "The EHR's calendar lacks many appointments that we hold",
        advice="Nothing was changed or concluded: its search cannot have found everything. Check in the EHR whether "
        "our login may see all locations and clinicians, then compare again from Sync status.",
        dedupe_key=_implausible_key(connection.pk),
        urgency=WorkItem.Urgency.RED,
        subject=connection,
    )


def end_implausible(connection: Connection) -> None:
    """A comparison went through to its end."""
    finish_for(_implausible_key(connection.pk), "The EHR's calendar was found whole.")


def _implausible_key(connection_id: int) -> str:
    return f"calendar.implausible:{connection_id}"


# --- what staff decide ------------------------------------------------------------------------------------------------


def frees(row: Difference) -> bool:
    """Return whether taking the EHR's would free time that we hold as taken and that is still ahead."""
    held = row.we_hold
    start = comparing.start_of(held)
    if not comparing.takes_time(held) or start is None or start <= timezone.now():
        return False
    ehr_says = row.ehr_says
    if not comparing.takes_time(ehr_says):
        return not ehr_says or ehr_says.get("status") in Appointment.FREEING
    return any(held.get(key) != ehr_says.get(key) for key in ("start", "end", "provider"))


def take(row: Difference, by: str, *, opens: bool = False) -> bool:
    """Have the EHR's state fetched anew and taken over soon; freed time is offered only with ``opens``.

    False when it was decided by somebody else, or is no more.
    """
    now = timezone.now()
    taken = row.state == State.OPEN and move(
        row,
        State.TAKING,
        field="state",
        opens_time=opens and frees(row),
        due_at=now,
        decided_at=now,
        decided_by=by[:150],
    )
    if taken:
        wake("reconciles")
    return taken


def leave(row: Difference, by: str) -> bool:
    """Leave both as they are until one of them changes. False when it was decided by somebody else."""
    left = row.state == State.OPEN and close(row, State.LEFT, "Left as it is.", timezone.now(), by)
    if left:
        tell_staff(row.connection)
    return left


def why_not_sent(row: Difference) -> str:
    """Return why ours cannot be sent, in a sentence; empty where it can."""
    appointment, source = row.appointment, row.connection.source
    if appointment is None:
        return "There is nothing of ours to send."
    if not source.writable:
        return "We may not write to this EHR."
    if row.start is None or row.start <= timezone.now():
        return "Its time has come."
    if _is_our_cancellation(row):
        return "" if source.cancels else "This EHR lets us cancel nothing."
    if appointment.origin != Appointment.Origin.WAITLIST:
        return "It is the EHR's own appointment; we send only what the waitlist booked or cancelled."
    if row.kind == Kind.DIFFERS:
        return "The EHR owns status, time, clinician and place. Change it there."
    return ""


def what_is_sent(row: Difference) -> str:
    """Return what sending ours does, in words."""
    return "cancels it in the EHR" if _is_our_cancellation(row) else "books it in the EHR again"


def _is_our_cancellation(row: Difference) -> bool:
    """Whether we hold it as cancelled by a write of ours while it stands in the EHR."""
    if row.appointment is None or row.kind != Kind.DIFFERS or not comparing.takes_time(row.ehr_says):
        return False
    return (
        row.appointment.status in Appointment.FREEING
        and row.appointment.writebacks.filter(kind=Writeback.Kind.CANCEL).exists()
    )


def send(row: Difference, by: str) -> str:
    """Leave a write for the outbox: book ours anew, or cancel what we cancelled. Returns a sentence."""
    if why := why_not_sent(row):
        return why
    appointment = row.appointment
    assert appointment is not None  # noqa: S101 - why_not_sent says so
    try:
        with transaction.atomic():
            appointment = Appointment.objects.select_for_update().get(pk=appointment.pk)
            if comparing.held(row.connection.source, appointment) != row.we_hold:
                return _CHANGED_HERE
            if not close(row, State.SENT, "Ours was sent.", timezone.now(), by):
                return _DECIDED
            if _is_our_cancellation(row):
                writebacks.request_cancel(appointment)
            else:
                _book_anew(row, appointment)
    except IntegrityError:
        row.refresh_from_db()
        return "A write about it is under way; nothing was sent."
    tell_staff(row.connection)
    return "It is on its way to the EHR, which is read back afterwards."


_CHANGED_HERE = "Ours has changed since the two were compared; nothing was sent. Compare again, then decide."
_DECIDED = "Somebody else has decided it, or it is no more; nothing was changed."


def _book_anew(row: Difference, appointment: Appointment) -> None:
    """Book it under a new name: the one the EHR had for it, if any, no longer stands for anything there."""
    if row.kind == Kind.MISSING_THERE:
        value = row.subject.removeprefix("ext:")
        ExternalId.objects.filter(
            source=row.connection.source, kind=ExternalId.Kind.APPOINTMENT, value=value, object_id=appointment.pk
        ).delete()
    last = appointment.writebacks.filter(kind=Writeback.Kind.CREATE).order_by("-pk").first()
    opening = last.opening if last is not None else None
    writebacks.request_create(appointment, opening, list(last.slots) if last is not None else [])


def heard(connection: Connection, external_id: str) -> None:
    """The EHR's own news of the appointment was applied: there is nothing left to decide."""
    now = timezone.now()
    for row in connection.differences.filter(subject=f"ext:{external_id}", state=State.OPEN):
        if close(row, State.GONE, "The EHR's news of it came in.", now):
            tell_staff(connection)
