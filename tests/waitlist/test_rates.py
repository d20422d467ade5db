"""What share of offers the practice's patients accept, and what its waves make of that."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling.models import AppointmentType
from tests import factories
from tests.integrations.messaging.test_delivery_once import message_to
from tests.waitlist.conftest import Scene, steps
from waitlist import pacing, rates
from waitlist.models import AcceptanceTally, Message, Offer

pytestmark = pytest.mark.django_db

S = Offer.Status


def answered(kind: AppointmentType, *statuses: str, hours: float, ago: timedelta = timedelta(hours=1)) -> None:
    """One offer for each status, made so long ago, for time that started so many hours later."""
    made_at = timezone.now() - ago
    place, provider = factories.location(), factories.provider()
    for status in statuses:
        opening = factories.opening(provider, place, start=made_at + timedelta(hours=hours))
        patient = factories.patient()
        offer = factories.offer(opening, factories.entry(patient, kind), status=status)
        Offer.objects.filter(pk=offer.pk).update(created_at=made_at)
        message_to(patient.contact_points.get(system="phone"), kind="offer", offer=offer, status="sent")


def seen(kind: AppointmentType, band: int, decided: int, accepted: int) -> None:
    AcceptanceTally.objects.create(appointment_type=kind, lead_band=band, decided=decided, accepted=accepted)


def test_answers_are_counted_by_type_and_lead_time(scene: Scene) -> None:
    other = factories.appointment_type()
    answered(scene.type, S.YES, S.TOO_LATE, S.NO, S.EXPIRED, S.WITHDRAWN, S.SENT, hours=3)
    answered(scene.type, S.NO, hours=1.5)
    answered(other, S.YES, hours=100)
    answered(other, S.YES, hours=100, ago=timedelta(days=91))

    for _ in range(2):  # counting again adds nothing
        rates.recount()

    tallies = AcceptanceTally.objects.order_by("appointment_type", "lead_band")
    assert list(tallies.values_list("appointment_type", "lead_band", "decided", "accepted")) == [
        (scene.type.pk, 0, 1, 0),
        (scene.type.pk, 1, 4, 2),
        (other.pk, 3, 1, 1),
    ]


@pytest.mark.parametrize(("status", "decided"), [("delivered", 1), ("failed", 0), ("suppressed", 0), (None, 0)])
def test_who_was_never_told_has_not_declined(scene: Scene, status: str | None, decided: int) -> None:
    answered(scene.type, S.EXPIRED, hours=3)
    text = Message.objects.filter(kind="offer")
    text.update(status=status) if status else text.delete()
    rates.recount()
    assert sum(AcceptanceTally.objects.values_list("decided", flat=True)) == decided


def test_who_answered_on_the_phone_has_answered(scene: Scene) -> None:
    answered(scene.type, S.YES, S.NO, S.EXPIRED, hours=3)
    Message.objects.all().delete()
    rates.recount()
    assert list(AcceptanceTally.objects.values_list("decided", "accepted")) == [(2, 1)]


def test_answers_of_long_ago_are_forgotten(scene: Scene) -> None:
    answered(scene.type, S.YES, hours=3)
    rates.recount()
    assert AcceptanceTally.objects.count() == 1
    scene.pass_time(days=91)
    rates.recount()
    assert not AcceptanceTally.objects.exists()


def test_the_starting_figures_hold_until_enough_patients_have_answered(scene: Scene) -> None:
    scene.waiting(12)
    seen(scene.type, 0, pacing.ANSWERS_NEEDED - 1, 0)
    opening = scene.opening(hours=1.75)

    assert scene.look(opening) == 5
    assert opening.timeline.get(kind="wave.sent").summary == "Wave 1: 5 offers."


def test_where_few_accept_a_wave_is_larger_and_the_story_says_why(scene: Scene) -> None:
    scene.waiting(12)
    seen(scene.type, 0, 2000, 60)
    opening = scene.opening(hours=1.25)

    made = scene.look(opening)

    # 3 % each: 98 offers for 95 %, over the six waves of 3 minutes before the cut-off.
    told = opening.timeline.get(kind="wave.sent").summary
    assert made == 12
    assert told == "Wave 1: 12 offers. At 3% acceptance each, 31% within 3 minutes."


def test_what_hardly_anybody_accepts_is_not_said_to_be_accepted_by_none(scene: Scene) -> None:
    scene.waiting(3)
    seen(scene.type, 0, 5000, 5)
    opening = scene.opening(hours=1.25)
    scene.look(opening)
    told = opening.timeline.get(kind="wave.sent").summary
    assert told == "Wave 1: 3 offers. At under 1% acceptance each, under 1% within 3 minutes."


def test_no_more_than_so_many_wait_for_an_answer_at_once(scene: Scene) -> None:
    scene.waiting(8)
    factories.policy(most_waiting=5)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 4
    scene.pass_time(minutes=5)
    assert scene.look(opening) == 1
    for _ in range(2):
        scene.pass_time(minutes=5)
        assert scene.look(opening) == 0
    assert steps(opening) == ["wave.sent", "wave.sent", "wave.full"]

    # One says no: the next in line has the place.
    opening.refresh_from_db()
    Offer.objects.filter(pk=opening.offers.first().pk).update(status=S.NO)
    scene.pass_time(minutes=5)
    assert scene.look(opening) == 1


def test_what_a_type_shows_at_other_lead_times_counts_less(scene: Scene) -> None:
    other = factories.appointment_type()
    seen(scene.type, 3, 1000, 300)
    seen(other, 0, 1000, 20)

    short, long = (rates.acceptance_for({scene.type.pk}, timedelta(hours=hours)) for hours in (1, 100))

    assert short is not None
    assert long is not None
    assert short < 0.05
    assert long > 0.25


def test_one_types_answers_are_not_taken_for_anothers(scene: Scene) -> None:
    other = factories.appointment_type()
    seen(scene.type, 0, 1000, 300)
    seen(other, 0, 1000, 20)

    liked, disliked, both = (
        rates.acceptance_for(types, timedelta(hours=1))
        for types in ({scene.type.pk}, {other.pk}, {scene.type.pk, other.pk})
    )

    assert liked is not None
    assert disliked is not None
    assert both is not None
    assert disliked < 0.03 < 0.1 < both < 0.2 < 0.28 < liked
