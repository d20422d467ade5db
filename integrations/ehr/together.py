"""Many changes, few calls: events that wait for one EHR are fetched together, where it takes that.

Each event is leased by itself before the call and dealt with by itself after it, so nothing else differs: one event
per subject at a time, and what a worker that dies leaves behind is dealt with again, one by one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from audit.context import correlated, service
from integrations.ehr import event_leases
from integrations.ehr.fhir.events import notice_named
from integrations.ehr.gateway import GatewayError, Kind, Record, connect
from integrations.models import InboundEvent
from scheduling.models import ExternalId

logger = logging.getLogger(__name__)

#: As many are fetched by one call.
MOST = 50
#: Without a limit of calls a few events are dealt with sooner by several workers, each with a call of its own.
MANY = 20
#: A poll's answer is acted on by itself this long; after that its subject is fetched anew.
FRESH = timedelta(seconds=30)
_KINDS: dict[str, Kind] = {"Appointment": "appointment", "Patient": "patient"}


@dataclass(slots=True)
class Answers:
    """What one call told of several subjects, by kind and id, and when it was asked. Each is used once."""

    asked_at: datetime = field(default_factory=timezone.now)
    found: dict[tuple[Kind, str], Record | GatewayError] = field(default_factory=dict)

    def asked(self, kind: Kind, external_id: str) -> datetime:
        """Return when this was asked for, which is now for what was not."""
        return self.asked_at if (kind, external_id) in self.found else timezone.now()

    def take(self, kind: Kind, external_id: str) -> Record | None:
        """Return what the call said of it, None when it said nothing; raises the GatewayError it ended with."""
        said = self.found.pop((kind, external_id), None)
        if isinstance(said, GatewayError):
            raise said
        return said


def company(event: InboundEvent) -> list[InboundEvent]:
    """Lease and return other events to fetch with this one; none where each is better fetched alone.

    An event that was tried before comes alone: what stopped its worker then must not stop the others again.
    """
    kind = event.subject_key.partition("/")[0]
    if kind not in _KINDS or event.attempts > 1 or _was_just_read(event):
        return []
    now = timezone.now()
    waiting = _waiting(event, kind, now)
    if not waiting or (not event.connection.calls_per_minute and len(waiting) + 1 < MANY):
        return []
    if not _takes_it(event):
        return []
    leased = (event_leases.lease(pk, now) for pk in waiting)
    return [each for each in leased if each is not None]


def _takes_it(event: InboundEvent) -> bool:
    try:
        with service("worker: inbox"), correlated(event.correlation_id or None):
            return bool(connect(event.connection).capabilities.reads_many)
    except GatewayError:
        return False  # what is wrong is told by the call that the event itself needs


def _waiting(event: InboundEvent, kind: str, now: datetime) -> list[int]:
    """Return events that are due for the first time, the first one of each subject, the longest due first."""
    just_read = Q(via=InboundEvent.Via.POLL, received_at__gt=now - FRESH) & ~Q(dedupe_key__startswith="id:")
    rows = InboundEvent.objects.filter(
        connection_id=event.connection_id,
        status=InboundEvent.Status.RECEIVED,
        attempts=0,
        due_at__lte=now,
        subject_key__startswith=f"{kind}/",
    ).exclude(just_read)
    firsts = {event.subject_key: event.pk}
    for subject, pk in rows.order_by("due_at", "pk").values_list("subject_key", "pk")[: 2 * MOST]:
        firsts.setdefault(subject, pk)
    return list(firsts.values())[1:MOST]


def _was_just_read(event: InboundEvent) -> bool:
    polled = event.via == InboundEvent.Via.POLL and not event.dedupe_key.startswith("id:")
    return polled and timezone.now() - event.received_at < FRESH


def ask(events: list[InboundEvent]) -> Answers:
    """Fetch what these events name by one call. When that fails each of them is left to a call of its own."""
    answers = Answers()
    wanted = _not_told_yet(events)
    if len(wanted) < 2:
        return answers
    kind = _KINDS[events[0].subject_key.partition("/")[0]]
    with service("worker: inbox"), correlated():
        try:
            told = connect(events[0].connection).fetch_many(kind, wanted)
        except GatewayError as error:
            logger.warning("%s changes could not be fetched together: %s", len(wanted), error.code)
            return answers
    answers.found = {(kind, external_id): said for external_id, said in told.items()}
    return answers


def _not_told_yet(events: list[InboundEvent]) -> list[str]:
    """Return the ids about which no look since has told us already."""
    named = {event: notice_named(event.subject_key) for event in events}
    ids = [notice.external_id for notice in named.values() if notice is not None]
    rows = ExternalId.objects.filter(
        source_id=events[0].connection.source_id, kind=ExternalId.Kind.APPOINTMENT, value__in=ids
    )
    seen = dict(rows.values_list("value", "seen_at"))
    return [
        notice.external_id
        for event, notice in named.items()
        if notice is not None
        and not (notice.subject == "appointment" and (at := seen.get(notice.external_id)) and at > event.received_at)
    ]
