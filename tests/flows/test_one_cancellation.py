"""A patient cancels in the EHR; another patient has the time, in the EHR, and everybody was told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduling.models import Appointment, TimelineEntry, Writeback
from tests.flows.clinic import Clinic, unique
from waitlist import replies
from waitlist.models import Claim, Message, Offer, WaitlistEntry

pytestmark = pytest.mark.django_db(transaction=True)


def say(clinic: Clinic, number: int, text: str) -> None:
    """``waiting-<number>`` answers by text."""
    phone = clinic.patient(f"waiting-{number}").contact_points.get(system="phone").value
    replies.receive("sms", unique(), phone, text, 0)


def told(number: int, clinic: Clinic) -> list[str]:
    """Kinds of the texts ``waiting-<number>`` got, in order."""
    rows = Message.objects.filter(patient=clinic.patient(f"waiting-{number}"), channel="sms").order_by("pk")
    return [row.kind for row in rows if row.status in ("sent", "delivered")]


def test_from_cancellation_to_read_back(
    clinic: Clinic, poll_and_pump: Callable[[], None], pump: Callable[[], None]
) -> None:
    clinic.cancel(1)
    poll_and_pump()
    opening = clinic.opening()
    assert opening is not None
    assert opening.status == "offering"
    offers = Offer.objects.filter(opening=opening).order_by("rank")
    assert [offer.patient for offer in offers[:2]] == [clinic.patient("waiting-1"), clinic.patient("waiting-2")]

    say(clinic, 1, f"YES {offers[0].code}")
    pump()

    opening.refresh_from_db()
    claim = Claim.objects.get()
    assert (opening.status, claim.state, claim.patient) == ("filled", "confirmed", clinic.patient("waiting-1"))
    (booked,) = clinic.bookings_at(0)
    assert clinic.patient_of(booked) == "waiting-1"
    assert Appointment.objects.get(pk=claim.appointment_id).status == "booked"
    assert Writeback.objects.get().status == "done"
    assert WaitlistEntry.objects.get(patient=claim.patient).status == "booked"
    assert told(1, clinic) == ["offer", "received", "confirmed"]
    assert told(2, clinic) == ["offer", "filled"]
    confirmation = Message.objects.get(patient=claim.patient, kind="confirmed", channel="sms")
    assert str(claim.appointment.reference) in confirmation.body


def test_the_story_tells_every_hop(clinic: Clinic, poll_and_pump: Callable[[], None], pump: Callable[[], None]) -> None:
    clinic.cancel(1)
    poll_and_pump()
    say(clinic, 1, "yes")
    pump()
    kinds = list(TimelineEntry.objects.filter(opening=clinic.opening()).values_list("kind", flat=True))
    assert kinds[0] == "opening.opened"
    assert len(kinds) >= 5


def test_a_reason_of_the_providers_opens_nothing(clinic: Clinic, poll_and_pump: Callable[[], None]) -> None:
    clinic.cancel(1, reason="prov")
    poll_and_pump()
    assert clinic.opening() is None
    assert not Offer.objects.exists()
