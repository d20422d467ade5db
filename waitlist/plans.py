"""Which insurance plan counts for a visit, and what that says of a time. Pure: values in, a verdict out.

What staff entered at the entry goes before what the EHR says.
"""

from __future__ import annotations

from datetime import date

from waitlist.facts import Candidate, Cover, Fit, OpeningFacts
from waitlist.reasons import Reason


def plan_on(entered: int | None, covers: tuple[Cover, ...], day: date) -> int | None:
    """Return the plan that pays for a visit on ``day``, None where that is not known.

    Of several the one that applies first counts. Where the EHR does not say which that is, they must be of one plan.
    """
    if entered is not None:
        return entered
    held = [cover for cover in covers if cover.holds_on(day)]
    positions = [cover.position for cover in held if cover.position is not None]
    if len(positions) == len(held):
        held = [cover for cover in held if cover.position == min(positions)]
    plans = {cover.plan_id for cover in held}
    return plans.pop() if len(plans) == 1 else None


def objection(facts: OpeningFacts, fit: Fit, candidate: Candidate, day: date) -> Reason | None:
    """Return what the patient's insurance has against a visit on ``day``; None where nothing is asked or all is well.

    Reason.INSURANCE: it does not suit. Reason.INSURANCE_UNKNOWN: a person decides.
    """
    if not fit.needs_insurance:
        return None
    plan_id = plan_on(candidate.plan_id, candidate.covers, day)
    if plan_id is None or not facts.plans:
        return Reason.INSURANCE_UNKNOWN
    return None if plan_id in facts.plans else Reason.INSURANCE
