"""Who said yes too late hears at once that somebody was first, and at the end, once, what became of the time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling import openings
from scheduling.models import Opening
from tests.waitlist.conftest import Scene, told
from waitlist import attention, messages, withdrawal
from waitlist.models import Claim, Message, Offer

pytestmark = pytest.mark.django_db

OFFERED = ["offer by sms", "offer by email"]
FILLED = ["filled by sms", "filled by email"]


def claimed(scene: Scene, number: int = 2, hours: float = 10) -> tuple[Claim, list[Offer]]:
    """The first of so many has the claim; the others have not answered yet."""
    first, *others = scene.offered(number, hours=hours)
    claim = scene.yes(first).claim
    assert claim is not None
    return claim, others


@pytest.mark.parametrize("drained_between", [True, False])
def test_late_by_the_link_then_filled(scene: Scene, drained_between: bool) -> None:
    claim, (late,) = claimed(scene)
    scene.yes(late)
    if drained_between:
        attention.drain()
    scene.answer(claim)
    attention.drain()
    late.refresh_from_db()
    assert late.status == Offer.Status.TOO_LATE
    assert told(late.patient) == [*OFFERED, *FILLED]
    said = Message.objects.get(patient=late.patient, kind="filled", channel="sms")
    assert "has been filled. Nothing is booked for you. You keep your place on the list." in said.body
    assert (said.initiated, said.due_at, said.expires_at) == (True, timezone.now(), late.start)


def test_late_by_text_hears_both_and_the_end_once(scene: Scene) -> None:
    claim, (late,) = claimed(scene)
    scene.text(late.patient, f"YES {late.code}")
    scene.answer(claim)
    for _ in range(3):
        attention.drain()
        openings.request_attention(claim.opening_id)
    assert told(late.patient) == [*OFFERED, "answer by sms", *FILLED]


def test_a_yes_after_the_end_heard_the_truth_and_hears_nothing_more(scene: Scene) -> None:
    claim, (late,) = claimed(scene)
    Offer.objects.filter(pk=late.pk).update(status=Offer.Status.TOO_LATE, answered_at=timezone.now())
    Opening.objects.filter(pk=claim.opening_id).update(
        status=Opening.Status.FILLED, closed_at=timezone.now() - timedelta(seconds=1)
    )
    openings.request_attention(claim.opening_id)
    attention.drain()
    assert told(late.patient) == OFFERED


def test_nobody_is_told_while_the_booking_is_pending_or_runs_again(scene: Scene) -> None:
    claim, (late,) = claimed(scene)
    scene.yes(late)
    attention.drain()
    scene.answer(claim, "refused", code="rejected")
    attention.drain()
    assert told(late.patient) == OFFERED
    claim.opening.refresh_from_db()
    scene.look(claim.opening)
    late.refresh_from_db()
    assert late.status == Offer.Status.SENT
    assert told(late.patient) == [*OFFERED, *OFFERED], "a fresh offer of the same time"


def test_late_on_a_fresh_offer_hears_the_end_of_that_one(scene: Scene) -> None:
    claim, (late, third) = claimed(scene, 3)
    scene.yes(late)
    attention.drain()
    scene.answer(claim, "refused", code="rejected")
    attention.drain()
    scene.pass_time(minutes=5)
    claim.opening.refresh_from_db()
    scene.look(claim.opening)
    scene.deliver()
    second = scene.yes(third).claim
    assert second is not None
    scene.yes(late)
    scene.answer(second)
    attention.drain()
    assert told(late.patient) == [*OFFERED, *OFFERED, *FILLED]


def test_taken_in_the_ehr_is_filled_too(scene: Scene) -> None:
    claim, (late,) = claimed(scene)
    scene.yes(late)
    scene.answer(claim, "refused", taken=True, code="taken")
    attention.drain()
    assert told(late.patient) == [*OFFERED, *FILLED]


def test_closed_otherwise_is_no_longer_offered(scene: Scene) -> None:
    claim, (late,) = claimed(scene)
    scene.yes(late)
    scene.answer(claim, "refused", code="rejected")
    claim.opening.refresh_from_db()
    openings.close(claim.opening, Opening.Closed.CUT_OFF)
    attention.drain()
    assert told(late.patient) == [*OFFERED, "withdrawn by sms", "withdrawn by email"]


def test_it_waits_for_the_morning_like_any_text_that_we_start(scene: Scene) -> None:
    claim, (late,) = claimed(scene, hours=40)
    scene.yes(late)
    scene.pass_time(hours=11)  # 9 in the evening
    scene.answer(claim)
    attention.drain()
    due = set(Message.objects.filter(patient=late.patient, kind="filled").values_list("due_at", flat=True))
    assert due == {timezone.now() + timedelta(hours=11)}


@pytest.mark.parametrize("says_yes", [True, False])
def test_it_does_not_wait_for_a_morning_that_comes_after_the_visit(scene: Scene, says_yes: bool) -> None:
    """Offered in the evening for seven in the morning: at eight it would be too late to hear of it."""
    scene.pass_time(hours=9, minutes=55)
    winner, late = scene.offered(2, hours=11)
    claim = scene.yes(winner).claim
    assert claim is not None
    if says_yes:
        scene.yes(late)
    attention.drain()
    scene.pass_time(minutes=10)  # five past eight
    scene.answer(claim)
    attention.drain()
    ends = Message.objects.filter(patient=late.patient, kind="filled").order_by("-channel")
    by_text, by_mail = (messages.may_send(message) for message in ends)
    assert by_mail.action == "send", "e-mail about such a time comes by night"
    # Who said yes is owed the end before the visit; to all others a text says nothing they asked for.
    assert by_text.action == ("send" if says_yes else "wait")
    assert [message.due_at == timezone.now() for message in ends] == [says_yes, True]


def test_who_is_texted_by_night_hears_the_end_by_night(scene: Scene) -> None:
    scene.pass_time(hours=11)
    winner, other = scene.offered(2, hours=10, texts_by_night=True, patient_email=None)
    claim = scene.yes(winner).claim
    assert claim is not None
    scene.answer(claim)
    end = Message.objects.get(patient=other.patient, kind="filled")
    assert (end.due_at, messages.may_send(end).action) == (timezone.now(), "send")


def test_many_are_told_in_bounded_steps_and_each_once(scene: Scene) -> None:
    claim, others = claimed(scene, 4)
    for late in others:
        scene.yes(late)
    attention.drain()
    scene.answer(claim)
    claim.opening.refresh_from_db()
    more = [withdrawal.tell_late(claim.opening, "filled", limit=2) for _ in range(3)]
    assert more == [True, False, False]
    assert [told(late.patient) for late in others] == [[*OFFERED, *FILLED]] * 3


def test_the_receipt_of_a_yes_says_from_when_on_to_call(scene: Scene) -> None:
    """Half the time that is left: ten hours before the visit that is in five."""
    (offer,) = scene.offered(1, hours=10)
    scene.yes(offer)
    assert "If you hear nothing by Tue Mar 3, 3:00 PM, call" in Message.objects.get(kind="received").body
