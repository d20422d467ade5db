"""A STOP that comes at the very moment a consent is recorded wins."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connections, transaction
from django.utils import timezone

from scheduling.models import ContactPoint, Patient
from tests import factories, race
from waitlist import consent, consent_forms, contact_codes
from waitlist.contact_codes import Written
from waitlist.models import Channel, ConsentRecord, ContactChange, Message
from waitlist.own_contacts import Change

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "+12125550188"
#: Seconds in which a STOP that nothing holds up is recorded.
LONG = 0.5


@pytest.fixture
def patient() -> Patient:
    factories.practice()
    return factories.patient()


class Stop:
    """A STOP by text that another worker takes in, at an address."""

    def __init__(self, address_index: str) -> None:
        self._index = address_index
        self._worker = threading.Thread(target=self._take_in)

    def comes(self) -> None:
        self._worker.start()
        self._worker.join(timeout=LONG)

    def is_taken_in(self) -> None:
        self._worker.join()

    def _take_in(self) -> None:
        try:
            with transaction.atomic():
                consent.revoke_address(Channel.SMS, self._index, source=ConsentRecord.Source.REPLY)
        finally:
            connections.close_all()


def by_code(patient: Patient) -> tuple[str, Callable[[], object]]:
    change = Change(patient, None, timezone.now())
    assert contact_codes.ask(change, Written("phone", NEW, None, "en"))
    code = Message.objects.get(kind="contact_code").body.split("code is ")[1][:6]
    row = ContactChange.objects.get()
    return row.address_index, lambda: contact_codes.confirm(change, row, code)


def by_form(patient: Patient) -> tuple[str, Callable[[], object]]:
    contact = patient.contact_points.get(system=ContactPoint.System.PHONE)
    link, _ = consent_forms.make_link(patient)
    year = str(patient.birth_date.year) if patient.birth_date else ""
    return contact.address_index, lambda: consent_forms.answer(link, year, contact.value, "en")


@pytest.mark.parametrize("way", [by_code, by_form])
def test_a_stop_between_the_look_and_the_consent_wins(
    patient: Patient, way: Callable[[Patient], tuple[str, Callable[[], object]]]
) -> None:
    index, agree = way(patient)
    stop = Stop(index)
    with race.right_after("waitlist.consent.is_revoked", stop.comes):
        agree()
    stop.is_taken_in()
    last = ConsentRecord.objects.filter(address_index=index).order_by("-pk")[:2]
    assert [line.action for line in last] == ["revoked", "granted"]
    assert consent.is_revoked(Channel.SMS, index)


@pytest.mark.parametrize("by_start", [False, True])
def test_a_stop_while_an_earlier_one_is_taken_back_is_not_lost(patient: Patient, by_start: bool) -> None:
    contact = patient.contact_points.get(system=ContactPoint.System.PHONE)
    index = contact.address_index
    consent.revoke_address(Channel.SMS, index, source=ConsentRecord.Source.REPLY)
    stop = Stop(index)
    with transaction.atomic():
        if by_start:
            consent.restore_address(Channel.SMS, index, source=ConsentRecord.Source.REPLY)
        else:
            consent.grant(patient, contact, source=ConsentRecord.Source.SPOKEN)
        stop.comes()
    stop.is_taken_in()
    assert not consent.allowed(patient, contact, Channel.SMS)
