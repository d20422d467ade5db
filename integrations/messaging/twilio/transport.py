"""Texts by Twilio's Messages resource, with plain requests: one POST to send, one GET to ask.

Source: Twilio, "Messages resource" (version 2010-04-01).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.utils import timezone

from integrations.calls import refuse_inside_transaction
from integrations.messaging.connections import never_reached
from integrations.messaging.gateway import (
    CALL_SECONDS,
    AddressUnusable,
    CarrierBusy,
    CarrierDown,
    CarrierRefusesUs,
    HandoverUnknown,
    Incoming,
    MessageRejected,
    MessagingError,
    OptedOut,
    Outgoing,
)
from integrations.messaging.twilio import codes, rates

CONNECT_SECONDS = 3.0
READ_SECONDS = 8.0
MOST_BYTES = 2 * 1024 * 1024
PAGE_SIZE = 200
MOST_PAGES = 20
#: Their clock may differ from ours by this much.
CLOCK_SLACK = timedelta(seconds=60)


class TwilioCarrier:
    """One account and one sender number."""

    name = "twilio"
    leaves_the_building = True
    can_be_asked = True

    def __init__(self) -> None:
        self.usual_rate: int | None = rates.usual_rate()
        self._origin = settings.SMS_BASE_URL
        self._path = f"/2010-04-01/Accounts/{settings.SMS_ACCOUNT}/Messages.json"

    def send(self, message: Outgoing) -> str:
        """Hand the text over; the reference comes back with each delivery report, in the callback's address."""
        form = {
            "To": message.address,
            "From": settings.SMS_FROM,
            "Body": message.body,
            "StatusCallback": f"{settings.PUBLIC_BASE_URL}/webhooks/sms/twilio/status/?ref={message.reference}",
        }
        answer = self._call("POST", self._origin + self._path, form=form)
        carrier_id = answer.get("sid")
        if not isinstance(carrier_id, str) or not carrier_id:
            raise HandoverUnknown("answer_without_sid")
        return carrier_id

    def find(self, message: Outgoing, *, sent_after: datetime, known: frozenset[str]) -> str | None:
        """Look through what went to this number since then.

        The resource does not give the callback address back, so a message is recognised by its text, which holds
        the offer's code; one that another row of ours accounts for is not taken for it. The date filter is not
        used: a text still in their queue has no date of sending.
        """
        for entry in self._entries({"To": message.address}):
            created = _moment(entry.get("date_created"))
            if created is not None and created < sent_after - CLOCK_SLACK:
                return None  # newest first: the rest is older still
            same_text = _plain(entry.get("body")) == _plain(message.body)
            outbound = str(entry.get("direction", "")).startswith("outbound")
            if same_text and outbound and entry.get("sid") not in known:
                return str(entry["sid"])
        return None

    def incoming_since(self, since: datetime) -> Iterator[Incoming]:
        """Yield what came to our number since ``since``, oldest first. The resource filters by day, newest first."""
        found = []
        for entry in self._entries({"To": settings.SMS_FROM, "DateSent>": since.astimezone(UTC).date().isoformat()}):
            sent_at = _moment(entry.get("date_sent")) or _moment(entry.get("date_created"))
            if sent_at is not None and sent_at < since - CLOCK_SLACK:
                break  # the rest of the day was read before
            if entry.get("direction") == "inbound":
                media = str(entry.get("num_media") or "0")
                found.append(
                    Incoming(
                        carrier_id=str(entry.get("sid", "")),
                        address=str(entry.get("from", "")),
                        body=str(entry.get("body") or ""),
                        media_count=int(media) if media.isdecimal() else 0,
                        sent_at=sent_at,
                    )
                )
        return reversed(found)

    def _entries(self, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        url, query = self._origin + self._path, {**query, "PageSize": str(PAGE_SIZE)}
        for _ in range(MOST_PAGES):
            answer = self._call("GET", url, query=query)
            entries = answer.get("messages")
            if not isinstance(entries, list):
                raise CarrierDown("unreadable_list")
            yield from (entry for entry in entries if isinstance(entry, dict))
            following = answer.get("next_page_uri")
            if not following:
                return
            # Only ever the same origin: the account's password goes with the call.
            parts = urlsplit(str(following))
            url, query = f"{self._origin}{parts.path}?{parts.query}", {}
        raise CarrierDown("endless_list")

    def _call(
        self, method: str, url: str, *, form: dict[str, str] | None = None, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Make one call within the total deadline and return its JSON object; a lost answer to a POST is unknown."""
        refuse_inside_transaction()
        lost = HandoverUnknown if method == "POST" else CarrierDown
        try:
            with requests.request(
                method,
                url,
                params=query,
                data=form,
                auth=(settings.SMS_ACCOUNT, settings.SMS_TOKEN),
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read_within(response, time.monotonic() + CALL_SECONDS - CONNECT_SECONDS)
        except requests.exceptions.ConnectTimeout as error:
            raise CarrierDown("no_connection") from error
        except requests.exceptions.ConnectionError as error:
            raise (CarrierDown if never_reached(error) else lost)("connection_lost") from None
        except requests.exceptions.RequestException:
            raise lost("answer_lost") from None
        return _judge(response, body, lost)


def _read_within(response: requests.Response, deadline: float) -> bytes:
    body = b""
    for chunk in response.iter_content(16 * 1024):
        body += chunk
        if len(body) > MOST_BYTES or time.monotonic() > deadline:
            raise requests.exceptions.ReadTimeout("the answer is too long or too slow")
    return body


def _judge(response: requests.Response, body: bytes, lost: type[MessagingError]) -> dict[str, Any]:
    """Return the answer's JSON object or raise what it means."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if response.ok and response.status_code < 300:
        if not isinstance(answer, dict):
            raise lost("unreadable_answer")
        return answer
    given = answer.get("code") if isinstance(answer, dict) else None
    number = given if isinstance(given, int) else 0
    code = f"twilio_{number or response.status_code}"
    if number in codes.BUSY or (response.status_code == 429 and number not in codes.REFUSES_US):
        raise CarrierBusy(code, retry_at=_retry_at(response))
    if response.status_code >= 500:
        # 503 is refused before it is taken; any other failure of theirs may come after.
        raise (CarrierDown if response.status_code == 503 else lost)(code)
    if number in codes.OPTED_OUT:
        raise OptedOut(code)
    if number in codes.ADDRESS_UNUSABLE:
        raise AddressUnusable(code)
    if response.status_code in {401, 403, 404} or number in codes.REFUSES_US:
        raise CarrierRefusesUs(code)
    raise MessageRejected(code)


def _retry_at(response: requests.Response) -> datetime | None:
    """Read ``Retry-After``, in seconds or as a date."""
    given = response.headers.get("Retry-After", "").strip()
    if given.isdecimal():
        return timezone.now() + timedelta(seconds=min(int(given), 3600))
    return _moment(given)


def _moment(text: object) -> datetime | None:
    """Read an RFC 2822 date, which is what Twilio writes."""
    try:
        moment = parsedate_to_datetime(str(text))
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(text: object) -> str:
    """A text without differences in white space, which carriers trim and fold."""
    return " ".join(str(text or "").split())


def open_carrier(channel: str) -> TwilioCarrier:
    """Return the configured account."""
    return TwilioCarrier()
