"""Why a message did not leave or arrive, said to staff. Carriers' own codes are said by who knows carriers."""

from __future__ import annotations

from collections.abc import Callable

WORDS = {
    "opted_out": "they sent STOP, or ended e-mails",
    "no_consent": "nobody agreed to messages at this address",
    "invalid": "this address takes no messages",
    "age": "at the patient's age it is not for this contact",
    "gone": "the patient does not have this address any more",
    "frozen": "the address is frozen: somebody may have said it is not theirs",
    "deceased": "the patient has died",
    "replaced": "the patient's record was replaced by another",
    "restricted": "the patient's record is restricted",
    "inactive": "the patient's record is inactive",
    "expired": "it came too late to be of use",
    "offer_over": "the offer was over by then",
    "opening_over": "the time was gone by then",
    "overtaken": "it was not true any more, or later news says it",
    "withdrawn": "the offer was taken back before it left",
    "answered": "somebody answered before it left",
    "test_installation": "this is a test installation, and the address is not on its list",
    "worker_lost": "a worker stopped over it: the carrier is asked whether it has it",
    "outcome_unknown": "its answer was lost: it may have arrived",
    "our_fault": "our own program failed at it",
    "tries_used_up": "every try failed",
}
_EXPLAINERS: list[Callable[[str], str]] = []


def register(explain: Callable[[str], str]) -> None:
    """Have ``explain`` asked about codes not known here; it returns words, or nothing where it knows none."""
    _EXPLAINERS.append(explain)


def say(code: str) -> str:
    """Return a message's error code in words; what nobody can say is shown as it is. Empty for no code."""
    if code in WORDS or not code:
        return WORDS.get(code, "")
    found = (words for explain in _EXPLAINERS if (words := explain(code)))
    return next(found, code.replace("_", " "))
