"""What is said of one address binds it, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone

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
