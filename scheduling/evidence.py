"""What speaks for whom, looked up by blind indexes: in at most four queries, however many people are asked about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from scheduling.models import ContactPoint, Patient, PatientIdentifier, Source
from scheduling.patient_keys import address_index, birth_date_index, family_index, identifier_index
from scheduling.records import IdentifierRecord, PatientRecord

MEDICAL_RECORD = "MR"
#: More records than these tell nobody who is meant.
MOST_CANDIDATES = 10
#: So many of those born the same day are looked at, the longest known first.
MOST_LOOKED_AT = 5 * MOST_CANDIDATES


@dataclass(frozen=True, slots=True)
class PersonDescription:
    """A person as some source writes them. Identifiers count by their system; phones are as received."""

    given_name: str = ""
    family_name: str = ""
    birth_date: date | None = None
    identifiers: tuple[IdentifierRecord, ...] = ()
    phones: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: PatientRecord) -> PersonDescription:
        """Return what an EHR's record says of the person."""
        phones = tuple(each.value for each in record.contacts if each.system == "phone" and not each.guardian)
        return cls(record.given_name, record.family_name, record.birth_date, record.identifiers, phones)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A record found, and by which ways: its medical record number, another number, its phone."""

    patient: Patient
    by_number: bool = False
    by_other_number: bool = False
    by_phone: bool = False


Found = dict[int, Evidence]
Asked = tuple[Source, PersonDescription]


def gather(asked: Sequence[Asked]) -> list[list[Evidence]]:
    """Return for each description the records that something speaks for, those found by a number first."""
    found: list[Found] = [{} for _ in asked]
    _by_numbers(asked, found)
    _by_birth_date([described for _, described in asked], found)
    return [list(each.values()) for each in found]


def _by_numbers(asked: Sequence[Asked], found: Sequence[Found]) -> None:
    wanted = [_numbers(described) for _, described in asked]
    indexes = {index for each in wanted for _, index in each}
    if not indexes:
        return
    rows = PatientIdentifier.objects.filter(
        source__in={source.pk for source, _ in asked if source.pk}, value_index__among=indexes
    )
    at: dict[tuple[int, str, str], list[PatientIdentifier]] = defaultdict(list)
    for row in rows.select_related("patient__replaced_by").order_by("pk"):
        at[row.source_id, row.system, row.value_index].append(row)
    for (source, _), numbers, each in zip(asked, wanted, found, strict=True):
        for (system, index), is_record_number in numbers.items():
            for row in at.get((source.pk, system, index), ()):
                known = each.get(row.patient_id, Evidence(row.patient))
                if is_record_number or row.type_code == MEDICAL_RECORD:
                    each[row.patient_id] = replace(known, by_number=True)
                else:
                    each[row.patient_id] = replace(known, by_other_number=True)


def _numbers(described: PersonDescription) -> dict[tuple[str, str], bool]:
    """Return by system and index whether a number is a medical record number."""
    return {
        (each.system, identifier_index(each.system, each.value)): each.type_code == MEDICAL_RECORD
        for each in described.identifiers
        if each.system and each.value.strip()
    }


def _by_birth_date(people: Sequence[PersonDescription], found: Sequence[Found]) -> None:
    born = [birth_date_index(described.birth_date) for described in people]
    family = [family_index(described.family_name) for described in people]
    phones = [_phone_indexes(described) if described.birth_date else set() for described in people]
    named = _named(set(born) - {""}, set(family) - {""})
    at_phone = _at_phone(set().union(*phones), set(born) - {""})
    by_phone = [{pk for phone in each for pk in at_phone[phone, day]} for each, day in zip(phones, born, strict=True)]
    likely = [
        sorted(named[key] | theirs)[:MOST_LOOKED_AT]
        for key, theirs in zip(zip(born, family, strict=True), by_phone, strict=True)
    ]
    patients = Patient.objects.select_related("replaced_by").in_bulk({pk for each in likely for pk in each})
    for each, keys, theirs in zip(found, likely, by_phone, strict=True):
        for pk in keys:
            if pk in patients:
                each[pk] = replace(each.get(pk, Evidence(patients[pk])), by_phone=pk in theirs)


def _phone_indexes(described: PersonDescription) -> set[str]:
    return {address_index(ContactPoint.System.PHONE, each) for each in described.phones if each.strip()}


def _named(born: Iterable[str], family: Iterable[str]) -> dict[tuple[str, str], set[int]]:
    """Return the keys of patients by birth date and family name, of any of these days and any of these names."""
    rows = Patient.objects.filter(birth_date_index__among=born, family_index__among=family)
    keys: dict[tuple[str, str], set[int]] = defaultdict(set)
    for day, name, pk in rows.order_by().values_list("birth_date_index", "family_index", "pk"):
        keys[day, name].add(pk)
    return keys


def _at_phone(phones: Iterable[str], born: Iterable[str]) -> dict[tuple[str, str], set[int]]:
    """Return the keys of patients by phone and birth date, at any of these phones and born on any of these days."""
    keys: dict[tuple[str, str], set[int]] = defaultdict(set)
    if not phones:
        return keys
    rows = ContactPoint.objects.filter(
        system=ContactPoint.System.PHONE, address_index__among=phones, patient__birth_date_index__among=born
    )
    for phone, day, pk in rows.order_by().values_list("address_index", "patient__birth_date_index", "patient_id"):
        keys[phone, day].add(pk)
    return keys
