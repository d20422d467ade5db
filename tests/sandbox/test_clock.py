"""Stamps of stored versions never repeat and never run backwards."""

import time
from itertools import pairwise

import pytest

from integrations.ehr.sandbox.clock import Clock, format_instant, parse_instant


def present() -> int:
    return time.time_ns() // 1_000_000


def test_stamps_strictly_increase_even_within_a_millisecond_and_after_the_clock_was_set_back() -> None:
    tomorrow = present() + 86_400_000
    for latest in (0, tomorrow):
        clock = Clock(latest)
        stamps = [clock.tick() for _ in range(1000)]
        assert stamps[0] > latest
        assert all(earlier < later for earlier, later in pairwise(stamps))
        assert clock.now() >= stamps[-1]


def test_a_bulk_load_is_stamped_in_the_past() -> None:
    clock = Clock()
    before = present()
    first = clock.reserve(10_000)
    assert before - 10_000 <= first <= present() - 10_000
    assert clock.tick() > first + 9_999


def test_instants_keep_their_milliseconds_and_need_an_offset() -> None:
    assert parse_instant("2026-03-04T10:30:00.123-05:00") == parse_instant("2026-03-04T15:30:00.123Z")
    assert format_instant(parse_instant("2026-03-04T10:30:00.123-05:00")) == "2026-03-04T15:30:00.123Z"
    with pytest.raises(ValueError, match="offset"):
        parse_instant("2026-03-04T10:30:00")
