"""Somebody joins the line while a time is open that nobody suited: it is offered to them at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling.models import Bookable, Opening, Patient
from scheduling.patients import request_attention
from tests import factories
from tests.waitlist.conftest import Scene
from waitlist import closed_records, entries
from waitlist.models import EntryWindow

pytestmark = pytest.mark.django_db

Commits = Callable[..., Any]
#: What makes somebody suit the time. Whatever led there was before.
Act = Callable[[], Any]


@pytest.fixture
def idle(scene: Scene) -> Opening:
    """Time of the week after next that was looked at ten minutes ago, when nobody suited."""
    opening = scene.opening(hours=200)
    assert scene.look(opening) == 0
    scene.pass_time(minutes=10)
    opening.refresh_from_db()
    assert opening.check_due_at == timezone.now() + timedelta(minutes=20)
    return opening


def due(opening: Opening) -> Any:
    return Opening.objects.get(pk=opening.pk).check_due_at


def joins(scene: Scene) -> Act:
    return lambda: entries.add(factories.patient(), scene.type)


def comes_with_a_list(scene: Scene) -> Act:
    return lambda: entries.bulk_add([entries.Draft(factories.patient(), scene.type)])


def waits_again(scene: Scene) -> Act:
    entry = scene.waiting()[0]
    assert entries.pause(entry)
    return lambda: entries.resume(entry)


def can_come_at_other_hours(scene: Scene) -> Act:
    entry = scene.waiting(windows=[EntryWindow(weekday=0, start=time(3), end=time(4))])[0]
    week = [EntryWindow(weekday=day, start=time(0), end=time(23, 59)) for day in range(7)]
    return lambda: entries.change(entry, windows=week)


def is_a_new_patient_no_more(scene: Scene) -> Act:
    entry = scene.waiting(patient_established=False)[0]

    def act() -> None:
        Patient.objects.filter(pk=entry.patient_id).update(established=True)
        request_attention(entry.patient)
        closed_records.drain(timezone.now())

    return act


EVERYBODY = [joins, comes_with_a_list, waits_again, can_come_at_other_hours, is_a_new_patient_no_more]


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_comes_to_suit_is_offered_the_time_at_once(
    scene: Scene, idle: Opening, who: Callable[[Scene], Act], django_capture_on_commit_callbacks: Commits
) -> None:
    comes_to_suit = who(scene)
    with django_capture_on_commit_callbacks(execute=True):
        comes_to_suit()
    assert due(idle) == timezone.now()
    assert scene.look(Opening.objects.get(pk=idle.pk)) == 1


def test_however_many_join_the_ehr_is_asked_once_a_minute(
    scene: Scene, idle: Opening, django_capture_on_commit_callbacks: Commits
) -> None:
    scene.look(idle)
    with django_capture_on_commit_callbacks(execute=True):
        joins(scene)()
        joins(scene)()
    assert due(idle) == timezone.now() + timedelta(minutes=1)


def held(opening: Opening) -> None:
    opening.held = Opening.Held.REASON


def filled_by_hand(opening: Opening) -> None:
    opening.mine_until = timezone.now() + timedelta(minutes=5)


def computed_only(opening: Opening) -> None:
    opening.source.shadow_since = timezone.now()
    opening.source.save()


def of_a_kind_not_taken_there(opening: Opening) -> None:
    Bookable.objects.update(mode=Bookable.Mode.OFF)


@pytest.mark.parametrize("how", [held, filled_by_hand, computed_only, of_a_kind_not_taken_there])
def test_time_that_is_not_the_machines_to_offer_is_left_alone(
    scene: Scene, idle: Opening, how: Callable[[Opening], None], django_capture_on_commit_callbacks: Commits
) -> None:
    how(idle)
    idle.save()
    with django_capture_on_commit_callbacks(execute=True):
        joins(scene)()
    assert due(idle) == timezone.now() + timedelta(minutes=20)


def test_the_head_start_of_who_was_offered_it_is_kept(
    scene: Scene, django_capture_on_commit_callbacks: Commits
) -> None:
    scene.waiting()
    opening = scene.opening(hours=200)
    assert scene.look(opening) == 1
    scene.pass_time(minutes=10)
    with django_capture_on_commit_callbacks(execute=True):
        joins(scene)()
    assert due(opening) == timezone.now() + timedelta(minutes=20)
