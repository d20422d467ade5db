"""*Later* on a row that may be somebody we know: the question waits in the review queue, and the row for its answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scheduling import reviews
from scheduling.models import Patient, PatientReview, WorkItem
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of
from tests.desk.test_import_pages import GOOD, at, brought
from waitlist.importing import adding, reviewing, working
from waitlist.models import ImportBatch, WaitlistEntry


@pytest.fixture
def batch(dana: Client, practice: Practice) -> ImportBatch:
    """A list of one who may be the practice's patient and one nobody knows; the former put off."""
    known = practice.patient
    assert known.birth_date
    batch = brought(dana, f"Alvarez,Robin,{known.birth_date.isoformat()},2125550177,Follow-up,,", GOOD)
    answer = dana.post(at(batch, "step", "later"), {"row": "2", "show": "look"})
    assert said(dana, answer) == "Row 2 waits among the patient reviews. What is answered there counts here."
    return batch


def answered(client: Client, step: str) -> str:
    review = PatientReview.objects.get()
    return said(client, client.post(reverse("admin:scheduling_patientreview_do", args=[review.pk, step])))


def verdicts(batch: ImportBatch) -> list[str]:
    return list(batch.rows.order_by("number").values_list("verdict", flat=True))


def add(client: Client, batch: ImportBatch) -> None:
    client.post(at(batch, "step", "add"), {"expected": "1"})
    batch.refresh_from_db()
    assert (batch.status, batch.added_count) == ("added", 1)


def test_the_queue_shows_both_and_the_page_says_where_the_row_waits(
    dana: Client, practice: Practice, batch: ImportBatch
) -> None:
    review = PatientReview.objects.get()
    assert (review.state, review.patient) == ("open", practice.patient)
    assert WorkItem.objects.get(kind=reviews.WORK_KEY).status == "open"
    page = text_of(dana.get(reverse("admin:scheduling_patientreview_change", args=[review.pk])))
    assert f"Row 2 of imported list {batch.pk}" in page
    assert "+12125550177" in page or "(212) 555-0177" in page
    words = text_of(dana.get(at(batch, "change")))
    assert "Put off: it waits among the patient reviews" in words
    assert "Later" not in words
    dana.post(at(batch, "step", "later"), {"row": "2"})
    assert PatientReview.objects.count() == 1


@pytest.mark.parametrize(("step", "known"), [("same", 3), ("different", 4)])
def test_the_answer_puts_the_row_on_the_list_that_was_added_meanwhile(
    dana: Client, practice: Practice, batch: ImportBatch, step: str, known: int
) -> None:
    add(dana, batch)
    assert answered(dana, step).endswith(f"Row 2 of list {batch.pk} is on the waitlist now, where it would have been.")
    batch.refresh_from_db()
    assert (verdicts(batch), batch.added_count) == (["added", "added"], 2)
    entry = batch.rows.get(number=2).entry
    assert entry is not None
    assert (entry.patient == practice.patient) is (step == "same")
    assert (Patient.objects.count(), WaitlistEntry.objects.count()) == (known, 2)
    assert adding.undo(batch) == ""


def test_before_the_list_is_added_the_answer_makes_the_row_ready(dana: Client, batch: ImportBatch) -> None:
    assert answered(dana, "same").endswith(f"Row 2 of list {batch.pk} is ready and is added with the others.")
    assert verdicts(batch) == ["ready", "ready"]
    assert not WaitlistEntry.objects.exists()


def test_an_answer_on_the_lists_page_answers_the_review(dana: Client, practice: Practice, batch: ImportBatch) -> None:
    dana.post(at(batch, "step", "decide"), {"row": "2", "patient": str(practice.patient.pk)})
    assert PatientReview.objects.get().state == "same"
    assert WorkItem.objects.get(kind=reviews.WORK_KEY).status != "open"


def test_a_row_that_waits_outlives_the_file_until_it_is_answered(dana: Client, batch: ImportBatch) -> None:
    add(dana, batch)
    later = timezone.now() + timedelta(days=15)
    assert working.forget_old(later) == 1
    batch.refresh_from_db()
    assert (verdicts(batch), batch.content, batch.file_name) == (["look"], None, "")
    assert answered(dana, "same").endswith("is on the waitlist now, where it would have been.")
    assert WaitlistEntry.objects.count() == 2
    assert working.forget_old(later + reviews.LATER) == 1
    assert not batch.rows.exists()


@pytest.mark.parametrize("how", ["discard", "leave-out", "undo"])
def test_nobody_is_asked_any_more_about_a_row_that_is_gone(dana: Client, batch: ImportBatch, how: str) -> None:
    if how == "undo":
        add(dana, batch)
    dana.post(at(batch, "step", how), {"row": "2"})
    assert not PatientReview.objects.exists()
    assert WorkItem.objects.get(kind=reviews.WORK_KEY).status != "open"


def test_while_the_list_is_worked_on_nothing_is_answered(dana: Client, batch: ImportBatch) -> None:
    ImportBatch.objects.update(status="adding")
    assert answered(dana, "same") == "Nothing changed. The imported list is being worked on. Answer again in a minute."
    assert PatientReview.objects.get().state == "open"


def test_somebody_on_the_list_already_is_not_put_on_it_twice(
    dana: Client, practice: Practice, batch: ImportBatch
) -> None:
    add(dana, batch)
    factories.entry(practice.patient, practice.followup)
    assert answered(dana, "same").endswith("This patient is on the waitlist for this already.")
    assert verdicts(batch) == ["duplicate", "added"]
    assert WaitlistEntry.objects.filter(patient=practice.patient).count() == 1


@pytest.fixture
def alike(dana: Client, practice: Practice) -> ImportBatch:
    """A list of one who may be the practice's patient, and nobody asked about it yet."""
    known = practice.patient
    assert known.birth_date
    return brought(dana, f"Alvarez,Robin,{known.birth_date.isoformat()},2125550177,Follow-up,,", GOOD)


@pytest.mark.parametrize(("decided", "row"), [(False, "99"), (False, "3"), (True, "2")])
def test_what_is_no_question_is_not_put_off(
    dana: Client, practice: Practice, alike: ImportBatch, decided: bool, row: str
) -> None:
    if decided:
        dana.post(at(alike, "step", "decide"), {"row": "2", "patient": str(practice.patient.pk)})
    before = verdicts(alike)
    answer = said(dana, dana.post(at(alike, "step", "later"), {"row": row}))
    assert "waits among the patient reviews" not in answer
    assert (verdicts(alike), PatientReview.objects.count()) == (before, 0)


def test_only_those_whom_the_page_showed_are_asked_about(dana: Client, practice: Practice, alike: ImportBatch) -> None:
    known = practice.patient
    factories.patient(given_name=known.given_name, family_name=known.family_name, birth_date=known.birth_date)
    dana.post(at(alike, "step", "later"), {"row": "2"})
    assert PatientReview.objects.get().patient == known


def test_a_row_that_may_be_one_of_two_waits_until_both_are_told_apart(dana: Client, practice: Practice) -> None:
    known = practice.patient
    assert known.birth_date
    twin = factories.patient(given_name=known.given_name, family_name=known.family_name, birth_date=known.birth_date)
    batch = brought(dana, f"Alvarez,Robin,{known.birth_date.isoformat()},2125550177,Follow-up,,", GOOD)
    dana.post(at(batch, "step", "later"), {"row": "2"})
    first, second = (
        reverse("admin:scheduling_patientreview_do", args=[PatientReview.objects.get(patient=each).pk, "different"])
        for each in (known, twin)
    )
    assert said(dana, dana.post(first)) == "Noted: two people. Others are still proposed for the row."
    assert verdicts(batch) == ["look", "ready"]
    assert said(dana, dana.post(second)).endswith(f"Row 2 of list {batch.pk} is ready and is added with the others.")
    assert verdicts(batch) == ["ready", "ready"]


def test_an_answer_about_a_row_that_is_gone_says_so_and_adds_nobody(dana: Client, batch: ImportBatch) -> None:
    batch.rows.all().delete()
    assert answered(dana, "different") == "The list it stood in is deleted by now, so nobody was added."
    assert (PatientReview.objects.get().state, WaitlistEntry.objects.count()) == ("different", 0)


def test_each_answer_is_of_its_own_row_and_says_what_was_noted(dana: Client, practice: Practice) -> None:
    known = practice.patient
    other = factories.patient(given_name="Sam", family_name="Ortiz", locations=[practice.riverside])
    batch = brought(
        dana,
        *(
            f"{each.family_name},{each.given_name},{each.birth_date},212555017{number},Follow-up,,"
            for number, each in enumerate((known, other))
        ),
    )
    for number in ("2", "3"):
        dana.post(at(batch, "step", "later"), {"row": number})
    first, second = (PatientReview.objects.get(origin__startswith=f"Row {number} ") for number in (2, 3))

    def answer(review: PatientReview, step: str) -> str:
        return said(dana, dana.post(reverse("admin:scheduling_patientreview_do", args=[review.pk, step])))

    assert answer(second, "different").startswith("Noted: two people. Row 3 of list ")
    assert verdicts(batch)[0] == "look"
    assert answer(first, "same").startswith("Noted: the same person. Row 2 of list ")
    assert batch.rows.get(number=2).patient == known
    assert batch.rows.get(number=3).patient is None


def test_what_is_not_to_be_looked_at_or_not_there_is_not_put_off(dana: Client, batch: ImportBatch) -> None:
    assert [reviewing.put_off(batch, number) for number in (3, 99)] == [False, False]
    ImportBatch.objects.update(status="adding")
    assert reviewing.put_off(ImportBatch.objects.get(), 2) is False
