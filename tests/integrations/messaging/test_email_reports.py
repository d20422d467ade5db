"""What comes back about e-mails: by a provider's calls, and by the notices of mail servers."""

from __future__ import annotations

import io
from typing import Any

import pytest
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from django.core.management import call_command
from django.test import Client

from integrations.messaging import delivery, failures
from integrations.messaging.email import webhook
from integrations.messaging.email.transport import message_id
from integrations.models import RefusedCall
from scheduling.models import ContactPoint, Patient, WorkItem
from tests import factories
from tests.integrations.messaging.test_delivery_once import message_to
from waitlist import consent, consent_history
from waitlist.models import ConsentRecord, Message

pytestmark = pytest.mark.django_db

STATUS = "/webhooks/email/email/status/"
SECRET = "postmark:0123456789abcdefghij"
POSTMARKS_ID = "883953f4-6105-42a2-a16a-77a8eac79483"
Status, Kind = Message.Status, Message.Kind


@pytest.fixture(autouse=True)
def _postmark(settings: Any) -> None:
    settings.EMAIL_CHANNEL, settings.EMAIL_PROVIDER = "email", "postmark"
    settings.ANYMAIL = {"WEBHOOK_SECRET": SECRET}


@pytest.fixture
def patient() -> Patient:
    return factories.patient(phone="+12125550111", email="robin@example.org")


def mail_of(patient: Patient) -> ContactPoint:
    return patient.contact_points.get(system="email")


@pytest.fixture
def sent(patient: Patient) -> Message:
    """An e-mail that Postmark took."""
    return message_to(mail_of(patient), status=Status.SENT, carrier_id=POSTMARKS_ID)


def call(client: Client, event: dict[str, Any], secret: str = SECRET) -> int:
    """Call as Postmark does."""
    import base64

    login = f"Basic {base64.b64encode(secret.encode()).decode()}"
    answer = client.post(STATUS, event, content_type="application/json", headers={"Authorization": login})
    return answer.status_code


def bounce(kind: str, details: str, **fields: Any) -> dict[str, Any]:
    """A call as Postmark's manual shows it."""
    return {
        "RecordType": "Bounce",
        "ID": 4323372036854775807,
        "Type": kind,
        "TypeCode": 1,
        "MessageID": POSTMARKS_ID,
        "Metadata": {},
        "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
        "Details": details,
        "Email": "robin@example.org",
        "From": "front-desk@example.org",
        "BouncedAt": "2026-11-05T16:33:54.9070259Z",
        **fields,
    }


def told(patient: Patient) -> list[tuple[str, str, str]]:
    rows = Message.objects.filter(patient=patient).order_by("pk")
    return [(row.channel, row.status, row.error_code) for row in rows]


def test_an_unknown_mailbox_is_remembered_and_the_news_goes_by_text(
    client: Client, patient: Patient, sent: Message
) -> None:
    event = bounce("HardBounce", "smtp;550 5.1.1 The email account that you tried to reach does not exist")
    assert [call(client, event) for _ in range(2)] == [200, 200]
    assert mail_of(patient).state == ContactPoint.State.INVALID
    assert told(patient) == [("email", Status.FAILED, "mail_5.1.1"), ("sms", Status.WAITING, "")]


def test_a_full_mailbox_stays_an_address(client: Client, patient: Patient, sent: Message) -> None:
    assert call(client, bounce("SoftBounce", "smtp;552 5.2.2 mailbox full")) == 200
    assert mail_of(patient).state == ContactPoint.State.USABLE
    assert told(patient) == [("email", Status.FAILED, "mail_5.2.2"), ("sms", Status.WAITING, "")]


@pytest.mark.parametrize(
    ("kind", "details", "said", "code", "is_spent"),
    [
        ("HardBounce", "smtp;550 no such user", "", "mail_bounced", True),
        ("SoftBounce", "smtp;552 mailbox full", "", "mail_bounced", False),
        ("SoftBounce", "", "unknown user (5.1.1)", "mail_5.1.1", True),
        ("BadEmailAddress", "", "", "mail_rejected", True),
        ("VirusNotification", "", "", "mail_bounced", False),
    ],
)
def test_without_a_status_an_address_is_given_up_only_where_the_provider_knows_that_it_is_bad(
    client: Client, patient: Patient, sent: Message, kind: str, details: str, said: str, code: str, is_spent: bool
) -> None:
    assert call(client, bounce(kind, details, Description=said)) == 200
    assert mail_of(patient).state == (ContactPoint.State.INVALID if is_spent else ContactPoint.State.USABLE)
    assert told(patient) == [("email", Status.FAILED, code), ("sms", Status.WAITING, "")]


@pytest.mark.parametrize(
    "told_us",
    [
        {"event": "bounce", "hard_bounce": False},
        {"event": "soft_bounce"},
        {"data": {"type": "soft_bounced"}},
        {"data": {"bounce": {"message": "... a bounce message because the recipient's inbox was full."}}},
        {"delivery_info": {"delivery_status": "err_mailbox_full"}},
        {"bounce": {"bounceType": "Transient", "bounceSubType": "MailboxFull"}},
        {"type": "bounce", "bounce_class": "22"},
    ],
)
def test_each_provider_says_in_its_way_that_a_bounce_is_not_for_good(told_us: dict[str, Any]) -> None:
    event = AnymailTrackingEvent(event_type=EventType.BOUNCED, reject_reason=RejectReason.BOUNCED, esp_event=told_us)
    assert webhook._trouble(event, "") == "other"
    assert webhook._trouble(event, "5.1.1") == "address"


def test_what_a_mailbox_takes_for_spam_or_its_owner_has_ended_ends_e_mails() -> None:
    for reason in (RejectReason.SPAM, RejectReason.UNSUBSCRIBED):
        assert (
            webhook._trouble(AnymailTrackingEvent(event_type=EventType.REJECTED, reject_reason=reason), "")
            == "opted_out"
        )


def test_a_complaint_ends_e_mails_to_the_address_and_repeats_nothing(
    client: Client, patient: Patient, sent: Message
) -> None:
    mail = mail_of(patient)
    waiting = message_to(mail, kind=Kind.FILLED, dedupe_key="later")
    complaint = bounce("SpamComplaint", "", RecordType="SpamComplaint")
    assert [call(client, complaint) for _ in range(2)] == [200, 200]
    assert told(patient) == [("email", Status.DELIVERED, ""), ("email", Status.SUPPRESSED, "opted_out")]
    line = ConsentRecord.objects.filter(action="revoked").get()
    assert (line.channel, line.address_index, line.statement, line.recorded_by) == (
        "email",
        mail.address_index,
        "the carrier says: they called it spam",
        "carrier: email",
    )
    (history,) = (each for each in consent_history.of_patient(patient) if each.contact == mail)
    assert history.lines[0].says == "The patient took consent back: the carrier says: they called it spam."
    assert mail_of(patient).state == ContactPoint.State.USABLE
    assert waiting.kind not in failures.MUST_BE_HEARD
    assert WorkItem.objects.count() == 0


def test_what_a_complainer_is_owed_goes_another_way(client: Client, patient: Patient, sent: Message) -> None:
    message_to(mail_of(patient), kind=Kind.REFUSED, dedupe_key="refused")
    call(client, bounce("SpamComplaint", "", RecordType="SpamComplaint"))
    assert told(patient)[1:] == [("email", Status.SUPPRESSED, "opted_out"), ("sms", Status.WAITING, "")]


def test_that_it_takes_longer_shows_that_it_was_taken(client: Client, patient: Patient) -> None:
    message = message_to(mail_of(patient), status=Status.UNKNOWN, attempts=1)
    event = bounce("Transient", "smtp;450 later", Metadata={"reference": delivery.reference_of(message)})
    assert call(client, event) == 200
    assert told(patient) == [("email", Status.SENT, "")]


def test_a_call_that_comes_before_the_answer_to_the_hand_over_is_known_by_our_reference(
    client: Client, patient: Patient
) -> None:
    message = message_to(mail_of(patient), status=Status.SENDING, attempts=1)
    event = {
        "RecordType": "Delivery",
        "MessageID": POSTMARKS_ID,
        "Recipient": "robin@example.org",
        "DeliveredAt": "2026-11-05T16:33:54.9070259Z",
        "Metadata": {"reference": delivery.reference_of(message)},
    }
    assert call(client, event) == 200
    message.refresh_from_db()
    assert (message.status, message.carrier_id) == (Status.DELIVERED, POSTMARKS_ID)


def test_only_who_has_the_secret_is_heard(client: Client, patient: Patient, sent: Message, settings: Any) -> None:
    event = bounce("HardBounce", "550 5.1.1")
    assert call(client, event, "postmark:guess") == 401
    assert client.post(STATUS, event, content_type="application/json").status_code == 401
    settings.ANYMAIL = {"WEBHOOK_SECRET": ""}
    assert call(client, event, "") == 401
    settings.ANYMAIL, settings.EMAIL_PROVIDER = {"WEBHOOK_SECRET": SECRET}, ""
    assert call(client, event) == 401
    assert told(patient) == [("email", Status.SENT, "")]
    assert RefusedCall.objects.get().count == 4


def test_a_call_that_names_no_message_is_about_none(client: Client, patient: Patient) -> None:
    message_to(mail_of(patient), status=Status.SENDING, attempts=1)
    event = {"RecordType": "Delivery", "Recipient": "robin@example.org", "DeliveredAt": "2026-11-05T16:33:54.9070259Z"}
    assert call(client, event) == 200
    assert told(patient) == [("email", Status.SENDING, "")]


@pytest.mark.parametrize(
    "event", [[], {}, {"RecordType": "Inbound"}, {"RecordType": "Open", "MessageID": POSTMARKS_ID}]
)
def test_what_cannot_be_read_changes_nothing(client: Client, patient: Patient, sent: Message, event: Any) -> None:
    assert call(client, event) in (200, 400)
    assert told(patient) == [("email", Status.SENT, "")]


# --- notices of mail servers ------------------------------------------------------------------------------------------
NOTICE = """\
Return-Path: <>
From: MAILER-DAEMON@mail.example.org (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: bounces@example.org
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="B"

--B
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--B
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.org

Final-Recipient: rfc822; robin@example.org
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 5.1.1 <robin@example.org>: Recipient address rejected

--B
Content-Type: {returned}

From: front-desk@example.org
To: robin@example.org
Subject: an offer
Message-ID: {id}

--B--
"""
COMPLAINT = """\
From: feedback@mailbox.example.net
Subject: FW: an offer
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="B"

--B
Content-Type: text/plain

This is an email abuse report.

--B
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1

--B
Content-Type: message/rfc822

From: front-desk@example.org
To: robin@example.org
Message-ID: {id}

Hello
--B--
"""


@pytest.fixture
def by_smtp(patient: Patient) -> Message:
    """An e-mail that a mail server took."""
    message = message_to(mail_of(patient))
    message.status, message.carrier_id = Status.SENT, message_id(delivery.reference_of(message))
    message.save()
    return message


def take(monkeypatch: pytest.MonkeyPatch, mail: str, **values: str) -> str:
    """Pipe a mail into the command, as a mail server does; return what the command says."""
    raw = mail.format(**{"action": "failed", "status": "5.1.1", "returned": "message/rfc822", **values})
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw.encode())))
    said = io.StringIO()
    call_command("take_bounce", stdout=said)
    return said.getvalue()


@pytest.mark.parametrize("returned", ["message/rfc822", "text/rfc822-headers"])
def test_a_notice_counts_as_a_bounce(
    monkeypatch: pytest.MonkeyPatch, patient: Patient, by_smtp: Message, returned: str
) -> None:
    said = take(monkeypatch, NOTICE, id=by_smtp.carrier_id, returned=returned)
    assert said == "Taken in.\n"
    assert mail_of(patient).state == ContactPoint.State.INVALID
    assert told(patient) == [("email", Status.FAILED, "mail_5.1.1"), ("sms", Status.WAITING, "")]
    assert "Nothing was changed" in take(monkeypatch, NOTICE, id=by_smtp.carrier_id, returned=returned)


def test_a_notice_without_a_status_says_nothing_of_the_address_and_one_of_arrival_is_no_bounce(
    monkeypatch: pytest.MonkeyPatch, patient: Patient, by_smtp: Message
) -> None:
    assert take(monkeypatch, NOTICE, id=by_smtp.carrier_id, action="delivered", status="2.0.0") == "Taken in.\n"
    assert told(patient) == [("email", Status.DELIVERED, "")]
    Message.objects.update(status=Status.SENT)
    assert take(monkeypatch, NOTICE, id=by_smtp.carrier_id, status="") == "Taken in.\n"
    assert mail_of(patient).state == ContactPoint.State.USABLE
    assert told(patient) == [("email", Status.FAILED, "mail_failed"), ("sms", Status.WAITING, "")]


def test_a_complaint_by_mail_ends_e_mails(monkeypatch: pytest.MonkeyPatch, patient: Patient, by_smtp: Message) -> None:
    assert take(monkeypatch, COMPLAINT, id=by_smtp.carrier_id) == "Taken in.\n"
    assert consent.is_revoked("email", mail_of(patient).address_index)
    assert told(patient) == [("email", Status.DELIVERED, "")]


@pytest.mark.parametrize(
    ("mail", "values"),
    [
        (NOTICE, {"action": "delayed", "status": "4.4.1"}),
        (NOTICE, {"id": "<0123456789abcdef0123456789abcdef@localhost>"}),
        (NOTICE, {"id": "no id"}),
        (NOTICE.replace("message/delivery-status", "text/plain"), {}),
        ("Subject: Out of office\n\nBack on Monday. {id}", {}),
        ("", {}),
    ],
)
def test_other_mail_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, patient: Patient, by_smtp: Message, mail: str, values: dict[str, str]
) -> None:
    assert "Nothing was changed" in take(monkeypatch, mail, **{"id": by_smtp.carrier_id, **values})
    assert told(patient) == [("email", Status.SENT, "")]
