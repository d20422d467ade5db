"""Whose outreach numbers hold where."""

from datetime import time, timedelta

import pytest

from tests import factories as make
from waitlist import policies
from waitlist.pacing import DEFAULT_WAVES, Policy, WaveRule

pytestmark = pytest.mark.django_db


def test_without_any_row_the_defaults_hold() -> None:
    assert policies.policy_for(None, None) == Policy()
    assert policies.policy_for(make.location().pk, make.appointment_type().pk) == Policy(
        start_delay=timedelta(seconds=30),
        cut_off=timedelta(minutes=60),
        offers_per_day=2,
        offers_per_week=5,
        silences_before_asking=3,
        offer_open=timedelta(hours=24),
        hear_by=timedelta(hours=24),
        quiet_from=time(20),
        quiet_until=time(8),
        waves=DEFAULT_WAVES,
    )


def test_the_narrowest_row_wins_whole() -> None:
    place, other_place = make.location(), make.location()
    kind, other_kind = make.appointment_type(), make.appointment_type()
    make.policy(cut_off_minutes=1, offers_per_day=9)
    make.policy(location=place, cut_off_minutes=2)
    make.policy(appointment_type=kind, cut_off_minutes=3)
    make.policy(location=place, appointment_type=kind, cut_off_minutes=4)

    def cut_off(location, type_):
        return policies.policy_for(location.pk, type_.pk).cut_off // timedelta(minutes=1)

    assert cut_off(place, kind) == 4
    assert cut_off(other_place, kind) == 3
    assert cut_off(place, other_kind) == 2
    assert cut_off(other_place, other_kind) == 1
    # A type's own numbers go before a location's.
    third = make.location()
    make.policy(location=third, cut_off_minutes=5)
    assert (cut_off(third, kind), cut_off(third, other_kind)) == (3, 5)
    # Nothing is mixed in from the wider row.
    assert policies.policy_for(place.pk, kind.pk).offers_per_day == 2


def test_stored_figures_are_read_as_they_are() -> None:
    make.policy(
        start_delay_seconds=900,
        silences_before_asking=1,
        offer_open_hours=6,
        hear_by_hours=3,
        quiet_from=time(19, 30),
        quiet_until=time(9),
        waves=[{"size": 1, "gap_minutes": 15}],
    )

    policy = policies.policy_for(None, None)

    assert policy.start_delay == timedelta(minutes=15)
    assert (policy.silences_before_asking, policy.quiet_from, policy.quiet_until) == (1, time(19, 30), time(9))
    assert policy.waves == (WaveRule(None, 1, 15),)
    assert (policy.offer_open, policy.hear_by) == (timedelta(hours=6), timedelta(hours=3))


def test_many_types_take_one_query(django_assert_num_queries) -> None:
    place, kinds = make.location(), [make.appointment_type() for _ in range(5)]
    make.policy(location=place, appointment_type=kinds[2], offers_per_week=1)

    with django_assert_num_queries(1):
        found = policies.policies_for(place.pk, [kind.pk for kind in kinds])

    assert [found[kind.pk].offers_per_week for kind in kinds] == [5, 5, 1, 5, 5]
