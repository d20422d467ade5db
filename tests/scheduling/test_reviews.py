"""Each question whether two records are one person has its own answer, which nothing about others gives or takes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling import merging, reviews
from scheduling.matching import Candidate, PersonDescription, Reason
from scheduling.models import Patient, PatientMerge, PatientReview, WorkItem
from tests import factories

pytestmark = pytest.mark.django_db

State = PatientReview.State
LIST = "waitlist.importrow"


def pair(state: str = State.OPEN) -> PatientReview:
    """Ask about two new patients."""
    first, second = factories.patient(), factories.patient()
    reviews.note_pair(first, second, (Reason.NUMBER,))
    review = PatientReview.objects.get(patient=first)
    PatientReview.objects.filter(pk=review.pk).update(state=state)
    review.refresh_from_db()
    return review


def row(subject: int, kind: str = LIST, state: str = State.OPEN, patient: Patient | None = None) -> PatientReview:
    """Ask whether the person that a row of a list describes is a patient."""
    candidate = Candidate(patient or factories.patient(), (Reason.BIRTH_DATE_AND_NAMES,))
    key = f"{kind}:{subject}:{candidate.patient.pk}"
    stand_in = factories.location()
    reviews.note_described(candidate, PersonDescription(), origin="row 1", subject=stand_in, dedupe_key=key)
    PatientReview.objects.filter(dedupe_key=key).update(subject_kind=kind, subject_id=subject, state=state)
    return PatientReview.objects.get(dedupe_key=key)


def states(*asked: PatientReview) -> list[str]:
    return [PatientReview.objects.get(pk=each.pk).state for each in asked]


def other_of(review: PatientReview) -> Patient:
    assert review.other is not None
    return review.other


def test_an_answer_is_about_these_two_in_either_order() -> None:
    different, asked = pair(State.DIFFERENT), pair()
    assert reviews.answer(asked.patient, other_of(asked)) == State.OPEN
    assert reviews.answer(other_of(different), different.patient) == State.DIFFERENT
    assert reviews.answer(different.patient, asked.patient) == ""


def test_a_merge_answers_the_question_about_these_two_and_no_other() -> None:
    asked, decided, beside = pair(), pair(State.DIFFERENT), pair()
    reviews.note_pair(asked.patient, beside.patient, (Reason.NUMBER,))
    for each in (asked, decided):
        merging.merge(other_of(each), each.patient, told_by=PatientMerge.ToldBy.MESSAGE)
        reviews.settle_for(Patient.objects.get(pk=each.other_id))
    crossed = PatientReview.objects.exclude(pk__in=[asked.pk, decided.pk, beside.pk]).get()
    assert states(asked, decided, beside, crossed) == ["same", "different", "open", "open"]


def test_what_the_ehr_separates_takes_back_the_same_of_these_two_only() -> None:
    earlier = factories.patient()
    same, beside, undecided = pair(State.SAME), pair(State.SAME), pair()
    reviews.note_pair(same.patient, beside.patient, (Reason.NUMBER,))
    reviews.note_pair(earlier, same.patient, (Reason.NUMBER,))
    PatientReview.objects.exclude(pk=undecided.pk).update(state=State.SAME)
    crossed = PatientReview.objects.get(patient=same.patient, other=beside.patient)
    crossed_before = PatientReview.objects.get(patient=earlier)
    reviews.taken_apart(other_of(same), same.patient_id)
    reviews.taken_apart(other_of(undecided), undecided.patient_id)
    assert states(same, undecided) == ["different", "open"]
    assert states(beside, crossed, crossed_before) == ["same", "same", "same"]


def test_the_merge_of_a_review_is_the_one_that_holds_between_its_two() -> None:
    asked, beside = pair(), pair()
    merging.undo(merging.merge(asked.patient, other_of(asked), told_by=PatientMerge.ToldBy.STAFF))
    merging.merge(beside.patient, asked.patient, told_by=PatientMerge.ToldBy.STAFF)
    merging.merge(other_of(asked), beside.patient, told_by=PatientMerge.ToldBy.STAFF)
    assert reviews.merge_of(beside) is None
    assert (
        reviews.merge_of(PatientReview.objects.get(pk=asked.pk))
        == PatientMerge.objects.filter(retired=other_of(asked), undone_at=None).get()
    )


def test_rows_of_a_list_wait_for_the_answers_about_themselves() -> None:
    asked, put_off, answered = row(1), row(2, state=State.LATER), row(3, state=State.DIFFERENT)
    of_another_kind, not_asked_for = row(4, kind="another.kind"), row(5)
    assert reviews.waiting_subjects(LIST, [1, 2, 3, 4]) == {1, 2}

    reviews.settle_described(LIST, {1: asked.patient_id, 2: None, 3: answered.patient_id, 4: None})
    everything = (asked, put_off, answered, of_another_kind, not_asked_for)
    assert states(*everything) == ["same", "different", "different", "open", "open"]


def test_of_several_proposed_for_a_row_one_is_the_same_and_the_others_are_not() -> None:
    chosen, not_chosen = row(1), row(1)
    reviews.settle_described(LIST, {1: chosen.patient_id})
    assert states(chosen, not_chosen) == ["same", "different"]
    assert not WorkItem.objects.filter(status="open").exists()


def test_questions_about_rows_that_are_gone_are_withdrawn_and_no_others() -> None:
    gone, answered, of_another_kind, another = row(1), row(2, state=State.SAME), row(1, kind="another.kind"), row(3)
    reviews.withdraw(LIST, [1, 2])
    assert {*PatientReview.objects.all()} == {answered, of_another_kind, another}
    assert gone not in PatientReview.objects.all()
    assert WorkItem.objects.filter(status="open").exists()
    reviews.withdraw(LIST, [3])
    reviews.withdraw("another.kind", [1])
    assert not WorkItem.objects.filter(status="open").exists()


def test_only_what_was_put_off_is_asked_again_when_its_time_has_come() -> None:
    now = timezone.now()
    due, later, decided = pair(State.LATER), pair(State.LATER), pair(State.DIFFERENT)
    for each, minutes in ((due, 0), (later, 5), (decided, 0)):
        PatientReview.objects.filter(pk=each.pk).update(remind_at=now + timedelta(minutes=minutes))
    assert list(reviews.due(now)) == [due]
    assert reviews.wake_later(now) == 1
    assert states(due, later, decided) == ["open", "later", "different"]
