"""What is kept of a look at the line: why somebody was offered an opening or would be next, and why not.

The wave's transaction keeps what it has judged anyway: those offered, those passed over, and a few more. The next in
line follow soon, with the counts of :mod:`waitlist.match_summary`, whose row is due until that is done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from django.db.models import Max

from scheduling.models import Opening
from waitlist import candidates, ranking
from waitlist.models import CandidateVerdict
from waitlist.ranking import Ranked
from waitlist.reasons import Reason

#: How many of those passed over, and of those next in line, are kept.
KEPT = 50
_JUDGED = ["rank", "eligible", "reasons", "computed_at"]


def keep(
    opening: Opening,
    ranked: Iterable[Ranked],
    now: datetime,
    *,
    wave: int = 0,
    offered: Collection[int] = (),
    asleep: Collection[int] = (),
    uncalled: Collection[int] = (),
) -> None:
    """Keep why these were offered it in ``wave``, or why not; what was kept about earlier waves stays.

    ``asleep``: entries that suit but could only be told when it is too late; ``uncalled``: those whom nobody is free to
    call just now.
    """
    held = dict.fromkeys(uncalled, Reason.NO_CALLER.value) | dict.fromkeys(asleep, Reason.QUIET.value)
    ranked = list(ranked)
    before: set[int] = set()
    if opening.waves_sent:
        before = set(opening.verdicts.filter(wave__gt=0).values_list("entry_id", flat=True)) - set(offered)
    CandidateVerdict.objects.bulk_create(
        [
            CandidateVerdict(
                opening=opening,
                entry_id=each.entry_id,
                rank=each.rank,
                eligible=each.verdict.eligible and each.entry_id not in held,
                reasons=[held[each.entry_id]] if each.entry_id in held else each.verdict.codes,
                wave=wave if each.entry_id in offered else 0,
                computed_at=now,
            )
            for each in ranked
            if each.entry_id not in before
        ],
        update_conflicts=True,
        unique_fields=["opening", "entry"],
        # A wave that goes out at this moment has said of some that they were offered it.
        update_fields=[*_JUDGED, "wave"] if wave else _JUDGED,
    )


def keep_following(opening: Opening, now: datetime) -> None:
    """Judge those who are next in line after everybody who was offered the opening, and keep why or why not."""
    last = opening.verdicts.filter(wave__gt=0).aggregate(rank=Max("rank"))["rank"] or 0
    facts = candidates.facts_for(opening, now)
    keep(opening, ranking.following(facts, last, KEPT), now)
