"""Waves of offers: to whom the next one goes, and when an opening is given up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.utils import timezone

from scheduling import openings
from scheduling.counting import counted
from scheduling.models import Bookable, Opening, Practice
from scheduling.story import tell
from scheduling.transitions import move
from scheduling.worklist import ask_staff
from waitlist import (
    callers,
    candidates,
    match_summary,
    missing_papers,
    offering,
    pacing,
    ranking,
    shadow,
    verdicts,
    wave_times,
)
from waitlist.explain import why_not
from waitlist.facts import OpeningFacts
from waitlist.models import MatchSummary, Offer, WaitlistEntry
from waitlist.offering import NAMES, Plan
from waitlist.ranking import Ranked
from waitlist.reasons import Reason
from waitlist.withdrawal import OUT, ask_first_key, end_late, end_untold, expire, withdraw

__all__ = ["OUT", "end_late", "end_untold", "expire", "send_wave", "why_not", "withdraw"]

#: So many more than the wave's size are at hand, should the database refuse an offer.
SPARE = 8


def send_wave(opening: Opening, now: datetime | None = None) -> int:
    """Send the opening's next wave, if it is time for one, and see to the one after; return how many offers.

    Call it in the transaction that recorded the fresh look, which holds the opening's row.
    """
    now = now or timezone.now()
    house = Practice.current()
    facts = candidates.facts_for(opening, now, house)
    policy = wave_times.policy_of(facts)
    cut_off_at = wave_times.cut_off_of(facts, policy)
    if opening.status not in Opening.CLAIMABLE or _is_over(opening, now, cut_off_at):
        return 0
    wait_until = now if house.paused_at else wave_times.wait_until(opening, facts, policy, cut_off_at)
    if wait_until is not None:
        openings.request_check(opening.pk, wait_until)
        return 0
    pace = wave_times.pace_of(opening, facts, policy, cut_off_at - now)
    wave = offering.Wave(opening, facts, opening.waves_sent + 1, house)
    if opening.source.in_shadow:
        at = shadow.note_wave(wave, pace)
        openings.request_check(opening.pk, wave_times.after_the_night(opening, at, facts, policy, cut_off_at))
        return 0
    if not _send_proposed(wave) and pace.size:
        _offer_to_the_next(wave, pace.size)
    _see_to_the_next(wave, pace, policy, cut_off_at)
    return wave.sent + wave.calls


def _is_over(opening: Opening, now: datetime, cut_off_at: datetime) -> bool:
    if now < cut_off_at:
        return False
    tried = opening.waves_sent or opening.shadow_offers.exists()
    nobody_suited = not tried and MatchSummary.objects.filter(opening=opening).exists()
    openings.close(opening, Opening.Closed.UNFILLABLE if nobody_suited else Opening.Closed.CUT_OFF)
    return True


def _send_proposed(wave: offering.Wave) -> bool:
    """Send what a person has agreed to; False when there is nothing of the kind."""
    rows = wave.opening.offers.filter(status=Offer.Status.PROPOSED).order_by("rank")
    if not rows.exists():  # mostly; far cheaper to ask than the rows with all that they hang on
        return False
    proposed = list(rows.select_related("entry__patient", "entry__appointment_type", "entry__move_up", "patient"))
    if not proposed:
        return False
    known = {row.entry_id: row for row in wave.opening.verdicts.filter(entry__in=[o.entry_id for o in proposed])}
    wave.prepare(offer.entry for offer in proposed)
    unfit = []
    for offer in proposed:
        offer.opening = wave.opening
        fit = wave.facts.fit(offer.appointment_type_id)
        verdict = known.get(offer.entry_id)
        waits = offer.entry.status == WaitlistEntry.Status.WAITING and offer.patient.may_be_offered
        if fit is None or not waits or offer.start < wave.facts.start or offer.end > wave.facts.end:
            unfit.append(offer.pk)
            continue
        codes = tuple(verdict.reasons) if verdict else ()
        plan = Plan(offer.entry, offer.rank, offer.start, offer.end, fit, codes)
        contacts = offering.reachable(wave, plan)
        if contacts is None or not offering.send_proposed(wave, plan, offer, contacts):
            unfit.append(offer.pk)
    if unfit:
        withdraw(wave.opening, "not_waiting", wave.facts.now, only=Q(pk__in=unfit))
    wave.opening.verdicts.filter(entry__in=[o.entry_id for o in proposed]).update(wave=wave.number)
    return bool(wave.sent or wave.calls)


def _offer_to_the_next(wave: offering.Wave, size: int) -> None:
    ranked = ranking.top(wave.opening, size, facts=wave.facts, following=SPARE, passed=verdicts.KEPT)
    calls = callers.free_calls(wave) if _called(ranked) else 0
    # Not all can be told at once: others may have to step in for them.
    if _called(ranked) > calls or _somebody_sleeps(wave.facts, ranked):
        ranked = ranking.top(wave.opening, size, facts=wave.facts, following=verdicts.KEPT)
    suited = [each for each in ranked if each.verdict.eligible]
    rows = WaitlistEntry.objects.select_related("patient", "appointment_type", "move_up").defer(*NAMES)
    entries = rows.in_bulk([each.entry_id for each in suited])
    plans = [offering.plan_of(wave, each, entries[each.entry_id]) for each in suited if each.entry_id in entries]
    wave.prepare(plan.entry for plan in plans)
    if not wave.opening.waves_sent and any(plan.fit.mode == Bookable.Mode.ASK_FIRST for plan in plans[:size]):
        offered = _propose(wave, plans, size)
    else:
        offered = _make(wave, plans, size, calls)
    verdicts.keep(
        wave.opening,
        ranked,
        wave.facts.now,
        wave=wave.number,
        offered=set(offered),
        asleep=wave.asleep,
        uncalled=wave.uncalled,
    )
    reached = max((each.rank for each in ranked if each.entry_id in set(offered)), default=None)
    missing_papers.ask(wave.opening, (each for each in ranked if reached is None or each.rank < reached))
    match_summary.request(wave.opening, wave.facts.now)


def _somebody_sleeps(facts: OpeningFacts, ranked: Iterable[Ranked]) -> bool:
    """Return whether it is night, by the clock of anybody who suits."""
    suited = [each for each in ranked if each.verdict.eligible]
    clocks = {(each.candidate.time_zone, facts.fit(each.verdict.type_id)) for each in suited}
    return any(
        pacing.is_quiet(facts.now, ZoneInfo(zone) if zone else facts.zone, fit.policy) for zone, fit in clocks if fit
    )


def _called(ranked: Iterable[Ranked]) -> int:
    """Return how many of those who suit are offered it on the phone."""
    return sum(each.verdict.eligible and not {Reason.SUITS}.issuperset(each.verdict.codes) for each in ranked)


def _make(wave: offering.Wave, plans: Sequence[Plan], size: int, calls: int) -> list[int]:
    """Make the first ``size`` offers that can be made; where the database refuses one, the next in line gets it.

    At most ``calls`` of them on the phone: who would be called beyond that is passed over, and no wave waits for it.
    """
    ways = {plan.entry.pk: offering.reachable(wave, plan) for plan in plans}
    wave.asleep = {entry_id for entry_id, contacts in ways.items() if contacts is None}
    to_call = [plan.entry.pk for plan in plans if ways[plan.entry.pk] == []]
    wave.uncalled = set(to_call[calls:])
    passed = wave.asleep | wave.uncalled
    within_reach = [(plan, ways[plan.entry.pk] or []) for plan in plans if plan.entry.pk not in passed]
    offered: list[int] = []
    while within_reach and len(offered) < size:
        missing = size - len(offered)
        made = offering.make(wave, within_reach[:missing], Offer.Status.SENT)
        offered += [offer.entry_id for offer in made]
        within_reach = within_reach[missing:]
    return offered


def _propose(wave: offering.Wave, plans: Sequence[Plan], size: int) -> list[int]:
    """Note whom the machine would offer it to, and have a person decide."""
    made = offering.make(wave, [(plan, []) for plan in plans[:size]], Offer.Status.PROPOSED)
    proposed = [offer.entry_id for offer in made]
    if not proposed:
        return []
    openings.hold(wave.opening, Opening.Held.ASK_FIRST)
    ask_staff(
        "opening.ask_first",
        f"A freed time waits for your go-ahead: {counted(len(proposed), 'patient')} would be offered it first",
        advice="Nobody was told yet. Send: they are offered it, and later waves follow by themselves. "
        "Don't: the time is not offered.",
        dedupe_key=ask_first_key(wave.opening.pk),
        subject=wave.opening,
        opening=wave.opening,
        due_at=wave.facts.start,
    )
    tell(
        wave.opening,
        "wave.proposed",
        f"{counted(len(proposed), 'offer')} proposed; a person decides.",
        offers=len(proposed),
    )
    return proposed


def _see_to_the_next(wave: offering.Wave, pace: pacing.Wave, policy: pacing.Policy, cut_off_at: datetime) -> None:
    opening = wave.opening
    if opening.held:  # proposed: the next look is at the end, unless a person acts
        openings.request_check(opening.pk, cut_off_at)
        return
    at = wave_times.after_the_night(opening, wave.facts.now + pace.gap, wave.facts, policy, cut_off_at)
    if wave.sent + wave.calls:
        _count(opening, wave.number)
        _tell_of(wave, pace)
    elif not pace.size:
        _tell_once(
            opening, "wave.full", f"Out at once: {counted(policy.most_waiting, 'offer')}; more go out as they end."
        )
    else:
        _tell_once(opening, "wave.nobody", "Nobody more on the list suits just now; we keep looking.")
    openings.request_check(opening.pk, at)


def _tell_of(wave: offering.Wave, pace: pacing.Wave) -> None:
    made = wave.sent + wave.calls
    told = f"Wave {wave.number}: {counted(made, 'offer')}"
    if wave.calls:
        told += f", {wave.calls} by phone"
    if pace.acceptance is not None:
        likely = pacing.chance(made, pace.acceptance)
        told += f". At {_percent(pace.acceptance)} acceptance each, {_percent(likely)} within {_minutes(pace.gap)}"
    tell(wave.opening, "wave.sent", f"{told}.", wave=wave.number, offers=made)


def _percent(share: float) -> str:
    """Say a share; what is neither none nor all is never said to be."""
    if 0 < share < 0.01:
        return "under 1%"
    return "over 99%" if 0.99 < share < 1 else f"{share:.0%}"


def _minutes(span: timedelta) -> str:
    minutes = round(span / timedelta(minutes=1), 1)
    return "1 minute" if minutes == 1 else f"{minutes:g} minutes"


def _tell_once(opening: Opening, kind: str, summary: str) -> None:
    if _last_step(opening) != kind:
        tell(opening, kind, summary)


def _count(opening: Opening, number: int) -> None:
    if opening.status == Opening.Status.OFFERING:
        Opening.objects.filter(pk=opening.pk).update(waves_sent=number)
        opening.waves_sent = number
    else:
        move(opening, Opening.Status.OFFERING, waves_sent=number)


def _last_step(opening: Opening) -> str | None:
    steps = opening.timeline.filter(kind__startswith="wave.").order_by("-at", "-pk")
    return steps.values_list("kind", flat=True).first()
