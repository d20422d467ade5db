"""The order of the line, how it is walked, and that its head costs the same however long it is."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.utils import timezone

from tests import factories as make
from waitlist import candidates, entries, line_sql, ranking
from waitlist.models import MatchKey, WaitlistEntry
from waitlist.reasons import Reason

pytestmark = pytest.mark.django_db

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def scene():
    class Scene:
        place = make.location()
        provider = make.provider()
        kind = make.appointment_type()

    make.bookable(Scene.provider, Scene.place, Scene.kind)
    Scene.opening = make.opening(Scene.provider, Scene.place)
    return Scene


def wait(scene, days: int = 0, **fields) -> WaitlistEntry:
    """Somebody who has waited that many days."""
    fields.setdefault("joined_at", LONG_AGO - timedelta(days=days))
    return make.entry(fields.pop("patient", None) or make.patient(), fields.pop("kind", scene.kind), **fields)


def eligible(found: list[ranking.Ranked]) -> list[int]:
    return [ranked.entry_id for ranked in found if ranked.verdict.eligible]


def by_the_rule(opening, found: list[ranking.Ranked]) -> list[int]:
    """Those found, put in order by the rule itself, which the long tests and the bench compare the line with."""
    facts = candidates.facts_for(opening)
    loaded = candidates.load(sorted(ranked.entry_id for ranked in found)[::-1], facts)
    return [each.entry_id for each in sorted(loaded, key=lambda each: ranking.rank_key(each, facts))]


def test_the_order_as_it_is_explained_to_staff(scene) -> None:
    later = make.patient()
    weekday = scene.opening.start.astimezone(scene.place.zone).weekday()
    moving = make.appointment(later, start=make.in_days(30))
    takes_anything = wait(scene, days=2)
    expected = [
        wait(scene, urgency=0, days=1),
        wait(scene, urgency=1, days=9, lost_races=1),
        wait(scene, urgency=1, days=90),
        wait(scene, lost_races=2),
        wait(scene, lost_races=1),
        wait(scene, days=3),
        # Equal so far: who named the provider, the place or the day fits more closely than who takes anything.
        wait(scene, days=2, providers=[scene.provider], locations=[scene.place]),
        wait(scene, days=2, providers=[scene.provider]),
        wait(scene, days=2, locations=[scene.place]),
        wait(scene, days=2, windows=[make.window(weekday)]),
        takes_anything,
        # A patient with an appointment comes after everybody without one of the same urgency.
        wait(scene, days=400, lost_races=9, patient=later, move_up=moving),
    ]

    found = ranking.top(scene.opening, 20)

    assert [ranked.entry_id for ranked in found] == [entry.pk for entry in expected]
    assert [ranked.rank for ranked in found] == list(range(1, 13))
    assert by_the_rule(scene.opening, found) == [entry.pk for entry in expected]


def test_the_longer_visit_fits_a_long_time_more_closely(scene) -> None:
    long_kind = make.appointment_type(60)
    make.bookable(scene.provider, scene.place, long_kind)
    short, long_visit = wait(scene), wait(scene, kind=long_kind)
    opening = make.opening(scene.provider, scene.place, minutes=60)

    found = ranking.top(opening, 2)
    assert eligible(found) == [long_visit.pk, short.pk]
    assert by_the_rule(opening, found) == [long_visit.pk, short.pk]


def test_among_equals_the_entry_that_was_there_first_is_first(scene) -> None:
    waiting = [wait(scene) for _ in range(5)]

    assert eligible(ranking.top(scene.opening, 5)) == [entry.pk for entry in waiting]


def test_an_entry_with_several_keys_for_the_time_stands_once_in_the_line(scene) -> None:
    weekday = scene.opening.start.astimezone(scene.place.zone).weekday()
    start = scene.opening.start.astimezone(scene.place.zone).replace(hour=8, minute=0)
    opening = make.opening(scene.provider, scene.place, start=start.astimezone(UTC), minutes=600)
    hours = [make.window(weekday, *pair) for pair in ((_at(8), _at(10)), (_at(12), _at(14)), (_at(16), _at(18)))]
    first, second = wait(scene, days=2, windows=hours), wait(scene, days=1)
    facts = candidates.facts_for(opening)

    assert MatchKey.objects.filter(entry=first).count() == 3
    for page in (None, 1, 2):
        assert [place.entry_id for place in ranking.line(facts, page or 9)][:2] == [first.pk, second.pk][: page or 2]
    places = list(line_sql.walk(facts, None, page=1))
    assert [place.entry_id for place in places] == [first.pk, second.pk]


@pytest.mark.parametrize("page", [1, 2, 9])
def test_nobody_who_ties_with_the_last_of_a_page_is_left_out_of_the_next(scene, page: int) -> None:
    loose, other_loose = wait(scene), wait(scene)
    close, other_close = (wait(scene, providers=[scene.provider]) for _ in range(2))

    places = line_sql.walk(candidates.facts_for(scene.opening), None, page)

    assert [place.entry_id for place in places] == [close.pk, other_close.pk, loose.pk, other_loose.pk]


def test_a_visit_that_runs_past_midnight_is_for_those_who_take_any_hour(scene) -> None:
    late = make.in_days(3).astimezone(scene.place.zone).replace(hour=23, minute=45).astimezone(UTC)
    opening = make.opening(scene.provider, scene.place, start=late)
    start_day = late.astimezone(scene.place.zone).weekday()
    by_day = wait(scene, days=1, windows=[make.window(day, _at(8), _at(18)) for day in range(7)])
    wait(scene, days=1, windows=[make.window((start_day + later) % 7) for later in range(6)])
    takes_any = wait(scene)

    assert eligible(ranking.top(opening, 3)) == [takes_any.pk]
    in_line = [place.entry_id for place in ranking.line(candidates.facts_for(opening))]
    assert by_day.pk not in in_line
    assert takes_any.pk in in_line


@pytest.mark.parametrize(("month", "day"), [(3, 1), (3, 8), (10, 25), (11, 1)])
def test_hours_are_read_off_the_wall_on_both_sides_of_each_clock_change(scene, month: int, day: int) -> None:
    nine = datetime(2026, month, day, 9, tzinfo=scene.place.zone).astimezone(UTC)
    waiting = [wait(scene, windows=[make.window(6, _at(hour), _at(hour + 1))]) for hour in (8, 9, 10)]
    facts = candidates.facts_for(make.opening(scene.provider, scene.place, start=nine), nine - timedelta(days=2))

    assert [place.entry_id for place in ranking.line(facts, 9)] == [waiting[1].pk]


def _at(hour: int):
    return datetime(2026, 1, 1, hour, tzinfo=UTC).time()


def test_keys_that_cannot_suit_are_not_read(scene) -> None:
    day = scene.opening.start.astimezone(scene.place.zone).date()
    other_provider, other_place = make.provider(), make.location()
    wait(scene, providers=[other_provider])
    wait(scene, locations=[other_place])
    wait(scene, windows=[make.window((day.weekday() + 1) % 7)])
    wait(scene, windows=[make.window(day.weekday(), _at(1), _at(2))])
    wait(scene, earliest_date=day + timedelta(days=1))
    wait(scene, latest_date=day - timedelta(days=1))
    wait(scene, minimum_notice_minutes=60 * 24 * 30)
    wait(scene, kind=make.appointment_type())
    entries.pause(wait(scene))
    suits = wait(scene, earliest_date=day, latest_date=day, windows=[make.window(day.weekday())])

    facts = candidates.facts_for(scene.opening)

    assert [place.entry_id for place in ranking.line(facts)] == [suits.pk]


def test_bounds_that_are_just_met_are_read(scene) -> None:
    start = scene.opening.start.astimezone(scene.place.zone)
    end = scene.opening.end.astimezone(scene.place.zone)
    hours = make.window(start.weekday(), start.time(), end.time())
    wait(
        scene,
        windows=[hours],
        earliest_date=start.date(),
        latest_date=start.date(),
        minimum_notice_minutes=60,
    )
    last_moment = scene.opening.start - timedelta(hours=1)

    assert len(list(ranking.line(candidates.facts_for(scene.opening, last_moment)))) == 1
    assert list(ranking.line(candidates.facts_for(scene.opening, last_moment + timedelta(seconds=1)))) == []


@pytest.mark.parametrize(
    "change", [{"mode": "off"}, {"duration_minutes": 31}, {"appointment_type__minimum_notice_minutes": 60 * 24 * 9}]
)
def test_nobody_is_in_line_for_what_cannot_be_booked(scene, change) -> None:
    wait(scene)
    bookable = scene.kind.bookables.get()
    for name, value in change.items():
        target, _, column = name.rpartition("__")
        row = getattr(bookable, target) if target else bookable
        setattr(row, column, value)
        row.save()

    assert ranking.top(scene.opening, 3) == []


def test_those_passed_over_keep_their_verdicts(scene) -> None:
    no_consent = wait(scene, days=5, patient=make.patient(phone=None, consent=[]))
    deceased = wait(scene, days=4, patient=make.patient(deceased=True))
    first, second, third = wait(scene, days=3), wait(scene, days=2), wait(scene, days=1)

    found = ranking.top(scene.opening, 1)

    assert [(each.rank, each.entry_id, each.verdict.reasons[0]) for each in found] == [
        (1, no_consent.pk, Reason.NO_CONTACT),
        (2, deceased.pk, Reason.DECEASED),
        (3, first.pk, Reason.SUITS),
        (4, second.pk, Reason.SUITS),
        (5, third.pk, Reason.SUITS),
    ]


def test_only_so_many_of_those_around_are_kept(scene) -> None:
    gone = [wait(scene, days=90 - day, patient=make.patient(deceased=True)) for day in range(6)]
    waiting = [wait(scene, days=50 - day) for day in range(6)]

    found = ranking.top(scene.opening, 2, following=3)

    assert [each.entry_id for each in found] == [entry.pk for entry in (*gone[:3], *waiting[:5])]
    assert [each.rank for each in found] == [1, 2, 3, 7, 8, 9, 10, 11]
    assert eligible(ranking.top(scene.opening, 2, following=0)) == [entry.pk for entry in waiting[:2]]
    found = ranking.top(scene.opening, 2, following=1, passed=4)
    assert [each.entry_id for each in found] == [entry.pk for entry in (*gone[:4], *waiting[:3])]


def test_a_patient_is_offered_a_time_by_one_entry_only(scene) -> None:
    other = make.appointment_type()
    make.bookable(scene.provider, scene.place, other)
    patient = make.patient()
    first = wait(scene, days=3, patient=patient)
    again = wait(scene, days=2, patient=patient, kind=other)
    next_one = wait(scene, days=1)

    found = ranking.top(scene.opening, 2)

    assert eligible(found) == [first.pk, next_one.pk]
    assert found[1].entry_id == again.pk
    assert found[1].verdict.reasons == (Reason.SAME_PATIENT,)


def test_an_entry_that_does_not_suit_does_not_stand_in_the_way_of_the_patients_other_one(scene) -> None:
    other = make.appointment_type()
    make.bookable(scene.provider, scene.place, other)
    patient = make.patient()
    left_unanswered = wait(scene, days=3, patient=patient, silences=9)
    second = wait(scene, days=2, patient=patient, kind=other)

    found = ranking.top(scene.opening, 2)

    assert [(each.entry_id, each.verdict.reasons) for each in found] == [
        (left_unanswered.pk, (Reason.SILENT,)),
        (second.pk, (Reason.SUITS,)),
    ]


def test_a_long_run_of_unsuitable_patients_neither_hides_who_suits_nor_costs_a_look_at_each(
    scene, django_assert_max_num_queries
) -> None:
    gone = make.patient(deceased=True)
    drafts = [
        entries.Draft(
            make.patient(phone=None, email=None), scene.kind, fields={"joined_at": LONG_AGO - timedelta(days=9)}
        )
        for _ in range(150)
    ]
    entries.bulk_add(drafts)
    wait(scene, days=8, patient=gone)
    suits = wait(scene, days=1)

    facts = candidates.facts_for(scene.opening)

    with django_assert_max_num_queries(50):
        assert eligible(ranking.top(scene.opening, 2, following=5, facts=facts)) == [suits.pk]


def test_the_walk_takes_ten_queries_a_batch(scene, django_assert_num_queries) -> None:
    for _ in range(30):
        wait(scene)
    facts = candidates.facts_for(scene.opening)

    with django_assert_num_queries(10):
        assert len(ranking.top(scene.opening, 5, following=20, facts=facts)) == 25


def test_the_ids_of_a_long_line_are_those_of_the_oracle(scene) -> None:
    now = timezone.now()
    drafts = [
        entries.Draft(
            make.patient(phone=None if index % 5 == 0 else "", email=None, consent=["sms"]),
            scene.kind,
            (scene.provider,) if index % 3 == 0 else (),
            fields={
                "urgency": index * 7919 % 3,
                "joined_at": LONG_AGO - timedelta(days=index * 31 % 10),
                "minimum_notice_minutes": 60 * 24 * (index % 4),
            },
        )
        for index in range(240)
    ]
    entries.bulk_add(drafts)
    facts = candidates.facts_for(scene.opening, now)
    everybody = candidates.load(list(WaitlistEntry.objects.values_list("pk", flat=True)), facts)
    suited = [each for each in everybody if ranking.judge(facts, each).eligible]
    oracle = [each.entry_id for each in sorted(suited, key=lambda each: ranking.rank_key(each, facts))]

    assert 100 < len(oracle) < 200
    assert eligible(ranking.top(scene.opening, 1000, now, following=0)) == oracle
    assert eligible(ranking.top(scene.opening, 10, now, following=0)) == oracle[:10]


def fill_line(scene, number: int) -> None:
    """That many more waiting entries and their keys, by SQL alone."""
    patient = make.patient()
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO waitlist_waitlistentry (patient_id, appointment_type_id, status, urgency, lost_races,"
            " silences, minimum_notice_minutes, needs, referral_required, authorization_required, note, added_by,"
            " origin, texts_by_night, joined_at, created_at, updated_at)"
            " WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < %s)"
            " SELECT %s, %s, 'left', 2, 0, 0, 0, '[]', false, false, '', '', 'staff', false, {0}, {0}, {0}"
            " FROM n".format("%s::timestamptz" if connection.vendor == "postgresql" else "%s"),
            [number, patient.pk, scene.kind.pk, now, now, now],
        )
        cursor.execute(
            "INSERT INTO waitlist_matchkey (entry_id, appointment_type_id, provider_key, location_key, weekday_key,"
            " urgency, moving_up, races_won_by_others, joined_at, notice_minutes, from_minute, until_minute)"
            " SELECT id, appointment_type_id, 0, 0, 7, 2, false, 0, joined_at, 0, 0, 1440"
            " FROM waitlist_waitlistentry WHERE status = 'left'"
        )
        cursor.execute("ANALYZE waitlist_matchkey")


def plan(sql: str, parameters: list) -> str:
    explain = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    with connection.cursor() as cursor:
        cursor.execute(explain + sql, parameters)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


@pytest.mark.parametrize("continued", [False, True])
def test_the_line_is_read_from_the_ordered_index_alone(scene, continued) -> None:
    fill_line(scene, 5000)
    facts = candidates.facts_for(scene.opening)
    branches = line_sql.branches_of(facts)
    after = list(ranking.line(facts, 100))[-1] if continued else None

    steps = plan(*line_sql.statement(branches, 10, after))

    assert len(branches) == 8
    if connection.vendor == "postgresql":
        assert "Index Only Scan using match_key_line" in steps
        assert "Seq Scan" not in steps
        # One sort of what the branches yield; inside a branch the index is the order.
        assert steps.count("Sort Key") == 1
        assert ("ROW(" in steps) is continued
    else:
        scans = [line for line in steps.splitlines() if "waitlist_matchkey" in line]
        assert len(scans) == 8
        equals = "appointment_type_id=? AND provider_key=? AND location_key=? AND weekday_key=?"
        for scan in scans:
            assert scan.startswith("SEARCH waitlist_matchkey USING COVERING INDEX match_key_line")
            assert equals in scan
            assert ("(urgency,moving_up,races_won_by_others,joined_at,entry_id)>(?,?,?,?,?)" in scan) is continued
        # The index is the order; only the few rows that come out of a branch are sorted for merging.
        lines = steps.splitlines()
        after_search = [following for line, following in pairwise(lines) if line in scans]
        assert all(line.startswith("SCAN (subquery") for line in after_search)


def test_a_page_is_as_long_as_asked_however_long_the_line(scene) -> None:
    fill_line(scene, 5000)
    facts = candidates.facts_for(scene.opening)

    first = list(ranking.line(facts, 10))
    second = list(ranking.line(facts, 10, first[-1]))

    assert len(first) == len(second) == 10
    ids = [place.entry_id for place in (*first, *second)]
    assert ids == sorted(ids)
    assert ids == list(MatchKey.objects.order_by("entry_id").values_list("entry_id", flat=True)[:20])
