"""Who is meant by a description of a person that comes from elsewhere. Never a guess.

Only a medical record number within its system, confirmed by birth date and family name, says by itself who somebody
is. Everything weaker is shown to a person. The deciding is pure (:func:`decide`); what it decides on is looked up by
blind indexes (:mod:`scheduling.evidence`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from scheduling import evidence
from scheduling.evidence import MEDICAL_RECORD, MOST_CANDIDATES, Evidence, PersonDescription
from scheduling.models import Patient, Source
from scheduling.patient_keys import family_index

__all__ = [
    "LONGEST_CHAIN",
    "MEDICAL_RECORD",
    "MOST_CANDIDATES",
    "Candidate",
    "Candidates",
    "Evidence",
    "Linked",
    "Match",
    "Nobody",
    "PersonDescription",
    "Reason",
    "confirms",
    "decide",
    "find",
    "find_each",
    "first_initial",
    "same_initial",
    "successor",
]

#: Records that replaced one another are followed this far.
LONGEST_CHAIN = 8


class Reason(StrEnum):
    """What speaks for a record, or against taking it without asking; ``label`` is how staff read it."""

    NUMBER = "number", "the same medical record number"
    OTHER_NUMBER = "other_number", "another number in common"
    BIRTH_DATE_AND_NAMES = "birth_date_and_names", "the same birth date, family name and first initial"
    BIRTH_DATE_AND_FAMILY = "birth_date_and_family", "the same birth date and family name"
    BIRTH_DATE_AND_PHONE = "birth_date_and_phone", "the same birth date and phone number"
    OTHER_BIRTH_DATE = "other_birth_date", "but another birth date"
    NO_BIRTH_DATE = "no_birth_date", "but a birth date is missing"
    OTHER_FAMILY_NAME = "other_family_name", "but another family name, such as after a marriage"
    OTHER_FIRST_NAME = "other_first_name", "but another first name, as twins have"
    SEVERAL = "several", "several records fit"

    label: str

    def __new__(cls, value: str, label: str) -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        return member


@dataclass(frozen=True, slots=True)
class Linked:
    """It is this patient: the number says so, birth date and family name confirm it."""

    patient: Patient


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that may be meant, with what speaks for it and against it."""

    patient: Patient
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Candidates:
    """A person must say which of these it is, if any: the likeliest first, never empty."""

    people: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Nobody:
    """No record here resembles the description."""


Match = Linked | Candidates | Nobody


def find(source: Source, described: PersonDescription, *, apart_from: Patient | None = None) -> Match:
    """Return who is meant by ``described``.

    ``source`` is the system whose numbers ``described.identifiers`` are: a spreadsheet taken out of an EHR names that
    EHR's. An identifier is a medical record number where its ``type_code`` is MR. Names, birth dates and phones are
    compared with the patients of every source. A record that was replaced stands for its successor. ``apart_from``
    is left out: to ask whether a record that is here already resembles another one.

    Returns :class:`Linked`, :class:`Candidates` or :class:`Nobody`; changes nothing and raises nothing. Whether the
    patient may be offered anything is another question (``Patient.may_be_offered``).
    """
    own = None if apart_from is None else apart_from.pk
    [found] = evidence.gather([(source, described)])
    return decide(described, [each for each in found if each.patient.pk != own])


def find_each(asked: Sequence[tuple[Source, PersonDescription]]) -> list[Match]:
    """Return what :func:`find` would of each of these, in as many queries as for one."""
    found = evidence.gather(asked)
    return [decide(described, each) for (_, described), each in zip(asked, found, strict=True)]


def decide(described: PersonDescription, found: Iterable[Evidence]) -> Match:
    """Return what the evidence says. Pure: looks nothing up but the successor of a record that was replaced."""
    records = list(found)
    numbered = [each for each in records if each.by_number and confirms(each.patient, described)]
    if len({successor(each.patient).pk for each in numbered}) == 1 and not _fits_another_better(
        described, numbered, records
    ):
        return Linked(successor(numbered[0].patient))
    likely: dict[int, tuple[int, Candidate]] = {}
    for each in records:
        patient = successor(each.patient)
        reasons = _reasons(described, each)
        if not reasons or (patient.pk in likely and likely[patient.pk][0] >= _weight(reasons)):
            continue
        likely[patient.pk] = (_weight(reasons), Candidate(patient, reasons))
    people = [candidate for _, candidate in sorted(likely.values(), key=lambda pair: (-pair[0], pair[1].patient.pk))]
    if not people:
        return Nobody()
    if len(people) > 1:
        people = [replace(each, reasons=(*each.reasons, Reason.SEVERAL)) for each in people]
    return Candidates(tuple(people[:MOST_CANDIDATES]))


def confirms(patient: Patient, described: PersonDescription) -> bool:
    """Return whether both birth dates and both family names are known and the same."""
    return (
        described.birth_date is not None
        and patient.birth_date == described.birth_date
        and bool(family_index(described.family_name))
        and family_index(patient.family_name) == family_index(described.family_name)
    )


def successor(patient: Patient) -> Patient:
    """Return the record to be used instead, the patient itself where there is none."""
    seen = {patient.pk}
    while patient.replaced_by is not None and patient.replaced_by_id not in seen and len(seen) < LONGEST_CHAIN:
        patient = patient.replaced_by
        seen.add(patient.pk)
    return patient


def first_initial(given_name: str) -> str:
    """Return the first letter of a given name, case and accents aside; empty for none."""
    return next((letter for letter in _plain(given_name) if letter.isalnum()), "")


def same_initial(one: str, other: str) -> bool:
    """Return whether both given names are known and begin alike."""
    return bool(first_initial(one)) and first_initial(one) == first_initial(other)


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(each for each in letters if not unicodedata.combining(each)).split())


def _fit(described: PersonDescription, patient: Patient) -> int:
    """How well the given name fits: the same, the same initial, unknown, another one."""
    if not _plain(described.given_name) or not _plain(patient.given_name):
        return 1
    if _plain(described.given_name) in (_plain(patient.given_name), _plain(patient.preferred_name)):
        return 3
    return 2 if same_initial(described.given_name, patient.given_name) else 0


def _fits_another_better(described: PersonDescription, linked: list[Evidence], found: list[Evidence]) -> bool:
    """A twin's number, or that of a namesake born the same day, mistaken for the other's."""
    own = {successor(each.patient).pk for each in linked}
    best = max(_fit(described, each.patient) for each in linked)
    others = [
        each.patient for each in found if successor(each.patient).pk not in own and confirms(each.patient, described)
    ]
    return any(_fit(described, other) > best for other in others)


def _reasons(described: PersonDescription, each: Evidence) -> tuple[Reason, ...]:
    patient = each.patient
    same_day = described.birth_date is not None and patient.birth_date == described.birth_date
    same_family = bool(family_index(described.family_name)) and family_index(patient.family_name) == family_index(
        described.family_name
    )
    like_first = same_initial(described.given_name, patient.given_name)
    reasons = []
    if each.by_number:
        reasons.append(Reason.NUMBER)
    if each.by_other_number:
        reasons.append(Reason.OTHER_NUMBER)
    if same_day and same_family:
        reasons.append(Reason.BIRTH_DATE_AND_NAMES if like_first else Reason.BIRTH_DATE_AND_FAMILY)
    if same_day and each.by_phone:
        reasons.append(Reason.BIRTH_DATE_AND_PHONE)
    if not reasons:
        return ()
    if not same_day:
        is_missing = described.birth_date is None or patient.birth_date is None
        reasons.append(Reason.NO_BIRTH_DATE if is_missing else Reason.OTHER_BIRTH_DATE)
    if not same_family:
        reasons.append(Reason.OTHER_FAMILY_NAME)
    if not like_first and first_initial(described.given_name) and first_initial(patient.given_name):
        reasons.append(Reason.OTHER_FIRST_NAME)
    return tuple(reasons)


_WEIGHTS = {
    Reason.NUMBER: 8,
    Reason.OTHER_NUMBER: 4,
    Reason.BIRTH_DATE_AND_NAMES: 6,
    Reason.BIRTH_DATE_AND_FAMILY: 3,
    Reason.BIRTH_DATE_AND_PHONE: 3,
    Reason.OTHER_FIRST_NAME: -2,
}


def _weight(reasons: Iterable[Reason]) -> int:
    return sum(_WEIGHTS.get(each, 0) for each in reasons)
