"""The initial load: places, clinicians, patients, then 30 days back and 90 ahead of appointments. Opens nothing.

It may be started again at any time, also after it was interrupted: what is here at the version the EHR has is skipped
before it is read any further, and nothing is inserted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.context import correlated, service
from integrations.ehr import intake, mirroring, reread
from integrations.ehr.fhir.events import Notice
from integrations.ehr.gateway import GatewayError, Kind, Page, connect
from integrations.ehr.progress import ORDER, LoadProgress
from integrations.ehr.reading_lease import AlreadyRunning, ReadingLease
from integrations.models import Connection, InboundEvent
from scheduling import bulk_people
from scheduling.bulk import AppointmentLoad
from scheduling.models import ExternalId
from scheduling.records import AppointmentRecord

__all__ = ["AlreadyRunning", "Report", "load"]

Progress = Callable[[str, int], None]


@dataclass(slots=True)
class Report:
    """What a load brought: how many of each kind, how many could not be read, how many refer to nothing.

    ``unchanged`` counts those among the loaded that were here already.
    """

    loaded: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0
    unresolved: int = 0


def load(connection_id: int, progress: Progress | None = None) -> Report:
    """Mirror everything the practice needs from its EHR; may be run again at any time.

    ``progress`` is called with a kind and how many of it are done; the connection's ``load_progress`` says the same.
    Raises GatewayError when the EHR cannot be read to the end, and AlreadyRunning; what was loaded by then stays.
    """
    lease = ReadingLease.take(connection_id)
    if lease is None:
        raise AlreadyRunning("Another worker loads or polls this connection; wait for it to finish.")
    _forget_versions(connection_id)
    connection = Connection.objects.select_related("source").get(pk=connection_id)
    loading = _Loading(connection, lease, progress)
    try:
        with service("worker: load"), correlated():
            return loading.run()
    except GatewayError as error:
        loading.reached.end(error.code)
        raise
    except BaseException:
        loading.reached.end("interrupted")
        raise
    finally:
        lease.release(load_progress=loading.reached.stored(), **loading.columns)


def _forget_versions(connection_id: int) -> None:
    """Have every patient read where a field stands elsewhere now or is another's: once, before any mapping is read.

    A load that breaks off leaves the rest without a version, so that the next one goes on with them.
    """
    with transaction.atomic():
        if Connection.objects.filter(pk=connection_id, patients_stale=True).update(patients_stale=False):
            source_id = Connection.objects.values_list("source_id", flat=True).get(pk=connection_id)
            names = ExternalId.objects.filter(source_id=source_id, kind=ExternalId.Kind.PATIENT)
            names.exclude(version="").update(version="")


class _Loading:
    """One load from end to end. ``columns`` is what the connection keeps of a complete one."""

    def __init__(self, connection: Connection, lease: ReadingLease, told: Progress | None) -> None:
        self._connection, self._lease, self._told = connection, lease, told
        self._gateway = connect(connection)
        self._appointments = AppointmentLoad(connection.source)
        self._report = Report()
        self._began_at: datetime | None = None
        self.reached = LoadProgress(timezone.now())
        self.columns: dict[str, Any] = {}

    def run(self) -> Report:
        """Load every kind."""
        for kind in ORDER:
            reached = self.reached.of(kind)
            self._lease.keep(load_progress=self.reached.stored())
            for page in self._gateway.load(kind, partial(self._held, kind)):
                # The clock at the very start: whatever changes while we read is found by the first poll.
                self._began_at = self._began_at or page.server_time or page.asked_at
                self._take(kind, page)
            reached.is_complete = True
        self.reached.end()
        now = timezone.now()
        self.columns = {
            "cursor": self._began_at or now,
            "loaded_at": now,
            "calendar_as_of": self.reached.began_at,
            "last_success_at": now,
            "poll_due_at": now + timedelta(minutes=self._connection.poll_minutes),
            "rereads": reread.after_load(self._connection, self._began_at or now, now),
        }
        return self._report

    def _held(self, kind: Kind, versions: Mapping[str, str]) -> set[str]:
        return bulk_people.unchanged(self._connection.source, kind, versions)

    def _take(self, kind: Kind, page: Page) -> None:
        report, reached = self._report, self.reached.of(kind)
        intake.set_aside(self._connection, InboundEvent.Via.LOAD, page.quarantined)
        self._apply(kind, page)
        report.loaded[kind] += len(page.records) + page.unchanged
        report.unchanged[kind] += page.unchanged
        report.quarantined += len(page.quarantined)
        reached.done += len(page.records) + page.unchanged + len(page.quarantined)
        reached.unchanged += page.unchanged
        reached.total = page.total if page.total is not None else reached.total
        self.reached.quarantined, self.reached.unresolved = report.quarantined, report.unresolved
        self._lease.keep(load_progress=self.reached.stored())
        if self._told is not None:
            self._told(kind, report.loaded[kind])

    def _apply(self, kind: Kind, page: Page) -> None:
        source, fetched_at = self._connection.source, page.asked_at or timezone.now()
        if kind == "appointment":
            records = [record for record in page.records if isinstance(record, AppointmentRecord)]
            for left in self._appointments.take(records, fetched_at):
                self._lease.keep()
                self._report.unresolved += not self._apply_singly(left, fetched_at)
        else:
            for other in mirroring.apply_in_bulk(source, page.records, fetched_at):
                self._lease.keep()
                mirroring.apply_singly(self._gateway, source, other, fetched_at)

    def _apply_singly(self, record: AppointmentRecord, fetched_at: datetime) -> bool:
        """Mirror what the bulk way left; one that refers to nothing is kept as an event and tried again."""
        try:
            mirroring.apply(self._gateway, self._connection.source, record, fetched_at, opens=False)
        except mirroring.ReferenceMissing:
            notice = Notice("appointment", record.external_id, version=record.version)
            intake.remember(self._connection, InboundEvent.Via.LOAD, notice)
            return False
        return True
