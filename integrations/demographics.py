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
from django.db import transaction
from django.utils import timezone

from audit.context import correlated
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
from integrations.outbox import SHADOW_WAIT
from integrations.outcomes import JITTER
from scheduling import corrections, mirror, patient_writes, practice, shadow
from scheduling.corrections import Merge
from scheduling.exceptions import IllegalTransition, UnknownReference
from scheduling.models import ExternalId, PatientWrite, WorkItem
from scheduling.patients import apply_patient
from scheduling.worklist import ask_staff

logger = logging.getLogger(__name__)

Status = PatientWrite.Status
#: A version that changes again and again between our look and our call is left to the retry schedule.
STALE_TRIES = 3
#: How often the EHR is asked whether it shows what staff were asked to enter; news of the patient shortens the wait.
LOOK_EVERY = timedelta(minutes=10)
#: A row that outlives its retry schedule by so many tries kills its workers.
CRASHES_FORGIVEN = 2
CONFLICT, BY_HAND, DEAD = "patient.write.conflict", "patient.write.by_hand", "patient.write.dead"


class SomebodyElseHasIt(Exception):
    """Another worker took the row over: nothing of ours may be stored."""


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of corrections to take up now; none while everything is paused but those that were sent."""
    ids = patient_writes.due(now, limit)
    if ids and practice.is_paused():
        sent = PatientWrite.objects.filter(pk__in=ids, status__in=(Status.UNKNOWN, Status.SENDING))
        ids = list(sent.order_by("due_at").values_list("pk", flat=True))
    return ids


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
        _to_staff(row)
    elif row.attempts > len(settings.WRITE_RETRY_SECONDS) + CRASHES_FORGIVEN:
        _dead(row, row.error_code or "worker_lost")
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
        _correct(attempt, connect(connection))
    except outage.NO_ANSWER as error:
        if isinstance(error, LoginRefused) and error.status == 403 and row.sent_at is not None:
            # The connection works: it is patients that we have no right to write.
            _to_staff(row, error.code)
        else:
            _wait(attempt, outage.ask_again_at(connection, error), error.code)
    except UnknownReference:
        _dead(row, "unknown_reference")
    except NotFound:
        _dead(row, "not_found")
    except GatewayError as error:
        _again(attempt, error.code)
    except (SomebodyElseHasIt, IllegalTransition):
        raise
    except Exception as error:
        # A fault of ours must neither lose the row nor stop the others; the tries it may take are counted.
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
            _done(row, read, asked_at)
        elif found.conflicts:
            _conflict(row, found)
        elif attempt.rests_with_staff or not row.source.writable or not gateway.capabilities.corrects_patients:
            _to_staff(row, row.error_code)
        else:
            answer = _write(row, gateway, read, found)
            if answer == "stale":
                continue
            if answer == "refused":
                _to_staff(row, Rejected.code)
            else:
                _read_back(row, gateway, external_id)
        return
    raise StaleVersion("changed again and again")


def _write(
    row: PatientWrite, gateway: Gateway, read: PatientAsRead, found: Merge
) -> Literal["written", "stale", "refused"]:
    """Write what the EHR lacks, by the version that was read."""
    _must(patient_writes.keep(row, sent=True))
    try:
        gateway.correct_patient(read, found.lacks)
    except (StaleVersion, Duplicate, Taken):
        _must(patient_writes.keep(row))
        return "stale"
    except Rejected:
        # A test of the patch that failed is a change meanwhile, too; anything else would be refused again.
        _must(patient_writes.keep(row))
        now_there = gateway.read_patient(read.record.external_id)
        return "refused" if now_there.version == read.version else "stale"
    return "written"


def _read_back(row: PatientWrite, gateway: Gateway, external_id: str) -> None:
    _must(patient_writes.keep(row))
    asked_at, read = timezone.now(), gateway.read_patient(external_id)
    if not corrections.merge(read.record, corrections.read(row.wanted), row.overrules).is_complete:
        raise OutcomeUnknown("not shown yet")
    _done(row, read, asked_at)


def _done(row: PatientWrite, read: PatientAsRead, asked_at: datetime) -> None:
    with transaction.atomic():
        _must(patient_writes.end(row, Status.DONE))
        apply_patient(row.source, read.record, asked_at)


def _conflict(row: PatientWrite, found: Merge) -> None:
    told = {detail.value: list(values) for detail, values in found.conflicts.items()}
    with transaction.atomic():
        _must(patient_writes.put_down(row, Status.CONFLICT, timezone.now() + LOOK_EVERY, "conflict", conflicts=told))
        _ask(
            row,
            CONFLICT,
            "A detail of a patient was corrected here and, in another way, in the EHR",
            "Nothing was overwritten. Open the correction: both stand side by side. Take the EHR’s, or send ours.",
        )


def _to_staff(row: PatientWrite, code: str = "") -> None:
    with transaction.atomic():
        _must(patient_writes.put_down(row, Status.BY_HAND, timezone.now() + LOOK_EVERY, code))
        _ask(
            row,
            BY_HAND,
            "Enter a patient’s corrected details in the EHR",
            "We may not change patients there. Open the correction for what to enter; this closes by itself as soon "
            "as the EHR shows it.",
        )


def _dead(row: PatientWrite, code: str) -> None:
    with transaction.atomic():
        _must(patient_writes.end(row, Status.DEAD, code))
        _ask(
            row,
            DEAD,
            "A patient’s corrected details could not be written to the EHR",
            "Here they count; the EHR has the old ones. Open the correction: send it again, or enter it in the EHR.",
        )


def _ask(row: PatientWrite, kind: str, title: str, advice: str) -> None:
    still_open = WorkItem.objects.filter(dedupe_key=patient_writes.work_key(row), status=WorkItem.Status.OPEN)
    if still_open.filter(kind=kind).exists():
        return
    patient_writes.clear_work(row, "It is for staff in another way now.")
    ask_staff(kind, title, advice=advice, dedupe_key=patient_writes.work_key(row), subject=row, patient=row.patient)


def _wait(attempt: _Try, until: datetime, code: str) -> None:
    """Nothing can be asked now: the try does not count."""
    if attempt.rests_with_staff:
        until = max(until, timezone.now() + LOOK_EVERY)
    attempts = max(attempt.row.attempts - (not attempt.rests_with_staff), 0)
    _must(patient_writes.put_down(attempt.row, _waiting(attempt), until, code, attempts=attempts))


def _again(attempt: _Try, code: str) -> None:
    """No answer that says yes or no: the record is read again by the schedule, before anything else is written."""
    row, schedule = attempt.row, settings.WRITE_RETRY_SECONDS
    if attempt.rests_with_staff:
        _wait(attempt, timezone.now(), code)
    elif row.attempts > len(schedule):
        _dead(row, code)
    else:
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing
        wait = timedelta(seconds=schedule[max(row.attempts, 1) - 1] * spread)
        _must(patient_writes.put_down(row, _waiting(attempt), timezone.now() + wait, code))


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
    read_again(row)
    return True


def read_again(row: PatientWrite) -> None:
    """Have the EHR's word on the patient fetched and taken over: what was corrected here no longer stands over it."""
    connection = Connection.objects.filter(source_id=row.source_id).first()
    if connection is not None:
        external_id = mirror.external_value(row.source, ExternalId.Kind.PATIENT, row.patient_id)
        intake.remember(connection, InboundEvent.Via.POLL, Notice("patient", external_id))


def _must(held: bool) -> None:
    if not held:
        raise SomebodyElseHasIt
