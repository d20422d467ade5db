"""Who is next in line for an opening."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scheduling.models import Opening
from waitlist.eligibility import Verdict
from waitlist.facts import Candidate, OpeningFacts


@dataclass(frozen=True, slots=True)
class Place:
    """A waiting entry's place in the line; ``position`` is opaque and says where to go on after it."""

    entry_id: int
    position: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """An entry with its rank in the line (1: first) and its verdict on an opening."""

    rank: int
    entry_id: int
    verdict: Verdict
    candidate: Candidate


def rank_key(candidate: Candidate, facts: OpeningFacts) -> tuple[Any, ...]:
    """Return what the line is sorted by, ascending. Pure."""
    raise NotImplementedError


def line(facts: OpeningFacts, limit: int, after: Place | None = None) -> Iterator[Place]:
    """Yield at most ``limit`` entries whose match keys suit the opening, in rank order, beginning after ``after``."""
    raise NotImplementedError


def top(opening: Opening, wanted: int, now: datetime | None = None, *, following: int = 50) -> list[Ranked]:
    """Return the first ``wanted`` eligible entries, those passed over before them, and the next ``following``.

    In rank order. Of those passed over the first ``following`` are kept. Reads only; call it inside or outside a
    transaction. A patient's second entry is not eligible beside the first (Reason.SAME_PATIENT).
    """
    raise NotImplementedError
