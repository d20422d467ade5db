"""An answer of an EHR as it came, and what can be read from its headers and body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from integrations.ehr.gateway import Malformed
from integrations.safe_json import NotJson, read_json

_ETAG = re.compile(r'(?:W/)?"([^"]{1,120})"')
#: What a resource's id may look like. Wider than FHIR's own rule, which servers stretch, but nothing that
#: changes the meaning of an address.
ID = re.compile(r"(?!\.+$)[A-Za-z0-9\-._~]{1,200}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; ``asked_at`` is our clock when its request began. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    asked_at: datetime

    @property
    def etag_version(self) -> str:
        """The version in the ETag, empty when there is none."""
        match = _ETAG.fullmatch(self.headers.get("etag", "").strip())
        return match.group(1) if match else ""

    @property
    def server_time(self) -> datetime | None:
        """The server's clock, in whole seconds, or None."""
        return _http_date(self.headers.get("date", ""))

    @property
    def age_seconds(self) -> int:
        """How long the answer had lain in a cache on its way to us; 0 for one that comes from the server itself."""
        value = self.headers.get("age", "").strip()
        return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0

    @property
    def retry_at(self) -> datetime | None:
        """When to come again, by Retry-After in seconds or as a date; None when it does not say."""
        value = self.headers.get("retry-after", "").strip()
        if value.isdecimal() and len(value) < 10:
            return self._received_at() + timedelta(seconds=int(value))
        when = _http_date(value)
        if when is None:
            return None
        # A date is told by their clock; its distance from their own Date header is what they mean.
        theirs = self.server_time
        return self._received_at() + max(when - theirs, timedelta()) if theirs else when

    def _received_at(self) -> datetime:
        return datetime.now(UTC)

    def json(self) -> Any:
        """Return what the body says; raises Malformed."""
        try:
            return read_json(self.body)
        except NotJson as problem:
            raise Malformed(f"The answer cannot be read: {problem}.", status=self.status) from None

    def resource(self) -> dict[str, Any]:
        """Return the body as a FHIR resource; raises Malformed."""
        value = self.json()
        if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
            raise Malformed("The answer is not a FHIR resource.", status=self.status)
        return value

    def located_id(self, resource_type: str) -> str:
        """Return the id that the Location header names, empty when it names none."""
        parts = [part for part in urlsplit(self.headers.get("location", "")).path.split("/") if part]
        for place, part in enumerate(parts[:-1]):
            if part == resource_type and ID.fullmatch(parts[place + 1]):
                return parts[place + 1]
        return ""


def _http_date(value: str) -> datetime | None:
    if not value:
        return None
    try:
        when = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
