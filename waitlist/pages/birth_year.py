"""The question that goes with a link from an e-mail, where others may read along: when was the patient born?"""

from __future__ import annotations

from django.db import models

from audit import log
from audit.models import AccessRecord
from waitlist.links import Found
from waitlist.models import Offer
from waitlist.pages import limits


class Check(models.TextChoices):
    """What became of a birth year that was typed in; the page says it in its own words."""

    RIGHT = "right", "right"
    MISSING = "missing", "not four digits"
    WRONG = "wrong", "not the patient's"
    CLOSED = "closed", "tried too often, or not known to us"


def can_be_asked(offer: Offer) -> bool:
    """Return whether the question has an answer and there are tries left; else only a call helps."""
    return offer.patient.birth_date is not None and not limits.birth_year_is_closed(offer.pk)


def check(found: Found, typed: str) -> Check:
    """Return whether ``typed`` is the patient's year of birth; right for a link that does not ask. Counts tries."""
    if not found.asks_birth_year:
        return Check.RIGHT
    offer, typed = found.offer, typed.strip()
    if not (len(typed) == 4 and typed.isascii() and typed.isdigit()):
        return Check.MISSING
    born = offer.patient.birth_date
    if born is None or not limits.may_try_birth_year(offer.pk):
        return _refused(offer, Check.CLOSED)
    if born.year != int(typed):
        return _refused(offer, Check.WRONG)
    limits.forget_tries(offer.pk)
    return Check.RIGHT


def _refused(offer: Offer, check: Check) -> Check:
    log.record(
        AccessRecord.Action.DENIED,
        subject=offer,
        location_id=offer.opening.location_id,
        result=AccessRecord.Result.REFUSED,
        detail={"birth_year": str(check)},
    )
    return check
