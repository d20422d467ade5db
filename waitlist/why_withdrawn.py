"""Why an offer was withdrawn, in the front desk's words. Pure."""

from __future__ import annotations

from typing import Final

WORDS: Final = {
    "filled": "somebody has the time",
    "taken": "the EHR gave the time away",
    "restored": "the appointment stands again",
    "blocked": "the calendar is blocked",
    "closed": "the opening was closed",
    "staff": "staff closed the opening",
    "held": "the opening is held",
    "changed": "the time has changed",
    "cut_off": "it was too late to book",
    "not_waiting": "the patient waits no longer",
    "not_reached": "the patient was not reached",
    "wrong_person": "it had gone to the wrong person",
    "frozen": "the patient's record was closed",
    "insurance": "the insurance does not cover it",
    "replaced_by_fresh": "a new offer took its place",
}


def say(reason: str) -> str:
    """Return a reason as staff read it; one without words as it is, and empty for none."""
    return WORDS.get(reason, reason.replace("_", " "))
