"""What is said of one address binds it, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from auditlog.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.context import Actor, acting_as
from scheduling.models import ContactPoint
from tests import factories
from waitlist import consent
from waitlist.models import Channel, ConsentRecord, Message

pytestmark = pytest.mark.django_db

SHARED = "+12125550160"


def mobile(number: str, **fields: Any) -> ContactPoint:
    return factories.contact(factories.patient(phone=None, email=None), number, **fields)


def waiting(channel: str, index: str, kind: str = Message.Kind.OFFER) -> Message:
    return Message.objects.create(
        kind=kind,
        channel=channel,
        address=SHARED,
        address_index=index,
        body="words",
        dedupe_key=f"{channel}:{index}:{kind}",
        due_at=timezone.now(),
    )


def test_what_waits_for_another_number_or_on_another_channel_still_goes_out() -> None:
    stopped = waiting(Channel.SMS, "this-number")
    receipt = waiting(Channel.SMS, "this-number", Message.Kind.STOP_RECEIPT)
    others = [waiting(Channel.SMS, "another-number"), waiting(Channel.EMAIL, "this-number")]
    assert consent.suppress_address(Channel.SMS, "this-number", "opted_out") == [stopped]
    stopped.refresh_from_db()
    assert (stopped.status, stopped.error_code) == (Message.Status.SUPPRESSED, "opted_out")
    for message in (receipt, *others):
        message.refresh_from_db()
        assert message.status == Message.Status.WAITING


def test_a_stop_by_text_says_nothing_about_e_mail() -> None:
    consent.revoke_address(Channel.SMS, "an-address", source=ConsentRecord.Source.REPLY)
    assert consent.is_revoked(Channel.SMS, "an-address")
    assert not consent.is_revoked(Channel.EMAIL, "an-address")


@pytest.mark.parametrize(
    ("value", "can_text", "reached"),
    [("+12125550160", True, True), ("+12125550160", False, False), ("robin@example.org", False, True)],
    ids=["mobile", "landline", "e-mail"],
)
def test_nobody_is_texted_at_a_number_that_takes_no_texts(value: str, can_text: bool, reached: bool) -> None:
    """Whatever they signed."""
    contact = mobile(value, can_text=can_text)
    assert consent.allowed(contact.patient, contact, consent.channel_of(contact))
    assert consent.ways(contact.patient, timezone.now().date()) == [contact] * reached


def test_the_best_number_is_the_one_that_is_texted() -> None:
    second = mobile(SHARED, rank=2)
    first = factories.contact(second.patient, "+12125550161", rank=1)
    assert consent.ways(second.patient, timezone.now().date()) == [first]


def test_who_takes_a_stop_back_is_on_record_as_they_were_when_they_said_it() -> None:
    index = mobile(SHARED).address_index
    consent.revoke_address(Channel.SMS, index, source=ConsentRecord.Source.REPLY)
    with acting_as(Actor.for_service("text from a shared or unknown number".ljust(151, "!"))):
        line = consent.restore_address(Channel.SMS, index, source=ConsentRecord.Source.REPLY)
    assert line is not None
    assert (line.source, line.patient) == ("reply", None)
    assert line.recorded_by == "text from a shared or unknown number".ljust(150, "!"), "as much as there is room for"


def test_only_the_addresses_in_hand_are_looked_up_and_held() -> None:
    """However long the ledger is by then, and however many others are writing in it."""
    contact = mobile(SHARED)
    statement = consent.Statement(ConsentRecord.Source.FORM, "v1", "A form.", "dana")
    with CaptureQueriesContext(connection) as captured:
        consent.ways(contact.patient, timezone.now().date())
        consent.grant_many([(contact.patient, contact)], statement)
        consent.is_revoked(Channel.SMS, contact.address_index)
    reads = [query["sql"] for query in captured if query["sql"].startswith("SELECT")]
    asked = [sql.partition("WHERE")[2] for sql in reads if "waitlist_consentrecord" in sql or "contact" in sql]
    assert len(asked) == 7
    assert all("address_index" in condition or "patient_id" in condition for condition in asked)


def test_of_two_who_share_a_number_only_who_agreed_is_written_to_there() -> None:
    agreed, silent = mobile(SHARED), mobile(SHARED, consent=False)
    elsewhere = mobile("+12125550161")
    asked = [agreed.patient_id, silent.patient_id]
    assert consent.consented_addresses(Channel.SMS, asked) == {agreed.patient_id: {agreed.address_index}}
    assert elsewhere.patient_id not in consent.consented_addresses(Channel.SMS, asked)
    assert consent.consented_addresses(Channel.EMAIL, asked) == {}


def test_a_list_states_consent_once_and_each_new_line_is_audited() -> None:
    known, new, stopped = mobile("+12125550162"), mobile("+12125550163", consent=False), mobile("+12125550164")
    factories.consents(stopped, ConsentRecord.Action.REVOKED)
    statement = consent.Statement(ConsentRecord.Source.FORM, "v1", "A form.", "dana")
    lines = consent.grant_many([(each.patient, each) for each in (known, new, stopped)], statement)
    assert [(line.patient_id, line.address_index) for line in lines] == [(new.patient_id, new.address_index)]
    entries = LogEntry.objects.get_for_objects(ConsentRecord.objects.filter(pk=lines[0].pk))
    assert [entry.action for entry in entries] == [LogEntry.Action.CREATE]


def test_what_is_said_of_a_list_is_kept_as_far_as_there_is_room() -> None:
    contact = mobile(SHARED, consent=False)
    statement = consent.Statement(ConsentRecord.Source.FORM, "v" * 41, "t" * 201, "d" * 151)
    (line,) = consent.grant_many([(contact.patient, contact)], statement)
    assert (line.wording_version, line.statement, line.recorded_by) == ("v" * 40, "t" * 200, "d" * 150)
