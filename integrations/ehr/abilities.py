"""What an EHR can do for us, as a person reads it: each ability, how we know it and since when. No call is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from integrations.ehr.checking import found
from integrations.ehr.fhir import capabilities
from integrations.ehr.gateway import Capabilities, Gateway, connect
from integrations.models import Connection

#: How something was learned, in words.
LEARNED: Final = {
    "tried": "tried by the check",
    "declared": "declared by the EHR",
    "known": "known of this kind of EHR",
}
#: The reads that a check tries, by the key of its finding.
_TRIED: Final = {
    "location": "Read locations",
    "provider": "Read clinicians",
    "patient": "Find patients",
    "schedule": "Read the schedule",
    "appointment": "Read appointments",
}
_WORDS: Final[dict[str, str]] = {
    "slots": "Publish free slots",
    "writes_appointments": "Take bookings",
    "holds": "Keep a time aside before it is booked",
    "book_mode": "Book",
    "cancels": "Let us cancel appointments",
    "version_check": "Notice two changes at once",
    "retry_safety": "Recognise a repeated booking",
    "finds_by_identifier": "Keep our booking number",
    "comments": "Keep a note with a booking",
    "events": "Notify us of changes",
    "search_last_updated": "Say which appointments changed",
    "people_last_updated": "Say which patients and clinicians changed",
    "reads_many": "Answer for many records at once",
    "lists_cancelled": "List cancelled appointments of the past",
    "creates_patients": "Register patients for us",
    "corrects_patients": "Take corrections of patients’ details",
    "confirms_itself": "Write to patients about bookings by itself",
}
#: Values that are more than yes or no.
_VALUES: Final[dict[str, dict[Any, str]]] = {
    "holds": {True: "yes, which we do not need", False: "no"},
    "book_mode": {"plain": "any free time", "one_slot": "one open slot at a time"},
    "retry_safety": {"conditional_create": "yes", "slot_guard": "yes, by its slot", "none": "no"},
    "reads_many": {"": "no", "batch": "yes, by a batch", "ids": "yes, by a list of ids"},
    "corrects_patients": {"": "no", "patch": "yes", "put": "yes, the whole record"},
}


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing an EHR does or does not do. ``since`` is None where it was always so, or is not known."""

    what: str
    answer: str
    learned: str
    since: datetime | None = None


def abilities(connection: Connection) -> list[Ability]:
    """Return what is known of an EHR; empty before its first check."""
    return [*_tried(connection), *_able(connection)]


def _tried(connection: Connection) -> Iterator[Ability]:
    answers = {each.key: each for each in found(connection)}
    for key, words in _TRIED.items():
        finding = answers.get(key)
        if finding is not None and finding.verdict != "not_tried":
            answer = "yes" if finding.verdict == "yes" else "no"
            yield Ability(words, answer, LEARNED["tried"], _moment(finding.since))


def _able(connection: Connection) -> Iterator[Ability]:
    kept, gateway = capabilities.kept(connection), connect(connection)
    known = _known_by(gateway)
    if not kept and len(known) < len(_WORDS):
        return  # nothing was declared yet, and without that the adapter knows only a part
    able = replace(Capabilities(), **{**kept.get("what", {}), **known, "missing": ()})
    for name, words in _WORDS.items():
        value = getattr(able, name)
        answer = _VALUES[name][value] if name in _VALUES else "yes" if value else "no"
        if name in capabilities.STATED and name not in known:
            yield Ability(words, answer, LEARNED["declared"], _moment(kept.get("since", {}).get(name, "")))
        else:
            yield Ability(words, answer, LEARNED["known"])


def _known_by(gateway: Gateway) -> dict[str, Any]:
    """Return what an adapter knows by itself: a dialect of FHIR a part, one without FHIR all of it."""
    known: dict[str, Any] | None = getattr(gateway, "known_better", None)
    return asdict(gateway.capabilities) if known is None else known


def _moment(written: str) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
