"""Whether we know the person of a row already. Only a chart number, confirmed by birth date and family name, links.

Everything else that points at somebody is a candidate, which a person looks at: the machine merges nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from django.db.models import Q

from scheduling import local_patients
from scheduling.models import ContactPoint, Patient, PatientIdentifier
from scheduling.patients import address_index, birth_date_index, family_index, identifier_index

CHART_NUMBER = "MR"
MOST_CANDIDATES = 6


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as a row describes them; phones in E.164 form."""

    given_name: str
    family_name: str
    birth_date: date
    mrn: str = ""
    phones: tuple[str, ...] = ()
    email: str = ""

    @property
    def addresses(self) -> set[str]:
        """Blind indexes of the phones and the e-mail address."""
        system = ContactPoint.System
        found = {address_index(system.PHONE, phone) for phone in self.phones}
        return found | ({address_index(system.EMAIL, self.email)} if self.email else set())


@dataclass(slots=True)
class Found:
    """``linked`` is the person; ``candidates`` may be. Neither: nobody here is known to be them."""

    linked: int | None = None
    candidates: list[int] = field(default_factory=list)


def find(people: Sequence[Person]) -> list[Found]:
    """Return for each person whom we know them as; a handful of queries for all together."""
    known = _Known(people)
    return [known.find(person) for person in people]


class _Known:
    def __init__(self, people: Sequence[Person]) -> None:
        self._by_number = self._numbers({person.mrn for person in people if person.mrn})
        self._by_address: dict[str, set[int]] = defaultdict(set)
        wanted = {index for person in people for index in person.addresses}
        points = ContactPoint.objects.filter(address_index__among=wanted)
        for index, pk in points.order_by().values_list("address_index", "patient_id"):
            self._by_address[index].add(pk)
        born = {birth_date_index(person.birth_date) for person in people}
        named = {pk for ids in (*self._by_number.values(), *self._by_address.values()) for pk in ids}
        rows = Patient.objects.filter(Q(birth_date_index__among=born) | Q(pk__in=named), replaced_by=None)
        held = list(rows.values_list("pk", "family_index", "birth_date_index", "active"))
        inactive = {pk for pk, _, _, active in held if not active}
        # Made from a list that was undone: nobody any more. Whom the EHR calls inactive stays somebody.
        gone = inactive - local_patients.in_ehr(inactive)
        self._indexes = {pk: (family, birth) for pk, family, birth, _ in held if pk not in gone}
        self._by_both: dict[tuple[str, str], list[int]] = defaultdict(list)
        for pk, both in self._indexes.items():
            self._by_both[both].append(pk)

    def find(self, person: Person) -> Found:
        both = (family_index(person.family_name), birth_date_index(person.birth_date))
        numbered = {pk for pk in self._by_number.get(person.mrn, set()) if pk in self._indexes} if person.mrn else set()
        confirmed = [pk for pk in numbered if self._indexes[pk] == both]
        if len(confirmed) == 1 and len(numbered) == 1:
            return Found(linked=confirmed[0])
        reached = {pk for index in person.addresses for pk in self._by_address.get(index, ())}
        alike = {pk for pk in reached if any(map(str.__eq__, self._indexes.get(pk, ("", "")), both))}
        found = {*numbered, *self._by_both.get(both, ()), *alike}
        return Found(candidates=sorted(found)[:MOST_CANDIDATES])

    def _numbers(self, values: Iterable[str]) -> dict[str, set[int]]:
        values = set(values)
        if not values:
            return {}
        rows = PatientIdentifier.objects.filter(type_code=CHART_NUMBER)
        systems = list(rows.order_by().values_list("system", flat=True).distinct())
        by_index = {identifier_index(system, value): value for value in values for system in systems}
        found: dict[str, set[int]] = defaultdict(set)
        for index, pk in rows.filter(value_index__among=by_index).values_list("value_index", "patient_id"):
            found[by_index[index]].add(pk)
        return found


def named_alike(person: Person, patient: Patient) -> bool:
    """Return whether given and family name, birth date and an address all agree."""
    same = (
        person.given_name.casefold() in (patient.given_name.casefold(), patient.preferred_name.casefold())
        and person.family_name.casefold() == patient.family_name.casefold()
        and person.birth_date == patient.birth_date
    )
    return same and any(row.address_index in person.addresses for row in patient.contact_points.all())
