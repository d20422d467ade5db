"""Verdicts in the front desk's words."""

import pytest

from tests import factories as make
from waitlist import explain
from waitlist.reasons import Reason


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_a_sentence(reason) -> None:
    sentence = explain.explain(reason)

    assert sentence == explain.explain(reason.value)
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert sentence != reason.value


def test_no_two_reasons_say_the_same() -> None:
    assert len(set(explain.SENTENCES.values())) == len(Reason)


def test_an_unknown_code_is_shown_as_it_is() -> None:
    assert explain.explain("from_a_later_version") == "from_a_later_version"


def test_the_deciding_reason_is_said_first() -> None:
    said = explain.explain_all(["notice", "busy"])

    assert said == "The patient needs more notice than is left. The patient has another appointment at that time."


@pytest.mark.django_db
def test_why_not_her_is_answered_on_demand() -> None:
    place, provider, kind = make.location(), make.provider(), make.appointment_type()
    make.bookable(provider, place, kind)
    opening = make.opening(provider, place)
    suits = make.entry(make.patient(), kind)
    elsewhere = make.entry(make.patient(), kind, locations=[make.location()])

    verdict, said = explain.why_not(opening, suits)
    assert (verdict.eligible, said) == (True, "This time suits.")

    verdict, said = explain.why_not(opening, elsewhere)
    assert (verdict.eligible, said) == (False, "The patient wants to come to other locations.")
