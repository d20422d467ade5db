"""Verdicts as sentences for the front desk."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from scheduling.models import Opening
from waitlist.eligibility import Verdict
from waitlist.models import WaitlistEntry
from waitlist.reasons import Reason


def explain(reason: Reason | str) -> str:
    """Return the sentence a reason stands for, such as "Would need more notice than is left."."""
    raise NotImplementedError


def explain_all(codes: Iterable[str]) -> str:
    """Return stored reason codes as one text, the deciding one first."""
    raise NotImplementedError


def why_not(opening: Opening, entry: WaitlistEntry, now: datetime | None = None) -> tuple[Verdict, str]:
    """Judge one entry on demand, by the function that decides about offers, and say it in a sentence."""
    raise NotImplementedError
