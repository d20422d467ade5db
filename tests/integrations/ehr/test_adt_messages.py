"""News of patients as HL7 v2 over HTTP: stored, acknowledged in kind, fetched again; merges followed and undone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.ehr.hl7v2 import messages
from integrations.models import Connection, InboundEvent, RefusedCall
from scheduling.models import Patient, PatientIdentifier, PatientMerge
from scheduling.patients import identifier_index
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing
from tests.integrations.ehr.payload_ehr import needs_payloads, payload

MERGE = (
    "MSH|^~\\&|ADTApp|Clinic|Sooner|Here|20261125||ADT^A40^ADT_A39|{control}|P|2.5\n"
    "EVN|A40|20261125\nPID|1||M-new^^^CLINIC^MR\nMRG|M-old^^^CLINIC^MR\n"
)


def adt(trigger: str, *numbers: str, control: str = "C1", ends: str = "\r") -> bytes:
    segments = [f"MSH|^~\\&|ADTApp|Clinic|||20261125||ADT^{trigger}|{control}|P|2.5", f"EVN|{trigger}|20261125"]
    segments += [f"PID|1||4711^^^INS^SN~{number}^^^CLINIC^MR" for number in numbers]
    return ends.join(segments).encode()


@needs_payloads
def test_a_real_merge_names_whom_it_keeps_and_whom_it_gives_up() -> None:
    news = messages.read(payload("hl7v2/ADT-A40-01.hl7"))
    assert (news.trigger, news.merged) == ("A40", (("56789", "12345"),))


@needs_payloads
@pytest.mark.parametrize("trigger", ["A08", "A28", "A31"])
def test_real_updates_name_their_patient(trigger: str) -> None:
    news = messages.read(payload(f"hl7v2/ADT-{trigger}-01.hl7"))
    assert (news.trigger, news.numbers, news.merged) == (trigger, ("PATID1234",), ())


@pytest.mark.parametrize("ends", ["\r", "\n", "\r\n"])
def test_line_ends_frames_and_other_separators_are_read(ends: str) -> None:
    plain = adt("A08", "M-1", ends=ends)
    assert messages.read(b"\x0b" + plain + b"\x1c\r").numbers == ("M-1",)
    other = plain.replace(b"|", b"#").replace(b"^~\\&", b"*!\\&").replace(b"^", b"*").replace(b"~", b"!")
    assert messages.read(other).numbers == ("M-1",)


@pytest.fixture
def two(sandbox: ehr.Sandbox, work_inbox: Callable[[], int]) -> Connection:
    """Two patients in the EHR, of whom nothing was loaded; what an update names is fetched by its number."""
    for number, name in enumerate(("old", "new"), 31):
        person = ehr.patient(f"p-{name}", number)
        person["identifier"] = [{"system": "urn:example:mrn", "value": f"M-{name}"}]
        sandbox.load(person)
    connection = sandbox.connect()
    Connection.objects.filter(pk=connection.pk).update(mrn_system="urn:example:mrn")
    for name in ("old", "new"):
        signing.send(connection, adt("A08", f"M-{name}", control=name))
    assert work_inbox() == 2
    return connection


def whose(number: str) -> Patient:
    index = identifier_index("urn:example:mrn", number)
    return PatientIdentifier.objects.select_related("patient").get(value_index=index).patient


@pytest.mark.django_db
def test_an_update_fetches_the_patient_by_number_which_stands_in_no_address(
    sandbox: ehr.Sandbox, two: Connection
) -> None:
    assert Patient.objects.count() == 2
    assert {each.status for each in InboundEvent.objects.all()} == {"done"}
    asked = sandbox.calls("Patient", "POST")
    assert len(asked) == 2
    shown = [*(each["path"] for each in asked), *InboundEvent.objects.values_list("subject_key", "outcome")]
    assert "M-old" not in str(shown)


@pytest.mark.django_db
def test_a_merge_is_stored_acknowledged_followed_once_and_separated_again(
    sandbox: ehr.Sandbox, two: Connection, work_inbox: Callable[[], int]
) -> None:
    body = MERGE.format(control="C9").encode()
    answer = signing.send(two, body)
    assert (answer.status_code, answer["Content-Type"]) == (200, messages.CONTENT_TYPE)
    assert answer.content.split(b"\r")[1] == b"MSA|AA|C9"
    assert signing.send(two, body).content.split(b"\r")[1] == b"MSA|AA|C9"
    assert InboundEvent.objects.count() == 3
    assert work_inbox() == 1
    merge = PatientMerge.objects.get()
    assert (merge.retired, merge.kept, merge.told_by) == (whose("M-old"), whose("M-new"), "message")
    assert not whose("M-old").may_be_offered

    # The EHR's own record, read again, has no link: what the message said stands.
    signing.send(two, adt("A08", "M-old", control="C10"))
    work_inbox()
    assert whose("M-old").replaced_by == whose("M-new")

    signing.send(two, adt("A37", "M-old", "M-new", control="C11"))
    work_inbox()
    assert whose("M-old").may_be_offered


@pytest.mark.django_db
def test_a_merge_into_a_record_the_ehr_does_not_have_yet_is_kept_and_tried_again(
    sandbox: ehr.Sandbox, two: Connection, work_inbox: Callable[[], int]
) -> None:
    signing.send(two, MERGE.format(control="C9").replace("M-new", "M-late").encode())
    work_inbox()
    event = InboundEvent.objects.latest("pk")
    assert (event.status, event.error) == ("received", "reference_missing")
    late = ehr.patient("p-late", 39)
    late["identifier"] = [{"system": "urn:example:mrn", "value": "M-late"}]
    sandbox.load(late)
    InboundEvent.objects.filter(status="received").update(due_at=timezone.now() - timedelta(seconds=1))
    work_inbox()
    assert whose("M-old").replaced_by == whose("M-late")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "reason", "sender", "control"),
    [
        (b"MSH|^~\\&|A|B|||2026||ORU^R01|1|P|2.5\rPID|1", "not_taken", ["A", "B"], "1"),
        (b"MSH|^~\\&|A", "not_hl7", ["", ""], ""),
        (b"MSH|^~\\&|A|B|||2026||ADT^A08|1|P|2.5\rPID|1||\xff", "not_hl7", ["", ""], ""),
    ],
)
def test_what_is_no_news_of_a_patient_is_refused_with_a_reason(
    body: bytes, reason: str, sender: list[str], control: str
) -> None:
    answer: Any = signing.send(factories.connection(), body)
    assert (answer.status_code, answer["Content-Type"]) == (400, messages.CONTENT_TYPE)
    msh, msa, end = answer.content.decode().split("\r")
    assert (msh.split("|")[4:6], msh.split("|")[8], msa.split("|")[:3], end) == (
        sender,
        "ACK",
        ["MSA", "AR", control],
        "",
    )
    assert msa.split("|")[3]
    assert RefusedCall.objects.get().reason == reason
    assert not InboundEvent.objects.exists()


@pytest.mark.django_db
def test_an_unsigned_message_is_not_stored() -> None:
    answer = signing.send(factories.connection(), adt("A08", "M-1"), headers={})
    assert answer.status_code == 401
    assert not InboundEvent.objects.exists()
