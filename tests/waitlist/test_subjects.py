"""What follows from whom and what a message is about: its clock, its language, and who signs it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduling.models import Location, Opening, Patient, Practice, Provider
from tests.factories import LOS_ANGELES, NEW_YORK
from waitlist.models import Offer
from waitlist.subjects import Subject, describe

HOUSE = Practice(name="Elm Street Clinic", phone="+12125550100", time_zone="America/Chicago")
PLACE = Location(time_zone=NEW_YORK)
NOON = datetime(2026, 3, 3, 17, tzinfo=UTC)


def test_the_clock_is_the_patients_else_the_places_else_the_practices() -> None:
    there = Patient(time_zone=LOS_ANGELES)
    assert str(Subject(there, PLACE, house=HOUSE).zone) == LOS_ANGELES
    assert str(Subject(there, PLACE, house=HOUSE).place_zone) == NEW_YORK
    assert str(Subject(Patient(), PLACE, house=HOUSE).zone) == NEW_YORK
    assert str(Subject(house=HOUSE).zone) == "America/Chicago"


def test_the_language_is_the_patients_else_the_one_they_wrote_in() -> None:
    assert Subject(Patient(language="es"), speaks="en").language == "es"
    assert Subject(Patient(), speaks="es").language == "en"
    assert Subject(speaks="es").language == "es"


def test_a_place_signs_and_is_called_where_it_says_so_else_the_practice() -> None:
    signs = Location(time_zone=NEW_YORK, signature="EHC", phone="+12125550101")
    for place, signed in (
        (signs, ("EHC", "+12125550101")),
        (PLACE, ("Elm Street Clinic", "+12125550100")),
        (None, ("Elm Street Clinic", "+12125550100")),
    ):
        said = describe(Subject(location=place, house=HOUSE), NOON)
        assert (said["practice"], said["phone"]) == signed
        assert {"start", "code", "provider"}.isdisjoint(said)


@pytest.mark.parametrize(("zone", "named"), [("", ""), (NEW_YORK, ""), ("America/Detroit", ""), (LOS_ANGELES, "EST")])
def test_the_zone_is_named_to_whoever_has_another_time(zone: str, named: str) -> None:
    assert describe(Subject(Patient(time_zone=zone), PLACE, house=HOUSE), NOON)["zone"] == named
    assert describe(Subject(None, PLACE, house=HOUSE), NOON)["zone"] == ""


@pytest.mark.parametrize("names", [True, False])
def test_an_offers_time_is_the_places_and_its_provider_is_named_where_the_place_does(names: bool) -> None:
    place = Location(time_zone=NEW_YORK, names_providers=names)
    opening = Opening(provider=Provider(name="Dr. Chen"), location=place)
    # In summer, though the words are about it in winter: its zone is that of the day it is on.
    offer = Offer(
        start=datetime(2026, 7, 3, 16, tzinfo=UTC), code="47", opening=opening, patient=Patient(time_zone="UTC")
    )
    said = describe(Subject.of(offer, house=HOUSE), NOON)
    assert (said["start"].isoformat(), said["code"]) == ("2026-07-03T12:00:00-04:00", "47")
    assert said["zone"] == "EDT"
    assert said.get("provider") == ("Dr. Chen" if names else None)
    assert "provider" not in describe(Subject(location=place, house=HOUSE), NOON)
