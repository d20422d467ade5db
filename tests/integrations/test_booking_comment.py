"""EHR users see why a name appeared in their calendar, wherever the EHR shows comments; the words name nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.integrations.conftest import Booking
from waitlist.booking_comment import comment_on
from waitlist.models import Claim, Offer

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("channel", "by_mail", "said"),
    [
        ("sms", True, "by text"),
        ("link", False, "by link"),
        ("link", True, "by e-mail"),
        ("staff", True, "by phone, taken by staff"),
    ],
)
def test_it_says_how_and_when_the_yes_came(booking: Booking, channel: str, by_mail: bool, said: str) -> None:
    Claim.objects.update(channel=channel, created_at=datetime(2026, 1, 9, 13, 7, tzinfo=UTC))
    Offer.objects.update(asks_birth_year=by_mail)
    appointment = booking.appointment
    assert comment_on(appointment) == f"Waitlist, ref {appointment.reference}, YES {said} 08:07"


@pytest.mark.parametrize("shows_comments", [True, False])
def test_it_is_sent_only_where_the_ehr_shows_comments(booking: Booking, shows_comments: bool) -> None:
    ehr = booking.clinic.ehr
    ehr.capabilities = replace(ehr.capabilities, comments=shows_comments)
    booking.process()
    [asked] = ehr.creates
    assert asked.comment == (comment_on(booking.appointment) if shows_comments else "")
