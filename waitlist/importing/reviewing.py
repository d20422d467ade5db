"""*Later* on a row that may be somebody we know: it waits among the patient reviews and goes on from there."""

from __future__ import annotations

from django.utils import timezone

from scheduling import matching, reviews
from scheduling.merging import MergeRefused
from scheduling.models import PatientReview
from waitlist.importing import adding, batches, people
from waitlist.importing.checking import KIND
from waitlist.importing.newcomers import Overtaken
from waitlist.importing.parsing import Words, parse
from waitlist.models import ImportBatch, ImportRow

_V = ImportRow.Verdict


def put_off(batch: ImportBatch, number: int) -> bool:
    """Ask in the patient reviews who a row is; False when that is no question, or the list is being worked on."""
    with batches.edited(batch) as rows:
        row = rows.filter(number=number, verdict=_V.LOOK).first() if rows is not None else None
        person = parse(batch, row, Words(batch), timezone.localdate()).person if row is not None else None
        if row is None or person is None:
            return False
        described = matching.PersonDescription(
            person.given_name, person.family_name, person.birth_date, (), person.phones
        )
        asked = [
            reviews.note_described(
                each,
                described,
                origin=f"Row {number} of imported list {batch.pk}",
                subject=row,
                dedupe_key=f"import:{row.pk}:{each.patient.pk}",
            )
            for each in people.candidates(person)
            if each.patient.pk in row.candidates
        ]
    return any(asked)


def asked_about(rows: list[ImportRow]) -> set[int]:
    """Return the keys of the rows that wait in the patient reviews."""
    return reviews.waiting_subjects(KIND, [row.pk for row in rows])


def is_ours(review: PatientReview) -> bool:
    """Return whether a row of a list waits for the answer."""
    return review.subject_kind == KIND


def take_answer(review: PatientReview) -> str:
    """Take a review's answer over into its row; return what became of the row. Part of the caller's transaction.

    A row of a list that was added already is added now. Raises :class:`~scheduling.merging.MergeRefused` while the list
    is being worked on.
    """
    row = ImportRow.objects.select_related("batch", "batch__location").filter(pk=review.subject_id or 0).first()
    if row is None:
        return "The list it stood in is deleted by now, so nobody was added."
    is_same = review.state == PatientReview.State.SAME
    if not is_same and asked_about([row]):
        return "Noted: two people. Others are still proposed for the row."
    if not batches.say_who(row.batch, row.number, review.patient if is_same else None):
        raise MergeRefused("The imported list is being worked on. Answer again in a minute.")
    row.refresh_from_db()
    noted = "Noted: the same person. " if is_same else "Noted: two people. "
    return noted + _gone_on(row)


def _gone_on(row: ImportRow) -> str:
    name = f"Row {row.number} of list {row.batch_id}"
    if row.verdict == _V.READY and row.batch.status == ImportBatch.Status.ADDED:
        try:
            adding.add_late(row.batch, row)
        except Overtaken:
            return f"{name} could not be added just now: look at it there."
        return f"{name} is on the waitlist now, where it would have been."
    if row.verdict == _V.READY:
        return f"{name} is ready and is added with the others."
    return f"{name}: {' '.join(says for _, says in row.problems)}"
