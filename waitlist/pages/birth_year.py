"""The question that goes with a link from an e-mail, where others may read along: when was the patient born?"""

from __future__ import annotations

from django.db import models
from django.db.models import Model

from audit import log
from audit.models import AccessRecord
from scheduling.models import Patient
from waitlist.links import Found
from waitlist.pages import limits


class Check(models.TextChoices):
    """What became of a birth year that was typed in; the page says it in its own words."""

    RIGHT = "right", "right"
    MISSING = "missing", "not four digits"
    WRONG = "wrong", "not the patient's"
    CLOSED = "closed", "tried too often, or not known to us"


def can_be_asked(patient: Patient) -> bool:
    """Return whether the question has an answer and there are tries left; else only a call helps."""
    return patient.birth_date is not None and not limits.birth_year_is_closed(patient.pk)


def check_offer(found: Found, typed: str) -> Check:
    """Return whether ``typed`` is the patient's year of birth; right for a link that does not ask. Counts tries."""
    if not found.asks_birth_year:
        return Check.RIGHT
    return check(found.offer.patient, typed, subject=found.offer, location_id=found.offer.opening.location_id)


def check(patient: Patient, typed: str, *, subject: Model, location_id: int | None = None) -> Check:
    """Return whether ``typed`` is the patient's year of birth. Counts tries, of all links of a patient together."""
    typed = typed.strip()
    if not (len(typed) == 4 and typed.isascii() and typed.isdigit()):
        return Check.MISSING
    born = patient.birth_date
    if born is None or not limits.may_try_birth_year(patient.pk):
        return _refused(subject, location_id, Check.CLOSED)
    if born.year != int(typed):
        return _refused(subject, location_id, Check.WRONG)
    limits.forget_tries(patient.pk)
    return Check.RIGHT


def _refused(subject: Model, location_id: int | None, check: Check) -> Check:
    log.record(
        AccessRecord.Action.DENIED,
        subject=subject,
        location_id=location_id,
        result=AccessRecord.Result.REFUSED,
        detail={"birth_year": str(check)},
    )
    return check
