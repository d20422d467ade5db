"""A referral or authorization that is missing or will have expired is a task for staff, and no offer."""

from __future__ import annotations

from datetime import date

import pytest
from django.contrib.auth.models import User

from scheduling.models import WorkItem
from scheduling.worklist import run_action
from tests.waitlist.conftest import Scene
from waitlist import entries
from waitlist.models import Offer, WaitlistEntry

pytestmark = pytest.mark.django_db

WITHOUT = {"referral_required": True}
EXPIRES_BEFORE = {"authorization_required": True, "authorization_valid_until": date(2026, 3, 3)}


def tasks(status: str = "open") -> list[WorkItem]:
    return list(WorkItem.objects.filter(kind="entry.papers", status=status).order_by("pk"))


def look_at_new_time(scene: Scene, *, hours: float = 20) -> int:
    """Time comes free tomorrow morning, when everything that expires today has expired."""
    return scene.look(scene.opening(hours=hours))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (WITHOUT, "referral"),
        (EXPIRES_BEFORE, "authorization"),
        ({**WITHOUT, **EXPIRES_BEFORE}, "referral and authorization"),
    ],
)
def test_whoever_would_have_been_offered_it_is_a_task_once(scene: Scene, fields: dict[str, object], named: str) -> None:
    (entry,) = scene.waiting(1, **fields)
    scene.waiting(1)
    assert look_at_new_time(scene) == 1
    assert not Offer.objects.filter(patient=entry.patient).exists()
    (item,) = tasks()
    assert item.title == f"A freed time was not offered to a patient: {named} missing or expired"
    assert (item.patient_id, item.subject_id, item.location) == (entry.patient_id, entry.pk, scene.location)
    assert look_at_new_time(scene, hours=22) == 0
    assert [each.times_seen for each in tasks()] == [1]


def test_nobody_is_asked_about_who_would_not_have_been_offered_it_anyway(scene: Scene) -> None:
    scene.waiting(1, **WITHOUT, minimum_notice_minutes=60 * 24 * 30)
    scene.waiting(1, **WITHOUT, latest_date=date(2026, 3, 3))
    scene.waiting(1, **WITHOUT, patient_phone=None, patient_email=None)
    (paused,) = scene.waiting(1, **WITHOUT)
    entries.pause(paused)
    scene.waiting(5)
    scene.waiting(1, **WITHOUT)  # whose turn it was not
    assert look_at_new_time(scene, hours=20) == 4
    assert tasks() == []


def test_papers_that_are_entered_end_it_and_the_patient_is_offered_times(scene: Scene) -> None:
    (entry,) = scene.waiting(1, **WITHOUT)
    look_at_new_time(scene)
    entries.change(entry, note="Called them.")
    assert len(tasks()) == 1
    entries.change(entry, referral_valid_until=date(2026, 6, 1))
    assert tasks() == []
    look_at_new_time(scene, hours=22)
    assert Offer.objects.get().patient == entry.patient


def test_a_paper_that_is_valid_today_and_not_on_the_day_of_the_visit_does_not_end_it(scene: Scene) -> None:
    (entry,) = scene.waiting(1, **EXPIRES_BEFORE)
    look_at_new_time(scene)
    (item,) = tasks()
    assert item.opening is not None
    assert item.opening.start.astimezone(scene.location.zone).date() == date(2026, 3, 4)
    entries.change(entry, note="Called them.")
    assert len(tasks()) == 1
    entries.change(entry, authorization_valid_until=date(2026, 3, 4))
    assert tasks() == []


def test_who_lacks_it_for_a_later_visit_is_a_task_again_at_once(scene: Scene) -> None:
    (entry,) = scene.waiting(1, **WITHOUT)
    look_at_new_time(scene)
    entries.change(entry, referral_valid_until=date(2026, 3, 4))
    assert tasks() == []
    look_at_new_time(scene, hours=24 * 3)
    (item,) = tasks()
    # That day is over, too: what is entered then has to hold.
    scene.pass_time(days=10)
    entries.change(entry, referral_valid_until=date(2026, 3, 8))
    assert tasks() == [item]
    entries.change(entry, referral_valid_until=date(2026, 6, 1))
    assert tasks() == []


def test_papers_of_one_patient_are_none_of_anothers(scene: Scene) -> None:
    first, second = scene.waiting(2, **WITHOUT)
    look_at_new_time(scene)
    entries.change(second, referral_valid_until=date(2026, 6, 1))
    assert [item.subject_id for item in tasks()] == [first.pk]


@pytest.mark.parametrize(("fields", "many"), [(WITHOUT, True), (WITHOUT, False), (EXPIRES_BEFORE, False)])
def test_who_leaves_the_list_leaves_no_task(scene: Scene, fields: dict[str, object], many: bool) -> None:
    (entry,) = scene.waiting(1, **fields)
    look_at_new_time(scene)
    assert entries.pause(entry)
    assert len(tasks()) == 1  # who waits again needs it
    assert entries.leave_many([entry.pk]) if many else entries.leave(WaitlistEntry.objects.get(pk=entry.pk))
    assert tasks() == []


def test_what_staff_have_asked_for_is_given_a_week_to_come(scene: Scene, django_user_model: type[User]) -> None:
    scene.waiting(1, **WITHOUT)
    look_at_new_time(scene)
    run_action(tasks()[0], "done", django_user_model.objects.create_user("ana"))
    scene.pass_time(days=6)
    look_at_new_time(scene)
    assert tasks() == []
    scene.pass_time(days=2)
    look_at_new_time(scene)
    assert len(tasks()) == 1
