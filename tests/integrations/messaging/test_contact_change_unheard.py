"""That contact details changed is heard at one of the contacts known before, or staff call."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.messaging import failures
from scheduling.models import WorkItem
from tests import factories
from waitlist import own_contacts
from waitlist.models import Message
from waitlist.own_contacts import Change

pytestmark = pytest.mark.django_db
PLACE = {"line": "1 Elm Street", "city": "Riverside", "state": "NY", "postal_code": "10001"}


def told_of_a_change(**contacts: Any) -> list[Message]:
    factories.practice()
    change = Change(factories.patient(**contacts), None, timezone.now())
    assert own_contacts.change_address(change, PLACE)
    return list(Message.objects.filter(kind=Message.Kind.CONTACT_CHANGED).order_by("pk"))


def asked() -> list[str]:
    return list(WorkItem.objects.values_list("kind", flat=True))


def test_staff_call_when_the_only_contact_did_not_get_it() -> None:
    (message,) = told_of_a_change(email=None)
    failures.address_unusable(message, "twilio_30006")
    assert asked() == ["contact.changed"]


def test_staff_call_when_it_may_not_be_sent_there_any_more() -> None:
    (message,) = told_of_a_change(email=None)
    Message.objects.update(status=Message.Status.SUPPRESSED)
    message.refresh_from_db()
    failures.not_told(message, "frozen")
    assert asked() == ["contact.changed"]


def test_one_of_two_that_gets_it_is_enough() -> None:
    first, second = told_of_a_change()
    failures.give_up(first, "twilio_30003")
    assert asked() == []
    failures.give_up(second, "smtp_550")
    assert asked() == ["contact.changed"]


def test_it_is_sent_to_no_contact_that_came_by_the_change() -> None:
    (message,) = told_of_a_change(email=None)
    patient = message.patient
    assert patient is not None
    factories.contact(patient, "+12125550188", rank=2)
    failures.give_up(message, "twilio_30003")
    assert Message.objects.count() == 1


def test_news_of_another_change_or_to_another_patient_are_not_these() -> None:
    """Even where they were written at the same moment."""
    factories.practice()
    person, now = factories.patient(email=None), timezone.now()
    for patient, at in ((person, now), (person, now + timedelta(minutes=5)), (factories.patient(email=None), now)):
        assert own_contacts.change_address(Change(patient, None, at), PLACE | {"line": f"{at.minute} Elm Street"})
    unheard, *others = Message.objects.order_by("pk")
    assert len(others) == 2
    failures.give_up(unheard, "twilio_30003")
    assert asked() == ["contact.changed"]
