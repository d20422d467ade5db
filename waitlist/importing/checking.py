"""The verdict on each row: ready, a duplicate, in need of a look, or wrong, with what to write instead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from audit.encryption import blind_index
from scheduling import reviews
from scheduling.models import Patient
from waitlist.entries import LIVE
from waitlist.importing import newcomers, people
from waitlist.importing.parsing import Wish, Words, parse
from waitlist.importing.people import Found
from waitlist.models import ImportBatch, ImportRow, WaitlistEntry

COLUMNS = ("verdict", "problems", "person_index", "candidates", "choice", "patient_id")
KIND = ImportRow._meta.label_lower
_V, _C = ImportRow.Verdict, ImportRow.Choice
#: Rows nothing more is said about.
SETTLED = (_V.ADDED, _V.LEFT_OUT)
MAY_NOT = (
    "This patient is inactive, deceased, restricted or replaced by another record, so nothing can be offered. "
    "Leave the row out, or correct the EHR and check again."
)


@dataclass(slots=True)
class Checked:
    """A row with what it says and whom we know it as."""

    row: ImportRow
    wish: Wish
    found: Found

    @property
    def patient_id(self) -> int | None:
        """The patient it is about, when that is settled and they are known."""
        if self.found.linked is not None:
            return self.found.linked
        return self.row.patient_id if self.row.choice == _C.SAME else None

    @property
    def is_new_person(self) -> bool:
        """Whether it is settled that nobody here is this person."""
        known = self.found.linked is not None or bool(self.found.candidates)
        return not known or self.row.choice == _C.DIFFERENT


def check(batch: ImportBatch, rows: Sequence[ImportRow], today: date, words: Words | None = None) -> None:
    """Give each of ``rows`` its verdict and store it."""
    words = words or Words(batch)
    open_rows = [row for row in rows if row.verdict not in SETTLED]
    before = [_stored(row) for row in open_rows]
    wishes = [parse(batch, row, words, today) for row in open_rows]
    persons = [wish.person for wish in wishes if wish.person is not None]
    known = iter(people.find(persons))
    checked = [
        Checked(row, wish, next(known) if wish.person is not None else Found())
        for row, wish in zip(open_rows, wishes, strict=True)
    ]
    _leave_out_newcomers(batch, checked)
    for each in checked:
        _forget_stale_choice(each)
        each.row.person_index = _index(each)
    patients = Patient.objects.in_bulk({each.patient_id for each in checked if each.patient_id})
    waiting = _waiting(patients)
    earlier = _earlier(batch, checked)
    for each in checked:
        _judge(each, patients, waiting, earlier)
    _store(open_rows, before)
    reviews.withdraw(KIND, [row.pk for row in open_rows if row.verdict != _V.LOOK])


def _stored(row: ImportRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in COLUMNS}


def _store(rows: Sequence[ImportRow], before: Sequence[dict[str, object]]) -> None:
    """Write the columns that changed: most rows of most lists change in two of them, or in none at a second look."""
    changed: dict[tuple[str, ...], list[ImportRow]] = defaultdict(list)
    for row, old in zip(rows, before, strict=True):
        changed[tuple(name for name in COLUMNS if getattr(row, name) != old[name])].append(row)
    changed.pop((), None)
    for names, alike in changed.items():
        ImportRow.objects.bulk_update(alike, names, batch_size=500)


def _leave_out_newcomers(batch: ImportBatch, checked: Sequence[Checked]) -> None:
    """While a list is being added, whoever was made from an earlier row of it is nobody to ask about."""
    proposed = {pk for each in checked for pk in each.found.candidates}
    made = newcomers.of_this_list(batch, proposed) if proposed else set()
    for each in checked:
        each.found.candidates = [pk for pk in each.found.candidates if pk not in made]


def _forget_stale_choice(each: Checked) -> None:
    row = each.row
    # "Another person" was said of those proposed then, not of somebody who may be this person since.
    if row.choice == _C.DIFFERENT and not set(each.found.candidates) <= set(row.candidates):
        row.choice = _C.OPEN
    row.candidates = each.found.candidates
    if row.choice == _C.SAME and row.patient_id not in each.found.candidates:
        row.choice, row.patient = _C.OPEN, None
    if each.found.linked is not None:
        row.choice, row.patient_id = _C.OPEN, each.found.linked
    elif row.choice != _C.SAME:
        row.patient = None


def _index(each: Checked) -> str:
    """Return what two rows share that are the same person waiting for the same; "" while that is open."""
    wish = each.wish
    if wish.person is None or wish.appointment_type is None:
        return ""
    if each.patient_id is not None:
        who = f"patient {each.patient_id}"
    else:
        names = f"{wish.person.family_name}|{wish.person.given_name}".casefold()
        who = f"{' '.join(names.split())}|{wish.person.birth_date}"
    return blind_index(f"{who}|{wish.appointment_type.pk}", "import person")


def _waiting(patients: dict[int, Patient]) -> set[tuple[int, int]]:
    rows = WaitlistEntry.objects.filter(patient_id__in=list(patients), status__in=LIVE)
    return set(rows.values_list("patient_id", "appointment_type_id"))


def _earlier(batch: ImportBatch, checked: Sequence[Checked]) -> dict[str, int]:
    """Return by person index the number of the row that stands for it already, among those not being checked."""
    indexes = {each.row.person_index for each in checked} - {""}
    rows = batch.rows.filter(person_index__among=indexes, verdict__in=(_V.READY, _V.ADDED, _V.LOOK))
    rows = rows.exclude(pk__in=[each.row.pk for each in checked])
    return dict(rows.order_by("-number").values_list("person_index", "number"))


def _judge(each: Checked, patients: dict[int, Patient], waiting: set[tuple[int, int]], earlier: dict[str, int]) -> None:
    row, wish = each.row, each.wish
    row.problems = [list(problem) for problem in wish.problems]
    patient = patients.get(each.patient_id or 0)
    first = earlier.get(row.person_index) if row.person_index else None
    if wish.problems:
        row.verdict = _V.ERROR
    elif first is not None:
        row.verdict = _V.DUPLICATE
        row.problems = [["", f"The same patient waits for the same in row {first}."]]
    elif patient is not None and wish.appointment_type and (patient.pk, wish.appointment_type.pk) in waiting:
        row.verdict = _V.DUPLICATE
        row.problems = [["", "This patient is on the waitlist for this already."]]
    elif patient is not None and not patient.may_be_offered:
        row.verdict, row.problems = _V.LOOK, [["", MAY_NOT]]
    elif patient is None and not each.is_new_person:
        says = f"Somebody we know may be this person: {each.found.why}. Say whether they are the same."
        row.verdict, row.problems = _V.LOOK, [["", says]]
    elif each.is_new_person and wish.person and not wish.person.addresses:
        row.verdict = _V.ERROR
        row.problems = [["phone", "Nobody here knows this patient: write a phone number or an e-mail address."]]
    else:
        row.verdict = _V.READY
    if row.person_index and row.verdict in (_V.READY, _V.LOOK):
        earlier.setdefault(row.person_index, row.number)
