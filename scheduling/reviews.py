"""Records that may be one person: asked once, with both side by side, and the answer remembered.

Nothing is merged here by the machine. "Same" lets one of our two records stand for the other, by the person who said
so; in the EHR itself staff merge them. "Different" is never asked again, unless a person takes it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from audit.context import current_actor
from scheduling import merging, registrations
from scheduling.matching import Candidate, Candidates, Linked, PersonDescription, Reason, find, same_initial
from scheduling.models import Patient, PatientMerge, PatientReview, Source, WorkItem
from scheduling.transitions import move
from scheduling.worklist import ask_staff, finish_for

State = PatientReview.State
LATER = timedelta(days=7)
WORK_KEY = "patient.reviews"
#: A record that resembles more than these is asked about with these only.
MOST_PAIRS = 5
#: What makes two records of an EHR worth a question. Twins with names of their own are none.
WORTH_ASKING = frozenset({Reason.NUMBER, Reason.BIRTH_DATE_AND_NAMES})
UNDECIDED = (State.OPEN, State.LATER)
#: Whoever pressed first may be the same person, by a double click.
DECIDED = "It was answered before: what was said stands here."


def look_around(source: Source, patient: Patient, described: PersonDescription) -> int:
    """Ask about records that a new one resembles; return how many pairs are new."""
    if not patient.may_be_offered:
        return 0
    match = find(source, described, apart_from=patient)
    if isinstance(match, Linked):
        people: Sequence[Candidate] = (Candidate(match.patient, (Reason.NUMBER,)),)
    else:
        people = match.people if isinstance(match, Candidates) else ()
    alike = [each for each in people if each.patient.pk != patient.pk and _is_worth_asking(described, each)]
    return sum(note_pair(each.patient, patient, each.reasons) for each in alike[:MOST_PAIRS])


def _is_worth_asking(described: PersonDescription, each: Candidate) -> bool:
    if not each.patient.may_be_offered:
        return False
    if Reason.BIRTH_DATE_AND_PHONE in each.reasons and same_initial(described.given_name, each.patient.given_name):
        return True
    return not WORTH_ASKING.isdisjoint(each.reasons)


def look_around_in_bulk(rows: Sequence[Patient]) -> int:
    """:func:`look_around` for new rows of a page, by names and birth date: one query, whatever their number."""
    new = [row for row in rows if row.family_index and row.birth_date_index and row.may_be_offered]
    if not new:
        return 0
    keys = [row.pk for row in new]
    older = Patient.objects.filter(
        Q(pk__lt=min(keys)) | Q(pk__gt=max(keys)),
        family_index__among={row.family_index for row in new},
        birth_date_index__among={row.birth_date_index for row in new},
        active=True,
        deceased=False,
        restricted=False,
        replaced_by=None,
    )
    alike: dict[tuple[str, str], list[Patient]] = {}
    for row in older.only("pk", "family_index", "birth_date_index", "given_name"):
        alike.setdefault((row.family_index, row.birth_date_index), []).append(row)
    found = 0
    for row in new:
        others = alike.setdefault((row.family_index, row.birth_date_index), [])
        fitting = [other for other in others if same_initial(other.given_name, row.given_name)]
        for other in fitting[:MOST_PAIRS]:
            found += note_pair(other, row, (Reason.BIRTH_DATE_AND_NAMES,))
        others.append(row)
    return found


def note_pair(patient: Patient, other: Patient, reasons: Iterable[Reason]) -> bool:
    """Ask whether two records are one person; False when that was asked before, whatever was answered."""
    first, second = sorted((patient.pk, other.pk))
    values = {"patient_id": first, "other_id": second, "reasons": [str(each) for each in reasons]}
    return _note(f"pair:{first}:{second}", values)


def note_described(
    candidate: Candidate, described: PersonDescription, *, origin: str, subject: models.Model, dedupe_key: str
) -> bool:
    """Ask whether ``described``, who is no patient here, is the candidate; False when that was asked before.

    ``origin`` says where the description stands ("row 12 of a list"), without a name; ``subject`` is the row that
    waits for the answer, which it finds by ``dedupe_key``.
    """
    values = {
        "patient": candidate.patient,
        "described": written(described),
        "origin": origin[:120],
        "subject_kind": subject._meta.label_lower,
        "subject_id": subject.pk,
        "reasons": [str(each) for each in candidate.reasons],
    }
    return _note(dedupe_key, values)


def waiting_subjects(kind: str, subject_ids: Iterable[int]) -> set[int]:
    """Return the keys of those rows of ``kind`` that wait for the answer to a review."""
    rows = PatientReview.objects.filter(subject_kind=kind, subject_id__in=list(subject_ids), state__in=UNDECIDED)
    return {pk for pk in rows.values_list("subject_id", flat=True) if pk is not None}


def settle_described(kind: str, decided: Mapping[int, int | None]) -> None:
    """Rows that wait were decided where they stand: row to the patient it is, None for nobody proposed."""
    rows = PatientReview.objects.filter(subject_kind=kind, subject_id__in=list(decided), state__in=UNDECIDED)
    for review in rows:
        is_same = decided[review.subject_id or 0] == review.patient_id
        _decide(review, State.SAME if is_same else State.DIFFERENT)


def withdraw(kind: str, subject_ids: Iterable[int]) -> None:
    """Nobody waits for these answers any more: the rows are gone, or say something else now."""
    rows = PatientReview.objects.filter(subject_kind=kind, subject_id__in=list(subject_ids), state__in=UNDECIDED)
    if rows.delete()[0]:
        _finish_when_none_is_open()


def written(described: PersonDescription) -> dict[str, Any]:
    """Return a description as it is kept in a review."""
    return {
        "given_name": described.given_name,
        "family_name": described.family_name,
        "birth_date": described.birth_date.isoformat() if described.birth_date else "",
        "numbers": [[each.system, each.value] for each in described.identifiers],
        "phones": list(described.phones),
    }


def _note(dedupe_key: str, values: dict[str, Any]) -> bool:
    review, is_new = PatientReview.objects.get_or_create(dedupe_key=dedupe_key, defaults=values)
    if is_new:
        _ask(review)
    return is_new


def _ask(review: PatientReview) -> None:
    """One item on the worklist stands for the whole queue: a load can find many pairs."""
    ask_staff(
        WORK_KEY,
        "Patient records may be one person: compare them",
        advice="Nothing is merged until somebody has looked. Open “Patient reviews”: both records stand side by side; "
        "say same, different or later.",
        dedupe_key=WORK_KEY,
        urgency=WorkItem.Urgency.NORMAL,
        subject=review,
    )


def answer(patient: Patient, other: Patient) -> str:
    """Return the state of the question whether two records are one person; empty where nobody has asked it."""
    first, second = sorted((patient.pk, other.pk))
    found = PatientReview.objects.filter(dedupe_key=f"pair:{first}:{second}").values_list("state", flat=True)
    return found.first() or ""


def same(review: PatientReview, *, keep: Patient | None = None) -> PatientMerge | None:
    """A person says that both are one; ``keep`` is the record that stays in use, by default the first.

    Returns the merge of our two records, None for a described person, whose row takes it from here. Raises
    :class:`~scheduling.merging.MergeRefused`, changing nothing, when the two cannot become one.
    """
    with transaction.atomic():
        if not _decide(review, State.SAME):
            raise merging.MergeRefused(DECIDED)
        if review.other is None:
            return None
        kept = review.other if keep is not None and keep.pk == review.other_id else review.patient
        retired = review.patient if kept.pk == review.other_id else review.other
        return merging.merge(retired, kept, told_by=PatientMerge.ToldBy.STAFF)


def different(review: PatientReview) -> bool:
    """A person says that these are two people. False when somebody decided before."""
    return _decide(review, State.DIFFERENT)


def take_back(review: PatientReview) -> bool:
    """A person takes "same" back, once the merge is undone: these are two people."""
    return move(review, State.DIFFERENT, field="state", decided_at=timezone.now(), decided_by=_who())


def ask_again(review: PatientReview) -> bool:
    """A person takes "different" back: staff are asked once more. False when nobody says so, or the two are one record.

    Who had said so, and when, is in the audit trail.
    """
    if review.state != State.DIFFERENT or merge_of(review) is not None:
        return False
    with transaction.atomic():
        if not move(review, State.OPEN, field="state", decided_at=None, decided_by=""):
            return False
        _ask(review)
    return True


def later(review: PatientReview) -> bool:
    """Ask again in a week. False when somebody put it off or decided before."""
    if review.state != State.OPEN or not move(
        review, State.LATER, field="state", remind_at=timezone.now() + LATER, decided_by=_who()
    ):
        return False
    _finish_when_none_is_open()
    return True


def _decide(review: PatientReview, to: str) -> bool:
    if review.state not in UNDECIDED:
        return False
    moved = move(review, to, field="state", decided_at=timezone.now(), decided_by=_who(), remind_at=None)
    if moved:
        _finish_when_none_is_open()
        registrations.look_again([review.patient_id, *([review.other_id] if review.other_id else [])])
    return moved


def settle_for(retired: Patient) -> None:
    """A record was replaced: whether it and its successor are one person is answered, by whoever merged them."""
    pair = (retired.pk, retired.replaced_by_id or 0)
    for review in PatientReview.objects.filter(patient_id__in=pair, other_id__in=pair, state__in=UNDECIDED):
        _decide(review, State.SAME)


def taken_apart(retired: Patient, kept_id: int) -> None:
    """The EHR separated two records that it had made one: these are two people, whatever was answered."""
    pair = (retired.pk, kept_id)
    for review in PatientReview.objects.filter(patient_id__in=pair, other_id__in=pair, state=State.SAME):
        take_back(review)


def merge_of(review: PatientReview) -> PatientMerge | None:
    """Return the merge by which a review's two records are one now."""
    pair = (review.patient_id, review.other_id)
    rows = PatientMerge.objects.filter(retired_id__in=pair, kept_id__in=pair, undone_at__isnull=True)
    return rows.first() if review.other_id else None


def wake_later(now: datetime | None = None) -> int:
    """Ask again about what was put off until now; return how many."""
    now = now or timezone.now()
    woken = 0
    for review in due(now)[:200]:
        if move(review, State.OPEN, field="state", remind_at=None):
            _ask(review)
            woken += 1
    return woken


def due(now: datetime) -> models.QuerySet[PatientReview]:
    """Return the reviews that were put off until ``now``."""
    rows: models.QuerySet[PatientReview] = PatientReview.objects.filter(state=State.LATER, remind_at__lte=now)
    return rows


def _finish_when_none_is_open() -> None:
    if not PatientReview.objects.filter(state=State.OPEN).exists():
        finish_for(WORK_KEY, "Every pair was looked at.", by=_who())


def _who() -> str:
    return current_actor().name[:150]
