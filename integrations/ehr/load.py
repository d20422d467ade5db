"""The initial load: places, clinicians, patients, then 30 days back and 90 ahead of appointments. Opens nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from audit.context import correlated, service
from integrations.ehr import intake, mirroring
from integrations.ehr.fhir.events import Notice
from integrations.ehr.gateway import Gateway, Kind, Page, connect
from integrations.models import Connection, InboundEvent
from scheduling.bulk import load_appointments
from scheduling.models import Source
from scheduling.records import AppointmentRecord, PatientRecord

#: Renewed with each page, so a dead load is taken over soon.
LEASE = timedelta(minutes=5)
ORDER: tuple[Kind, ...] = ("location", "provider", "patient", "appointment")

Progress = Callable[[str, int], None]


class AlreadyRunning(RuntimeError):
    """Another worker loads or polls this connection."""


@dataclass(slots=True)
class Report:
    """What a load brought: how many of each kind, how many could not be read, how many refer to nothing."""

    loaded: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0
    unresolved: int = 0


def load(connection_id: int, progress: Progress | None = None) -> Report:
    """Mirror everything the practice needs from its EHR; may be run again at any time.

    ``progress`` is called with a kind and how many of it are done. Raises GatewayError when the EHR cannot be read
    to the end, and AlreadyRunning; what was loaded by then stays.
    """
    connection = Connection.objects.select_related("source").get(pk=connection_id)
    if not take_lease(connection_id):
        raise AlreadyRunning("Another worker loads or polls this connection; wait for it to finish.")
    try:
        with service("worker: load"), correlated():
            report, began_at = _load(connection, progress)
        _finish(connection, began_at)
    finally:
        Connection.objects.filter(pk=connection_id).update(poll_lease_until=None)
    return report


def take_lease(connection_id: int, now: datetime | None = None) -> bool:
    """Become the only one who reads this connection from end to end; False when somebody else does."""
    now = now or timezone.now()
    free = Q(poll_lease_until__isnull=True) | Q(poll_lease_until__lte=now)
    return bool(Connection.objects.filter(free, pk=connection_id).update(poll_lease_until=now + LEASE))


def keep_lease(connection_id: int) -> None:
    """Say that the reading goes on."""
    Connection.objects.filter(pk=connection_id).update(poll_lease_until=timezone.now() + LEASE)


def _load(connection: Connection, progress: Progress | None) -> tuple[Report, datetime]:
    gateway, report = connect(connection), Report()
    began_at: datetime | None = None
    for kind in ORDER:
        for page in gateway.load(kind):
            # The clock at the very start: whatever changes while we read is found by the first poll.
            began_at = began_at or page.server_time or page.asked_at
            _apply_page(gateway, connection, kind, page, report)
            keep_lease(connection.pk)
            if progress is not None:
                progress(kind, report.loaded[kind])
    return report, began_at or timezone.now()


def _apply_page(gateway: Gateway, connection: Connection, kind: Kind, page: Page, report: Report) -> None:
    fetched_at = page.asked_at or timezone.now()
    intake.set_aside(connection, InboundEvent.Via.LOAD, page.quarantined)
    report.quarantined += len(page.quarantined)
    if kind == "appointment":
        records = [record for record in page.records if isinstance(record, AppointmentRecord)]
        for left in load_appointments(connection.source, records, fetched_at):
            report.unresolved += not _apply_singly(gateway, connection, left, fetched_at)
    else:
        _apply_described(gateway, connection.source, page, fetched_at)
    report.loaded[kind] += len(page.records)


def _apply_described(gateway: Gateway, source: Source, page: Page, fetched_at: datetime) -> None:
    for record in page.records:
        if isinstance(record, PatientRecord):
            mirroring.apply_person(gateway, source, record, fetched_at)
        else:
            mirroring.apply_described(source, record, fetched_at)


def _apply_singly(gateway: Gateway, connection: Connection, record: AppointmentRecord, fetched_at: datetime) -> bool:
    """Mirror what the bulk way left; one that refers to nothing is kept as an event and tried again."""
    try:
        mirroring.apply(gateway, connection.source, record, fetched_at, opens=False)
    except mirroring.ReferenceMissing:
        notice = Notice("appointment", record.external_id, version=record.version)
        intake.remember(connection, InboundEvent.Via.LOAD, notice)
        return False
    return True


def _finish(connection: Connection, began_at: datetime) -> None:
    now = timezone.now()
    next_poll = now + timedelta(minutes=connection.poll_minutes)
    Connection.objects.filter(pk=connection.pk).update(
        cursor=began_at, loaded_at=now, last_success_at=now, poll_due_at=next_poll
    )
