"""The times of an opening's waves: when the next one goes out and how large it is, and when the last one is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Max

from scheduling.models import Opening
from waitlist import pacing, rates
from waitlist.facts import OpeningFacts
from waitlist.models import Claim, Offer
from waitlist.policies import policy_for

#: A look at the EHR is worth so much.
FRESH_FOR = timedelta(seconds=60)
#: Openings that waited for the morning start spread over this time.
STAGGER = timedelta(minutes=5)


def pace_of(opening: Opening, facts: OpeningFacts, policy: pacing.Policy, left: timedelta) -> pacing.Wave:
    """Return the size of the next wave and the gap after it; ``left`` is the time until the cut-off."""
    lead = facts.start - facts.now
    rate = rates.acceptance_for({fit.type_id for fit in facts.fits if fit.is_on}, lead)
    if opening.source.in_shadow:
        # As if nobody answered.
        waiting = opening.shadow_offers.filter(created_at__gt=facts.now - policy.offer_open).count()
    else:
        waiting = opening.offers.filter(status=Offer.Status.SENT).count() if opening.waves_sent else 0
    return pacing.next_wave(lead, policy, left=left, acceptance=rate, waiting_answers=waiting)


def policy_of(facts: OpeningFacts) -> pacing.Policy:
    """Return the numbers for the one kind of visit that is taken here; where there are several, the location's."""
    on = [fit for fit in facts.fits if fit.is_on]
    return on[0].policy if len(on) == 1 else policy_for(facts.location_id, None)


def cut_off_of(facts: OpeningFacts, policy: pacing.Policy) -> datetime:
    """Return when the last time inside the opening is no longer offered."""
    latest = [
        pacing.cut_off(facts.end - fit.duration, fit.policy, fit.minimum_notice)
        for fit in facts.fits
        if fit.is_on and facts.end - fit.duration >= facts.start
    ]
    return max(latest, default=pacing.cut_off(facts.start, policy))


def wait_until(opening: Opening, facts: OpeningFacts, policy: pacing.Policy, cut_off_at: datetime) -> datetime | None:
    """Return when to look again instead of offering now; None: now is the time."""
    now = facts.now
    if opening.checked_at is None or opening.checked_at < now - FRESH_FOR:
        return now
    if opening.held:
        return cut_off_at
    if opening.mine_until is not None and opening.mine_until > now:
        return min(opening.mine_until, cut_off_at)
    if opening.created_at + policy.start_delay > now:
        return opening.created_at + policy.start_delay
    quiet = pacing.quiet_until(now, facts.zone, policy)
    if quiet is not None and quiet < cut_off_at:
        return _staggered(opening, quiet, cut_off_at)
    return _end_of_gap(opening, policy, now)


def _staggered(opening: Opening, morning: datetime, cut_off_at: datetime) -> datetime:
    """Return when an opening starts after the night, while there is time for its offers."""
    begins = morning + timedelta(seconds=opening.pk * 37 % int(STAGGER.total_seconds()))
    return begins if begins < cut_off_at else morning


def _end_of_gap(opening: Opening, policy: pacing.Policy, now: datetime) -> datetime | None:
    """Return when the last wave has had its head start; None when it has, or nobody of it can say yes any more."""
    if not opening.waves_sent:
        return None
    live = opening.offers.filter(status=Offer.Status.SENT, answered_at__isnull=True, expires_at__gt=now)
    last = live.aggregate(at=Max("created_at"))["at"]
    if last is None or Claim.objects.filter(opening=opening, settled_at__gte=last).exists():
        return None
    end = last + pacing.next_wave(opening.start - last, policy).gap
    return end if end > now else None


def after_the_night(
    opening: Opening, at: datetime, facts: OpeningFacts, policy: pacing.Policy, cut_off_at: datetime
) -> datetime:
    """Return ``at``, or the morning after it, but never later than the cut-off."""
    quiet = pacing.quiet_until(at, facts.zone, policy)
    if quiet is not None and quiet < cut_off_at:
        at = _staggered(opening, quiet, cut_off_at)
    return min(at, cut_off_at)
