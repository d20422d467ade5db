"""How ``$find`` and ``$book`` are asked: as the Argonaut guide has them, and as Epic does.

Source: Argonaut Scheduling Implementation Guide 1.0.0; Epic, ``Appointment.$find`` and ``Appointment.$book`` (STU3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit

from integrations.ehr.fhir import build
from integrations.ehr.fhir.answers import Answer
from integrations.ehr.fhir.elements import Json
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Booking

#: The address of FHIR R4 at Epic, on every host. Its scheduling operations lie beside it.
_EPIC = re.compile(r"(?P<root>.*/api/FHIR)/R4", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Guide:
    """``$find`` by GET, with references and times alone: nobody's patient stands in the address."""

    base_url: str
    holds: ClassVar[bool] = True

    def find(self, transport: Transport, provider_id: str, location_id: str, start: datetime, end: datetime) -> Answer:
        """Ask for proposals; raises GatewayError."""
        parameters = [
            ("start", build.utc(start)),
            ("end", build.utc(end)),
            ("practitioner", f"Practitioner/{provider_id}"),
            ("location-reference", f"Location/{location_id}"),
        ]
        return transport.read("Appointment/$find", parameters)

    def book(self, transport: Transport, booking: Booking) -> Answer:
        """Book the one proposal that the booking names; raises GatewayError."""
        parameters: list[Json] = [
            {"name": "appt-id", "valueUri": booking.slot_ids[0]},
            {"name": "patient-id", "valueUri": f"Patient/{booking.patient_id}"},
        ]
        if booking.comment:
            parameters.append({"name": "comment", "valueString": booking.comment})
        return transport.write("POST", "Appointment/$book", _body(parameters))


@dataclass(frozen=True, slots=True)
class Epic:
    """Both by POST at the STU3 address beside R4, under names of its own. No parameter names a clinician."""

    base_url: str
    holds: ClassVar[bool] = False

    def find(self, transport: Transport, provider_id: str, location_id: str, start: datetime, end: datetime) -> Answer:
        """Ask for the proposals of everybody at the location; raises GatewayError."""
        parameters: list[Json] = [
            {"name": "startTime", "valueDateTime": build.utc(start)},
            {"name": "endTime", "valueDateTime": build.utc(end)},
            {
                "name": "location-reference",
                "valueReference": {"reference": f"{self.base_url}/Location/{location_id}"},
            },
        ]
        return transport.ask(self._path("$find"), _body(parameters))

    def book(self, transport: Transport, booking: Booking) -> Answer:
        """Book the one proposal that the booking names; raises GatewayError."""
        parameters: list[Json] = [
            {"name": "patient", "valueIdentifier": {"value": booking.patient_id}},
            {"name": "appointment", "valueIdentifier": {"value": booking.slot_ids[0]}},
        ]
        if booking.comment:
            parameters.append({"name": "appointmentNote", "valueString": booking.comment})
        return transport.write("POST", self._path("$book"), _body(parameters))

    def _path(self, operation: str) -> str:
        return f"{urlsplit(self.base_url).path}/Appointment/{operation}"


def form_of(base_url: str) -> Guide | Epic:
    """Return the form in which the server at this address is asked, with the address its operations lie at."""
    parts = urlsplit(base_url)
    epic = _EPIC.fullmatch(parts.path.rstrip("/"))
    if epic is None:
        return Guide(base_url)
    return Epic(urlunsplit(parts._replace(path=f"{epic['root']}/STU3")))


def _body(parameters: list[Json]) -> Json:
    return {"resourceType": "Parameters", "parameter": parameters}
