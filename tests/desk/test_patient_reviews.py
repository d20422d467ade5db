"""The review queue: both records side by side, three answers and an undo; nothing of other locations."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AccessRecord
from scheduling import reviews
from scheduling.matching import Candidate, PersonDescription, Reason
from scheduling.models import ExternalId, Patient, PatientMerge, PatientReview, WorkItem
from scheduling.records import IdentifierRecord
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import text_of
from waitlist import attention
from waitlist.models import WaitlistEntry


@pytest.fixture
def review(practice: Practice) -> PatientReview:
    double = factories.patient(
        given_name="Robin",
        family_name="Alvarez",
        locations=[practice.riverside],
        names=practice.source,
        birth_date=date(1981, 1, 1),
    )
    assert reviews.note_pair(practice.patient, double, [Reason.NUMBER, Reason.OTHER_BIRTH_DATE])
    return PatientReview.objects.get()


def page_of(review: PatientReview) -> str:
    return reverse("admin:scheduling_patientreview_change", args=[review.pk])


def answer(client: Client, review: PatientReview, step: str, **data: Any) -> str:
    address = reverse("admin:scheduling_patientreview_do", args=[review.pk, step])
    said = client.post(address, data, follow=True).content.decode()
    review.refresh_from_db()
    return said


def test_both_stand_side_by_side_with_the_differences_in_words_and_the_look_is_on_record(
    dana: Client, practice: Practice, review: PatientReview
) -> None:
    page = dana.get(page_of(review)).content.decode()
    assert "The same medical record number, but another birth date." in page
    assert page.count("Jan 1, 1980") == page.count("Jan 1, 1981") == 1
    born = page[page.index("Jan 1, 1981") :]
    assert "differs" in born[: born.index("</tr>")]
    seen = AccessRecord.objects.filter(action="view", subject_kind="scheduling.patient")
    assert set(seen.values_list("subject_id", flat=True)) == {str(review.patient_id), str(review.other_id)}


def test_today_counts_them_and_the_worklist_has_one_item_for_all(
    dana: Client, practice: Practice, review: PatientReview
) -> None:
    other = factories.patient(locations=[practice.riverside])
    assert reviews.note_pair(practice.patient, other, [Reason.NUMBER])
    page = dana.get("/admin/").content.decode()
    assert "patient pairs to compare" in page
    assert WorkItem.objects.filter(kind="patient.reviews", status="open").count() == 1


def test_the_languages_are_compared_in_words(dana: Client, practice: Practice, review: PatientReview) -> None:
    Patient.objects.filter(pk=practice.patient.pk).update(language="es-MX")
    words = text_of(dana.get(f"/admin/scheduling/patientreview/{review.pk}/change/"))
    assert "Language Spanish" in words


def test_same_keeps_the_chosen_record_moves_its_entry_and_undo_gives_it_back(
    dana: Client, practice: Practice, review: PatientReview
) -> None:
    entry = practice.entry()
    said = answer(dana, review, "same", keep="other")
    assert "Merge the two in the EHR as well" in said
    attention.drain()
    practice.patient.refresh_from_db()
    entry.refresh_from_db()
    assert (review.state, practice.patient.replaced_by_id, entry.patient_id) == (
        "same",
        review.other_id,
        review.other_id,
    )
    assert not WorkItem.objects.filter(status="open").exists()
    merge = PatientMerge.objects.get()
    assert (merge.told_by, merge.by) == ("staff", "dana")

    assert "What was taken over has been given back" in answer(dana, review, "undo")
    attention.drain()
    practice.patient.refresh_from_db()
    entry.refresh_from_db()
    assert (review.state, practice.patient.replaced_by_id, entry.patient_id) == (
        "different",
        None,
        practice.patient.pk,
    )


def test_the_record_that_the_ehr_alone_knows_is_the_one_proposed_to_be_kept(
    dana: Client, practice: Practice, review: PatientReview
) -> None:
    """A new number, or a death, is told of that one: kept, the other would be left as it is."""
    chosen = '<option value="other" selected>'
    assert chosen not in dana.get(page_of(review)).content.decode()
    ExternalId.objects.filter(kind="patient", object_id=review.patient_id).delete()
    page = dana.get(page_of(review)).content.decode()
    assert f"{chosen}record {review.other_id}, the EHR’s</option>" in page


def test_a_record_that_staff_retired_does_not_say_that_the_ehr_did(
    dana: Client, practice: Practice, review: PatientReview
) -> None:
    answer(dana, review, "same", keep="other")
    page = f"/admin/scheduling/patient/{practice.patient.pk}/change/"
    assert f"Replaced by: patient {review.other_id} not the EHR: dana said so here" in text_of(dana.get(page))
    PatientMerge.objects.update(told_by="link")
    assert f"Replaced by: patient {review.other_id} Updated:" in text_of(dana.get(page))


def test_an_undo_that_cannot_be_says_why_on_the_page_and_changes_nothing(
    dana: Client, practice: Practice, review: PatientReview
) -> None:
    answer(dana, review, "same")
    kept = Patient.objects.get(pk=review.patient_id)
    further = factories.patient(locations=[practice.riverside])
    reviews.merging.merge(kept, further, told_by="staff")
    assert "Undo that first" in dana.get(page_of(review)).content.decode()
    assert "Nothing changed. The kept record has been replaced" in answer(dana, review, "undo")
    assert (review.state, PatientMerge.objects.filter(undone_at=None).count()) == ("same", 2)


def test_different_is_remembered(dana: Client, practice: Practice, review: PatientReview) -> None:
    answer(dana, review, "different")
    assert (review.state, review.decided_by) == ("different", "dana")
    assert not reviews.note_pair(review.other, review.patient, [Reason.NUMBER])  # type: ignore[arg-type]
    assert PatientReview.objects.count() == 1
    assert not PatientMerge.objects.exists()
    assert not WorkItem.objects.filter(status="open").exists()


def test_different_is_taken_back_on_record_and_the_pair_is_asked_about_again(
    dana: Client, review: PatientReview
) -> None:
    assert "Ask again" not in dana.get(page_of(review)).content.decode()
    answer(dana, review, "different")
    page = dana.get(page_of(review)).content.decode()
    assert ("Ask again" in page, "Same person" in page) == (True, False)
    assert "It needs an answer again." in answer(dana, review, "again")
    assert (review.state, review.decided_at, review.decided_by) == ("open", None, "")
    assert WorkItem.objects.filter(kind="patient.reviews", status="open").count() == 1
    entry = LogEntry.objects.get_for_object(review).filter(changes__has_key="decided_by").latest("pk")
    assert entry.changes["state"] == ["different", "open"]
    assert entry.changes["decided_by"] == ["dana", ""]
    assert "Nothing changed" in answer(dana, review, "again")
    assert "Noted: the same person." in answer(dana, review, "same")
    assert (review.state, PatientMerge.objects.filter(undone_at=None).count()) == ("same", 1)


def test_two_people_whom_the_ehr_makes_one_are_shown_as_one_with_the_question_about_their_places(
    dana: Client, practice: Practice, review: PatientReview
) -> None:
    practice.entry()
    answer(dana, review, "different")
    assert review.other is not None
    reviews.merging.merge(practice.patient, review.other, told_by=PatientMerge.ToldBy.LINK)
    attention.drain()
    item = WorkItem.objects.get(kind="patient.merged", status="open")
    page = dana.get(page_of(review)).content.decode()
    assert "one record" in page
    assert f"/admin/scheduling/workitem/{item.pk}/change/" in page
    assert "Ask again" not in page
    assert "Nothing changed" in answer(dana, review, "again")
    assert review.state == "different"


def test_later_comes_back_after_a_week(dana: Client, practice: Practice, review: PatientReview) -> None:
    answer(dana, review, "later")
    assert (review.state, WorkItem.objects.filter(status="open").exists()) == ("later", False)
    attention.drain(timezone.now() + timedelta(days=6))
    review.refresh_from_db()
    assert review.state == "later"
    in_a_week = timezone.now() + timedelta(days=7)
    assert attention.is_due(in_a_week)
    attention.drain(in_a_week)
    review.refresh_from_db()
    assert (review.state, WorkItem.objects.filter(status="open").exists()) == ("open", True)


def test_a_second_answer_changes_nothing(dana: Client, maria: Client, review: PatientReview) -> None:
    answer(dana, review, "different")
    for step in ("later", "same", "different", "undo"):
        assert "Nothing changed" in answer(maria, review, step)
    assert review.state == "different"
    assert not PatientMerge.objects.exists()


def test_who_presses_twice_is_not_told_that_somebody_else_decided(dana: Client, review: PatientReview) -> None:
    assert "Noted: the same person." in answer(dana, review, "same")
    for step in ("same", "different"):
        assert "Nothing changed. It was answered before: what was said stands here." in answer(dana, review, step)
    assert (review.state, PatientMerge.objects.count()) == ("same", 1)


def test_a_pair_of_which_one_is_elsewhere_is_not_there(dana: Client, practice: Practice) -> None:
    reviews.note_pair(practice.patient, practice.their_patient, [Reason.NUMBER])
    review = PatientReview.objects.get()
    assert dana.get(page_of(review)).status_code == 404
    address = reverse("admin:scheduling_patientreview_do", args=[review.pk, "same"])
    assert dana.post(address).status_code == 404
    assert not PatientMerge.objects.exists()


def test_those_without_the_right_may_not_answer(ira: Client, review: PatientReview) -> None:
    address = reverse("admin:scheduling_patientreview_do", args=[review.pk, "same"])
    assert ira.post(address).status_code in (403, 404)
    assert not PatientMerge.objects.exists()


def test_somebody_described_elsewhere_is_compared_and_linked_without_a_merge(dana: Client, practice: Practice) -> None:
    described = PersonDescription(
        "Robin", "Alvarez", date(1980, 1, 1), (IdentifierRecord("urn:mrn", "M77", "MR"),), ("+12125550177",)
    )
    candidate = Candidate(practice.patient, (Reason.BIRTH_DATE_AND_NAMES,))
    asked = {"origin": "row 12 of a list", "subject": practice.entry(), "dedupe_key": "list:1:12"}
    assert reviews.note_described(candidate, described, **asked)
    assert not reviews.note_described(candidate, described, **asked)
    review = PatientReview.objects.get()
    page = dana.get(page_of(review)).content.decode()
    assert "row 12 of a list" in page
    assert "M77" in page
    assert "What waited for this answer goes on" in answer(dana, review, "same")
    assert (review.state, PatientMerge.objects.exists()) == ("same", False)


def test_the_page_says_what_each_of_the_two_waits_for_and_where_both_still_stand(
    dana: Client, practice: Practice, review: PatientReview
) -> None:
    page = dana.get(page_of(review))
    assert "<title>Are these the same person? |" in page.content.decode()
    assert "Waits for" not in text_of(page)
    assert "The EHR keeps both: merge them there as well." in text_of(page)
    practice.entry(review.other)
    assert "Waits for nothing Follow-up on one side only" in text_of(dana.get(page_of(review)))
    practice.entry()
    assert "Waits for Follow-up Follow-up same" in text_of(dana.get(page_of(review)))
    WaitlistEntry.objects.filter(patient=review.other).update(status="left")
    assert "Waits for Follow-up nothing on one side only" in text_of(dana.get(page_of(review)))
    ExternalId.objects.filter(kind="patient", object_id=review.other_id).delete()
    assert "merge them there as well" not in text_of(dana.get(page_of(review)))
    said = answer(dana, review, "same")
    assert "Noted: the same person. The waitlist goes on with the record you kept" in said
    assert "Merge the two in the EHR as well" not in said


def test_who_decided_is_named_and_what_a_worker_passes_on_is_the_ehrs(dana: Client, review: PatientReview) -> None:
    answer(dana, review, "different")
    assert "two people dana, " in text_of(dana.get(page_of(review)))
    PatientReview.objects.update(decided_by="worker:apply")
    assert "two people the EHR, " in text_of(dana.get(page_of(review)))


def test_each_answer_leads_on_and_no_other_step_is_taken(dana: Client, people: Any, review: PatientReview) -> None:
    def press(step: str) -> str:
        response = dana.post(reverse("admin:scheduling_patientreview_do", args=[review.pk, step]))
        return str(response.headers["Location"])

    queue = "/admin/scheduling/patientreview/?state__exact=open"
    address = reverse("admin:scheduling_patientreview_do", args=[review.pk, "later"])
    assert dana.get(address).status_code == 405
    assert press("vanish") == page_of(review)
    review.refresh_from_db()
    assert review.state == "open"
    assert press("later") == queue
    assert press("later") == page_of(review), "it was put off already"
    assert press("different") == queue
    assert press("again") == page_of(review)
    assert press("same") == page_of(review)
    assert press("undo") == page_of(review)
    group = people["dana"].groups.get()
    group.permissions.remove(group.permissions.get(codename="change_patientreview"))
    PatientReview.objects.update(state="open")
    assert dana.post(address).status_code == 403
    page = text_of(dana.get(page_of(review)))
    assert "Are they the same person?" not in page


def test_later_says_when_it_is_asked_again(dana: Client, review: PatientReview) -> None:
    assert "You are asked again in 7 days." in answer(dana, review, "later")


def test_what_the_ehr_merged_is_not_undone_here(dana: Client, practice: Practice, review: PatientReview) -> None:
    assert review.other is not None
    reviews.merging.merge(practice.patient, review.other, told_by=PatientMerge.ToldBy.LINK)
    review.refresh_from_db()
    assert "What was merged in the EHR is separated there." in answer(dana, review, "undo")
    assert PatientMerge.objects.filter(undone_at=None).count() == 1
