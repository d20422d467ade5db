"""The carriers' webhooks: verified over the raw call, stored, answered; what they mean is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from audit.context import correlated, service
from integrations import refusals
from integrations.messaging import reports
from integrations.messaging.gateway import Webhook, name_for, webhook_for
from waitlist import replies

#: A text has at most 1,600 characters; a provider of e-mail tells of up to a thousand messages in one call.
MOST_BYTES = {"sms": 64 * 1024, "email": 2 * 1024 * 1024}
NOTHING_TO_SAY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'


Store = Callable[[Webhook, HttpRequest, str], bool]


@csrf_exempt
@never_cache
@require_POST
def inbound(request: HttpRequest, channel: str, carrier: str) -> HttpResponse:
    """A patient's message: stored before it is answered; the same one again changes nothing."""
    return _answered(request, channel, carrier, _store_incoming)


@csrf_exempt
@never_cache
@require_POST
def status(request: HttpRequest, channel: str, carrier: str) -> HttpResponse:
    """What became of messages of ours."""
    return _answered(request, channel, carrier, _store_reports)


def _answered(request: HttpRequest, channel: str, carrier: str, store: Store) -> HttpResponse:
    if channel not in MOST_BYTES or carrier != name_for(channel):
        raise Http404
    webhook = webhook_for(channel)
    if len(request.body) > MOST_BYTES[channel]:
        what = f"The call is larger than {MOST_BYTES[channel]} bytes. Nothing was stored."
        return _refused(channel, "too_large", 413, what)
    if not webhook.is_genuine(request):
        return _refused(channel, "signature", 401, "The signature is missing or wrong. Nothing was stored.")
    with service(f"carrier: {carrier}"), correlated():
        if not store(webhook, request, channel):
            what = "The call holds no message we can read. Nothing was stored."
            return _refused(channel, "unreadable", 400, what)
    return HttpResponse(NOTHING_TO_SAY, content_type="application/xml")


def _store_incoming(webhook: Webhook, request: HttpRequest, channel: str) -> bool:
    message = webhook.read_incoming(request)
    if message is None:
        return False
    replies.receive(channel, message.carrier_id, message.address, message.body, message.media_count)
    return True


def _store_reports(webhook: Webhook, request: HttpRequest, channel: str) -> bool:
    found = webhook.read_reports(request)
    if found is None:
        return False
    for report in found:
        reports.take_report(report)
    return True


def _refused(channel: str, reason: str, status_code: int, sentence: str) -> HttpResponse:
    refusals.count(channel, reason)
    return JsonResponse({"error": sentence}, status=status_code)
