"""The outbox towards the EHR: every write exactly once in effect.

The row is leased before anything is asked and marked as sent before the call that may have an effect. What a lost
answer left behind is *unknown*: it is looked up in the EHR, adopted when found, and sent again only after its absence
is proven. Every ending is handed to ``waitlist.claims.settle`` in the transaction that stores it.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from audit.context import correlated
from integrations import booking, by_hand, cancelling, last_look, outcomes, registering
from integrations.attempt import Attempt
from integrations.ehr import freshness, outage
from integrations.ehr.gateway import GatewayError, OutcomeUnknown
from integrations.models import Connection
from scheduling import practice, shadow, writebacks
from scheduling.contention import is_deadlock
from scheduling.exceptions import IllegalTransition, UnknownReference
from scheduling.models import Writeback

logger = logging.getLogger(__name__)

#: What may have been stored is looked up so soon after its answer was lost.
FIRST_LOOK = timedelta(seconds=1)
#: A write that a shadow run holds up is looked at again after so long.
SHADOW_WAIT = timedelta(seconds=60)
#: A row that outlives its retry schedule by so many tries kills its workers.
CRASHES_FORGIVEN = 2


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of writebacks to take up now. While everything is paused, only lost answers are looked up."""
    now = now or timezone.now()
    ids = writebacks.due(now, limit)
    if ids and practice.is_paused():
        started = Writeback.objects.filter(pk__in=ids, status__in=(Writeback.Status.UNKNOWN, Writeback.Status.SENDING))
        ids = list(started.order_by("due_at").values_list("pk", flat=True))
    return ids or by_hand.due(now, limit) or last_look.due(now, limit)


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`due` would find anything."""
    return bool(due(now, limit=1))


def process(writeback_id: int, now: datetime | None = None) -> bool:
    """Take up one due writeback; False when another worker has it, or there was nothing to do."""
    row = Writeback.objects.get(pk=writeback_id)
    if row.status == Writeback.Status.BY_HAND:
        return by_hand.look(row, now)
    if row.status == Writeback.Status.DEAD:
        return last_look.look(row, now)
    lease = writebacks.lease(writeback_id, now)
    if lease is None:
        return False
    with correlated(lease.row.correlation_id or None):
        try:
            _attempt(Attempt(lease.row))
        except (outcomes.SomebodyElseHasIt, IllegalTransition):
            logger.info("writeback %s is in other hands", writeback_id)
    return True


def _attempt(attempt: Attempt) -> None:
    row = attempt.row
    connection = Connection.objects.filter(source_id=row.source_id).first()
    if connection is None or not row.source.writable:
        by_hand.hand_over(row)
        return
    attempt.connection = connection
    if row.attempts > len(settings.WRITE_RETRY_SECONDS) + CRASHES_FORGIVEN:
        outcomes.dead(row, row.error_code or "worker_lost", "Working on it stopped the worker each time.")
    elif not attempt.may_have_worked and shadow.is_on(row.source_id):
        writebacks.postpone(row, timezone.now() + SHADOW_WAIT, row.error_code, row.error_detail, counts=False)
    elif practice.is_paused() and not attempt.may_have_worked:
        writebacks.postpone(row, timezone.now(), row.error_code, row.error_detail, counts=False)
    elif attempt.is_too_late and not attempt.may_have_worked:
        # Also while the EHR does not answer: the patient waits for word, and nothing is to be asked any more.
        outcomes.refused(row, "too_late", registering.why_too_late(row))
    elif not outage.answers(connection):
        _wait_for_answer(attempt, None)
    elif not attempt.may_have_worked and registering.waits(row):
        registering.wait(row, attempt.sent_before)
    elif not attempt.may_have_worked and (why := freshness.why_no_booking(connection, row)):
        _wait_for_calendar(attempt, why)
    else:
        _try(attempt)


def _try(attempt: Attempt) -> None:
    verb = booking.book if attempt.row.kind == Writeback.Kind.CREATE else cancelling.cancel
    try:
        verb(attempt)
    except (outcomes.SomebodyElseHasIt, IllegalTransition):
        raise
    except outage.NO_ANSWER as error:
        _wait_for_answer(attempt, error)
    except OutcomeUnknown as error:
        outcomes.unknown(attempt.row, timezone.now() + FIRST_LOOK, error.code)
    except UnknownReference as error:
        outcomes.dead(attempt.row, "unknown_reference", f"The EHR's name for the {error.kind} is not known here.")
    except GatewayError as error:
        _could_not(attempt, error)
    except Exception as error:
        # A fault of ours must neither lose the row nor stop the others; the tries it may take are counted.
        if is_deadlock(error):
            _gave_way(attempt)
            return
        logger.exception("writeback %s failed: %s", attempt.row.pk, type(error).__name__)
        _stumbled(attempt)


def _wait_for_answer(attempt: Attempt, error: GatewayError | None) -> None:
    """The EHR is down, asks for patience or does not let us in: the queue holds."""
    until = outage.ask_again_at(attempt.connection, error)
    code = error.code if error else attempt.row.error_code or "unavailable"
    if attempt.may_have_worked:
        outcomes.unknown(attempt.row, until, code, counts=False)
    else:
        outcomes.held(attempt.row, until, code, sent_before=attempt.sent_before)


def _wait_for_calendar(attempt: Attempt, why: str) -> None:
    """The calendar is older than the connection allows for a booking; the read that ends the wait is asked for."""
    now = timezone.now()
    freshness.read_soon(attempt.connection, now)
    until = now + freshness.LOOKS_AGAIN
    outcomes.held(attempt.row, until, "old_calendar", sent_before=attempt.sent_before, summary=why)


def _could_not(attempt: Attempt, error: GatewayError) -> None:
    """An answer that says neither yes nor no."""
    if attempt.may_have_worked:
        outcomes.unknown(attempt.row, outcomes.next_try(attempt.row), error.code)
    else:
        outcomes.try_again(attempt.row, error.code, sent_before=attempt.sent_before)


def _is_still_ours(attempt: Attempt) -> bool:
    """Read the row as it is stored, which a transaction that was rolled back has left as it was."""
    attempt.row.refresh_from_db()
    return attempt.row.status == Writeback.Status.SENDING and attempt.row.attempts == attempt.number


def _gave_way(attempt: Attempt) -> None:
    """The database ended our transaction in favour of another worker's: soon again, and the try does not count."""
    row = attempt.row
    if not _is_still_ours(attempt):
        return
    logger.warning("writeback %s gave way to another worker and is tried again", row.pk)
    if attempt.may_have_worked:
        writebacks.mark_unknown(row, timezone.now() + FIRST_LOOK, "gave_way", counts=False)
    elif writebacks.postpone(row, timezone.now() + FIRST_LOOK, "gave_way", counts=False):
        Writeback.objects.filter(pk=row.pk, status=Writeback.Status.WAITING).update(sent_at=attempt.sent_before)


def _stumbled(attempt: Attempt) -> None:
    row = attempt.row
    if not _is_still_ours(attempt):
        return
    if outcomes.tries_are_used_up(row):
        # Telling the claim may be what fails: the row comes to rest either way, and staff know.
        outcomes.dead(row, "our_fault", "It failed each time we tried.", settle=False)
    elif attempt.may_have_worked:
        outcomes.unknown(row, outcomes.next_try(row), "our_fault")
    else:
        outcomes.try_again(row, "our_fault", sent_before=attempt.sent_before)
