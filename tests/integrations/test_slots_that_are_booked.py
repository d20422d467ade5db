"""Where an EHR books slots, those go out that exist now and make up the asked time exactly; else what was claimed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from integrations.booking import is_free, with_current_slots
from integrations.ehr.gateway import Booking
from scheduling.records import Freshness, Interval, SlotRecord

START = timezone.now()
QUARTER = timedelta(minutes=15)


def at(number: int, length: int = 1) -> Interval:
    """So many quarters of an hour from the beginning on."""
    return Interval(START + QUARTER * number, START + QUARTER * (number + length))


def asked(*slots: str) -> Booking:
    """Half an hour."""
    return Booking("key", "pat-1", "prov-1", "loc-1", at(0, 2).start, at(0, 2).end, slot_ids=slots)


def shown(*slots: tuple[str, int, int, bool], free: tuple[Interval, ...] = ()) -> Freshness:
    """What the EHR shows now: names, beginnings, lengths, and whether each is free."""
    made = (SlotRecord(name, at(begin, length).start, at(begin, length).end, ok) for name, begin, length, ok in slots)
    return Freshness(START, free, tuple(made))


@pytest.mark.parametrize(
    ("look", "sent"),
    [
        (shown(), ("old",)),
        (shown(("old", 0, 2, True), ("new", 0, 2, True)), ("old",)),
        (shown(("old", 0, 2, False), ("new", 0, 2, True)), ("new",)),
        (shown(("new", 0, 2, True)), ("new",)),
        (shown(("a", 0, 1, True), ("b", 1, 1, True), ("later", 2, 1, True)), ("a", "b")),
        (shown(("a", 0, 1, True), ("b", 1, 1, False)), ("old",)),
        (shown(("too long", 0, 3, True)), ("old",)),
    ],
)
def test_slots_that_were_made_anew_are_the_ones_that_go_out(look: Freshness, sent: tuple[str, ...]) -> None:
    assert with_current_slots(asked("old"), look).slot_ids == sent


def test_of_several_that_were_claimed_all_must_be_there() -> None:
    look = shown(("a", 0, 1, True), ("c", 1, 1, True))
    assert with_current_slots(asked("a", "b"), look).slot_ids == ("a", "c")


@pytest.mark.parametrize(
    ("free", "whole"),
    [((at(0, 2),), True), ((at(-1, 4),), True), ((at(0), at(1)), True), ((at(0),), False), ((), False)],
)
def test_time_is_free_only_as_a_whole(free: tuple[Interval, ...], whole: bool) -> None:
    assert is_free(shown(free=free), asked()) is whole
