"""Numbers and what is said about them: medians with their spread, ratios to a floor, targets met or missed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rounds:
    """One value per round. Shown as the median with the lowest and the highest."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The lowest round."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest round."""
        return max(self.values)

    def over(self, floor: Rounds) -> Rounds:
        """Return round by round the ratio to the floor that was measured beside it."""
        return Rounds(tuple(ours / theirs for ours, theirs in zip(self.values, floor.values, strict=True)))

    def minus(self, floor: Rounds) -> Rounds:
        """Return round by round the distance to the floor that was measured beside it."""
        return Rounds(tuple(ours - theirs for ours, theirs in zip(self.values, floor.values, strict=True)))

    def written(self, unit: str = "") -> str:
        """Return ``median (low–high) unit``."""
        text = f"{number(self.median)} ({number(self.low)}–{number(self.high)})"
        return f"{text} {unit}".strip()


@dataclass(frozen=True, slots=True)
class Figure:
    """A measurement of ours beside its floor.

    ``distance``: what is compared is ours minus the floor, in ``unit``; otherwise ours divided by it. ``limit`` is
    what the target asks for, at most unless ``at_least``; None: shown for information.
    """

    name: str
    unit: str
    ours: Rounds
    floor_name: str
    floor: Rounds
    limit: float | None = None
    at_least: bool = False
    distance: bool = False

    @property
    def comparison(self) -> Rounds:
        """Ours against the floor, round by round."""
        return self.ours.minus(self.floor) if self.distance else self.ours.over(self.floor)

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the target; None without one."""
        if self.limit is None:
            return None
        found = self.comparison.median
        return found >= self.limit if self.at_least else found <= self.limit

    @property
    def target(self) -> str:
        """The target in words."""
        if self.limit is None:
            return "–"
        sign = "≥" if self.at_least else "≤"
        return f"{sign} floor + {number(self.limit)} {self.unit}" if self.distance else f"{sign} {self.limit:g} ×"

    @property
    def compared(self) -> str:
        """The comparison in words."""
        found = self.comparison
        if self.distance:
            return f"{found.median:+.3g} ({found.low:+.3g} … {found.high:+.3g}) {self.unit}"
        return f"{found.median:.2f} × ({found.low:.2f}–{found.high:.2f})"


@dataclass(slots=True)
class Result:
    """What one benchmark found. ``checks`` are facts that had to hold, ``notes`` what a reader must know."""

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    checks: list[tuple[str, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    profile: str = ""

    def check(self, what: str, holds: bool) -> None:
        """Remember whether something that must be so is so."""
        self.checks.append((what, holds))

    @property
    def is_sound(self) -> bool:
        """Whether every check held; figures of an unsound run mean nothing."""
        return all(holds for _, holds in self.checks)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below or at which ``share`` (0 to 1) of the values lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def number(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"
