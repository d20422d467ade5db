"""When offers may go out, how many at once and how soon the next ones follow. Pure: no clock, no database.

The starting figures come from published studies of automated waitlist offers, in which one patient in nine to
twelve accepts. Once a practice has seen enough answers, its own acceptance rate and the time left decide the size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

EMAIL = "email"
#: What is expected of a practice that has seen no answers: one patient in ten accepts.
PRIOR = 0.10
#: So many answers weigh as much as what is expected without them.
PRIOR_WEIGHT = 30
#: The starting figures hold until so many offers were decided, of whatever type and lead time.
ANSWERS_NEEDED = 40
#: No practice sends so many offers for one opening; a rate next to none asks for no more.
MOST_NEEDED = 10_000
#: Differences smaller than this come from counting in binary fractions.
ROUNDING = 1e-9
#: Lead times are told apart below so many hours; the last band has no end.
LEAD_BANDS = (2, 24, 72)


@dataclass(frozen=True, slots=True)
class Wave:
    """So many offers at once; the next wave follows after ``gap``.

    ``acceptance`` is the share of patients who are expected to say yes, None where the starting figures hold.
    """

    size: int
    gap: timedelta
    acceptance: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Offers that came to an end, and how many of them the patient accepted, in time or too late."""

    decided: int = 0
    accepted: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.decided + other.decided, self.accepted + other.accepted)

    def __sub__(self, part: Tally) -> Tally:
        return Tally(self.decided - part.decided, self.accepted - part.accepted)


@dataclass(frozen=True, slots=True)
class WaveRule:
    """The wave for lead times below ``lead_hours``; None stands for every longer one."""

    lead_hours: float | None
    size: int
    gap_minutes: float


DEFAULT_WAVES = (
    WaveRule(lead_hours=2, size=5, gap_minutes=3),
    WaveRule(lead_hours=24, size=4, gap_minutes=5),
    WaveRule(lead_hours=72, size=3, gap_minutes=10),
    WaveRule(lead_hours=None, size=2, gap_minutes=30),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers of outreach that hold for one opening and type. The defaults stand where nobody set any."""

    start_delay: timedelta = timedelta(seconds=30)
    cut_off: timedelta = timedelta(minutes=60)
    offers_per_day: int = 2
    offers_per_week: int = 5
    silences_before_asking: int = 3
    offer_open: timedelta = timedelta(hours=24)
    hear_by: timedelta = timedelta(hours=24)
    quiet_from: time = time(20, 0)
    quiet_until: time = time(8, 0)
    waves: tuple[WaveRule, ...] = DEFAULT_WAVES
    fill_target: float = 0.95
    largest_wave: int = 20
    most_waiting: int = 30
    calls_per_clerk: int = 2


def wave_rules(stored: Iterable[dict[str, Any]]) -> tuple[WaveRule, ...]:
    """Read waves as :class:`OutreachPolicy` stores them; none stored means the defaults.

    ``[{"lead_hours": 2, "size": 5, "gap_minutes": 3}, …]``, the last one without ``lead_hours``. Raises ValueError
    for a wave of nobody or without a gap.
    """
    rules = tuple(
        sorted(
            (WaveRule(each.get("lead_hours"), int(each["size"]), float(each["gap_minutes"])) for each in stored),
            key=lambda rule: math.inf if rule.lead_hours is None else rule.lead_hours,
        )
    )
    if any(rule.size < 1 or rule.gap_minutes <= 0 for rule in rules):
        raise ValueError("Each wave needs a size of at least 1 and a gap_minutes above 0.")
    return rules or DEFAULT_WAVES


def next_wave(
    lead: timedelta,
    policy: Policy,
    *,
    left: timedelta | None = None,
    acceptance: float | None = None,
    waiting_answers: int = 0,
) -> Wave:
    """Return the wave for an opening that starts in ``lead``; ``waiting_answers`` offers are out already.

    ``acceptance`` is what :func:`acceptance` made of the practice's own answers, 0 to 1. The size then aims at the
    policy's chance to fill the opening before its cut-off, which is ``left`` away (by the policy's own, where it is not
    said); the gap stays the rule's. Nobody is offered anything (size 0) while as many offers wait for an answer as the
    policy allows.
    """
    rule = _rule(lead, policy.waves)
    gap = timedelta(minutes=rule.gap_minutes)
    room = max(0, policy.most_waiting - waiting_answers)
    if acceptance is None or not 0 < acceptance < 1:
        return Wave(min(rule.size, room), gap)
    missing = offers_needed(policy.fill_target, acceptance) - waiting_answers
    waves = waves_left(lead, lead - policy.cut_off if left is None else left, policy.waves)
    size = min(policy.largest_wave, max(1, math.ceil(missing / waves)))
    return Wave(min(size, room), gap, acceptance)


def offers_needed(fill_target: float, acceptance: float) -> int:
    """Return the fewest offers of which one at least is accepted with that chance; both lie between 0 and 1."""
    exactly = math.log1p(-fill_target) / math.log1p(-acceptance)
    return math.ceil(min(exactly, MOST_NEEDED) - ROUNDING)


def waves_left(lead: timedelta, left: timedelta, rules: tuple[WaveRule, ...]) -> int:
    """Return how many waves there will be, the next one included, until the cut-off that is ``left`` away.

    They follow each other at each lead time's own gap, so the closer the start, the more of them fit into an hour.
    """
    count, ends = ROUNDING, [timedelta(hours=rule.lead_hours or 0) for rule in rules[:-1]]
    for rule, begin, end in zip(rules, [timedelta.min, *ends], [*ends, timedelta.max], strict=True):
        within = min(lead, end) - max(lead - max(left, timedelta()), begin)
        count += max(within, timedelta()) / timedelta(minutes=rule.gap_minutes)
    return math.floor(count) + 1


def lead_band(lead: timedelta) -> int:
    """Return which of the lead times ``lead`` belongs to, 0 for the shortest."""
    return sum(lead >= timedelta(hours=hours) for hours in LEAD_BANDS)


def acceptance(own: Tally, band: Tally, everything: Tally) -> float | None:
    """Return the share of patients who are expected to accept, None while the practice has seen too few answers.

    ``own`` counts the type at this lead time, ``band`` every type at this lead time, ``everything`` all there is: each
    is part of the next. Each is drawn towards what the wider one shows beyond it, the widest towards :data:`PRIOR`, the
    more so the fewer answers it has; so no answer counts twice.
    """
    if everything.decided < ANSWERS_NEEDED:
        return None
    rate = PRIOR
    for tally in (everything - band, band - own, own):
        rate = (tally.accepted + PRIOR_WEIGHT * rate) / (tally.decided + PRIOR_WEIGHT)
    return rate


def chance(offers: int, acceptance: float) -> float:
    """Return how likely it is, 0 to 1, that one at least of so many offers is accepted."""
    return 1 - (1 - acceptance) ** offers


def _rule(lead: timedelta, rules: tuple[WaveRule, ...]) -> WaveRule:
    for rule in rules:
        if rule.lead_hours is None or lead < timedelta(hours=rule.lead_hours):
            return rule
    return rules[-1]


def cut_off(start: datetime, policy: Policy, minimum_notice: timedelta = timedelta(0)) -> datetime:
    """Return the last moment at which time starting at ``start`` is offered; the longer of both notices counts."""
    return start - max(policy.cut_off, minimum_notice)


def is_quiet(moment: datetime, zone: ZoneInfo, policy: Policy) -> bool:
    """Return whether the clock on the patient's wall says that no text of ours may arrive."""
    begins, ends = policy.quiet_from, policy.quiet_until
    wall = moment.astimezone(zone).time()
    if begins <= ends:
        return begins <= wall < ends
    return wall >= begins or wall < ends


def quiet_until(now: datetime, zone: ZoneInfo, policy: Policy) -> datetime | None:
    """Return when the quiet hours that hold at ``now`` end, in UTC, or None outside of them.

    The end is the wall clock's, so the night is an hour shorter or longer when the clocks change.
    """
    if not is_quiet(now, zone, policy):
        return None
    today = now.astimezone(zone).date()
    # An hour that comes twice gives two instants; of them the first that is really out of the quiet hours counts.
    ends = (
        datetime.combine(today + timedelta(days=days), policy.quiet_until, zone).replace(fold=fold).astimezone(UTC)
        for days in (0, 1, 2)
        for fold in (0, 1)
    )
    return min(end for end in ends if end > now and not is_quiet(end, zone, policy))


def send_at(
    channel: str, now: datetime, zone: ZoneInfo, policy: Policy, cut_off_at: datetime, *, by_night: bool = False
) -> datetime:
    """Return when a message that we start may leave.

    E-mail waits for the morning like texts do, so that nobody has a head start by night, except when the opening's
    cut-off would be over by then. ``by_night``: so do texts, as the patient asked for.
    """
    end = quiet_until(now, zone, policy)
    if end is None or ((channel == EMAIL or by_night) and cut_off_at <= end):
        return now
    return end


def within_caps(offers_last_day: int, offers_last_week: int, policy: Policy) -> bool:
    """Return whether one more offer keeps within what a patient is sent in 24 hours and in seven days."""
    return offers_last_day < policy.offers_per_day and offers_last_week < policy.offers_per_week
