"""Reading what pays for the visits of those who wait for one that needs insurance, and of nobody else.

A patient is asked for when they come to wait for such a visit, after a load, when the EHR tells news of them, when an
insurance ends, and now and then. One worker at a time reads for one connection, outside any transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from time import monotonic

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from audit.context import correlated, service
from integrations.codebook import CodeBook
from integrations.ehr import intake, outage
from integrations.ehr.fhir.coverage import TYPE
from integrations.ehr.gateway import (
    Coverages,
    GatewayError,
    LoginRefused,
    Malformed,
    NotFound,
    Rejected,
    connect,
)
from integrations.models import Connection, CoverageRead, InboundEvent
from scheduling import coverages
from scheduling.contention import is_deadlock
from scheduling.models import AppointmentType, Coverage, ExternalId, Patient, Source, WorkItem
from scheduling.worklist import ask_staff, finish_for
from waitlist.entries import LIVE
from waitlist.models import WaitlistEntry

logger = logging.getLogger(__name__)

#: Patients read in one go; the next ones follow with the next round of polls.
MOST = 50
#: Longer than a go can take: every call has a deadline, one of a page of a batch included.
LEASE = timedelta(minutes=5)
#: A go ends after this, so that polls are not held up; whoever is left follows with the next one.
LONGEST_SECONDS = 15.0
#: How long an answer serves: with an insurance in it, and without.
SERVES, SERVES_EMPTY = timedelta(days=7), timedelta(days=1)
#: News of a patient make an answer due again once it is this old.
YOUNG = timedelta(minutes=15)
#: An answer that could not be read is asked for again after this.
RETRY = timedelta(hours=1)
#: An EHR that refuses to tell is asked again after this.
REFUSED = timedelta(days=1)
WORK = "coverage.refused"
FAULT = "coverage.failed"
#: Of faults at more patients than these one more item helps nobody: it is one fault.
MOST_FAULTS = 10


class _Overtaken(Exception):
    """Another worker reads by now."""


def due(now: datetime | None = None) -> list[int]:
    """Return the ids of connections with somebody whose insurance is to be asked for now."""
    now = now or timezone.now()
    if not AppointmentType.objects.filter(needs_insurance=True, active=True).exists():
        return []
    rows = Connection.objects.filter(_free(now), state=Connection.State.ACTIVE, loaded_at__isnull=False)
    rows = rows.exclude(kind=Connection.Kind.HL7V2)  # it only sends
    return [row.pk for row in rows if outage.answers(row, now) and _next(row, now, 1)]


def _free(now: datetime) -> Q:
    return Q(coverage_due_at__isnull=True) | Q(coverage_due_at__lte=now)


def read(connection_id: int, now: datetime | None = None) -> bool:
    """Ask for the insurance of the next patients; False when another worker does, or the EHR did not tell."""
    now = now or timezone.now()
    lease = now + LEASE
    mine = Connection.objects.filter(pk=connection_id)
    if not mine.filter(_free(now)).update(coverage_due_at=lease):
        return False
    connection = mine.select_related("source").get()
    going_on: datetime | None = None
    try:
        with service("worker: polling"), correlated():
            going_on = _read(connection, lease, now)
    except _Overtaken:
        return False
    finally:
        mine.filter(coverage_due_at=lease).update(coverage_due_at=going_on)
    return going_on is None


def look_again(source: Source, external_ids: Iterable[str], now: datetime | None = None) -> None:
    """The EHR told news of these patients of its own ids: what pays for their visits is asked for again, if it was."""
    now = now or timezone.now()
    names = ExternalId.objects.filter(source=source, kind=ExternalId.Kind.PATIENT, value__in=list(external_ids))
    rows = CoverageRead.objects.filter(connection__source=source, patient_id__in=names.values("object_id"))
    rows.filter(read_at__lte=now - YOUNG, due_at__gt=now).update(due_at=now)
    rows.filter(read_at__gt=now - YOUNG, due_at__gt=F("read_at") + YOUNG).update(due_at=F("read_at") + YOUNG)


def heard(source: Source, external_id: str, patient_id: str = "") -> str:
    """An insurance changed: have its patient's asked for again, if it was asked for, and return what came of it.

    ``patient_id`` is the source's own id of whose it is, where that was told. Of one that we have not read yet and that
    names nobody nothing follows: whoever has none is asked for every day, and everybody every week.
    """
    whose = Coverage.objects.filter(source=source, external_id=external_id).values("patient_id")
    names = ExternalId.objects.filter(source=source, kind=ExternalId.Kind.PATIENT, object_id__in=whose)
    told = {*names.values_list("value", flat=True), *filter(None, [patient_id])}
    if not told:
        return "an insurance that we have not read, of nobody whom it names"
    look_again(source, told)
    return "what pays for its patient's visits is asked for again, if it was asked for"


def _wanted(connection: Connection) -> QuerySet[WaitlistEntry]:
    """Whoever waits for a visit that needs insurance, unless staff entered the plan."""
    names = ExternalId.objects.filter(source_id=connection.source_id, kind=ExternalId.Kind.PATIENT)
    rows: QuerySet[WaitlistEntry] = WaitlistEntry.objects.filter(
        status__in=LIVE,
        plan__isnull=True,
        appointment_type__needs_insurance=True,
        appointment_type__active=True,
        patient_id__in=names.values("object_id"),
    )
    return rows


def _next(connection: Connection, now: datetime, limit: int) -> list[int]:
    """Return the patients to ask for now."""
    served = CoverageRead.objects.filter(connection=connection, patient_id=OuterRef("patient_id"), due_at__gt=now)
    rows = _wanted(connection).filter(~Exists(served)).order_by("patient_id")
    return list(rows.values_list("patient_id", flat=True).distinct()[:limit])


def _read(connection: Connection, lease: datetime, now: datetime) -> datetime | None:
    """Read as far as it goes; return until when nothing is asked, None when all that was asked for was answered."""
    named = _names(connection, _next(connection, now, MOST))
    if not named:
        return None
    try:
        gateway = connect(connection)
        if not gateway.capabilities.coverage_by:
            _refused(connection, "It offers no insurance to read.")
            return now + REFUSED
        began = monotonic()
        for external_id, told in gateway.coverages(list(named)):
            _take_guarded(connection, lease, named[external_id], told)
            if monotonic() - began > LONGEST_SECONDS:
                break
    except LoginRefused as error:
        # 403 is about this kind of record, anything else about the login, which is not ours to judge.
        if error.status != 403:
            return outage.ask_again_at(connection, error, now)
        _refused(connection, "It does not let us read insurance.")
        return now + REFUSED
    except (NotFound, Rejected) as error:
        _refused(connection, f"It does not answer when asked for insurance ({error.detail}).")
        return now + REFUSED
    except GatewayError as error:
        logger.warning("reading insurance of %s ended early: %s", connection.slug, error.code)
        return outage.ask_again_at(connection, error, now)
    _answered(connection)
    return None


def _names(connection: Connection, patient_ids: list[int]) -> dict[str, int]:
    """Return the patients by what the EHR calls them, of several names by the one it used last."""
    rows = ExternalId.objects.filter(
        source_id=connection.source_id, kind=ExternalId.Kind.PATIENT, object_id__in=patient_ids
    )
    latest = dict(rows.order_by(F("seen_at").asc(nulls_first=True), "-pk").values_list("object_id", "value"))
    return {value: pk for pk, value in latest.items()}


def _take_guarded(connection: Connection, lease: datetime, patient_id: int, told: Coverages | Malformed) -> None:
    """As :func:`_take`; a fault of ours with one patient must not keep everybody after them from being read."""
    try:
        _take(connection, lease, patient_id, told)
    except _Overtaken:
        raise
    except Exception as error:
        if is_deadlock(error):
            logger.warning("insurance of patient %s gave way to another worker and is asked for again", patient_id)
            return  # nothing was kept, so it is still due
        # The text of an unexpected error may quote a patient; its place in the code is enough to find it.
        logger.exception("insurance of patient %s could not be kept: %s", patient_id, type(error).__name__)
        values = {"due_at": timezone.now() + RETRY, "problem": type(error).__name__[:40]}
        CoverageRead.objects.update_or_create(connection=connection, patient_id=patient_id, defaults=values)
        _tell_staff(connection, patient_id)


def _tell_staff(connection: Connection, patient_id: int) -> None:
    key = _fault_key(connection, patient_id)
    still_open = WorkItem.objects.filter(kind=FAULT, status=WorkItem.Status.OPEN)
    others = still_open.filter(dedupe_key__startswith=_fault_key(connection)).exclude(dedupe_key=key)
    if others.count() >= MOST_FAULTS:
        return
    patient = Patient.objects.get(pk=patient_id)
    ask_staff(
        FAULT,
        "The machine fails at what pays for one patient's visits",
        advice=f"The EHR {connection.slug} told it, and it could not be kept: what was known before counts. Enter the "
        "plan at the patient's waitlist entry, and tell whoever runs the system. It is tried again every hour.",
        dedupe_key=key,
        subject=patient,
        patient=patient,
        location=patient.locations.order_by("pk").first(),
    )


def _fault_key(connection: Connection, patient_id: int | str = "") -> str:
    return f"{FAULT}:{connection.pk}:{patient_id}"


def _take(connection: Connection, lease: datetime, patient_id: int, told: Coverages | Malformed) -> None:
    """Keep what the EHR told of one patient; raises _Overtaken when another worker does that by now."""
    now = timezone.now()
    # New for each patient: a code that is mapped meanwhile counts.
    book = CodeBook(connection)
    with transaction.atomic():
        if not Connection.objects.filter(pk=connection.pk, coverage_due_at=lease).update(coverage_due_at=lease):
            raise _Overtaken
        if isinstance(told, Malformed):
            values = {"due_at": now + RETRY, "problem": told.code}
        else:
            records = [
                replace(each, plan_target=book.plan(each.system, each.code, each.display)) for each in told.records
            ]
            coverages.keep(connection.source, patient_id, records)
            values = {"due_at": _serves_until(told, now), "read_at": now, "problem": ""}
        CoverageRead.objects.update_or_create(connection=connection, patient_id=patient_id, defaults=values)
    book.flush()
    if isinstance(told, Coverages):
        finish_for(_fault_key(connection, patient_id), "It was read.")
        intake.set_aside(connection, InboundEvent.Via.POLL, told.quarantined)
        for each in told.records:
            finish_for(intake.unreadable_key(connection.pk, f"{TYPE}/{each.external_id}"), "It was read.")


def _serves_until(told: Coverages, now: datetime) -> datetime:
    """Return when to ask again: after the usual time, or when the first of these has ended."""
    if not told.records:
        return now + SERVES_EMPTY
    until = now + SERVES
    ends = (each.valid_until for each in told.records if each.valid_until is not None)
    # Only what ends soon counts: after the last day of the calendar, which some write for "no end", there is no day.
    over = [datetime.combine(day + timedelta(days=1), time(12), UTC) for day in ends if day < until.date()]
    return min([until, *(at for at in over if at > now)])


def _refused(connection: Connection, why: str) -> None:
    """The EHR tells nobody's insurance: the check's table says so from now on, and staff are asked, once."""
    Connection.objects.filter(pk=connection.pk).update(coverage_problem=why[:200])
    ask_staff(
        WORK,
        f"The EHR {connection.slug} does not tell what pays for a visit",
        advice=f"{why} Somebody waits for a visit that needs insurance: enter the plan at their entry, or a person "
        "decides each time. The vendor grants it as system/Coverage.read. It is asked again tomorrow.",
        dedupe_key=f"{WORK}:{connection.pk}",
        subject=connection,
    )


def _answered(connection: Connection) -> None:
    if connection.coverage_problem:
        Connection.objects.filter(pk=connection.pk).update(coverage_problem="")
    finish_for(f"{WORK}:{connection.pk}", "The EHR tells it now.")
