"""Shadow runs: who would have been offered what, kept as rows that nobody can claim by and nobody is told of.

Waves are paced as if offers went out and nobody answered. Whoever would hold an offer already, or would have had their
fill of offers, is passed over, as it would be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from audit.log import record_change
from scheduling import openings
from scheduling.models import Opening, Source, Writeback
from scheduling.shadow import IN_SHADOW
from scheduling.story import tell
from scheduling.wake import wake
from waitlist import match_summary, offering, pacing, ranking, verdicts
from waitlist.models import Claim, Message, Offer, ShadowOffer, WaitlistEntry
from waitlist.policies import policy_for

DAY, WEEK = timedelta(days=1), timedelta(days=7)
Way = ShadowOffer.Way


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What stands between a source and a shadow run: it could neither be told nor undone any more."""

    offers: int
    claims: int
    writes: int
    messages: int

    def __bool__(self) -> bool:
        return any((self.offers, self.claims, self.writes, self.messages))


def under_way(source: Source) -> UnderWay:
    """Return what is on its way to patients or into the EHR."""
    return UnderWay(
        offers=Offer.objects.filter(opening__source=source, status__in=Offer.LIVE).count(),
        claims=Claim.objects.filter(opening__source=source, state=Claim.State.PENDING).count(),
        writes=Writeback.objects.filter(source=source, status__in=Writeback.LIVE).count(),
        messages=Message.objects.filter(
            opening__source=source, status__in=(Message.Status.WAITING, Message.Status.SENDING, Message.Status.UNKNOWN)
        ).count(),
    )


def begin(source: Source, now: datetime | None = None) -> UnderWay | None:
    """Compute everything and send nothing from now on. None: begun; else what has to end before.

    Raises ValueError when the source is in shadow already.
    """
    now = now or timezone.now()
    with transaction.atomic():
        if not _set(source, ~IN_SHADOW, shadow_since=now, shadow_until=None):
            raise ValueError("in shadow already")
        found = under_way(source)
        if found:
            transaction.set_rollback(True)
    if found:
        source.refresh_from_db()
        return found
    return None


def end(source: Source, now: datetime | None = None) -> bool:
    """Offer and write from now on, each clinician in the mode they are in. False when it was not in shadow."""
    now = now or timezone.now()
    with transaction.atomic():
        if not _set(source, IN_SHADOW, shadow_until=now):
            return False
        # What is still free is offered now, after a fresh look.
        live = Opening.objects.filter(source=source, status__in=Opening.CLAIMABLE, held=Opening.Held.NO)
        for opening_id in live.values_list("pk", flat=True):
            openings.request_check(opening_id, now)
        Writeback.objects.filter(source=source, status=Writeback.Status.WAITING).update(due_at=now)
        wake("writebacks")
    return True


def _set(source: Source, where: Q, **fields: datetime | None) -> bool:
    before = {name: getattr(source, name) for name in fields}
    if not Source.objects.filter(where, pk=source.pk).update(**fields):
        return False
    for name, value in fields.items():
        setattr(source, name, value)
    record_change(source, {name: (before[name], value) for name, value in fields.items()})
    return True


def note_wave(wave: offering.Wave, pace: pacing.Wave) -> datetime:
    """Keep whom the next wave would have offered the opening, if it is time for one; return when to look again.

    Part of the transaction that recorded the fresh look.
    """
    opening, now = wave.opening, wave.facts.now
    last = opening.shadow_offers.aggregate(at=Max("created_at"), wave=Max("wave"))
    if last["at"] is not None and last["at"] + pace.gap > now:
        return last["at"] + pace.gap
    if not pace.size:
        return now + pace.gap
    number = (last["wave"] or 0) + 1
    earlier = set(opening.shadow_offers.values_list("entry__patient_id", flat=True))
    ranked = ranking.top(opening, pace.size + len(earlier), facts=wave.facts, following=verdicts.KEPT)
    chosen = _choose(wave, ranked, earlier, pace.size)
    ShadowOffer.objects.bulk_create(
        [
            ShadowOffer(
                opening=opening,
                entry=plan.entry,
                appointment_type_id=plan.entry.appointment_type_id,
                start=plan.start,
                end=plan.end,
                wave=number,
                rank=plan.rank,
                way=way,
                created_at=now,
            )
            for plan, way in chosen
        ]
    )
    verdicts.keep(opening, ranked, now)
    match_summary.request(opening, now)
    _tell(opening, number, len(chosen))
    return now + pace.gap


def _choose(
    wave: offering.Wave, ranked: Iterable[ranking.Ranked], earlier: Collection[int], size: int
) -> list[tuple[offering.Plan, str]]:
    """Return the first ``size`` who suit, can be reached in time, and would be free to be offered it."""
    suited = [each for each in ranked if each.verdict.eligible and each.candidate.patient_id not in earlier]
    rows = WaitlistEntry.objects.select_related("patient", "appointment_type").defer(*offering.NAMES)
    entries = rows.in_bulk([each.entry_id for each in suited])
    plans = [offering.plan_of(wave, each, entries[each.entry_id]) for each in suited if each.entry_id in entries]
    wave.prepare(plan.entry for plan in plans)
    holding, day, week = _offered(wave.opening, [plan.entry.patient_id for plan in plans], wave.facts.now)
    chosen: list[tuple[offering.Plan, str]] = []
    for plan in plans:
        patient_id = plan.entry.patient_id
        contacts = offering.reachable(wave, plan)
        within = pacing.within_caps(day[patient_id], week[patient_id], plan.fit.policy)
        if contacts is not None and within and patient_id not in holding and len(chosen) < size:
            chosen.append((plan, Way.MESSAGE if contacts else Way.CALL))
    return chosen


def _offered(
    opening: Opening, patient_ids: Collection[int], now: datetime
) -> tuple[set[int], Counter[int], Counter[int]]:
    """Return who would hold an offer of another opening now, and how many each would have had in a day and a week."""
    holding: set[int] = set()
    day: Counter[int] = Counter()
    week: Counter[int] = Counter()
    open_for: dict[tuple[int, int], timedelta] = {}
    rows = ShadowOffer.objects.filter(entry__patient__in=patient_ids, created_at__gt=now - WEEK)
    for patient_id, at, status, *whose in rows.exclude(opening=opening).values_list(
        "entry__patient_id", "created_at", "opening__status", "opening__location_id", "appointment_type_id"
    ):
        week[patient_id] += 1
        day[patient_id] += at > now - DAY
        if status in Opening.CLAIMABLE and patient_id not in holding:
            key = (whose[0], whose[1])
            if key not in open_for:
                open_for[key] = policy_for(*key).offer_open
            if at > now - open_for[key]:
                holding.add(patient_id)
    return holding, day, week


def _tell(opening: Opening, number: int, offered: int) -> None:
    if offered:
        who = "1 patient" if offered == 1 else f"{offered} patients"
        summary = f"Shadow: wave {number} would have offered it to {who}. Nothing was sent."
        tell(opening, "wave.shadow", summary, wave=number, offers=offered)
    elif not opening.timeline.filter(kind="wave.shadow_nobody").exists():
        tell(opening, "wave.shadow_nobody", "Shadow: nobody more on the list suits just now; we keep looking.")
