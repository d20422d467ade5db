"""Two thousand offers in one go, by real workers, to a carrier that refuses whatever comes faster than its rate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import timezone

from integrations.models import ApiCall, SendingLimit
from scheduling.models import ContactPoint
from tests import factories
from tests.flows.clinic import Clinic
from tests.flows.outside import Outside, reached_by
from tests.flows.stack import Stack, wait_for
from waitlist import consent
from waitlist.models import Message, Offer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.redis,
]

OFFERS = 2000
#: Segments of texts a second. Real numbers of theirs are allowed 1 to 100; this one lets the test end in half a minute.
RATE = 70
#: Every tenth text is one of two segments, which a long name makes of some.
LONG = " Bring nothing, and come to the side door in Meadow Lane, which the bus stop faces."
UNDER_WAY = ("waiting", "sending", "unknown")


@pytest.fixture
def outside(stack: Stack) -> Iterator[Outside]:
    """The carrier and the mail server of the stack."""
    with reached_by(stack) as places:
        yield places


def numbers_that_agreed(count: int) -> list[ContactPoint]:
    """So many numbers, each with consent to texts."""
    patient = factories.patient(email=None)
    numbers = ContactPoint.objects.bulk_create(
        ContactPoint(
            patient=patient,
            system=ContactPoint.System.PHONE,
            value=f"+1646{2000000 + each}",
            address_index=f"{each:064}",
            rank=1,
            can_text=True,
        )
        for each in range(count)
    )
    words = consent.Statement("form", "test", "made up", "test")
    assert len(consent.grant_many(((patient, number) for number in numbers), words)) == count
    return numbers


def queue_offers(numbers: list[ContactPoint]) -> None:
    now = timezone.now()
    Message.objects.bulk_create(
        Message(
            kind=Message.Kind.OFFER,
            channel="sms",
            patient=number.patient,
            contact_point=number,
            address=number.value,
            address_index=number.address_index,
            body=f"Elm Street Clinic: Tue Mar 3, 2:30 PM is free. Reply YES {number.pk}.{LONG * 2 * (each % 10 == 0)}",
            dedupe_key=f"crowd:{number.pk}",
            due_at=now,
        )
        for each, number in enumerate(numbers)
    )


def test_they_leave_under_the_carriers_rate_and_who_says_yes_meanwhile_need_not_wait(
    clinic: Clinic, stack: Stack, outside: Outside
) -> None:
    """None lost, none twice, none over the rate; a booking's answers overtake what is still to go."""
    stack.start()
    clinic.subscribe(stack.url)
    clinic.cancel(1)
    phone = clinic.patient("waiting-1").contact_points.get(system="phone").value
    wait_for(Message.objects.filter(kind="offer", status="sent").exists, "the first offers", 60)
    wait_for(lambda: not Message.objects.filter(status__in=UNDER_WAY).exists(), "the clinic's own wave", 60)
    offer = Offer.objects.get(patient=clinic.patient("waiting-1"))
    before = len(outside.carrier.messages())

    SendingLimit.objects.create(channel="sms", per_second=RATE)
    outside.carrier.allow(RATE)
    numbers = numbers_that_agreed(OFFERS)
    queue_offers(numbers)
    wait_for(lambda: len(outside.carrier.messages()) > before + OFFERS // 4, "the first quarter", 240)
    outside.carrier.patient_texts(phone, f"YES {offer.code}")
    wait_for(lambda: not Message.objects.filter(status__in=UNDER_WAY).exists(), "the last offer", 600)

    crowd = {number.value for number in numbers}
    taken = [text["to"] for text in outside.carrier.messages() if text["direction"].startswith("outbound")]
    assert outside.carrier.too_fast() == 0
    assert sorted(to for to in taken if to in crowd) == sorted(crowd), "each of them once"
    rows = Message.objects.filter(dedupe_key__startswith="crowd:")
    assert set(rows.values_list("status", "attempts")) == {("sent", 1)}
    assert not ApiCall.objects.filter(system="sms").exclude(result="ok").exists()
    confirmed_at = max(index for index, to in enumerate(taken) if to == phone)
    assert len(outside.texts(phone)) == 3, "offered, received, confirmed"
    assert len([to for to in taken[confirmed_at:] if to in crowd]) > OFFERS // 4
