"""How many of those who were not looked at one by one would not suit an opening, and why. Off the critical path."""

from __future__ import annotations

from datetime import datetime

from scheduling.models import Opening
from waitlist.models import MatchSummary


def request(opening: Opening, now: datetime | None = None) -> None:
    """Have the counts computed soon; part of the caller's transaction."""
    raise NotImplementedError


def drain(now: datetime | None = None, limit: int = 20) -> int:
    """Compute the counts that are due, return how many openings that were. Called by waitlist.tasks."""
    raise NotImplementedError


def compute(opening: Opening, now: datetime | None = None) -> MatchSummary:
    """Count everybody waiting who has no verdict on the opening, by reason code, and store it."""
    raise NotImplementedError
