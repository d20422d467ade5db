"""What a code probably means, by likeness of words and what the field usually calls things. A guess for a person."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher

from integrations.models import CodeMapping

#: A likeness from 0 to 1 below which nothing is suggested.
LEAST = 0.72
#: How alike two clinicians or places must be for anybody to be asked whether they are one, as a whole and by each word.
TWIN, SAME_WORD = 0.9, 0.8
#: Abbreviations of the field, written out. Applied word by word.
_WORDS = {
    "fu": "follow up",
    "fup": "follow up",
    "followup": "follow up",
    "f": "follow",
    "np": "new patient",
    "pt": "patient",
    "pts": "patient",
    "appt": "visit",
    "appointment": "visit",
    "vst": "visit",
    "est": "established",
    "phys": "annual physical",
    "pe": "annual physical",
    "wellness": "annual physical",
    "tele": "video",
    "telehealth": "video",
    "telemedicine": "video",
    "consult": "consultation",
    "vacc": "vaccination",
    "imm": "vaccination",
    "immunization": "vaccination",
    "dr": "",
    "md": "",
    "do": "",
}
#: What else stands for a target, beside its name.
ALSO: dict[str, dict[str, tuple[str, ...]]] = {
    CodeMapping.Domain.STATUS: {
        "booked": ("scheduled", "sch", "made", "active"),
        "confirmed": ("conf", "cnf", "patient confirmed", "reminder confirmed"),
        "arrived": ("arr", "here", "present", "in waiting room"),
        "checked-in": ("ci", "check in", "checked in", "in room", "roomed"),
        "fulfilled": ("complete", "completed", "comp", "seen", "checked out", "co", "check out", "done"),
        "cancelled": ("can", "canc", "cxl", "canceled", "cancel", "patient cancelled", "deleted"),
        "bumped": ("bump", "bmp", "cancelled by practice", "provider cancelled", "cancelled by provider"),
        "noshow": ("ns", "no show", "dna", "did not attend", "missed", "failed"),
        "entered-in-error": ("error", "entered in error", "mistake", "void"),
        "pending": ("pend", "tentative", "requested", "hold"),
    },
    CodeMapping.Domain.REASON: {
        CodeMapping.REBOOKABLE: (
            "patient",
            "pat",
            "patient request",
            "patient cancelled",
            "patient sick",
            "feeling better",
            "transportation",
            "schedule conflict",
            "patient moved",
            "insurance",
            "work conflict",
        ),
        CodeMapping.NOT_REBOOKABLE: (
            "provider",
            "prov",
            "provider ill",
            "provider out",
            "clinician unavailable",
            "doctor unavailable",
            "clinic closed",
            "weather",
            "room",
            "equipment",
            "maintenance",
            "meeting",
        ),
        CodeMapping.ASK_STAFF: ("other", "unknown", "booked in error", "wrong patient", "duplicate", "see notes"),
    },
}


def words_of(text: str) -> str:
    """Return a text in lower case, its abbreviations written out and nothing but words in it."""
    parts = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
    return " ".join(filter(None, (_WORDS.get(part, part) for part in parts)))


def likeness(one: str, other: str) -> float:
    """Return how alike two texts are, from 0 to 1; the order of their words counts little."""
    left, right = words_of(one), words_of(other)
    if not left or not right:
        return 0.0
    ordered = SequenceMatcher(None, left, right).ratio()
    by_word = SequenceMatcher(None, " ".join(sorted(left.split())), " ".join(sorted(right.split()))).ratio()
    return max(ordered, by_word)


def are_twins(first: str, second: str) -> bool:
    """Return whether two names are so like that they may be one clinician or place.

    Each word counts by itself: a slip of the pen does no harm, but East is not West and suite 1 is not suite 2.
    """
    ours, theirs = sorted(words_of(first).split()), sorted(words_of(second).split())
    if likeness(first, second) < TWIN:
        return False
    if len(ours) != len(theirs):
        return True
    return all(SequenceMatcher(None, one, other).ratio() >= SAME_WORD for one, other in zip(ours, theirs, strict=True))


def suggestion(domain: str, said: Iterable[str], names: Mapping[str, str]) -> str | None:
    """Return the likeliest target, or None when nothing is like enough or two are equally so.

    ``said`` is what the EHR says of the code: the code itself, its display, a number; ``names`` are our targets
    with what we call them.
    """
    texts = [text for text in said if text]
    scores = []
    for target, name in names.items():
        ours = (name, *ALSO.get(domain, {}).get(target, ()))
        best = max((likeness(text, each) for text in texts for each in ours), default=0.0)
        scores.append((best, target))
    scores.sort(reverse=True)
    if not scores or scores[0][0] < LEAST or (len(scores) > 1 and scores[0][0] == scores[1][0]):
        return None
    return scores[0][1]
