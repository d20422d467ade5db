"""Patients' phones: they answer over HTTP, by text through the carrier's webhook or by the page behind their link."""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

from integrations.messaging.console.webhook import HEADER, sign
from waitlist.models import Message, Offer

LINK = re.compile(r"https?://\S+/o/\S+")


def text(offer: Offer, words: str) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of the carrier's call when the patient answers ``words``."""
    message = Message.objects.get(offer=offer, kind="offer", channel="sms")
    body = urlencode({"MessageSid": f"in-{offer.pk}-{words}", "From": message.address, "Body": words}).encode()
    headers = {HEADER: sign(body), "Content-Type": "application/x-www-form-urlencoded"}
    return "/webhooks/sms/console/inbound/", body, headers


def tap(offer: Offer, answer: str = "yes") -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of the browser's call when the patient taps a button."""
    message = Message.objects.get(offer=offer, kind="offer", channel="sms")
    found = LINK.search(message.body)
    assert found is not None
    path = urlsplit(found.group()).path
    return path, urlencode({"answer": answer}).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
