"""Waves, cut-offs and quiet hours, to the second and over both clock changes."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist import pacing
from waitlist.pacing import Policy, Tally, Wave, WaveRule

NEW_YORK = ZoneInfo("America/New_York")
POLICY = Policy()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


@pytest.mark.parametrize(
    ("lead", "size", "gap"),
    [
        (timedelta(minutes=61), 5, 3),
        (timedelta(hours=2) - timedelta(seconds=1), 5, 3),
        (timedelta(hours=2), 4, 5),
        (timedelta(hours=24) - timedelta(seconds=1), 4, 5),
        (timedelta(hours=24), 3, 10),
        (timedelta(hours=72) - timedelta(seconds=1), 3, 10),
        (timedelta(hours=72), 2, 30),
        (timedelta(days=60), 2, 30),
    ],
)
def test_waves_are_larger_and_faster_the_sooner_the_time_is(lead, size, gap) -> None:
    assert pacing.next_wave(lead, POLICY) == Wave(size, minutes(gap))


def test_a_practice_sets_its_own_waves() -> None:
    stored = [
        {"size": 1, "gap_minutes": 60},
        {"lead_hours": 4, "size": 10, "gap_minutes": 1.5},
    ]
    policy = Policy(waves=pacing.wave_rules(stored))

    assert policy.waves == (WaveRule(4, 10, 1.5), WaveRule(None, 1, 60))
    assert pacing.next_wave(timedelta(hours=3), policy) == Wave(10, timedelta(seconds=90))
    assert pacing.next_wave(timedelta(hours=5), policy) == Wave(1, minutes(60))


def test_the_last_stored_wave_holds_beyond_its_lead_time() -> None:
    policy = Policy(waves=pacing.wave_rules([{"lead_hours": 4, "size": 2, "gap_minutes": 1}]))

    assert pacing.next_wave(timedelta(hours=50), policy) == Wave(2, minutes(1))


def test_no_stored_waves_mean_the_defaults() -> None:
    assert pacing.wave_rules([]) == pacing.DEFAULT_WAVES


@pytest.mark.parametrize("wave", [{"size": 0, "gap_minutes": 5}, {"size": 3, "gap_minutes": 0}])
def test_a_wave_of_nobody_or_without_a_gap_is_refused(wave) -> None:
    with pytest.raises(ValueError, match="size of at least 1"):
        pacing.wave_rules([wave])


@pytest.mark.parametrize(
    ("lead", "acceptance", "waiting", "size"),
    [
        # ln(0.05) / ln(0.9) = 28.4: 29 offers. 90 minutes: 30 to the cut-off, 11 waves of 3 minutes.
        (minutes(90), 0.1, 0, 3),
        (minutes(90), 0.1, 18, 1),
        # The last wave before the cut-off carries the rest, as far as a wave may go.
        (minutes(61), 0.1, 0, 20),
        (minutes(61), 0.1, 15, 14),
        # One in two accepts: 5 offers do.
        (minutes(61), 0.5, 0, 5),
        (timedelta(hours=80), 0.1, 0, 1),
    ],
)
def test_a_known_acceptance_rate_aims_at_filling_before_the_cut_off(lead, acceptance, waiting, size) -> None:
    wave = pacing.next_wave(lead, POLICY, acceptance=acceptance, waiting_answers=waiting)

    assert wave.size == size
    assert (wave.gap, wave.acceptance) == (pacing.next_wave(lead, POLICY).gap, acceptance)


@pytest.mark.parametrize("acceptance", [0.0, 1.0])
def test_a_rate_that_says_nothing_leaves_the_starting_figures(acceptance) -> None:
    assert pacing.next_wave(minutes(90), POLICY, acceptance=acceptance) == Wave(5, minutes(3))


def test_the_longer_of_both_notices_is_the_cut_off() -> None:
    start = utc("2026-06-01T15:00")

    assert pacing.cut_off(start, POLICY) == utc("2026-06-01T14:00")
    assert pacing.cut_off(start, POLICY, minutes(30)) == utc("2026-06-01T14:00")
    assert pacing.cut_off(start, POLICY, timedelta(hours=24)) == utc("2026-05-31T15:00")


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        # New York is four hours behind UTC in summer, five in winter.
        ("2026-06-01T11:59:59", "2026-06-01T12:00"),
        ("2026-06-01T12:00", None),
        ("2026-06-01T23:59:59", None),
        ("2026-06-02T00:00", "2026-06-02T12:00"),
        ("2026-06-02T04:30", "2026-06-02T12:00"),
        ("2026-01-15T00:59:59", None),
        ("2026-01-15T01:00", "2026-01-15T13:00"),
        # The clocks go forward on 8 March: that night ends an hour sooner in UTC.
        ("2026-03-08T01:00", "2026-03-08T12:00"),
        ("2026-03-08T06:59", "2026-03-08T12:00"),
        ("2026-03-08T07:30", "2026-03-08T12:00"),
        ("2026-03-07T01:00", "2026-03-07T13:00"),
        # They go back on 1 November: that night is an hour longer.
        ("2026-11-01T00:00", "2026-11-01T13:00"),
        ("2026-11-01T05:30", "2026-11-01T13:00"),
        ("2026-11-01T06:30", "2026-11-01T13:00"),
        ("2026-11-01T12:59:59", "2026-11-01T13:00"),
        ("2026-11-01T13:00", None),
    ],
)
def test_quiet_hours_follow_the_clock_on_the_wall(now, ends) -> None:
    assert pacing.quiet_until(utc(now), NEW_YORK, POLICY) == (utc(ends) if ends else None)


def test_quiet_hours_within_one_day() -> None:
    policy = Policy(quiet_from=time(12), quiet_until=time(14))

    assert pacing.quiet_until(utc("2026-06-01T15:59"), NEW_YORK, policy) is None
    assert pacing.quiet_until(utc("2026-06-01T16:00"), NEW_YORK, policy) == utc("2026-06-01T18:00")
    assert pacing.quiet_until(utc("2026-06-01T18:00"), NEW_YORK, policy) is None
    late = Policy(quiet_from=time(12), quiet_until=time(23))
    assert pacing.quiet_until(utc("2026-06-02T02:00"), NEW_YORK, late) == utc("2026-06-02T03:00"), "the day is theirs"


def test_equal_ends_mean_no_quiet_hours() -> None:
    policy = Policy(quiet_from=time(8), quiet_until=time(8))

    assert pacing.quiet_until(utc("2026-06-01T12:00"), NEW_YORK, policy) is None


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        # 01:30 comes twice on 1 November; after the first one it is quiet again from 01:00.
        ("2026-11-01T05:15", "2026-11-01T05:30"),
        ("2026-11-01T06:15", "2026-11-01T06:30"),
    ],
)
def test_an_end_in_the_hour_that_comes_twice(now, ends) -> None:
    policy = Policy(quiet_from=time(22), quiet_until=time(1, 30))

    assert pacing.quiet_until(utc(now), NEW_YORK, policy) == utc(ends)


def test_an_end_in_the_hour_that_is_skipped_lies_after_it() -> None:
    policy = Policy(quiet_from=time(22), quiet_until=time(2, 30))

    end = pacing.quiet_until(utc("2026-03-08T06:00"), NEW_YORK, policy)

    assert end == utc("2026-03-08T07:30")
    assert end.astimezone(NEW_YORK).time() == time(3, 30)


def test_texts_wait_for_the_morning() -> None:
    night, morning = utc("2026-06-02T03:00"), utc("2026-06-02T12:00")

    for cut_off_at in (utc("2026-06-02T11:00"), utc("2026-06-03T12:00")):
        assert pacing.send_at("sms", night, NEW_YORK, POLICY, cut_off_at) == morning
    assert pacing.send_at("sms", morning, NEW_YORK, POLICY, utc("2026-06-03T12:00")) == morning
    for cut_off_at, leaves in ((utc("2026-06-02T11:00"), night), (utc("2026-06-02T12:01"), morning)):
        assert pacing.send_at("sms", night, NEW_YORK, POLICY, cut_off_at, by_night=True) == leaves


def test_e_mail_goes_by_night_only_when_the_morning_is_too_late() -> None:
    night, morning = utc("2026-06-02T03:00"), utc("2026-06-02T12:00")

    assert pacing.send_at("email", night, NEW_YORK, POLICY, utc("2026-06-02T11:00")) == night
    assert pacing.send_at("email", night, NEW_YORK, POLICY, morning) == night
    assert pacing.send_at("email", night, NEW_YORK, POLICY, utc("2026-06-02T12:01")) == morning


@pytest.mark.parametrize(
    ("day", "week", "allowed"), [(0, 0, True), (1, 4, True), (2, 2, False), (0, 5, False), (3, 9, False)]
)
def test_two_offers_a_day_and_five_a_week(day, week, allowed) -> None:
    assert pacing.within_caps(day, week, POLICY) is allowed


def test_a_practice_says_how_sure_it_wants_to_be_and_how_many_it_offers_a_time_to() -> None:
    policy = Policy(fill_target=0.5, largest_wave=4, most_waiting=6)

    # ln(0.5) / ln(0.9) = 6.6: 7 offers.
    assert pacing.next_wave(minutes(61), policy, acceptance=0.1).size == 4
    assert pacing.next_wave(minutes(61), policy, acceptance=0.1, waiting_answers=4).size == 2
    assert pacing.next_wave(minutes(61), policy, acceptance=0.1, waiting_answers=6).size == 0
    assert pacing.next_wave(minutes(61), policy, waiting_answers=3) == Wave(3, minutes(3))
    assert pacing.next_wave(minutes(61), policy, waiting_answers=9).size == 0


@pytest.mark.parametrize(("hours", "band"), [(1.99, 0), (2, 1), (23.9, 1), (24, 2), (71.9, 2), (72, 3), (2000, 3)])
def test_lead_times_fall_into_four_bands(hours, band) -> None:
    assert pacing.lead_band(timedelta(hours=hours)) == band


def test_nothing_is_measured_from_a_handful_of_answers() -> None:
    assert pacing.acceptance(Tally(39, 39), Tally(39, 39), Tally(39, 39)) is None
    assert pacing.acceptance(Tally(), Tally(), Tally(40, 4)) == pytest.approx(0.1)


def test_few_answers_of_a_type_are_drawn_towards_what_all_types_show() -> None:
    everything, band = Tally(2000, 400), Tally(500, 100)

    nothing_seen = pacing.acceptance(Tally(), band, everything)
    three_yeses = pacing.acceptance(Tally(3, 3), band, everything)
    much_seen = pacing.acceptance(Tally(1000, 50), Tally(1500, 150), Tally(3000, 450))

    assert nothing_seen == pytest.approx(0.2, abs=0.005)
    assert three_yeses is not None
    assert 0.2 < three_yeses < 0.3
    assert much_seen == pytest.approx(0.05, abs=0.01)


@st.composite
def tallies(draw) -> tuple[Tally, Tally, Tally]:
    """A type at a lead time, every type at it, and everything: each with what the one before has."""
    rest = []
    for _ in range(3):
        decided = draw(st.integers(0, 5000))
        rest.append(Tally(decided, draw(st.integers(0, decided))))
    own, others, elsewhere = rest
    return own, own + others, own + others + elsewhere


@given(tallies())
def test_what_is_expected_lies_between_what_was_seen_and_what_is_usual(seen) -> None:
    own, band, everything = seen
    rate = pacing.acceptance(own, band, everything)

    if everything.decided < pacing.ANSWERS_NEEDED:
        assert rate is None
        return
    parts = [each for each in (own, band - own, everything - band) if each.decided]
    rates = [pacing.PRIOR, *(each.accepted / each.decided for each in parts)]
    assert min(rates) - 1e-9 <= rate <= max(rates) + 1e-9
    assert 0 < rate < 1


@given(tallies())
def test_one_more_yes_never_lowers_what_is_expected(seen) -> None:
    own, band, everything = (each + Tally(40, 0) for each in seen)
    yes = Tally(0, 1)

    assert pacing.acceptance(own + yes, band + yes, everything + yes) > pacing.acceptance(own, band, everything)


def test_a_new_practice_that_had_no_luck_is_not_taken_to_be_hopeless() -> None:
    """Forty noes count once, although they are all there is of their type, of their lead time and of everything."""
    noes = Tally(40, 0)

    assert pacing.acceptance(noes, noes, noes) == pytest.approx(3 / 70)


def test_the_chance_that_somebody_accepts() -> None:
    assert pacing.chance(5, 0.1) == pytest.approx(0.40951)
    assert pacing.chance(0, 0.1) == 0


SHARES = st.floats(0, 1, exclude_min=True, exclude_max=True)
LEADS = st.timedeltas(timedelta(), timedelta(days=90))
RULES = st.lists(
    st.tuples(st.floats(0.5, 200), st.integers(1, 40), st.floats(0.5, 120)),
    min_size=1,
    max_size=5,
    unique_by=lambda t: t[0],
).map(lambda rows: pacing.wave_rules([{"lead_hours": h, "size": n, "gap_minutes": gap} for h, n, gap in rows]))
POLICIES = st.builds(
    Policy,
    waves=st.just(pacing.DEFAULT_WAVES) | RULES,
    fill_target=st.floats(0.01, 0.99),
    largest_wave=st.integers(1, 60),
    most_waiting=st.integers(1, 100),
    cut_off=st.timedeltas(timedelta(), timedelta(hours=48)),
)


@given(POLICIES, LEADS, st.none() | st.floats(), st.integers(0, 200))
def test_no_wave_goes_beyond_what_the_practice_allows(policy, lead, rate, waiting) -> None:
    """Whatever is measured, also nonsense: not a number, below none, above all."""
    wave = pacing.next_wave(lead, policy, acceptance=rate, waiting_answers=waiting)

    largest = (
        max(policy.largest_wave, *(rule.size for rule in policy.waves))
        if wave.acceptance is None
        else (policy.largest_wave)
    )
    assert isinstance(wave.size, int)
    assert 0 <= wave.size <= largest
    assert wave.size + waiting <= max(policy.most_waiting, waiting)
    assert wave.size > 0 or waiting >= policy.most_waiting
    assert wave.gap > timedelta()


@given(POLICIES, LEADS, LEADS, SHARES, st.integers(0, 60))
def test_the_more_time_is_left_the_smaller_the_wave(policy, one, other, rate, waiting) -> None:
    sooner, later = sorted((one, other))
    sizes = [pacing.next_wave(lead, policy, acceptance=rate, waiting_answers=waiting).size for lead in (sooner, later)]

    assert sizes[0] >= sizes[1]


@given(POLICIES, LEADS, SHARES, SHARES, st.integers(0, 60))
def test_the_more_patients_accept_the_smaller_the_wave(policy, lead, one, other, waiting) -> None:
    fewer, more = sorted((one, other))
    sizes = [pacing.next_wave(lead, policy, acceptance=rate, waiting_answers=waiting).size for rate in (fewer, more)]

    assert sizes[0] >= sizes[1]


@given(POLICIES, LEADS, SHARES, st.integers(0, 60), st.integers(0, 60))
def test_the_more_wait_for_an_answer_the_smaller_the_wave(policy, lead, rate, one, other) -> None:
    fewer, more = sorted((one, other))
    sizes = [pacing.next_wave(lead, policy, acceptance=rate, waiting_answers=waiting).size for waiting in (fewer, more)]

    assert sizes[0] >= sizes[1]


@given(st.floats(0.01, 0.99), st.floats(0.001, 0.99))
def test_so_many_offers_reach_the_target_and_one_fewer_does_not(target, rate) -> None:
    needed = pacing.offers_needed(target, rate)

    assert pacing.chance(needed, rate) >= target - 1e-6
    assert pacing.chance(needed - 1, rate) < target


def test_a_hair_more_than_none_accept() -> None:
    assert pacing.offers_needed(0.95, 5e-324) == pacing.MOST_NEEDED
    assert pacing.offers_needed(0.75, 0.5) == 2


@pytest.mark.parametrize(
    ("lead", "left", "waves"),
    [
        (minutes(61), minutes(1), 1),
        (minutes(63), minutes(3), 2),
        # From 3 hours on: 12 waves of 5 minutes, then 20 of 3.
        (timedelta(hours=3), timedelta(hours=2), 33),
        (timedelta(hours=80), timedelta(hours=8), 17),
        # A visit that needs a day's notice: 2 hours are left of 26.
        (timedelta(hours=26), timedelta(hours=2), 13),
        (minutes(30), minutes(-30), 1),
    ],
)
def test_waves_that_are_left_are_counted_at_each_lead_times_own_gap(lead, left, waves) -> None:
    assert pacing.waves_left(lead, left, pacing.DEFAULT_WAVES) == waves


def test_a_visit_that_needs_notice_has_less_time_left() -> None:
    left = timedelta(hours=2)

    assert pacing.next_wave(timedelta(hours=26), POLICY, acceptance=0.1).size == 1
    assert pacing.next_wave(timedelta(hours=26), POLICY, acceptance=0.1, left=left).size == 3
