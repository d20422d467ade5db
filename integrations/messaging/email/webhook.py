"""What a provider of e-mail calls us with, read by django-anymail. A plain mail server calls nobody: see notices.py.

The secret in the address or header is ours, and asked for whatever else the provider signs.
"""

from __future__ import annotations

import re
from typing import Any

from anymail import urls
from anymail.exceptions import AnymailError, AnymailWebhookValidationFailure
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from integrations.messaging.email import codes
from integrations.messaging.gateway import DeliveryReport, Incoming, Trouble

UNDER_WAY = frozenset({EventType.QUEUED, EventType.SENT, EventType.DEFERRED})
NOT_ARRIVED = frozenset({EventType.BOUNCED, EventType.REJECTED, EventType.FAILED})
UNWELCOME = frozenset({EventType.COMPLAINED, EventType.UNSUBSCRIBED})
#: By this a provider says that a bounce is not for good, such as one of a full mailbox; django-anymail calls all alike.
#: Words of Postmark and Brevo, MailerSend, Mailjet, Resend, UniSender and Amazon SES; numbers of SparkPost.
_NOT_FOR_GOOD = re.compile(
    r"soft_?bounce|'hard_bounce': False|(?:mailbox|inbox) was full|general bounce|err_(?:mailbox_full|too_large)"
    r"|'bouncetype': '(?:transient|undetermined)'|'bounce_class': '(?:2[0-3]|40|70)'",
    re.IGNORECASE,
)


def is_genuine(request: HttpRequest) -> bool:
    """Return whether the call carries our secret and what else the provider's calls are known by."""
    if not settings.ANYMAIL.get("WEBHOOK_SECRET") or not settings.EMAIL_PROVIDER:
        return False
    try:
        _view().run_validators(request)
    except AnymailWebhookValidationFailure:
        return False
    return True


def read_incoming(request: HttpRequest) -> Incoming | None:
    """Return None: patients answer an e-mail by its link."""
    return None


def read_reports(request: HttpRequest) -> list[DeliveryReport] | None:
    """Return what the provider says became of our e-mails; None when it cannot be read."""
    try:
        events = _view().parse_events(request)
    except (AnymailError, ImproperlyConfigured, ValueError, LookupError, TypeError, AttributeError):
        return None
    return [report for report in map(_report, events) if report is not None]


def _view() -> Any:
    """Return anymail's reader of this provider's calls."""
    name = f"{settings.EMAIL_PROVIDER}_tracking_webhook"
    return next(each for each in urls.urlpatterns if each.name == name).callback.view_class()


def _report(event: AnymailTrackingEvent) -> DeliveryReport | None:
    reference, carrier_id = str((event.metadata or {}).get("reference", "")), str(event.message_id or "")
    kind = event.event_type
    if kind in UNWELCOME:
        return DeliveryReport(reference, carrier_id, "delivered", "opted_out", f"mail_{kind}")
    if kind == EventType.DELIVERED:
        return DeliveryReport(reference, carrier_id, "delivered")
    if kind in UNDER_WAY:
        return DeliveryReport(reference, carrier_id, "under_way")
    if kind not in NOT_ARRIVED:
        return None  # opened, clicked: nothing that we want to know of a patient
    status = codes.status_in(f"{event.mta_response or ''} {event.description or ''}")
    return DeliveryReport(reference, carrier_id, "failed", _trouble(event, status), f"mail_{status or kind}")


def _trouble(event: AnymailTrackingEvent, status: str) -> Trouble:
    if event.reject_reason in (RejectReason.SPAM, RejectReason.UNSUBSCRIBED):
        return "opted_out"
    if event.reject_reason == RejectReason.BOUNCED and _NOT_FOR_GOOD.search(str(event.esp_event)):
        return codes.trouble_of(status)
    is_known = event.reject_reason in (RejectReason.INVALID, RejectReason.BOUNCED)
    return codes.trouble_of(status, without="address" if is_known else "other")
