"""How many of those who were not looked at one by one suit an opening or not, and why. Off the critical path.

Those next in line are judged one by one, at the same time (:mod:`waitlist.verdicts`).

The counts come from SQL alone, by what the list itself says: type, provider, place, days, hours and notice. What only
a look at each patient tells (consent, another appointment, …) is counted as *behind*, and answered on demand.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta

from django.db.models import Case, CharField, Count, Exists, Max, OuterRef, Q, QuerySet, Value, When

from scheduling.models import Opening
from waitlist import candidates, verdicts
from waitlist.eligibility import placements
from waitlist.facts import Fit, OpeningFacts
from waitlist.line_sql import Branch, branches_of
from waitlist.models import CandidateVerdict, MatchKey, MatchSummary, WaitlistEntry
from waitlist.reasons import Reason

#: Offers go out first; nobody waits for what is only to be read.
SOON = timedelta(seconds=5)
#: When a worker died over the counts they are computed again after this. Two at once do no harm.
LEASE = timedelta(seconds=25)
#: Entries per statement, so that none of them runs long, however long the list.
RANGE = 20_000


def request(opening: Opening, now: datetime) -> None:
    """Have the next in line judged and the others counted soon; part of the caller's transaction."""
    MatchSummary.objects.bulk_create(
        [MatchSummary(opening=opening, due_at=now + SOON)],
        update_conflicts=True,
        unique_fields=["opening"],
        update_fields=["due_at"],
    )


def due(now: datetime) -> QuerySet[MatchSummary]:
    """Return the summaries that are to be computed now, the oldest first."""
    return MatchSummary.objects.filter(due_at__lte=now).order_by("due_at")


def drain(now: datetime, limit: int = 20) -> int:
    """See to the openings that are due, return how many those were. Called by waitlist.attention."""
    done = 0
    for summary in due(now).select_related("opening__location", "opening__source", "opening__freed_by")[:limit]:
        leased = MatchSummary.objects.filter(pk=summary.pk, due_at=summary.due_at)
        if leased.update(due_at=now + LEASE):
            verdicts.keep_following(summary.opening, now)
            compute(summary.opening, now)
            # A request that came in meanwhile has set another time and stays due.
            MatchSummary.objects.filter(pk=summary.pk, due_at=now + LEASE).update(due_at=None)
            done += 1
    return done


def compute(opening: Opening, now: datetime) -> MatchSummary:
    """Count everybody on the list who has no verdict on the opening, by reason code, and store it."""
    facts = candidates.facts_for(opening, now)
    counts: Counter[str] = Counter()
    last = WaitlistEntry.objects.aggregate(last=Max("pk"))["last"] or 0
    reason = _reason(facts)
    for begin in range(0, last + 1, RANGE):
        counts.update(_count(opening.pk, reason, begin))
    values = {"counts": dict(counts), "computed_at": now}
    return MatchSummary.objects.update_or_create(opening=opening, defaults=values)[0]


def _count(opening_id: int, reason: Case, begin: int) -> dict[str, int]:
    seen = CandidateVerdict.objects.filter(opening_id=opening_id, entry_id=OuterRef("pk"))
    status = WaitlistEntry.Status
    rows = (
        WaitlistEntry.objects.filter(
            ~Exists(seen), pk__gt=begin, pk__lte=begin + RANGE, status__in=(status.WAITING, status.PAUSED, status.ASKED)
        )
        .annotate(verdict_reason=reason)
        .values("verdict_reason")
        .annotate(number=Count("pk"))
        .order_by()
    )
    return {row["verdict_reason"]: row["number"] for row in rows}


def _reason(facts: OpeningFacts) -> Case:
    """Return the expression for an entry's first failing condition, in the order of the verdicts."""
    whens = [
        When(status=WaitlistEntry.Status.PAUSED, then=Value(Reason.PAUSED.value)),
        When(status=WaitlistEntry.Status.ASKED, then=Value(Reason.ASKED.value)),
        When(~Q(appointment_type_id__in=[fit.type_id for fit in facts.fits]), then=Value(Reason.TYPE.value)),
    ]
    whens += [
        When(appointment_type_id=fit.type_id, then=Value(Reason.TYPE_OFF.value)) for fit in facts.fits if not fit.is_on
    ]
    whens += [
        When(~_key(provider_key__in=(facts.provider_id, MatchKey.ANY)), then=Value(Reason.PROVIDER.value)),
        When(~_key(location_key__in=(facts.location_id, MatchKey.ANY)), then=Value(Reason.LOCATION.value)),
    ]
    whens += [
        When(appointment_type_id=fit.type_id, then=Value(trouble.value))
        for fit in facts.fits
        if (trouble := _trouble(facts, fit))
    ]
    by_type: dict[int, list[Branch]] = {}
    for branch in branches_of(facts):
        by_type.setdefault(branch.type_id, []).append(branch)
    for type_id, branches in by_type.items():
        whens += _whens_of_type(type_id, branches)
    return Case(*whens, default=Value(Reason.BEHIND.value), output_field=CharField())


def _trouble(facts: OpeningFacts, fit: Fit) -> Reason | None:
    """Return why no time in the opening can be booked for a type, None when one can."""
    if not placements(facts, fit.duration):
        return Reason.TOO_SHORT
    return None if any(branch.type_id == fit.type_id for branch in branches_of(facts)) else Reason.CUT_OFF


def _whens_of_type(type_id: int, branches: list[Branch]) -> list[When]:
    last_day: date = max(branch.last_day for branch in branches)
    first_day: date = min(branch.first_day for branch in branches)
    lead = max(branch.lead_minutes for branch in branches)
    hours = Q()
    for weekday, begin, end in {(each.weekday_key, each.latest_begin, each.earliest_end) for each in branches}:
        hours |= Q(weekday_key=weekday, from_minute__lte=begin, until_minute__gte=end)
    of_type = Q(appointment_type_id=type_id)
    return [
        When(of_type & Q(earliest_date__gt=last_day), then=Value(Reason.TOO_EARLY.value)),
        When(of_type & Q(latest_date__lt=first_day), then=Value(Reason.TOO_LATE.value)),
        When(of_type & ~_key(hours), then=Value(Reason.HOURS.value)),
        When(of_type & Q(minimum_notice_minutes__gt=lead), then=Value(Reason.NOTICE.value)),
        When(of_type & ~_key(notice_minutes__lte=lead), then=Value(Reason.NEEDS_NOTICE.value)),
    ]


def _key(*conditions: Q, **fields: object) -> Exists:
    return Exists(MatchKey.objects.filter(*conditions, entry_id=OuterRef("pk"), **fields))
