"""The EHR asked directly: what its answers take when nothing of the product stands between."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import requests

from bench import clinic
from bench.clinic import Clinic, Time

TIMEOUT = 30
LONGEST = timedelta(hours=12)
IDENTIFIERS = "urn:sooner:booking"


class Direct:
    """A logged-in session with one EHR over a kept connection."""

    def __init__(self, ehr: Clinic) -> None:
        self._base = ehr.url
        self._session = requests.Session()
        self._renew_at = 0.0

    def look_seconds(self, appointment: str, at: Time) -> float:
        """Return what the EHR takes for what an offer needs: the appointment itself, then the slots and bookings."""
        self._log_in()
        hours = [("ge", at.start - LONGEST), ("lt", at.end)]
        began = time.perf_counter()
        self._get(f"{self._base}/Appointment/{appointment}")
        self._get(
            f"{self._base}/Slot",
            [("schedule", f"Schedule/{at.provider}"), *(("start", f"{sign}{_utc(when)}") for sign, when in hours)],
        )
        self._get(
            f"{self._base}/Appointment",
            [("practitioner", at.provider), *(("date", f"{sign}{_utc(when)}") for sign, when in hours)],
        )
        return time.perf_counter() - began

    def book_seconds(self, at: Time, patient: str) -> float:
        """Return what the EHR takes to create an appointment and to give it back."""
        self._log_in()
        key = str(uuid.uuid4())
        body = clinic.appointment(
            at,
            patient,
            slot=[{"reference": f"Slot/{at.slot}"}],
            identifier=[{"system": IDENTIFIERS, "value": key}],
        )
        headers = {"If-None-Exist": f"identifier={IDENTIFIERS}|{key}", "Prefer": "return=representation"}
        began = time.perf_counter()
        answer = self._session.post(f"{self._base}/Appointment", json=body, headers=headers, timeout=TIMEOUT)
        answer.raise_for_status()
        self._get(f"{self._base}/Appointment/{answer.json()['id']}")
        return time.perf_counter() - began

    def pages(self, parameters: list[tuple[str, str]]) -> Iterator[list[dict[str, Any]]]:
        """Yield the appointments of a search, page by page."""
        self._log_in()
        bundle = self._get(f"{self._base}/Appointment", parameters)
        while True:
            yield [entry["resource"] for entry in bundle.get("entry", [])]
            links = {link["relation"]: link["url"] for link in bundle.get("link", [])}
            if "next" not in links:
                return
            bundle = self._get(links["next"])

    def _get(self, url: str, parameters: list[tuple[str, str]] | None = None) -> dict[str, Any]:
        answer = self._session.get(url, params=parameters, timeout=TIMEOUT)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _log_in(self) -> None:
        if time.monotonic() < self._renew_at:
            return
        origin = self._base.removesuffix("/fhir")
        answer = requests.post(
            f"{origin}/oauth/token",
            {"grant_type": "client_credentials", "scope": "system/*.read system/Appointment.write"},
            auth=(clinic.CLIENT_ID, clinic.CLIENT_SECRET),
            timeout=TIMEOUT,
        )
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self._renew_at = time.monotonic() + 200


def _utc(when: Any) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
