"""What a booked visit needs is a task for staff, and is taken back with the visit."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from scheduling.models import Appointment, WorkItem
from scheduling.worklist import run_action
from tests import factories
from tests.waitlist.conftest import Scene
from tests.waitlist.test_settling import moved_up, won
from waitlist import claims
from waitlist.from_calendar import follow
from waitlist.models import Claim

pytestmark = pytest.mark.django_db

NEEDS = [{"need": "interpreter", "notice_minutes": 60}]


def booked(scene: Scene, hours: float = 10) -> Claim:
    (offer,) = scene.offered(1, hours=hours, needs=NEEDS)
    claim = won(scene, offer)
    scene.answer(claim)
    return claim


def titles() -> list[str]:
    return list(WorkItem.objects.filter(status="open").order_by("pk").values_list("title", flat=True))


def test_what_the_visit_needs_is_a_task(scene: Scene) -> None:
    needs = [{"need": "interpreter", "notice_minutes": 60}]
    (offer,) = scene.offered(1, hours=10, needs=needs)
    scene.answer(won(scene, offer))
    item = WorkItem.objects.get()
    assert (item.kind, item.title) == ("claim.checklist", "Arrange for a booked visit: interpreter")
    assert item.advice == "The EHR has the booking."


def test_a_new_patients_paperwork_is_on_it_though_nothing_else_is_needed(scene: Scene) -> None:
    opening, newcomer = scene.opening(hours=10), factories.patient(established=False)
    result = claims.staff_confirm(opening, newcomer, appointment_type=scene.type, start=opening.start, end=opening.end)
    assert result.claim is not None
    scene.answer(result.claim)
    item = WorkItem.objects.get()
    assert (item.title, item.patient_id) == ("Arrange for a booked visit: paperwork of a new patient", newcomer.pk)


def test_what_was_arranged_for_the_later_date_is_to_be_cancelled_too(scene: Scene) -> None:
    claim, _ = moved_up(scene, needs=[{"need": "transport", "notice_minutes": 60}])
    scene.answer(claim)
    item = WorkItem.objects.get(kind="claim.checklist")
    assert item.title == "Arrange for a booked visit: transport"
    assert "replaces the visit on March 23: cancel what was arranged for that day, too" in item.advice


@pytest.mark.parametrize("status", ["cancelled", "bumped", "entered-in-error"])
def test_of_a_visit_that_was_cancelled_nothing_is_to_be_arranged_any_more(scene: Scene, status: str) -> None:
    claim, other = booked(scene), booked(scene, hours=30)
    follow()
    assert titles() == ["Arrange for a booked visit: interpreter"] * 2
    Appointment.objects.filter(pk=claim.appointment_id).update(status=status)
    follow()
    assert [item.patient_id for item in WorkItem.objects.filter(status="open")] == [other.patient_id]


def test_what_was_arranged_for_a_visit_that_was_cancelled_is_put_to_staff_once(scene: Scene) -> None:
    claim = booked(scene)
    run_action(WorkItem.objects.get(), "done", User.objects.create_user("ana"))
    booked(scene, hours=30)
    run_action(WorkItem.objects.get(status="open"), "done", User.objects.get())
    follow()
    assert titles() == []
    Appointment.objects.filter(pk=claim.appointment_id).update(status="cancelled")
    follow()
    follow()
    assert titles() == ["Cancel what was arranged, as the visit was cancelled: interpreter"]
    item = WorkItem.objects.get(status="open")
    assert (item.patient_id, item.due_at, item.times_seen) == (claim.patient_id, claim.appointment.start, 1)
    run_action(item, "done", User.objects.get())
    follow()
    assert titles() == []
    Appointment.objects.update(status="cancelled")
    follow()
    assert len(titles()) == 1, "of the other visit"
