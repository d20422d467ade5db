"""The people of a list whom nobody here knows: made a chunk at a time before their entries, taken back if none follow.

A patient without an entry is offered nothing, so a list that is being added shows nothing of itself: neither the line
nor the consent ledger changes before :func:`waitlist.importing.adding.add_ready`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date

from scheduling import local_patients
from scheduling.models import AppointmentType, Patient
from scheduling.patient_keys import birth_date_index, family_index
from scheduling.records import ContactRecord, PatientRecord
from waitlist.importing.parsing import Wish, Words, parse
from waitlist.importing.people import Person
from waitlist.models import ImportBatch, ImportRow, WaitlistEntry

_V = ImportRow.Verdict


class Overtaken(Exception):
    """Something changed since the preview; nothing was added, and the rows must be looked at again."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A row that can be added, and who waits for what by it."""

    row: ImportRow
    wish: Wish
    person: Person
    kind: AppointmentType

    @classmethod
    def of(cls, batch: ImportBatch, row: ImportRow, words: Words, today: date) -> Ready:
        """Raise Overtaken for a row that cannot be taken any more: a clinician or a kind of visit ended meanwhile."""
        wish = parse(batch, row, words, today)
        gone = row.patient is not None and not row.patient.may_be_offered
        if wish.problems or wish.person is None or wish.appointment_type is None or gone:
            raise Overtaken
        return cls(row, wish, wish.person, wish.appointment_type)


def make(batch: ImportBatch, ready: Sequence[Ready], words: Words, today: date) -> None:
    """Create the patients of the rows that have none, once each: somebody may wait for two kinds of visit.

    Part of the caller's transaction.
    """
    unknown = [each for each in ready if each.row.patient is None]
    if not unknown:
        return
    made = _made_before(batch, unknown, words, today)
    new: dict[Person, Ready] = {}
    for each in unknown:
        if (person := _same_person(each.person)) not in made:
            new.setdefault(person, each)
    rows = local_patients.create(
        local_patients.spreadsheet(),
        [_record(each.person, each.wish.language) for each in new.values()],
        [each.wish.locations[0] if each.wish.locations else None for each in new.values()],
    )
    made |= dict(zip(new, rows, strict=True))
    for each in unknown:
        each.row.patient, each.row.made_patient = made[_same_person(each.person)], True
    touched = [each.row for each in unknown]
    ImportRow.objects.bulk_update(touched, ("patient",), batch_size=500)
    ImportRow.objects.filter(pk__in=[row.pk for row in touched]).update(made_patient=True)


def take_back(batch: ImportBatch) -> None:
    """Nothing is added after all: take back the patients made for it. Part of the caller's transaction."""
    rows = batch.rows.exclude(verdict=_V.ADDED)
    ids = set(rows.filter(made_patient=True, patient__isnull=False).values_list("patient_id", flat=True))
    # Whom somebody put on the list by hand meanwhile stays.
    ids -= set(WaitlistEntry.objects.filter(patient_id__in=ids).values_list("patient_id", flat=True))
    local_patients.retire(ids)
    rows.filter(made_patient=True).update(patient=None, made_patient=False)
    rows.filter(patient_id__in=ids).update(patient=None)


def of_this_list(batch: ImportBatch, patient_ids: Collection[int]) -> set[int]:
    """Return those of these patients who are being made from this very list."""
    rows = batch.rows.filter(verdict=_V.READY, made_patient=True, patient_id__in=patient_ids)
    return {pk for pk in rows.values_list("patient_id", flat=True) if pk is not None}


def _made_before(batch: ImportBatch, unknown: Sequence[Ready], words: Words, today: date) -> dict[Person, Patient]:
    """Return the patients made from earlier rows of the list who may be one of these."""
    rows = batch.rows.filter(
        verdict=_V.READY,
        made_patient=True,
        patient__family_index__among={family_index(each.person.family_name) for each in unknown},
        patient__birth_date_index__among={birth_date_index(each.person.birth_date) for each in unknown},
    )
    found = {}
    for row in rows.select_related("patient"):
        person = parse(batch, row, words, today).person
        if person is not None and row.patient is not None:
            found[_same_person(person)] = row.patient
    return found


def _same_person(person: Person) -> Person:
    """Only rows that agree in everything are one person; what differs in a number is for staff to see."""
    return replace(person, given_name=person.given_name.casefold(), family_name=person.family_name.casefold())


def _record(person: Person, language: str) -> PatientRecord:
    contacts = [ContactRecord("phone", phone, rank=rank) for rank, phone in enumerate(person.phones, start=1)]
    if person.email:
        contacts.append(ContactRecord("email", person.email, rank=len(contacts) + 1))
    return PatientRecord(
        external_id="",
        given_name=person.given_name,
        family_name=person.family_name,
        birth_date=person.birth_date,
        language=language,
        identifiers=(local_patients.chart_number(person.mrn),) if person.mrn else (),
        contacts=tuple(contacts),
    )
