"""From a fresh look to the told winner, with nothing but rows in between."""

from __future__ import annotations

import pytest

from scheduling.models import Appointment, Opening, Writeback
from tests.waitlist.conftest import Scene, steps, told
from waitlist.models import CandidateVerdict, Claim, Message, Offer

pytestmark = pytest.mark.django_db


def test_from_free_time_to_a_told_winner(scene: Scene) -> None:
    first, second, third, fourth, fifth = scene.waiting(5)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 4
    offers = list(opening.offers.order_by("rank"))
    assert [offer.patient_id for offer in offers] == [e.patient_id for e in (first, second, third, fourth)]
    assert {offer.status for offer in offers} == {"sent"}
    assert CandidateVerdict.objects.get(opening=opening, entry=fifth).wave == 0
    assert told(first.patient) == ["offer by sms", "offer by email"]
    scene.deliver()

    result = scene.yes(offers[1])
    assert result.outcome == "won"
    claim = result.claim
    assert claim is not None
    assert (claim.state, claim.channel) == ("pending", "link")
    appointment = Appointment.objects.get(pk=claim.appointment_id)
    assert (appointment.status, appointment.patient_id) == ("pending", second.patient_id)
    assert len(appointment.reference or "") == 6
    writeback = Writeback.objects.get(appointment=appointment)
    assert (writeback.status, writeback.slots) == ("waiting", [f"slot-{opening.pk}"])
    assert Opening.objects.get(pk=opening.pk).status == "claimed"
    assert told(second.patient)[2:] == ["received by sms"]

    scene.answer(claim)
    assert claim.state == Claim.State.CONFIRMED
    assert Opening.objects.get(pk=opening.pk).status == "filled"
    second.refresh_from_db()
    assert second.status == "booked"
    assert told(second.patient)[3:] == ["confirmed by sms", "confirmed by email"]
    assert appointment.reference in Message.objects.get(kind="confirmed", channel="sms").body
    assert "BEGIN:VCALENDAR" in Message.objects.get(kind="confirmed", channel="email").attachment
    assert [offer.status for offer in opening.offers.order_by("rank")] == ["withdrawn", "yes", "withdrawn", "withdrawn"]
    assert told(first.patient)[2:] == ["filled by sms", "filled by email"]
    assert told(fifth.patient) == []
    assert Offer.objects.count() == 4
    assert steps(opening) == ["wave.sent", "claim.received", "claim.confirmed"]
