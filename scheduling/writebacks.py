"""The outbox towards the EHR: what must be written, and how each attempt ended.

The row decides: ``sending`` with a lease is committed before the call. A lease that ran out on ``sending`` means the
outcome is unknown, so it is looked up and never simply sent again.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from audit.context import correlation_id
from scheduling import shadow
from scheduling.models import Appointment, ExternalId, Opening, Source, Writeback
from scheduling.records import AppointmentRecord
from scheduling.story import tell
from scheduling.transitions import move
from scheduling.wake import wake
from scheduling.worklist import finish_for

#: Longer than any one call to an EHR may take, so that a running call never loses its lease.
LEASE = timedelta(seconds=20)
#: A booking that is not in the EHR so long before its start is given up: its patient hears the end before the visit.
LAST_WORD = timedelta(minutes=10)

Result = Literal["done", "refused", "unknown", "held", "dead"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a write ended, for whoever asked for it. ``taken``: the time is somebody else's now."""

    result: Result
    taken: bool = False
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """A writeback in our hands until ``row.lease_until``; ``look_up_first`` when an earlier call may have worked."""

    row: Writeback
    look_up_first: bool


def request_create(appointment: Appointment, opening: Opening | None, slots: list[str]) -> Writeback:
    """Have the EHR book ``appointment``, which consumes ``slots``. Where we may not write, staff are asked to."""
    return _request(Writeback.Kind.CREATE, appointment, opening, slots)


def request_cancel(appointment: Appointment, opening: Opening | None = None, *, by_patient: bool = False) -> Writeback:
    """Have the EHR cancel ``appointment``; ``opening`` is the one it made room for, when it was moved up.

    ``by_patient``: its patient asked for it and is told what comes of it. IntegrityError when a write about it is
    under way.
    """
    return _request(Writeback.Kind.CANCEL, appointment, opening, [], by_patient=by_patient)


def _request(
    kind: str, appointment: Appointment, opening: Opening | None, slots: list[str], *, by_patient: bool = False
) -> Writeback:
    now = timezone.now()
    # In shadow we write nothing, yet what a patient gives up must not stand in the EHR: staff see to it.
    is_ours = not (kind == Writeback.Kind.CANCEL and shadow.is_on(appointment.source_id))
    writable = appointment.source.writable and is_ours
    row = Writeback.objects.create(
        kind=kind,
        appointment=appointment,
        opening=opening,
        source_id=appointment.source_id,
        slots=slots,
        by_patient=by_patient,
        status=Writeback.Status.WAITING if writable else Writeback.Status.BY_HAND,
        due_at=now,
        deadline_at=_deadline(kind, appointment.start, now),
        correlation_id=(opening.correlation_id if opening else "") or correlation_id(),
    )
    wake("writebacks")
    return row


def _deadline(kind: str, start: datetime | None, now: datetime) -> datetime:
    """Return when it is given up: a booking shortly before its start, or after half of what is left until then."""
    if start is None:
        return now + timedelta(days=1)
    if kind == Writeback.Kind.CANCEL:
        return start
    return start - min(LAST_WORD, max(start - now, timedelta()) / 2)


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of writebacks to take up now, the longest due first."""
    now = now or timezone.now()
    rows = Writeback.objects.filter(
        Q(status__in=(Writeback.Status.WAITING, Writeback.Status.UNKNOWN), due_at__lte=now)
        | Q(status=Writeback.Status.SENDING, lease_until__lte=now)
    )
    return list(rows.order_by("due_at").values_list("pk", flat=True)[:limit])


def lease(writeback_id: int, now: datetime | None = None) -> Lease | None:
    """Take a due writeback into our hands; None when another worker has it or it is no longer due.

    A ``sending`` row whose lease ran out was in the hands of a worker that died: it becomes *unknown* first.
    """
    now = now or timezone.now()
    row = Writeback.objects.get(pk=writeback_id)
    if row.status == Writeback.Status.SENDING:
        lapsed = Q(lease_until__lte=now)
        if not move(row, Writeback.Status.UNKNOWN, where=lapsed, due_at=now, error_code="worker_lost"):
            return None
    look_up_first = row.status == Writeback.Status.UNKNOWN or row.attempts > 0
    if row.status not in (Writeback.Status.WAITING, Writeback.Status.UNKNOWN) or row.due_at > now:
        return None
    taken = move(
        row,
        Writeback.Status.SENDING,
        where=Q(due_at__lte=now),
        lease_until=now + LEASE,
        attempts=row.attempts + 1,
    )
    return Lease(row, look_up_first) if taken else None


def mark_sent(row: Writeback) -> bool:
    """Commit, just before the call, that from now on it may have had an effect; also renews the lease.

    False: the lease ran out meanwhile and another worker has the row, so the call must not be made.
    """
    return _still_ours(row, sent_at=timezone.now())


def renew(row: Writeback) -> bool:
    """Keep the row for another lease before a further call; False when another worker has it by now."""
    return _still_ours(row)


def _still_ours(row: Writeback, **fields: datetime) -> bool:
    fields["lease_until"] = timezone.now() + LEASE
    kept = Writeback.objects.filter(_in_our_hands(row), pk=row.pk).update(**fields)
    if kept:
        for name, value in fields.items():
            setattr(row, name, value)
    return bool(kept)


def _in_our_hands(row: Writeback) -> Q:
    """The row as we hold it: the time our lease ends is what tells it from another worker's."""
    return Q(status=row.status, lease_until=row.lease_until) if row.lease_until else Q(status=row.status)


def mark_done(row: Writeback) -> bool:
    """The EHR has it and was read back."""
    return _end(row, Writeback.Status.DONE)


def mark_refused(row: Writeback, code: str, detail: str = "") -> bool:
    """The EHR will not do it, or it must not be done any more."""
    return _end(row, Writeback.Status.REFUSED, code, detail)


def mark_dead(row: Writeback, code: str, detail: str = "") -> bool:
    """Tries are used up; a person decides."""
    return _end(row, Writeback.Status.DEAD, code, detail)


def mark_unknown(row: Writeback, look_at: datetime, code: str, detail: str = "", *, counts: bool = True) -> bool:
    """The call may have had an effect: look it up at ``look_at``. With ``counts`` False the try is not counted."""
    return move(
        row,
        Writeback.Status.UNKNOWN,
        where=_in_our_hands(row),
        due_at=look_at,
        lease_until=None,
        attempts=row.attempts if counts else max(row.attempts - 1, 0),
        error_code=code[:60],
        error_detail=detail[:300],
    )


def postpone(row: Writeback, until: datetime, code: str, detail: str = "", *, counts: bool = True) -> bool:
    """Nothing was written: try again at ``until``. With ``counts`` False the try is not counted (an outage)."""
    return move(
        row,
        Writeback.Status.WAITING,
        where=_in_our_hands(row),
        due_at=until,
        lease_until=None,
        attempts=row.attempts if counts else max(row.attempts - 1, 0),
        error_code=code[:60],
        error_detail=detail[:300],
    )


def hand_to_staff(row: Writeback) -> bool:
    """We may not write to this EHR: a person enters it, and it is done when the EHR shows it."""
    return move(row, Writeback.Status.BY_HAND, where=_in_our_hands(row), lease_until=None)


def _end(row: Writeback, status: str, code: str = "", detail: str = "") -> bool:
    fields: dict[str, Any] = {"lease_until": None, "error_code": code[:60], "error_detail": detail[:300]}
    return move(row, status, where=_in_our_hands(row), finished_at=timezone.now(), **fields)


def retry(row: Writeback, by: str) -> bool:
    """Take a dead letter up again, from its first try; what may have been written is looked up first.

    False for one that is no dead letter any more, and while another write about its appointment is under way.
    """
    if row.status != Writeback.Status.DEAD:
        return False
    again: dict[str, Any] = {"due_at": timezone.now(), "attempts": 1, "finished_at": None, "error_code": ""}
    try:
        with transaction.atomic():
            if not move(row, Writeback.Status.WAITING, **again):
                return False
            finish_for(f"writeback.dead:{row.pk}", "It is sent again.", by)
            tell(row.opening, "writeback.retried", f"Sent again by {by}.", writeback_id=row.pk)
            wake("writebacks")
    except IntegrityError:  # the database's own guard of one live write per appointment
        return False
    return True


def in_flight(appointment: Appointment) -> bool:
    """Whether a write about the appointment is under way."""
    return appointment.writebacks.filter(status__in=Writeback.LIVE).exists()


def booking_is_open(appointment: Appointment) -> bool:
    """Whether our booking of the appointment is under way, or lies with staff as a dead letter."""
    unsettled = (*Writeback.LIVE, Writeback.Status.DEAD)
    return appointment.writebacks.filter(kind=Writeback.Kind.CREATE, status__in=unsettled).exists()


def look_again(appointment: Appointment) -> None:
    """The EHR said something about a write under way: resolve it now rather than at its due time.

    One that somebody settles at this moment is left to them: they wait for what we hold, so we must not wait for them.
    """
    resting = Q(status__in=(Writeback.Status.UNKNOWN, Writeback.Status.BY_HAND))
    with transaction.atomic():
        rows = appointment.writebacks.select_for_update(skip_locked=True).filter(resting)
        keys = list(rows.values_list("pk", flat=True))
        if keys and Writeback.objects.filter(resting, pk__in=keys).update(due_at=timezone.now()):
            wake("writebacks")


def own_booking(source: Source, record: AppointmentRecord) -> Appointment | None:
    """Return our appointment that ``record`` is the EHR's answer to, although that answer was not heard yet.

    Matched by the key we send as identifier, else by patient, provider and start of a write in flight or in the hands
    of staff.
    """
    keys = [each.value.removeprefix("urn:uuid:") for each in record.identifiers if _is_uuid(each.value)]
    writes = Writeback.objects.filter(source=source, kind=Writeback.Kind.CREATE).select_related("appointment")
    row = writes.filter(key__in=keys).first() if keys else None
    if row is None and record.start is not None and record.status in Appointment.OCCUPYING:
        names = ExternalId.objects.filter(source=source)
        row = writes.filter(
            # Only a call that was really made can have caused it, or staff who were asked to see to it.
            Q(sent_at__isnull=False, status__in=Writeback.LIVE)
            | Q(status__in=(Writeback.Status.BY_HAND, Writeback.Status.DEAD)),
            appointment__start=record.start,
            appointment__patient_id__in=names.filter(kind=ExternalId.Kind.PATIENT, value=record.patient_id).values(
                "object_id"
            ),
            appointment__provider_id__in=names.filter(kind=ExternalId.Kind.PROVIDER, value=record.provider_id).values(
                "object_id"
            ),
        ).first()
    if row is None or _has_name(source, row.appointment_id):
        return None
    return row.appointment


def _has_name(source: Source, appointment_id: int) -> bool:
    return ExternalId.objects.filter(source=source, kind=ExternalId.Kind.APPOINTMENT, object_id=appointment_id).exists()


def _is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value.removeprefix("urn:uuid:"))
    except ValueError:
        return False
    return True
