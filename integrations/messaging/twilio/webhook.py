"""What Twilio calls us with: patients' texts, and what became of ours."""

from __future__ import annotations

import re

from django.conf import settings
from django.http import HttpRequest

from integrations.messaging.gateway import DeliveryReport, Incoming, Trouble
from integrations.messaging.twilio import codes, signature

HEADER = "X-Twilio-Signature"
SID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_genuine(request: HttpRequest) -> bool:
    """Return whether Twilio signed this call.

    The address is built from our own public one, never from the request's Host header, which anybody may write. A path
    that the public one begins with may have been taken off by a proxy or be our script name: it counts once.
    """
    given = request.headers.get(HEADER, "")
    url = settings.PUBLIC_BASE_URL + request.get_full_path_info()
    return bool(settings.SMS_TOKEN and given) and signature.matches(
        given, settings.SMS_TOKEN, url, dict(request.POST.lists())
    )


def read_incoming(request: HttpRequest) -> Incoming | None:
    """Return the patient's text, or None when the call holds none."""
    form = request.POST
    carrier_id = form.get("MessageSid") or form.get("SmsSid") or ""
    if not SID.fullmatch(carrier_id) or not form.get("From"):
        return None
    media = form.get("NumMedia", "0")
    return Incoming(carrier_id, form["From"], form.get("Body", ""), int(media) if media.isdecimal() else 0)


def read_reports(request: HttpRequest) -> list[DeliveryReport] | None:
    """Return what became of one of our texts, or None when the call says nothing about one."""
    state = request.POST.get("MessageStatus", "")
    carrier_id = request.POST.get("MessageSid", "")
    if not state or not SID.fullmatch(carrier_id):
        return None
    return [_report(request.GET.get("ref", ""), carrier_id, state, request.POST.get("ErrorCode", ""))]


def _report(reference: str, carrier_id: str, state: str, given: str) -> DeliveryReport:
    if state in codes.DELIVERED_STATES:
        return DeliveryReport(reference, carrier_id, "delivered")
    if state not in codes.FAILED_STATES:
        return DeliveryReport(reference, carrier_id, "under_way")
    number = int(given) if given.isdecimal() else 0
    return DeliveryReport(reference, carrier_id, "failed", _trouble(number), f"twilio_{number}" if number else state)


def _trouble(number: int) -> Trouble:
    if number in codes.OPTED_OUT:
        return "opted_out"
    if number in codes.REFUSES_US:
        return "sender"
    return "address" if number in codes.ADDRESS_UNUSABLE else "other"
