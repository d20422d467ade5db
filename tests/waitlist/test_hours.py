"""Windows as minutes of the week."""

from datetime import time

import pytest

from waitlist.facts import Window
from waitlist.hours import day_keys, stretches


def test_windows_that_overlap_or_touch_are_one_stretch() -> None:
    windows = [Window(2, time(13), time(15)), Window(2, time(9), time(12)), Window(2, time(12), time(12, 30))]

    assert stretches(windows) == {2: [(540, 750), (780, 900)]}


def test_the_last_minute_of_the_day_stands_for_midnight() -> None:
    assert stretches([Window(0)]) == {0: [(0, 1440)]}


@pytest.mark.parametrize(
    ("windows", "keys"),
    [
        ([], [(7, 0, 1440)]),
        ([Window(day) for day in range(7)], [(7, 0, 1440)]),
        ([Window(day, time(8), time(10)) for day in range(7)], [(7, 480, 600)]),
        ([Window(day) for day in range(6)], [(day, 0, 1440) for day in range(6)]),
        ([*(Window(day) for day in range(6)), Window(6, time(8), time(10))], None),
        ([Window(4, time(8), time(9)), Window(4, time(10), time(11))], [(4, 480, 540), (4, 600, 660)]),
    ],
)
def test_hours_that_are_the_same_every_day_are_kept_once(windows, keys) -> None:
    if keys is None:
        keys = [(day, 0, 1440) for day in range(6)] + [(6, 480, 600)]

    assert day_keys(windows) == keys
