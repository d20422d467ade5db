"""Counts of those nobody looked at one by one."""

from datetime import time, timedelta

import pytest
from django.utils import timezone

from tests import factories as make
from waitlist import entries, match_summary
from waitlist.models import CandidateVerdict, MatchSummary

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene():
    class Scene:
        place = make.location()
        provider = make.provider()
        kind = make.appointment_type()

    make.bookable(Scene.provider, Scene.place, Scene.kind)
    Scene.opening = make.opening(Scene.provider, Scene.place)
    return Scene


def test_everybody_on_the_list_is_counted_once_by_what_decides(scene) -> None:
    day = scene.opening.start.astimezone(scene.place.zone).date()
    off, long_kind = make.appointment_type(), make.appointment_type(90)
    make.bookable(scene.provider, scene.place, off, mode="off")
    make.bookable(scene.provider, scene.place, long_kind)
    urgent_notice = make.appointment_type(minimum_notice_minutes=60 * 24 * 30)
    make.bookable(scene.provider, scene.place, urgent_notice)

    def wait(kind=None, **fields):
        return make.entry(make.patient(email=None), kind or scene.kind, **fields)

    for _ in range(3):
        wait()
    wait(make.appointment_type())
    wait(off)
    wait(long_kind)
    wait(urgent_notice)
    wait(providers=[make.provider()], locations=[make.location()])
    wait(locations=[make.location()])
    wait(earliest_date=day + timedelta(days=1))
    wait(latest_date=day - timedelta(days=1))
    wait(windows=[make.window((day.weekday() + 1) % 7)])
    wait(minimum_notice_minutes=60 * 24 * 30)
    wait(needs=[{"need": "escort", "notice_minutes": 60 * 24 * 30}])
    entries.pause(wait())
    entries.ask(wait())
    entries.leave(wait())
    seen = wait()
    CandidateVerdict.objects.create(
        opening=scene.opening, entry=seen, rank=1, eligible=True, computed_at=timezone.now()
    )

    elsewhere = make.opening(scene.provider, scene.place, start=make.in_days(4))
    CandidateVerdict.objects.create(opening=elsewhere, entry=wait(), rank=1, eligible=True, computed_at=timezone.now())

    summary = match_summary.compute(scene.opening, timezone.now())

    assert summary.counts == {
        "behind": 4,
        "type": 1,
        "type_off": 1,
        "too_short": 1,
        "cut_off": 1,
        "provider": 1,
        "location": 1,
        "too_early": 1,
        "too_late": 1,
        "hours": 1,
        "notice": 1,
        "needs_notice": 1,
        "paused": 1,
        "asked": 1,
    }
    assert MatchSummary.objects.get(opening=scene.opening).counts == summary.counts


@pytest.mark.parametrize(
    ("minutes", "since", "until", "counted"),
    [
        (30, time(9), time(9, 30), "behind"),
        (30, time(9, 30), time(10), "behind"),
        (30, time(9, 45), time(12), "hours"),
        (30, time(8), time(9, 15), "hours"),
        (60, time(9), time(10), "behind"),
        (60, time(9, 30), time(12), "hours"),
        (60, time(8), time(9, 30), "hours"),
    ],
)
def test_hours_are_counted_by_the_visit_that_the_patient_waits_for(scene, minutes, since, until, counted) -> None:
    """From nine to ten: a short visit has two times there, a long one has one."""
    day = scene.opening.start.astimezone(scene.place.zone)
    opening = make.opening(scene.provider, scene.place, start=day.replace(hour=9, minute=0, second=0), minutes=60)
    kinds = {30: scene.kind, 60: make.appointment_type(60)}
    make.bookable(scene.provider, scene.place, kinds[60])
    make.entry(make.patient(), kinds[minutes], windows=[make.window(day.weekday(), since, until)])

    assert match_summary.compute(opening, timezone.now()).counts == {counted: 1}


def test_a_long_list_is_counted_in_ranges(scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_summary, "RANGE", 3)
    for _ in range(10):
        make.entry(make.patient(), scene.kind)

    assert match_summary.compute(scene.opening, timezone.now()).counts == {"behind": 10}


def test_nobody_on_the_list_gives_no_counts(scene) -> None:
    assert match_summary.compute(scene.opening, timezone.now()).counts == {}


def test_a_request_is_done_soon_and_once(scene) -> None:
    now = timezone.now()
    match_summary.request(scene.opening, now)
    match_summary.request(scene.opening, now + timedelta(seconds=1))

    assert match_summary.drain(now + timedelta(seconds=5)) == 0
    assert match_summary.drain(now + timedelta(seconds=6)) == 1
    assert match_summary.drain(now + timedelta(hours=1)) == 0

    summary = MatchSummary.objects.get(opening=scene.opening)
    assert (summary.due_at, summary.computed_at) == (None, now + timedelta(seconds=6))


def test_the_oldest_request_is_seen_to_first(scene) -> None:
    now = timezone.now()
    later, earlier = scene.opening, make.opening(scene.provider, scene.place, start=make.in_days(4))
    match_summary.request(later, now + timedelta(seconds=1))
    match_summary.request(earlier, now)

    assert match_summary.drain(now + timedelta(seconds=10), limit=1) == 1

    assert list(MatchSummary.objects.filter(due_at=None).values_list("opening", flat=True)) == [earlier.pk]


def test_what_was_requested_at_one_moment_is_seen_to_once_however_many_workers_look(
    scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    openings = [scene.opening, *(make.opening(scene.provider, scene.place, start=make.in_days(day)) for day in (4, 5))]
    for opening in openings:
        match_summary.request(opening, now - timedelta(minutes=1))
    compute, computed = match_summary.compute, []

    def beside_another_worker(opening, at):
        computed.append(opening.pk)
        if len(computed) == 1:
            assert match_summary.drain(now) == 2
        return compute(opening, at)

    monkeypatch.setattr(match_summary, "compute", beside_another_worker)

    assert match_summary.drain(now) == 1
    assert sorted(computed) == [opening.pk for opening in openings]
    assert not match_summary.due(timezone.now() + timedelta(hours=1)).exists()


def test_a_request_that_comes_in_while_it_is_counted_stays_due(scene, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    match_summary.request(scene.opening, now - timedelta(minutes=1))
    compute = match_summary.compute

    def while_a_wave_goes_out(opening, at):
        match_summary.request(opening, at)
        return compute(opening, at)

    monkeypatch.setattr(match_summary, "compute", while_a_wave_goes_out)

    assert match_summary.drain(now) == 1
    assert MatchSummary.objects.get().due_at == now + match_summary.SOON


def test_where_nobody_was_offered_it_the_first_in_line_are_judged_too(scene) -> None:
    first, second = (make.entry(make.patient(), scene.kind) for _ in range(2))
    match_summary.request(scene.opening, timezone.now())
    now = timezone.now() + timedelta(minutes=1)

    assert match_summary.drain(now) == 1

    judged = CandidateVerdict.objects.order_by("rank").values_list("rank", "entry_id", "computed_at")
    assert list(judged) == [(1, first.pk, now), (2, second.pk, now)]
    assert MatchSummary.objects.get(opening=scene.opening).counts == {}


def test_a_new_request_keeps_the_counts_until_they_are_new(scene) -> None:
    make.entry(make.patient(), scene.kind)
    match_summary.compute(scene.opening, timezone.now())

    match_summary.request(scene.opening, timezone.now())

    summary = MatchSummary.objects.get(opening=scene.opening)
    assert summary.counts == {"behind": 1}
    assert summary.due_at is not None


def test_counts_a_dead_worker_left_are_computed_after_its_lease(scene) -> None:
    now = timezone.now()
    match_summary.request(scene.opening, now - timedelta(minutes=1))
    MatchSummary.objects.update(due_at=now + match_summary.LEASE)

    assert match_summary.drain(now + match_summary.LEASE - timedelta(seconds=1)) == 0
    assert match_summary.drain(now + match_summary.LEASE) == 1
