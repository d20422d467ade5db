"""What a code probably means is guessed from words the field uses; where it is unclear nothing is guessed."""

from __future__ import annotations

import pytest

from integrations.likeness import are_twins, likeness, suggestion

TYPES = {"follow-up": "Follow-up", "new-patient": "New patient", "physical": "Annual physical", "video": "Video visit"}
STATUSES = {each: each.replace("-", " ") for each in ("booked", "bumped", "cancelled", "noshow", "checked-in")}
REASONS = {"rebookable": "the time may be offered", "not_rebookable": "the time is not offered", "ask_staff": "staff"}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (("FU", ""), "follow-up"),
        (("1004", "Followup visit"), "follow-up"),
        (("NP-30", "New Pt"), "new-patient"),
        (("PE", ""), "physical"),
        (("visitVideo", ""), "video"),
        (("LUNCH", "Lunch break"), None),
        (("", ""), None),
    ],
)
def test_kinds_of_visit(said: tuple[str, str], meant: str | None) -> None:
    assert suggestion("type", said, TYPES) == meant


@pytest.mark.parametrize(
    ("domain", "code", "meant"),
    [
        ("status", "CXL", "cancelled"),
        ("status", "NS", "noshow"),
        ("status", "Bump", "bumped"),
        ("status", "Check In", "checked-in"),
        ("status", "???", None),
        ("reason", "Provider ill", "not_rebookable"),
        ("reason", "PATIENT REQUEST", "rebookable"),
        ("reason", "Booked in error", "ask_staff"),
    ],
)
def test_words_of_the_field(domain: str, code: str, meant: str | None) -> None:
    assert suggestion(domain, [code], STATUSES if domain == "status" else REASONS) == meant


def test_two_that_are_equally_like_are_no_guess() -> None:
    assert suggestion("provider", ["Chen"], {"1": "Dr. Chen", "2": "Chen, MD"}) is None
    assert likeness("Chen Mei", "Dr. Mei Chen") == 1.0


@pytest.mark.parametrize(
    ("first", "second", "one"),
    [
        ("Dr. Mei Chen", "Chen, Mei", True),
        ("Dr. Mei Chen", "Mei Chenn MD", True),
        ("Riverside", "River-side", True),
        ("Harbor East", "Harbor West", False),
        ("Harbor Clinic Suite 1", "Harbor Clinic Suite 2", False),
        ("Dr. Ann Lee", "Dr. Dan Lee", False),
        ("Harbor", "Harbor Family Practice", False),
    ],
)
def test_two_that_may_be_one(first: str, second: str, one: bool) -> None:
    assert are_twins(first, second) is one
