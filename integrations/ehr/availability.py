"""The fresh look: is an opening's time still free in the EHR? Asked just before offers go out.

The EHR is asked outside any transaction; what it said is recorded and the next wave sent in one transaction, so
that no offer rests on a look that was not stored.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit.context import correlated
from integrations.ehr import freshness, outage
from integrations.ehr.gateway import GatewayError, NotFound, Refused, Rejected, connect
from integrations.models import Connection
from scheduling import mirror, openings, practice
from scheduling.contention import is_deadlock
from scheduling.exceptions import UnknownReference
from scheduling.models import ExternalId, Opening, WorkItem
from scheduling.records import Freshness
from scheduling.story import tell
from scheduling.worklist import ask_staff, finish_each
from waitlist import offers

logger = logging.getLogger(__name__)

#: A worker that died with an opening is replaced after this long.
LEASE = timedelta(seconds=20)
#: After an answer that made no sense.
STRANGE_ANSWER_WAIT = timedelta(seconds=30)


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of openings to look at now; none while everything is paused."""
    now = now or timezone.now()
    if practice.is_paused():
        return []
    rows = _due_rows(now).order_by("check_due_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`due` would find anything."""
    return bool(due(now, limit=1))


def _due_rows(now: datetime) -> QuerySet[Opening]:
    unleased = Q(check_lease_until__isnull=True) | Q(check_lease_until__lte=now)
    return Opening.objects.filter(unleased, check_due_at__lte=now, status__in=Opening.CLAIMABLE)


def look(opening_id: int, now: datetime | None = None) -> bool:
    """Take a fresh look at one due opening and send its next wave; False when another worker has it."""
    now = now or timezone.now()
    if not _due_rows(now).filter(pk=opening_id).update(check_lease_until=now + LEASE):
        return False
    opening = Opening.objects.select_related("source__connection", "provider", "location").get(pk=opening_id)
    with correlated(opening.correlation_id or None):
        connection = _connection_of(opening)
        if opening.start <= now:
            # Whatever the EHR would say, and whether or not it answers.
            with transaction.atomic():
                openings.close(opening, Opening.Closed.CUT_OFF)
        elif connection is None:
            _nobody_to_ask(opening)
        elif not outage.answers(connection, now):
            _look_later(opening, connection, None)
        elif why := freshness.why_no_offers(connection, opening, now):
            _wait_for_calendar(opening, connection, why, now)
        else:
            _look_safely(opening, connection)
    return True


def _look_safely(opening: Opening, connection: Connection) -> None:
    try:
        _ask(opening, connection)
    except Exception as error:
        if is_deadlock(error):
            _set_due(opening, timezone.now())
            return
        # A fault of ours at one opening: staff know, it is tried again, and the others go on.
        logger.exception("the look at opening %s failed: %s", opening.pk, type(error).__name__)
        _set_due(opening, timezone.now() + STRANGE_ANSWER_WAIT)
        ask_staff(
            "opening.stuck",
            "The machine fails at one opening",
            advice="It is tried again every 30 seconds and the others go on. Fill this time by hand or close it, "
            "and tell whoever runs the system.",
            dedupe_key=_stuck_key(opening),
            urgency=WorkItem.Urgency.RED,
            opening=opening,
            subject=opening,
            due_at=opening.start,
        )


def _ask(opening: Opening, connection: Connection) -> None:
    try:
        found = ask(opening, connection)
    except outage.NO_ANSWER as error:
        _look_later(opening, connection, error)
    except (NotFound, Rejected, Refused, UnknownReference) as error:
        _cannot_be_looked_at(opening, type(error).__name__)
    except GatewayError as error:
        _set_due(opening, timezone.now() + STRANGE_ANSWER_WAIT)
        _tell_once(opening, "check.strange", "The EHR's answer could not be read; we ask again.", error.code)
    else:
        _record(opening, found)


def ask(opening: Opening, connection: Connection) -> Freshness:
    """Ask the EHR about the opening's time; raises GatewayError or UnknownReference. No transaction may be open."""
    provider, location = ExternalId.Kind.PROVIDER, ExternalId.Kind.LOCATION
    names = mirror.external_values(opening.source, {provider: opening.provider_id, location: opening.location_id})
    return connect(connection).availability(names[provider], names[location], opening.start, opening.end)


def _record(opening: Opening, found: Freshness) -> None:
    with transaction.atomic():
        if openings.record_check(opening, found):
            offers.send_wave(opening, timezone.now())
        finish_each((_key(opening), _stuck_key(opening)), "The EHR answered.")


def _connection_of(opening: Opening) -> Connection | None:
    try:
        return opening.source.connection
    except Connection.DoesNotExist:
        return None


def _look_later(opening: Opening, connection: Connection, error: GatewayError | None) -> None:
    _set_due(opening, outage.ask_again_at(connection, error))
    _tell_once(
        opening,
        "check.no_answer",
        "The EHR does not answer. Nobody is offered this time until it does; we keep asking.",
        error.code if error else "quiet",
    )


def _wait_for_calendar(opening: Opening, connection: Connection, why: str, now: datetime) -> None:
    """What we know of the calendar is too old to offer anything; the read that ends the wait is asked for."""
    _set_due(opening, now + freshness.LOOKS_AGAIN)
    freshness.read_soon(connection, now)
    _tell_once(opening, "check.old_calendar", why, "old_calendar")


def _set_due(opening: Opening, at: datetime) -> None:
    Opening.objects.filter(pk=opening.pk, check_due_at__isnull=False).update(check_due_at=at, check_lease_until=None)


def _tell_once(opening: Opening, kind: str, summary: str, code: str) -> None:
    """Tell it at the first failure after the last good look, not at each."""
    latest = opening.timeline.filter(
        kind__in=("check.no_answer", "check.strange", "check.old_calendar", "check.done")
    ).last()
    since = opening.checked_at
    if latest is None or latest.kind != kind or (since is not None and latest.at < since):
        tell(opening, kind, summary, code=code)


def _cannot_be_looked_at(opening: Opening, code: str) -> None:
    """The EHR answers, but not about this: a person has to say what is wrong, until its time has come."""
    Opening.objects.filter(pk=opening.pk).update(check_due_at=opening.start, check_lease_until=None)
    tell(opening, "check.refused", "The EHR will not say whether this time is free; staff were asked.", code=code)
    ask_staff(
        "opening.cannot_check",
        "The EHR will not say whether a freed time is free",
        advice="Nobody was offered it. Look in the EHR: fill the time by hand or close the opening.",
        dedupe_key=_key(opening),
        urgency=WorkItem.Urgency.SOON,
        opening=opening,
        subject=opening,
        due_at=opening.start,
    )


def _nobody_to_ask(opening: Opening) -> None:
    _cannot_be_looked_at(opening, "no_connection")


def _key(opening: Opening) -> str:
    return f"opening.cannot_check:{opening.pk}"


def _stuck_key(opening: Opening) -> str:
    return f"opening.stuck:look:{opening.pk}"
