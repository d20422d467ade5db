"""The outbox of patients' details: corrected in the EHR that owns them, by the version that was read.

Each try reads the record first and merges: what the EHR has already is not written again, so a lost answer needs no
guess; what it changed in another way meanwhile is put to staff. A version that changes between our look and our call
is read and merged again. Nothing counts as written before it was read back.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.utils import timezone

from audit.context import correlated
from integrations import registering
from integrations.ehr import intake, outage
from integrations.ehr.fhir.events import Notice
from integrations.ehr.gateway import (
    Duplicate,
    Gateway,
    GatewayError,
    LoginRefused,
    NotFound,
    OutcomeUnknown,
    PatientAsRead,
    Rejected,
    StaleVersion,
    Taken,
    connect,
)
from integrations.models import Connection, InboundEvent
from integrations.outbox import FIRST_LOOK, SHADOW_WAIT
from integrations.outcomes import JITTER
from integrations.patient_outcomes import LOOK_EVERY, SomebodyElseHasIt, conflict, dead, done, must, to_staff
from scheduling import corrections, mirror, patient_writes, practice, shadow
from scheduling.contention import is_deadlock
from scheduling.corrections import Merge
from scheduling.exceptions import IllegalTransition, UnknownReference
from scheduling.models import ExternalId, PatientWrite

logger = logging.getLogger(__name__)

Status = PatientWrite.Status
#: A version that changes again and again between our look and our call is left to the retry schedule.
STALE_TRIES = 3
#: A row that outlives its retry schedule by so many tries kills its workers.
CRASHES_FORGIVEN = 2


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of corrections to take up now; none while everything is paused.

    A lost answer waits, too: what is still lacking could not be sent, so that one look after the other would follow.
    """
    ids = patient_writes.due(now, limit)
    return [] if ids and practice.is_paused() else ids


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`due` would find anything."""
    return bool(due(now, limit=1))


@dataclass(frozen=True, slots=True)
class _Try:
    """One worker's try: its row, and the state it had before."""

    row: PatientWrite
    before: str

    @property
    def rests_with_staff(self) -> bool:
        """Whether it is only looked at: staff enter it, or decide."""
        return self.before in (Status.BY_HAND, Status.CONFLICT)


def process(write_id: int, now: datetime | None = None) -> bool:
    """Take up one due correction; False when another worker has it, or there was nothing to do."""
    before = PatientWrite.objects.values_list("status", flat=True).get(pk=write_id)
    row = patient_writes.lease(write_id, now)
    if row is None:
        return False
    with correlated(row.correlation_id or None):
        try:
            _attempt(_Try(row, before))
        except (SomebodyElseHasIt, IllegalTransition):
            logger.info("patient write %s is in other hands", write_id)
    return True


def _attempt(attempt: _Try) -> None:
    row = attempt.row
    connection = Connection.objects.filter(source_id=row.source_id).first()
    if connection is None:
        to_staff(row)
    elif row.attempts > len(settings.WRITE_RETRY_SECONDS) + CRASHES_FORGIVEN:
        dead(row, row.error_code or "worker_lost")
    elif practice.is_paused():
        _wait(attempt, timezone.now(), row.error_code)
    elif shadow.is_on(row.source_id):
        _wait(attempt, timezone.now() + SHADOW_WAIT, row.error_code)
    elif not outage.answers(connection):
        _wait(attempt, outage.ask_again_at(connection), row.error_code or "unavailable")
    else:
        _work_on(attempt, connection)


def _work_on(attempt: _Try, connection: Connection) -> None:
    row = attempt.row
    try:
        if row.kind == PatientWrite.Kind.REGISTER:
            registering.register(row, connection, connect(connection))
        else:
            _correct(attempt, connect(connection))
    except outage.NO_ANSWER as error:
        is_refused = isinstance(error, LoginRefused) and error.status == 403
        if is_refused and row.kind == PatientWrite.Kind.UPDATE and row.sent_at is not None:
            # The connection works: it is patients that we have no right to write.
            to_staff(row, error.code)
        else:
            _wait(attempt, outage.ask_again_at(connection, error), error.code)
    except UnknownReference:
        dead(row, "unknown_reference")
    except NotFound:
        dead(row, "not_found")
    except GatewayError as error:
        _again(attempt, error.code)
    except (SomebodyElseHasIt, IllegalTransition):
        raise
    except Exception as error:
        # A fault of ours must neither lose the row nor stop the others; the tries it may take are counted.
        if is_deadlock(error):
            logger.warning("patient write %s gave way to another worker and is tried again", row.pk)
            _wait(attempt, timezone.now() + FIRST_LOOK, "gave_way")
            return
        logger.exception("patient write %s failed: %s", row.pk, type(error).__name__)
        _again(attempt, "our_fault")


def _correct(attempt: _Try, gateway: Gateway) -> None:
    row = attempt.row
    wanted = corrections.read(row.wanted)
    external_id = mirror.external_value(row.source, ExternalId.Kind.PATIENT, row.patient_id)
    for _ in range(STALE_TRIES):
        asked_at, read = timezone.now(), gateway.read_patient(external_id)
        found = corrections.merge(read.record, wanted, row.overrules)
        if found.is_complete:
            done(row, read, asked_at)
        elif found.conflicts:
            conflict(row, found)
        elif attempt.rests_with_staff or not row.source.writable or not gateway.capabilities.corrects_patients:
            to_staff(row, row.error_code)
        else:
            answer = _write(row, gateway, read, found)
            if answer == "stale":
                continue
            if answer == "refused":
                to_staff(row, Rejected.code)
            else:
                _read_back(row, gateway, external_id)
        return
    raise StaleVersion("changed again and again")


def _write(
    row: PatientWrite, gateway: Gateway, read: PatientAsRead, found: Merge
) -> Literal["written", "stale", "refused"]:
    """Write what the EHR lacks, by the version that was read."""
    must(patient_writes.keep(row, sent=True))
    try:
        gateway.correct_patient(read, found.lacks)
    except (StaleVersion, Duplicate, Taken):
        must(patient_writes.keep(row))
        return "stale"
    except Rejected:
        # A test of the patch that failed is a change meanwhile, too; anything else would be refused again.
        must(patient_writes.keep(row))
        now_there = gateway.read_patient(read.record.external_id)
        return "refused" if now_there.version == read.version else "stale"
    return "written"


def _read_back(row: PatientWrite, gateway: Gateway, external_id: str) -> None:
    must(patient_writes.keep(row))
    asked_at, read = timezone.now(), gateway.read_patient(external_id)
    if not corrections.merge(read.record, corrections.read(row.wanted), row.overrules).is_complete:
        raise OutcomeUnknown("not shown yet")
    done(row, read, asked_at)


def _wait(attempt: _Try, until: datetime, code: str) -> None:
    """Nothing can be asked now: the try does not count."""
    if attempt.rests_with_staff:
        until = max(until, timezone.now() + LOOK_EVERY)
    attempts = max(attempt.row.attempts - (not attempt.rests_with_staff), 0)
    must(patient_writes.put_down(attempt.row, _waiting(attempt), until, code, attempts=attempts))


def _again(attempt: _Try, code: str) -> None:
    """No answer that says yes or no: the record is read again by the schedule, before anything else is written."""
    row, schedule = attempt.row, settings.WRITE_RETRY_SECONDS
    if attempt.rests_with_staff:
        _wait(attempt, timezone.now(), code)
    elif row.attempts > len(schedule):
        dead(row, code)
    else:
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing
        wait = timedelta(seconds=schedule[max(row.attempts, 1) - 1] * spread)
        must(patient_writes.put_down(row, _waiting(attempt), timezone.now() + wait, code))


def _waiting(attempt: _Try) -> str:
    if attempt.rests_with_staff:
        return attempt.before
    return Status.WAITING if attempt.row.sent_at is None else Status.UNKNOWN


def take_theirs(row: PatientWrite) -> bool:
    """Staff choose the EHR's of what is in conflict; it is fetched and taken over. False when it was decided before."""
    if not patient_writes.take_theirs(row):
        return False
    read_again(row)
    return True


def give_up(row: PatientWrite) -> bool:
    """Staff give a correction up; what the EHR says is fetched and taken over. False when somebody works on it."""
    if not patient_writes.drop(row, "It was given up."):
        return False
    if row.kind == PatientWrite.Kind.REGISTER:
        registering.refuse_bookings(row)
    else:
        read_again(row)
    return True


def read_again(row: PatientWrite) -> None:
    """Have the EHR's word on the patient fetched and taken over: what was corrected here no longer stands over it."""
    connection = Connection.objects.filter(source_id=row.source_id).first()
    if connection is not None:
        external_id = mirror.external_value(row.source, ExternalId.Kind.PATIENT, row.patient_id)
        intake.remember(connection, InboundEvent.Via.POLL, Notice("patient", external_id))
