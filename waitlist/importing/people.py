"""Whether we know the person of a row already, as :mod:`scheduling.matching` decides it: the machine merges nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice

from scheduling import local_patients, matching
from scheduling.matching import Candidate, Candidates, Linked, Match, PersonDescription
from scheduling.models import ContactPoint, Patient, PatientIdentifier, Source
from scheduling.patients import address_index
from scheduling.records import IdentifierRecord


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
    """``linked`` is the person; ``candidates`` may be, the likeliest first for the reasons in ``why``. Neither: new."""

    linked: int | None = None
    candidates: list[int] = field(default_factory=list)
    why: str = ""


def find(people: Sequence[Person]) -> list[Found]:
    """Return for each person whom we know them as, in a fixed number of queries."""
    matches = _matches(people)
    named = {each.patient for match in matches for each in match if not each.patient.active}
    # Made from a list that was undone: nobody any more. Whom the EHR calls inactive stays somebody.
    known = local_patients.in_ehr(patient.pk for patient in named)
    gone = {patient.pk for patient in named} - known
    return [_found([each for each in match if each.patient.pk not in gone]) for match in matches]


def candidates(person: Person) -> list[Candidate]:
    """Return the records that may be the person, the likeliest first, each with what speaks for it."""
    return _matches([person])[0]


def _number_systems() -> dict[Source, set[str]]:
    """Return for each source the systems of its chart numbers: a list does not say which of them its own are of."""
    rows = PatientIdentifier.objects.filter(type_code=matching.MEDICAL_RECORD).order_by()
    found: dict[int, set[str]] = defaultdict(set)
    for source_id, system in rows.values_list("source_id", "system").distinct():
        found[source_id].add(system)
    return {source: found[source.pk] for source in Source.objects.filter(pk__in=found).order_by("pk")}


def _matches(people: Sequence[Person]) -> list[list[Candidate]]:
    """Return the likely records of each person; a single one without reasons is linked."""
    systems = _number_systems() if any(person.mrn for person in people) else {}
    asked = [list(_descriptions(person, systems)) for person in people]
    answers = iter(matching.find_each([each for of_one in asked for each in of_one]))
    return [_joined(list(islice(answers, len(of_one)))) for of_one in asked]


def _descriptions(person: Person, systems: dict[Source, set[str]]) -> Iterator[tuple[Source, PersonDescription]]:
    """Yield the person as each source would write them that has chart numbers, or once without a number."""
    asked: Iterable[tuple[Source, set[str]]] = systems.items() if person.mrn and systems else [(Source(), set())]
    for source, theirs in asked:
        numbers = tuple(IdentifierRecord(system, person.mrn, matching.MEDICAL_RECORD) for system in sorted(theirs))
        yield (
            source,
            PersonDescription(person.given_name, person.family_name, person.birth_date, numbers, person.phones),
        )


def _joined(matches: Sequence[Match]) -> list[Candidate]:
    """Return what the sources say of one person together."""
    linked = {match.patient.pk: match.patient for match in matches if isinstance(match, Linked)}
    likely: dict[int, Candidate] = {}
    for match in matches:
        for each in match.people if isinstance(match, Candidates) else ():
            likely.setdefault(each.patient.pk, each)
    if len(linked) == 1:
        return [Candidate(patient, ()) for patient in linked.values()]
    return [*(Candidate(patient, (matching.Reason.NUMBER,)) for patient in linked.values()), *likely.values()]


def _found(match: list[Candidate]) -> Found:
    if len(match) == 1 and not match[0].reasons:
        return Found(linked=match[0].patient.pk)
    why = ", ".join(reason.label for reason in match[0].reasons) if match else ""
    return Found(candidates=[each.patient.pk for each in match], why=why)


def named_alike(person: Person, patient: Patient) -> bool:
    """Return whether given and family name, birth date and an address all agree."""
    same = (
        person.given_name.casefold() in (patient.given_name.casefold(), patient.preferred_name.casefold())
        and person.family_name.casefold() == patient.family_name.casefold()
        and person.birth_date == patient.birth_date
    )
    return same and any(row.address_index in person.addresses for row in patient.contact_points.all())
