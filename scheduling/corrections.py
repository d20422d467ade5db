"""Corrected details of a patient against what the EHR says: what it has, what it lacks, what it contradicts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from scheduling.patient_keys import normalise_phone
from scheduling.records import ContactRecord, PatientRecord


class Detail(StrEnum):
    """What may be corrected here; ``label`` is how staff read it."""

    PHONE = "phone", "Phone number"
    EMAIL = "email", "E-mail address"
    ADDRESS = "address", "Postal address"
    LANGUAGE = "language", "Language"
    PREFERRED_NAME = "preferred_name", "Preferred name"

    label: str

    def __new__(cls, value: str, label: str) -> Detail:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        return member


#: Details of which a patient has several: a correction names the one that it replaces, or adds one.
SEVERAL: Final = frozenset({Detail.PHONE, Detail.EMAIL})
#: Details that a patient can be without.
REMOVABLE: Final = SEVERAL | {Detail.ADDRESS}
#: The parts of a postal address, as the EHR keeps them apart.
ADDRESS_PARTS: Final = ("line", "city", "state", "postal_code")


@dataclass(frozen=True, slots=True)
class Correction:
    """One detail: ``new`` instead of ``old``, an empty ``old`` adds it, an empty ``new`` removes it.

    ``base`` is everything of the kind that we held when it was corrected. ``use`` is that of a phone that is added;
    ``parts`` are those of an address, by :data:`ADDRESS_PARTS`.
    """

    detail: Detail
    new: str
    old: str = ""
    base: tuple[str, ...] = ()
    use: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Which of the patient's details it is about: of several of a kind, the one that it replaces."""
        return f"{self.detail}:{normal(self.detail, self.old)}" if self.detail in SEVERAL else self.detail.value

    @property
    def removes(self) -> bool:
        """Whether the detail is taken away."""
        return not self.new


@dataclass(frozen=True, slots=True)
class Merge:
    """What a record of the EHR says to corrections: those it ``lacks``, and what it says to the ones it contradicts.

    The latter by :attr:`Correction.key`.
    """

    lacks: tuple[Correction, ...]
    conflicts: Mapping[str, tuple[str, ...]]

    @property
    def is_complete(self) -> bool:
        """Whether the EHR has everything that was corrected."""
        return not self.lacks and not self.conflicts


def normal(detail: str, value: str) -> str:
    """Return the form in which two values of a detail are compared."""
    if detail == Detail.PHONE:
        return normalise_phone(value)[0]
    if detail == Detail.EMAIL:
        return value.strip().lower()
    if detail == Detail.LANGUAGE:
        return value[:2].lower()
    return " ".join(value.replace(",", " ").split())


def values(record: PatientRecord, detail: str) -> tuple[str, ...]:
    """Return the patient's own values of a detail, those that are past left out, in the form that is compared."""
    if detail in SEVERAL:
        points = (each for each in record.contacts if each.system == detail and not each.guardian)
        found = [each.value for each in points if each.use != "old"]
    else:
        found = [getattr(record, detail)]
    return tuple(normal(detail, each) for each in found if each)


def merge(
    record: PatientRecord, corrections: Iterable[Correction], overrules: Mapping[str, Sequence[str]] | None = None
) -> Merge:
    """Compare base, theirs and ours, detail by detail. ``overrules`` is what staff saw there and want replaced."""
    lacks: list[Correction] = []
    conflicts: dict[str, tuple[str, ...]] = {}
    for each in corrections:
        theirs = values(record, each.detail)
        new, old = normal(each.detail, each.new), normal(each.detail, each.old)
        if each.removes:
            # Only what was seen is taken away: what the EHR has instead by now is news, and stays.
            lacks += [each] if old in theirs else []
            continue
        if new in theirs:
            continue
        against = _against(each, theirs)
        if not against:
            lacks.append(each if old in theirs else replace(each, old=""))
        elif tuple((overrules or {}).get(each.key, ())) == against:
            lacks.append(replace(each, old=against[0] if len(against) == 1 else ""))
        else:
            conflicts[each.key] = against
    return Merge(tuple(lacks), conflicts)


def _against(each: Correction, theirs: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the EHR says instead of the value that was corrected; nothing where it is as it was, or gone."""
    old = normal(each.detail, each.old)
    if old in theirs or (each.detail in SEVERAL and not old):
        return ()
    base = {normal(each.detail, value) for value in each.base}
    return tuple(value for value in theirs if value not in base)


def over(record: PatientRecord, corrections: Iterable[Correction]) -> PatientRecord:
    """Return the record as it will be once the EHR has the corrections."""
    for each in corrections:
        if each.removes:
            record = _without(record, each)
            continue
        if normal(each.detail, each.new) in values(record, each.detail):
            continue
        if each.detail in SEVERAL:
            record = replace(record, contacts=_contacts(record.contacts, each))
        else:
            changed: dict[str, Any] = {each.detail.value: each.new}
            record = replace(record, **changed)
    return record


def _without(record: PatientRecord, each: Correction) -> PatientRecord:
    old = normal(each.detail, each.old)
    if each.detail not in SEVERAL:
        return replace(record, address="") if old in values(record, each.detail) else record
    kept = (
        point
        for point in record.contacts
        if point.guardian or point.system != each.detail or normal(each.detail, point.value) != old
    )
    return replace(record, contacts=tuple(kept))


def _contacts(points: tuple[ContactRecord, ...], each: Correction) -> tuple[ContactRecord, ...]:
    old = normal(each.detail, each.old)

    def is_replaced(point: ContactRecord) -> bool:
        is_current = point.system == each.detail and not point.guardian and point.use != "old"
        return is_current and bool(old) and normal(each.detail, point.value) == old

    found = tuple(replace(point, value=each.new) if is_replaced(point) else point for point in points)
    if found != points:
        return found
    return (*points, ContactRecord("phone" if each.detail == Detail.PHONE else "email", each.new, use=each.use))


def written(corrections: Iterable[Correction]) -> list[dict[str, Any]]:
    """Return corrections as JSON."""
    return [{**asdict(each), "detail": each.detail.value, "base": list(each.base)} for each in corrections]


def read(rows: Iterable[Mapping[str, Any]]) -> tuple[Correction, ...]:
    """Return corrections from the JSON that :func:`written` made."""
    details = {each.value: each for each in Detail}
    return tuple(Correction(**{**row, "detail": details[row["detail"]], "base": tuple(row["base"])}) for row in rows)
