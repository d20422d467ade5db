"""A STOP, or a text that says *wrong number*, at the very moment a consent is recorded wins."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connections, transaction
from django.utils import timezone

from scheduling.models import ContactPoint, Patient
from tests import factories, race
from waitlist import consent, consent_forms, contact_codes, own_contacts, replies
from waitlist.contact_codes import Answer, Written
from waitlist.models import Channel, ConsentRecord, ContactChange, Message, Reply, WrongPersonReport
from waitlist.own_contacts import Change

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "+12125550188"
#: Seconds in which a STOP that nothing holds up is recorded.
LONG = 0.5


@pytest.fixture
def patient() -> Patient:
    factories.practice()
    return factories.patient()


class Rival:
    """Another worker, who does something while a test holds what it needs."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._worker = threading.Thread(target=self._run)
        self.came_to: object = None

    def comes(self) -> None:
        self._worker.start()
        self._worker.join(timeout=LONG)

    def is_done(self) -> None:
        self._worker.join()

    def _run(self) -> None:
        try:
            with transaction.atomic():
                self.came_to = self._act()
        finally:
            connections.close_all()


def a_stop(address_index: str, patient: Patient | None = None) -> Rival:
    """A STOP by text that another worker takes in, at an address."""
    source = ConsentRecord.Source.REPLY
    return Rival(lambda: consent.revoke_address(Channel.SMS, address_index, source=source, patient=patient))


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


def by_list(patient: Patient) -> tuple[str, Callable[[], object]]:
    patient = factories.patient(consent=())
    contact = patient.contact_points.get(system=ContactPoint.System.PHONE)
    words = consent.Statement("form", "form 7", "Imported list 1", "maria")
    return contact.address_index, lambda: consent.grant_many([(patient, contact)], words)


@pytest.mark.parametrize("way", [by_code, by_form, by_list])
def test_a_stop_between_the_look_and_the_consent_wins(
    patient: Patient, way: Callable[[Patient], tuple[str, Callable[[], object]]]
) -> None:
    index, agree = way(patient)
    stop = a_stop(index)
    look = "stopped_addresses" if way is by_list else "is_revoked"
    with race.right_after(f"waitlist.consent.{look}", stop.comes):
        agree()
    stop.is_done()
    last = ConsentRecord.objects.filter(address_index=index).order_by("-pk")[:2]
    assert [line.action for line in last] == ["revoked", "granted"]
    assert consent.is_revoked(Channel.SMS, index)


@pytest.mark.parametrize("way", [by_code, by_form, by_list])
def test_a_consent_that_begins_while_a_stop_is_taken_in_comes_too_late(
    patient: Patient, way: Callable[[Patient], tuple[str, Callable[[], object]]]
) -> None:
    index, agree = way(patient)
    agreeing = Rival(agree)
    with race.right_after("waitlist.consent.hold", agreeing.comes):
        # In the patient's name: the line holds on to their row, which the others lock too.
        consent.revoke_address(Channel.SMS, index, source=ConsentRecord.Source.REPLY, patient=patient)
    agreeing.is_done()
    assert consent.is_revoked(Channel.SMS, index)
    assert consent.consenting_at(Channel.SMS, index) == set()


def removing(patient: Patient) -> tuple[str, Callable[[], object]]:
    contact = patient.contact_points.get(system=ContactPoint.System.PHONE)
    change = Change(patient, None, timezone.now())
    return contact.address_index, lambda: own_contacts.remove(change, contact)


@pytest.mark.parametrize(
    ("way", "moment"), [(by_code, "waitlist.consent.hold"), (removing, "scheduling.patient_writes._keep")]
)
def test_a_stop_and_a_change_of_the_number_do_not_wait_for_each_other(
    patient: Patient, way: Callable[[Patient], tuple[str, Callable[[], object]]], moment: str
) -> None:
    """The change has the patient's row and wants the number's, the STOP has the number's and names the patient."""
    index, change = way(patient)
    stop = a_stop(index, patient)
    with race.right_before(moment, stop.comes):
        change()
    stop.is_done()
    assert consent.is_revoked(Channel.SMS, index)


def wrong_number(address: str) -> None:
    reply = replies.receive(Channel.SMS, f"SM-{address}", address, "wrong number")
    replies.handle(reply.pk)


@pytest.mark.parametrize("the_code_is_first", [True, False])
def test_a_number_that_is_wrong_at_the_moment_its_code_is_typed_in_is_not_used(
    patient: Patient, the_code_is_first: bool
) -> None:
    index, confirm = by_code(patient)
    if the_code_is_first:
        wrong = Rival(lambda: wrong_number(NEW))
        with race.right_after("waitlist.contact_codes._may_be_taken", wrong.comes):
            assert confirm() == Answer.TAKEN
        wrong.is_done()
        assert ContactPoint.objects.get(address_index=index).state == "frozen"
        assert WrongPersonReport.objects.get().patient == patient
    else:
        confirming = Rival(confirm)
        with race.right_after("waitlist.wrong_person.freeze", confirming.comes):
            wrong_number(NEW)
        confirming.is_done()
        assert confirming.came_to == Answer.FOR_STAFF
        assert not ContactPoint.objects.filter(address_index=index).exists()
    assert Reply.objects.get().outcome == "wrong_person"
    assert NEW not in [each.value for each in consent.ways(patient, timezone.localdate())]


@pytest.mark.parametrize("by_start", [False, True])
def test_a_stop_while_an_earlier_one_is_taken_back_is_not_lost(patient: Patient, by_start: bool) -> None:
    contact = patient.contact_points.get(system=ContactPoint.System.PHONE)
    index = contact.address_index
    consent.revoke_address(Channel.SMS, index, source=ConsentRecord.Source.REPLY)
    stop = a_stop(index)
    with transaction.atomic():
        if by_start:
            consent.restore_address(Channel.SMS, index, source=ConsentRecord.Source.REPLY)
        else:
            consent.grant(patient, contact, source=ConsentRecord.Source.SPOKEN)
        stop.comes()
    stop.is_done()
    assert not consent.allowed(patient, contact, Channel.SMS)
