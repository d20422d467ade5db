"""Notifications that come three times or in the wrong order: one effect, and the newest state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integrations.models import InboundEvent
from scheduling.models import Opening
from tests.faults.people import Inbox, told
from tests.flows.clinic import Clinic
from waitlist.models import Offer

pytestmark = pytest.mark.django_db(transaction=True)


def outcomes() -> list[str]:
    return list(InboundEvent.objects.filter(via="webhook").order_by("pk").values_list("outcome", flat=True))


def test_the_same_event_three_times_has_one_effect(clinic: Clinic, notified: Inbox, pump: Callable[[], None]) -> None:
    clinic.fault("notify-double", path="Appointment")
    clinic.cancel(1)
    notified.wait_until_all_arrived(1)
    pump()
    assert Opening.objects.get().status == "offering"
    offered = list(Offer.objects.values_list("patient", "status"))

    notified.send_again()
    notified.wait_until_all_arrived(2)
    pump()

    assert len(outcomes()) == 1
    assert Opening.objects.get().status == "offering"
    assert list(Offer.objects.values_list("patient", "status")) == offered
    assert told(clinic, 1) == ["offer"]


def test_cancelled_and_taken_back_told_in_the_wrong_order_is_booked(
    clinic: Clinic, notified: Inbox, pump: Callable[[], None]
) -> None:
    clinic.fault("notify-reorder", path="Appointment")
    clinic.cancel(1)
    clinic.control.post("appointments/booking-1/uncancel")
    notified.wait_until_all_arrived(2)
    pump()

    assert len(outcomes()) == 2
    assert clinic.appointment("booking-1").status == "booked"
    assert not Opening.objects.filter(status__in=Opening.LIVE).exists()
    assert not Offer.objects.exists()


def test_taken_back_and_cancelled_again_told_in_the_wrong_order_is_cancelled(
    clinic: Clinic, notified: Inbox, pump: Callable[[], None]
) -> None:
    clinic.cancel(1)
    notified.wait_until_all_arrived(1)
    pump()
    clinic.fault("notify-reorder", path="Appointment")
    clinic.control.post("appointments/booking-1/uncancel")
    clinic.cancel(1)
    notified.wait_until_all_arrived(3)
    pump()

    assert len(outcomes()) == 3
    assert clinic.appointment("booking-1").status == "cancelled"
    assert Opening.objects.filter(status__in=Opening.LIVE).count() == 1
    assert Offer.objects.filter(status="sent").count() == 2


def test_an_old_event_sent_again_after_newer_ones_changes_nothing(
    clinic: Clinic, notified: Inbox, pump: Callable[[], None]
) -> None:
    clinic.cancel(1)
    clinic.control.post("appointments/booking-1/uncancel")
    notified.wait_until_all_arrived(2)
    pump()
    InboundEvent.objects.all().delete()  # as if the first delivery had been forgotten
    notified.send_again()
    notified.wait_until_all_arrived(3)
    pump()

    assert len(outcomes()) == 1
    assert clinic.appointment("booking-1").status == "booked"
    assert not Offer.objects.exists()
