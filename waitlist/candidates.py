"""What is known of an opening and of those who wait, read from the database in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scheduling.models import Opening
from waitlist.facts import Candidate, OpeningFacts


def facts_for(opening: Opening, now: datetime | None = None) -> OpeningFacts:
    """Return the opening as eligibility sees it."""
    raise NotImplementedError


def load(entry_ids: Sequence[int], facts: OpeningFacts) -> list[Candidate]:
    """Return the candidates of these entries in the order given; entries that are gone are left out."""
    raise NotImplementedError
