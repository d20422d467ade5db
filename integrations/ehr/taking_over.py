"""Taking over what the EHR says of an appointment that differs: fetched anew, in a worker, kept until it is done."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from audit.context import correlated
from integrations.codebook import CodeBook
from integrations.ehr import differences, mirroring, outage
from integrations.ehr.gateway import Gateway, GatewayError, NotFound, connect
from integrations.models import Difference
from scheduling import vanished
from scheduling.appointments import Applied, apply_never_written
from scheduling.records import AppointmentRecord
from scheduling.transitions import move

State = Difference.State
#: A worker that died while it took one over is replaced after this long.
LEASE = timedelta(seconds=60)


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of differences to take over now."""
    rows = Difference.objects.filter(state=State.TAKING, due_at__lte=now or timezone.now())
    return list(rows.order_by("due_at").values_list("pk", flat=True)[:limit])


def work(difference_id: int, now: datetime | None = None) -> bool:
    """Take over what the EHR says of one difference; False when another worker does. No transaction may be open."""
    now = now or timezone.now()
    row = Difference.objects.select_related("connection__source", "appointment").get(pk=difference_id)
    mine = Difference.objects.filter(pk=row.pk, state=State.TAKING, due_at=row.due_at, due_at__lte=now)
    if not mine.update(due_at=now + LEASE):
        return False
    connection = row.connection
    with correlated():
        try:
            if not outage.answers(connection):
                _later(row, outage.ask_again_at(connection))
                return True
            outcome = _take_over(connect(connection), row)
        except outage.NO_ANSWER as error:
            _later(row, outage.ask_again_at(connection, error))
        except GatewayError as error:
            detail = f"It could not be taken over ({error.code}); decide again."
            move(row, State.OPEN, field="state", outcome=detail, due_at=None, decided_at=None, decided_by="")
        else:
            differences.close(row, State.TAKEN, outcome, timezone.now())
            differences.tell_staff(connection)
    return True


def _later(row: Difference, at: datetime) -> None:
    Difference.objects.filter(pk=row.pk, state=State.TAKING).update(due_at=at)


def _take_over(gateway: Gateway, row: Difference) -> str:
    kind, _, external_id = row.subject.partition(":")
    verdict = CodeBook(row.connection).reason("", "", "")
    if kind != "ext":
        return _give_up_ours(row, verdict)
    source, fetched_at = row.connection.source, timezone.now()
    try:
        record = gateway.fetch("appointment", external_id)
    except NotFound:
        absent = mirroring.apply_absence(source, external_id, fetched_at, verdict=verdict, opens=row.opens_time)
        return _told(absent)
    if not isinstance(record, AppointmentRecord):
        raise GatewayError("not an appointment")
    return _told(mirroring.apply(gateway, source, record, fetched_at, opens=row.opens_time))


def _told(applied: Applied | None) -> str:
    opened = len(applied.opened) if applied is not None else 0
    return f"The EHR's was taken. {_openings(opened)}"


def _openings(count: int) -> str:
    return "Nothing is offered." if not count else "1 opening." if count == 1 else f"{count} openings."


@transaction.atomic
def _give_up_ours(row: Difference, verdict: str) -> str:
    """The EHR has no such booking, and that is to be so: ours no longer takes up time, and the patient is called."""
    if row.appointment_id is None:
        return _told(None)
    applied = apply_never_written(row.appointment_id, verdict=verdict, opens=row.opens_time)
    if applied.change != "updated":
        return _told(None)
    vanished.ask_to_call(applied.appointment, vanished.DECIDED)
    return _told(applied)
