"""Who is next in line for an opening.

The order: urgency; patients without an appointment before those moving up; those who said yes too late before; the
longest waiting; how well the time fits; the entry's number. The match keys are kept in that order by their index, so
the head of the line costs the same whether a thousand or a million wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from scheduling.models import Opening
from waitlist import candidates, line_sql
from waitlist.eligibility import Verdict, judge
from waitlist.facts import Candidate, OpeningFacts, looseness
from waitlist.hours import ANY_DAY, day_keys
from waitlist.line_sql import Place
from waitlist.reasons import Reason

__all__ = ["Place", "Ranked", "following", "line", "rank_key", "top"]

PAGE = 64
LARGEST_PAGE = 512
FEW = 8
RankKey = tuple[int, bool, int, datetime | None, int, int]


@dataclass(frozen=True, slots=True)
class Ranked:
    """An entry with its rank in the line (1: first), its verdict on an opening and what that was judged by."""

    rank: int
    entry_id: int
    verdict: Verdict
    candidate: Candidate


def rank_key(candidate: Candidate, facts: OpeningFacts) -> RankKey:
    """Return what the line is sorted by, ascending; for a candidate whose type is taken there. Pure."""
    fit = facts.fit(candidate.type_id)
    return (
        candidate.urgency,
        candidate.move_up is not None,
        -candidate.lost_races,
        candidate.joined_at,
        looseness(
            facts.end - facts.start - (fit.duration if fit else timedelta(0)),
            any_provider=not candidate.providers,
            any_location=not candidate.locations,
            any_day=day_keys(candidate.windows)[0][0] == ANY_DAY,
        ),
        candidate.entry_id,
    )


def line(facts: OpeningFacts, limit: int | None = None, after: Place | None = None) -> Iterator[Place]:
    """Yield the entries whose match keys suit the opening, in rank order, beginning after ``after``.

    Reads page by page as it is consumed. The keys know provider, location, type, day, hours, dates and notice; the
    rest is for :func:`waitlist.eligibility.judge`.
    """
    return islice(line_sql.walk(facts, after, page=min(limit or PAGE, PAGE)), limit)


def top(
    opening: Opening,
    wanted: int,
    now: datetime | None = None,
    *,
    following: int = 50,
    passed: int | None = None,
    facts: OpeningFacts | None = None,
) -> list[Ranked]:
    """Return the first ``wanted`` eligible entries, those passed over on the way, and the next ``following``.

    In rank order; of those passed over only the first ``passed``, by default as many as ``following``. Eligible ones
    that staff must confirm or call count like any other. A patient's second entry is not eligible beside the first
    (Reason.SAME_PATIENT). Only reads, in or outside of a transaction.
    """
    facts = facts or candidates.facts_for(opening, now)
    most_passed = following if passed is None else passed
    found: list[Ranked] = []
    suited: set[int] = set()
    chosen = passed_over = later = 0
    for ranked in _judged(facts, wanted + following):
        each = _once_per_patient(ranked, suited)
        if chosen >= wanted:
            later += 1
        elif each.verdict.eligible:
            chosen += 1
        else:
            passed_over += 1
            if passed_over > most_passed:
                continue
        found.append(each)
        if chosen >= wanted and later >= following:
            break
    return found


def following(facts: OpeningFacts, rank: int, number: int) -> list[Ranked]:
    """Return the ``number`` entries that come after ``rank`` in the line, with their verdicts. Only reads."""
    suited: set[int] = set()
    return [_once_per_patient(each, suited) for each in islice(_judged(facts, number, rank), number)]


def _once_per_patient(ranked: Ranked, suited: set[int]) -> Ranked:
    if not ranked.verdict.eligible:
        return ranked
    if ranked.candidate.patient_id not in suited:
        suited.add(ranked.candidate.patient_id)
        return ranked
    return replace(ranked, verdict=Verdict(False, (Reason.SAME_PATIENT,), ranked.verdict.type_id))


def _judged(facts: OpeningFacts, expected: int, rank: int = 0) -> Iterator[Ranked]:
    """Yield the line after ``rank`` with verdicts, loading candidates in batches that grow while nobody suits."""
    # A few more than are looked for, since most lines have somebody near their head who does not suit.
    size = max(1, min(expected + max(FEW, expected // 4), LARGEST_PAGE))
    places = islice(line_sql.walk(facts, None, page=min(rank + size, LARGEST_PAGE)), rank, None)
    while batch := list(islice(places, size)):
        for candidate in candidates.load([place.entry_id for place in batch], facts):
            rank += 1
            yield Ranked(rank, candidate.entry_id, judge(facts, candidate), candidate)
        size = min(LARGEST_PAGE, size * 2)
