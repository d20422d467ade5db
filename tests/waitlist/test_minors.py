"""Who is written to by age: a child's guardian, nobody from 12 to 17, then the patient; by local midnight."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from scheduling.models import WorkItem
from tests import factories
from tests.waitlist.conftest import Scene
from waitlist import consent, telling
from waitlist.models import Message

pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 3)


@pytest.mark.parametrize(
    ("born", "reached"),
    [
        (date(2014, 3, 4), ["+12125550170"]),
        (date(2014, 3, 3), []),
        (date(2008, 3, 4), []),
        (date(2008, 3, 3), ["+12125550171"]),
        (None, ["+12125550171"]),
    ],
    ids=["11", "12 today", "17", "18 today", "not known"],
)
def test_by_age(db: None, born: date | None, reached: list[str]) -> None:
    person = factories.patient(phone="+12125550171", email=None)
    type(person).objects.filter(pk=person.pk).update(birth_date=born)
    person.refresh_from_db()
    factories.contact(person, "+12125550170", guardian=True, rank=0)
    assert [way.value for way in consent.ways(person, DAY)] == reached


def test_a_guardian_needs_consent_of_their_own(db: None) -> None:
    child = factories.patient(phone="+12125550171", email=None, birth_date=date(2018, 1, 1))
    guardian = factories.contact(child, "+12125550170", consent=False, guardian=True)
    assert consent.ways(child, DAY) == []
    consent.grant(child, guardian, source="spoken")
    assert [way.value for way in consent.ways(child, DAY)] == ["+12125550170"]


def test_an_age_changes_at_the_locations_midnight(scene: Scene) -> None:
    eve = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)  # still March 3rd in New York
    assert consent.day_at(scene.location, eve) == date(2026, 3, 3)
    assert consent.day_at(None, eve) == date(2026, 3, 3)
    assert consent.day_at(scene.location, eve + timedelta(hours=3)) == date(2026, 3, 4)
    assert consent.day_at(factories.location(factories.LOS_ANGELES), eve + timedelta(hours=3)) == date(2026, 3, 3)


def test_who_is_between_child_and_adult_is_told_by_a_call_how_it_ended(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    claim = scene.yes(offer).claim
    assert claim is not None
    factories.contact(offer.patient, "+12125550170", guardian=True)
    claim.patient.birth_date = date(2012, 1, 1)
    claim.patient.save()
    before = Message.objects.count()
    telling.settled(claim, Message.Kind.CONFIRMED)
    assert Message.objects.count() == before
    assert WorkItem.objects.filter(kind="claim.tell", patient=claim.patient).exists()
