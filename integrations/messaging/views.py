"""The carriers' webhooks: verified over the raw call, stored, answered; what they mean is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from audit.context import correlated, service
from integrations import refusals
from integrations.messaging import reports
from integrations.messaging.console import webhook as console
from integrations.messaging.twilio import webhook as twilio
from waitlist import replies

WEBHOOKS: dict[str, ModuleType] = {"console": console, "twilio": twilio}
ENDPOINT = "sms"
#: A text has at most 1,600 characters; everything else in a call is short.
MOST_BYTES = 64 * 1024
NOTHING_TO_SAY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'


@csrf_exempt
@never_cache
@require_POST
def inbound(request: HttpRequest, channel: str) -> HttpResponse:
    """A patient's text: stored before it is answered; the same one again changes nothing."""
    return _answered(request, channel, _store_incoming)


@csrf_exempt
@never_cache
@require_POST
def status(request: HttpRequest, channel: str) -> HttpResponse:
    """What became of one of our texts."""
    return _answered(request, channel, _store_report)


def _answered(request: HttpRequest, channel: str, store: Callable[[ModuleType, HttpRequest], bool]) -> HttpResponse:
    if channel not in WEBHOOKS or channel != settings.SMS_CHANNEL:
        raise Http404
    webhook = WEBHOOKS[channel]
    if len(request.body) > MOST_BYTES:
        return _refused("too_large", 413, f"The call is larger than {MOST_BYTES} bytes. Nothing was stored.")
    if not webhook.is_genuine(request):
        return _refused("signature", 401, "The signature is missing or wrong. Nothing was stored.")
    with service(f"carrier: {channel}"), correlated():
        if not store(webhook, request):
            return _refused("unreadable", 400, "The call holds no message we can read. Nothing was stored.")
    return HttpResponse(NOTHING_TO_SAY, content_type="application/xml")


def _store_incoming(webhook: ModuleType, request: HttpRequest) -> bool:
    text = webhook.read_incoming(request)
    if text is None:
        return False
    replies.receive("sms", text.carrier_id, text.address, text.body, text.media_count)
    return True


def _store_report(webhook: ModuleType, request: HttpRequest) -> bool:
    report = webhook.read_report(request)
    if report is None:
        return False
    reports.take_report(report)
    return True


def _refused(reason: str, status_code: int, sentence: str) -> HttpResponse:
    refusals.count(ENDPOINT, reason)
    return JsonResponse({"error": sentence}, status=status_code)
