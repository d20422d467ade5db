"""How an event ends, or goes on: set aside, tried again, given up, settled."""

from __future__ import annotations

import logging
import random
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from integrations.ehr import event_leases, intake
from integrations.models import Connection, InboundEvent
from scheduling.models import WorkItem
from scheduling.worklist import ask_staff, finish_each

logger = logging.getLogger(__name__)

Status = InboundEvent.Status
#: That a source is heard of is stored no more often than this.
NOTED_EVERY = timedelta(seconds=30)
#: Why a change could not be taken over, by the error's code.
_WHY = {
    "reference_missing": "it names a patient, clinician, place or visit that the EHR does not show us",
    "malformed": "what the EHR answered could not be read",
    "rejected": "the EHR refused our question about it",
    "refused_by_us": "the EHR’s answer led to another address, where we do not follow",
    "not_found": "the EHR does not have it",
    "login_refused": "the EHR does not let us read it",
    "unavailable": "the EHR does not answer for it",
    "throttled": "the EHR asks for patience each time",
}
GAVE_WAY = "begun, and to be done again: another worker was at the same rows"


def unreadable(event: InboundEvent, why: str) -> None:
    """Set an event aside that cannot be read, and show it to staff."""
    if event_leases.finish(event, Status.QUARANTINED, why, error="unreadable"):
        intake.show_unreadable(event, event.subject_key, why)


def later(event: InboundEvent, code: str, until: datetime | None = None, *, counts: bool = True) -> None:
    """Try again by the schedule, or at ``until``; tries that count end as a dead letter."""
    schedule = settings.EVENT_RETRY_SECONDS
    if until is not None and not counts:
        event_leases.postpone(event, until, code, counts=False)
        return
    if event.attempts <= len(schedule):
        at = timezone.now() + timedelta(seconds=schedule[event.attempts - 1])
        event_leases.postpone(event, max(at, until) if until else at, code)
        return
    if event_leases.finish(event, Status.DEAD, f"given up after {event.attempts} tries", error=code):
        ask_staff(
            "event.dead",
            "A change in the EHR could not be taken over",
            advice=f"{event.subject_key or 'It'}: {_WHY.get(code, f'our own fault ({code})')}. Nothing was changed "
            "here. Mend the cause, then read it again; or do by hand what it asks for.",
            dedupe_key=_dead_key(event),
            urgency=WorkItem.Urgency.RED,
            subject=event,
        )


def gave_way(event: InboundEvent) -> None:
    """The database ended our work on it in favour of another worker's: soon again, and no try of the event's.

    It is fetched anew then, since some of what follows from it may have been done and some not.
    """
    logger.warning("event %s gave way to another worker and is tried again", event.pk)
    wait = event_leases.BUSY_WAIT * random.uniform(1, 2)  # noqa: S311 - spreads load, guards nothing
    event_leases.postpone(event, timezone.now() + wait, "gave_way", counts=False, outcome=GAVE_WAY)


def clear_work(event: InboundEvent) -> None:
    """What staff were asked about this subject is settled, at whatever try: one sent again counts from its first."""
    unread = intake.unreadable_key(event.connection_id, event.subject_key or str(event.pk))
    finish_each((unread, _dead_key(event), *_asked_about_entry(event)), "It was read.")


def _asked_about_entry(event: InboundEvent) -> list[str]:
    """Return the keys of what was asked about an entry of a page, which goes by the name that stands in it."""
    if event.subject_key:
        return []
    rows = WorkItem.objects.filter(kind="event.unreadable", status=WorkItem.Status.OPEN)
    about = rows.filter(subject_kind=event._meta.label_lower, subject_id=event.pk)
    return list(about.values_list("dedupe_key", flat=True))


def _dead_key(event: InboundEvent) -> str:
    return f"event.dead:{event.connection_id}:{event.subject_key or event.pk}"


def note_event(event: InboundEvent) -> None:
    """The source is not silent. Written now and then only: a row that every event updates would be a queue."""
    last = event.connection.last_event_at
    if last is not None and event.received_at - last < NOTED_EVERY:
        return
    stale = Q(last_event_at__isnull=True) | Q(last_event_at__lt=event.received_at)
    Connection.objects.filter(stale, pk=event.connection_id).update(last_event_at=event.received_at)
