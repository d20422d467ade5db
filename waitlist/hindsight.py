"""What would have come of time that was freed in the past, judged by today's waitlist. Only reads.

The list of then is gone. So the time is moved by whole weeks to where it lies ahead with the notice it had: what is
judged is the same weekday and hour, coming free within the next week as early before its start as it did then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil

from scheduling.models import Location, Opening, Source
from waitlist import candidates, pacing, ranking
from waitlist.facts import OpeningFacts
from waitlist.models import PastCancellation

#: So many of the line are judged, and so many of those whom it suits are kept.
LOOKED_AT, KEPT = 100, 20
WEEK = timedelta(days=7)
#: The notice that is assumed where the EHR does not tell when it was cancelled.
ASSUMED_NOTICE = timedelta(days=2)
Verdict = PastCancellation.Verdict


@dataclass(frozen=True, slots=True)
class Freed:
    """Time that a cancellation freed. ``cancelled_at``: before its start, or None where nobody knows."""

    source: Source
    location: Location
    provider_id: int
    start: datetime
    end: datetime
    cancelled_at: datetime | None
    patient_id: int | None


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What would have come of it; ``entries`` are those whom it suits, the next in line first."""

    verdict: str
    entries: tuple[int, ...] = ()


def judge(freed: Freed, now: datetime) -> Hindsight:
    """Return who on the list of ``now`` would have been in line for the time, or why nobody would."""
    facts = _facts(freed, now)
    on = [fit for fit in facts.fits if fit.is_on]
    if not on:
        return Hindsight(Verdict.OFF)
    if all(facts.now >= pacing.cut_off(facts.end - fit.duration, fit.policy, fit.minimum_notice) for fit in on):
        return Hindsight(Verdict.NOTICE)
    line = ranking.following(facts, 0, LOOKED_AT)
    suited = tuple(each.entry_id for each in line if each.verdict.eligible)
    return Hindsight(Verdict.OFFERED if suited else Verdict.NOBODY, suited)


def _facts(freed: Freed, now: datetime) -> OpeningFacts:
    notice = freed.start - freed.cancelled_at if freed.cancelled_at is not None else ASSUMED_NOTICE
    weeks = max(0, ceil((now + notice - freed.start) / WEEK))
    # By the wall clock, which the change of clocks does not move.
    start = (freed.start.astimezone(freed.location.zone) + weeks * WEEK).astimezone(UTC)
    end = start + (freed.end - freed.start)
    slots = [{"start": start.isoformat(), "end": end.isoformat()}] if freed.source.books_one_slot else []
    opening = Opening(
        pk=0,
        provider_id=freed.provider_id,
        location=freed.location,
        source=freed.source,
        start=start,
        end=end,
        slots=slots,
    )
    return replace(candidates.facts_for(opening, start - notice), freed_by_patient_id=freed.patient_id)
