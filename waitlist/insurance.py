"""What follows when another plan pays for a patient's visits, for what is out to them and what they were judged for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from scheduling import openings
from scheduling.models import Coverage, Opening, Patient, WorkItem
from waitlist import candidates, plans
from waitlist.entries import LIVE
from waitlist.facts import Candidate, OpeningFacts
from waitlist.models import CandidateVerdict, Offer, WaitlistEntry
from waitlist.offering import call_key
from waitlist.reasons import Reason
from waitlist.withdrawal import OUT, withdraw

#: Why an offer is taken back whose visit is not paid for any more as far as we know.
NOT_COVERED = "insurance"
#: Why a call nobody has begun is taken back for an offer that goes out by itself.
AFRESH = "replaced_by_fresh"


def look_again(patient: Patient, now: datetime) -> None:
    """Judge anew what rests on the patient's plan. An offer that it does not pay for any more is withdrawn.

    Whoever was to be called for want of a plan is offered the time by itself, unless somebody has taken the call.
    """
    waiting = WaitlistEntry.objects.filter(patient=patient, status__in=LIVE, appointment_type__needs_insurance=True)
    entry_ids = list(waiting.values_list("pk", flat=True))
    if not entry_ids:
        return
    touched = Q(pk__in=Offer.objects.filter(entry__in=entry_ids, status__in=OUT).values("opening_id"))
    touched |= Q(pk__in=CandidateVerdict.objects.filter(entry__in=entry_ids).values("opening_id"))
    rows = Opening.objects.filter(touched, status__in=Opening.CLAIMABLE, start__gt=now)
    for opening in rows.select_related("location", "provider", "source", "freed_by").order_by("pk"):
        with transaction.atomic():
            # First, and with it the opening's row: in the order in which a claim takes them.
            openings.request_attention(opening.pk)
            _look_at(opening, entry_ids, now)


def offers_at_stake(coverage_ids: Collection[int], plan_id: int | None) -> int:
    """Return how many live offers would be withdrawn if these coverages came to be of that plan, None for no plan."""
    patients = Coverage.objects.filter(pk__in=coverage_ids).values("patient_id")
    out = Offer.objects.filter(
        status=Offer.Status.SENT, entry__patient__in=patients, entry__plan__isnull=True, answered_at__isnull=True
    ).filter(appointment_type__needs_insurance=True, opening__status__in=Opening.CLAIMABLE)
    rows = Opening.objects.filter(pk__in=out.values("opening_id"))
    count = 0
    for opening in rows.select_related("location", "provider", "source", "freed_by"):
        facts = candidates.facts_for(opening)
        offers = {offer.entry_id: offer for offer in out.filter(opening=opening)}
        for now in candidates.load(list(offers), facts):
            covers = tuple(replace(each, plan_id=plan_id) if each.pk in coverage_ids else each for each in now.covers)
            then = replace(now, covers=covers)
            offer = offers[now.entry_id]
            count += _objection(facts, offer, now) is None is not _objection(facts, offer, then)
    return count


def _objection(facts: OpeningFacts, offer: Offer, candidate: Candidate) -> Reason | None:
    fit = facts.fit(offer.appointment_type_id)
    day = offer.start.astimezone(facts.zone).date()
    return plans.objection(facts, fit, candidate, day) if fit is not None else None


def _look_at(opening: Opening, entry_ids: list[int], now: datetime) -> None:
    out = list(opening.offers.filter(entry__in=entry_ids, status__in=OUT, answered_at__isnull=True))
    if not out:
        return
    facts = candidates.facts_for(opening, now)
    known = {each.entry_id: each for each in candidates.load([offer.entry_id for offer in out], facts)}
    verdicts = {row.entry_id: row for row in opening.verdicts.filter(entry__in=known)}
    for offer in out:
        verdict, candidate = verdicts.get(offer.entry_id), known.get(offer.entry_id)
        if candidate is None:
            continue
        objection = _objection(facts, offer, candidate)
        was_unknown = verdict is not None and Reason.INSURANCE_UNKNOWN.value in verdict.reasons
        if objection is Reason.INSURANCE or (objection and not was_unknown and offer.status == Offer.Status.SENT):
            withdraw(opening, NOT_COVERED, now, only=Q(pk=offer.pk))
        elif objection is None and was_unknown and verdict is not None:
            _go_on_by_itself(opening, offer, verdict, now)


def _go_on_by_itself(opening: Opening, offer: Offer, verdict: CandidateVerdict, now: datetime) -> None:
    if offer.status == Offer.Status.PROPOSED:
        # A person has yet to press "send": what is sent then is decided by the verdict.
        left = [reason for reason in verdict.reasons if reason != Reason.INSURANCE_UNKNOWN.value]
        verdict.reasons = left or [Reason.SUITS.value]
        verdict.save(update_fields=["reasons"])
        return
    taken = WorkItem.objects.filter(dedupe_key=call_key(offer), owner__isnull=False)
    if not taken.filter(status=WorkItem.Status.OPEN).exists():
        withdraw(opening, AFRESH, now, only=Q(pk=offer.pk))
