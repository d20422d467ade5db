"""The last 90 days' cancellations: read week by week, judged with today's waitlist, and kept to be reported.

Nothing is mirrored or opened. A person asks for it; the reading is a due time on the connection, goes on where it
stopped after a failure, and leaves the lease to polls after each week.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from audit.context import correlated, service
from integrations.ehr import outage
from integrations.ehr.gateway import GatewayError, LoginRefused, Rejected, connect
from integrations.ehr.reading_lease import AlreadyRunning, ReadingLease
from integrations.models import Connection
from scheduling import guards
from scheduling.models import Appointment, AppointmentType, ExternalId, Location, Practice
from scheduling.records import AppointmentRecord, Interval
from scheduling.wake import wake
from waitlist import hindsight
from waitlist.models import PastCancellation

logger = logging.getLogger(__name__)

DAYS = 90
STRETCH = timedelta(days=7)
#: A reading that failed by a fault of ours goes on after this.
AFTER_A_FAULT = timedelta(minutes=5)
#: Statuses by which somebody else has had the time.
HAD_IT = (*Appointment.OCCUPYING, Appointment.Status.NOSHOW)
Verdict, Became = PastCancellation.Verdict, PastCancellation.Became
#: What is found out only after the question whether the clinician is out that day.
_AFTER_THE_DAY = (Verdict.OFFERED, Verdict.NOBODY, Verdict.NOTICE, Verdict.OFF)
#: What the reason or the type says already.
_BY_CODES = {
    "unmapped": Verdict.REASON,
    "unmapped_type": Verdict.TYPE,
    "ask_staff": Verdict.ASK,
    "not_rebookable": Verdict.CLOSED,
}


@dataclass(slots=True)
class HistoryProgress:
    """How far a reading has come: times in ISO 8601; ``error`` is the code by which it stands still or ended."""

    began_at: str
    since: str
    reached: str
    ended_at: str = ""
    error: str = ""
    read: int = 0
    cancelled: int = 0
    unreadable: int = 0

    @property
    def share(self) -> float:
        """From 0 to 1."""
        since, until = datetime.fromisoformat(self.since), datetime.fromisoformat(self.began_at)
        return min(1.0, (datetime.fromisoformat(self.reached) - since) / (until - since))


def progress_of(connection: Connection) -> HistoryProgress | None:
    """Return how far the last reading has come; None when there never was one."""
    return HistoryProgress(**connection.history_progress) if connection.history_progress else None


def ask(connection: Connection, now: datetime | None = None) -> bool:
    """Have the past read from the beginning; False while it is being read."""
    now = now or timezone.now()
    zone = ZoneInfo(Practice.current().time_zone)
    # From midnight on, so that no week ends in the middle of a clinician's day.
    since = datetime.combine((now - timedelta(days=DAYS)).astimezone(zone).date(), time.min, zone)
    begun = HistoryProgress(began_at=now.isoformat(), since=since.isoformat(), reached=since.isoformat())
    idle = Connection.objects.filter(pk=connection.pk, history_due_at__isnull=True)
    if not idle.update(history_due_at=now, history_progress=asdict(begun)):
        return False
    wake("loads")
    return True


def due(now: datetime | None = None, limit: int = 5) -> list[int]:
    """Return the ids of connections whose past is to be read on now."""
    now = now or timezone.now()
    unread = Q(poll_lease_until__isnull=True) | Q(poll_lease_until__lte=now)
    rows = Connection.objects.filter(unread, history_due_at__lte=now).exclude(state=Connection.State.STOPPED)
    return list(rows.order_by("history_due_at").values_list("pk", flat=True)[:limit])


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`due` would find anything."""
    return bool(due(now, limit=1))


def take_up(connection_id: int) -> bool:
    """Read the next week; False when another worker reads the connection.

    What fails goes on when the EHR may answer; a refused login or request ends it.
    """
    lease = ReadingLease.take(connection_id)
    if lease is None:
        return False
    connection = Connection.objects.select_related("source").get(pk=connection_id)
    progress = progress_of(connection)
    columns: dict[str, Any] = {}
    try:
        if connection.history_due_at is None or progress is None:
            return False  # another worker has read to the end since we looked
        columns = _read_on(connection, progress, lease)
    except AlreadyRunning:
        return False
    except Exception:
        # A fault of ours, which whoever drains tells staff: begun anew at each sweep, it would keep the EHR busy.
        columns = {"history_due_at": timezone.now() + AFTER_A_FAULT}
        raise
    finally:
        lease.release(**columns)
    if columns.get("history_due_at"):
        wake("loads")
    return True


def _read_on(connection: Connection, progress: HistoryProgress, lease: ReadingLease) -> dict[str, Any]:
    """Read a week and return what the connection keeps of it."""
    again: datetime | None = None
    try:
        with service("worker: history"), correlated():
            _Week(connection, progress, lease).read()
        progress.error = ""
    except (Rejected, LoginRefused) as error:  # a person has to mend it first
        progress.ended_at, progress.error = timezone.now().isoformat(), error.code
    except GatewayError as error:
        progress.error = error.code
        again = outage.ask_again_at(connection, error)
    if not progress.ended_at and progress.share >= 1.0:
        progress.ended_at = timezone.now().isoformat()
        gone = PastCancellation.objects.filter(source=connection.source)
        gone.filter(judged_at__lt=datetime.fromisoformat(progress.began_at)).delete()
    due_at = None if progress.ended_at else again or timezone.now()
    if progress.error:
        logger.warning("reading the past of connection %s: %s", connection.slug, progress.error)
    return {"history_progress": asdict(progress), "history_due_at": due_at}


class _Week:
    """One week of the past: all its appointments, so that it shows who had the time of those that were cancelled."""

    def __init__(self, connection: Connection, progress: HistoryProgress, lease: ReadingLease) -> None:
        self._connection, self._progress, self._lease = connection, progress, lease
        self._source = connection.source
        until = datetime.fromisoformat(progress.began_at)
        self._start = datetime.fromisoformat(progress.reached)
        self._end = min(self._start + STRETCH, until)
        self._now = timezone.now()

    def read(self) -> None:
        """Read, judge and keep it; raises GatewayError, and then nothing of it is kept or counted."""
        records, unreadable = self._records()
        cancelled = [each for each in records if each.status == Appointment.Status.CANCELLED and each.start]
        rows = self._judged(cancelled, _had_by_others(records))
        with transaction.atomic():
            PastCancellation.objects.bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["source", "external_id"],
                update_fields=[
                    each.name
                    for each in PastCancellation._meta.concrete_fields
                    if each.name not in ("id", "source", "external_id")
                ],
            )
        self._progress.reached = self._end.isoformat()
        self._progress.read += len(records)
        self._progress.cancelled += len(rows)
        self._progress.unreadable += unreadable

    def _records(self) -> tuple[list[AppointmentRecord], int]:
        found: dict[str, AppointmentRecord] = {}
        unreadable = 0
        for page in connect(self._connection).history(self._start, self._end):
            self._lease.keep()
            unreadable += len(page.quarantined)
            for record in page.records:
                # An EHR that takes days only, or ignores the end, lists more than was asked for.
                if isinstance(record, AppointmentRecord) and self._is_asked_for(record):
                    found[record.external_id] = record
        return list(found.values()), unreadable

    def _is_asked_for(self, record: AppointmentRecord) -> bool:
        return record.start is not None and self._start <= record.start < self._end

    def _judged(self, cancelled: list[AppointmentRecord], taken: dict[str, list[Interval]]) -> list[PastCancellation]:
        providers = self._known(ExternalId.Kind.PROVIDER, (each.provider_id for each in cancelled))
        places = self._known(ExternalId.Kind.LOCATION, (each.location_id for each in cancelled))
        patients = self._known(ExternalId.Kind.PATIENT, (each.patient_id for each in cancelled))
        locations = Location.objects.in_bulk(set(places.values()))
        types = dict(AppointmentType.objects.values_list("code", "pk"))
        zones = {value: locations[key].zone for value, key in places.items() if key in locations}
        of_a_day = _of_a_whole_day(cancelled, zones)
        rows = []
        for record in cancelled:
            self._lease.keep()
            start, end = record.start, record.end
            if start is None or end is None:
                continue
            location = locations.get(places.get(record.location_id, 0))
            provider_id = providers.get(record.provider_id)
            seen = self._see(record, Interval(start, end), provider_id, location, patients)
            if seen.verdict in _AFTER_THE_DAY and record.external_id in of_a_day:
                seen = hindsight.Hindsight(Verdict.DAY)
            rows.append(
                PastCancellation(
                    source=self._source,
                    external_id=record.external_id,
                    provider_id=provider_id,
                    location=location,
                    appointment_type_id=types.get(record.type_target),
                    start=start,
                    end=end,
                    cancelled_at=record.cancelled_at,
                    type_code=record.type_code,
                    reason_code=record.reason_code,
                    verdict=seen.verdict,
                    became=_became(Interval(start, end), taken.get(record.provider_id, [])),
                    suited=len(seen.entries),
                    entries=list(seen.entries[: hindsight.KEPT]),
                    judged_at=self._now,
                )
            )
        return rows

    def _known(self, kind: str, values: Iterable[str]) -> dict[str, int]:
        rows = ExternalId.objects.filter(source=self._source, kind=kind, value__in=set(values))
        return dict(rows.values_list("value", "object_id"))

    def _see(
        self,
        record: AppointmentRecord,
        time: Interval,
        provider_id: int | None,
        location: Location | None,
        patients: dict[str, int],
    ) -> hindsight.Hindsight:
        if by_codes := _BY_CODES.get(record.reason_verdict):
            return hindsight.Hindsight(by_codes)
        if provider_id is None or location is None:
            return hindsight.Hindsight(Verdict.PLACE)
        if record.patient_id and record.patient_id not in patients:
            return hindsight.Hindsight(Verdict.PATIENT)
        if record.cancelled_at is not None and record.cancelled_at >= time.start:
            return hindsight.Hindsight(Verdict.AFTER)
        patient_id = patients.get(record.patient_id)
        freed = hindsight.Freed(
            self._source, location, provider_id, time.start, time.end, record.cancelled_at, patient_id
        )
        return hindsight.judge(freed, self._now)


def _of_a_whole_day(cancelled: Iterable[AppointmentRecord], zones: Mapping[str, tzinfo]) -> set[str]:
    """Return the ids of those cancelled about when others of the clinician's day were: staff would have been asked."""
    days: dict[tuple[str, date], dict[str, datetime]] = defaultdict(dict)
    for each in cancelled:
        zone, at = zones.get(each.location_id), each.cancelled_at
        if zone and at and each.start and at < each.start and each.reason_verdict != "not_rebookable":
            days[each.provider_id, each.start.astimezone(zone).date()][each.external_id] = at
    house = Practice.current()
    within = timedelta(minutes=house.absence_minutes)
    return {
        external_id
        for told in days.values()
        for external_id, at in told.items()
        if guards.look_like_absence([other for other in told.values() if abs(other - at) < within], house)
    }


def _had_by_others(records: Iterable[AppointmentRecord]) -> dict[str, list[Interval]]:
    """Return the taken times by clinician."""
    taken: dict[str, list[Interval]] = defaultdict(list)
    for each in records:
        if each.status in HAD_IT and each.start and each.end:
            taken[each.provider_id].append(Interval(each.start, each.end))
    return taken


def _became(time: Interval, taken: list[Interval]) -> str:
    rest = time.minus([each for each in taken if each.overlaps(time)])
    if not rest:
        return Became.REFILLED
    return Became.WASTED if rest == [time] else Became.PARTLY
