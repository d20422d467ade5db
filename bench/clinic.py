"""A clinic in a sandbox EHR of its own process, and the product connected to it as a practice would connect."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.utils import timezone

from config.demo.control import SandboxControl
from config.sandbox import SandboxProcess, start_sandbox
from integrations.models import CodeMapping, Connection
from scheduling.models import Practice, Source

CLIENT_ID, CLIENT_SECRET = "bench", "bench-client-secret"
CONTROL_TOKEN = "bench-control-token"
WEBHOOK_SECRET = "bench-webhook-secret"
SLUG = "bench"
TYPE_SYSTEM = "https://sandbox-ehr.example.org/appointment-type"
REASON_SYSTEM = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
ZONE = "http://hl7.org/fhir/StructureDefinition/timezone"
MRN_SYSTEM = "urn:example:mrn"
LOCATION = "elm"
#: Resources per request to the sandbox, which takes two megabytes at a time.
BUNDLE = 800
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Time:
    """Half an hour of a provider: the EHR's slot, and the booking that stands in it or would."""

    provider: str
    slot: str
    start: datetime

    @property
    def end(self) -> datetime:
        """When it is over."""
        return self.start + timedelta(minutes=30)

    @property
    def booking(self) -> str:
        """The id of the appointment that the clinic starts with in this slot."""
        return f"booking-{self.slot}"


class Clinic:
    """What stands in the EHR: providers, days of slots, patients, and bookings in some of the slots."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.url = sandbox.url
        self._control = SandboxControl(sandbox.url, CONTROL_TOKEN)

    def fill(self, resources: Iterable[Json]) -> None:
        """Put resources into the EHR as they are."""
        waiting = iter(resources)
        while some := list(islice(waiting, BUNDLE)):
            bundle = {"resourceType": "Bundle", "entry": [{"resource": each} for each in some]}
            self._control.post("load", bundle)

    def cancel(self, appointment: str) -> None:
        """The EHR's front desk cancels; nobody is notified unless subscribed."""
        self._control.post(f"appointments/{appointment}/cancel", {"reason_code": "pat"})


@contextmanager
def sandbox(directory: Path) -> Iterator[Clinic]:
    """Run an empty sandbox EHR in a process of its own."""
    process = start_sandbox(
        # A file of its own each time: benchmarks that follow one another share the directory.
        database=directory / f"ehr-{secrets.token_hex(4)}.sqlite3",
        arguments=["--client-id", CLIENT_ID],
        environment={"SANDBOX_CLIENT_SECRET": CLIENT_SECRET, "SANDBOX_CONTROL_TOKEN": CONTROL_TOKEN},
    )
    try:
        yield Clinic(process)
    finally:
        process.stop()


def connect(clinic: Clinic) -> Connection:
    """Connect the product to the clinic, its codes mapped, and return the connection."""
    Practice.current()
    source = Source.objects.create(key=SLUG, name="Sandbox EHR")
    connection = Connection.objects.create(
        slug=SLUG,
        source=source,
        base_url=clinic.url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        webhook_secrets=[WEBHOOK_SECRET],
        mrn_system=MRN_SYSTEM,
    )
    for domain, system, code, target in (
        (CodeMapping.Domain.TYPE, TYPE_SYSTEM, "FOLLOWUP", "follow-up"),
        (CodeMapping.Domain.REASON, REASON_SYSTEM, "pat", CodeMapping.REBOOKABLE),
    ):
        CodeMapping.objects.create(
            connection=connection, domain=domain, system=system, code=code, target=target, state="mapped"
        )
    return connection


def midnight() -> datetime:
    """Return the beginning of today, UTC."""
    return timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)


def location() -> Json:
    """Return the one place."""
    return {
        "resourceType": "Location",
        "id": LOCATION,
        "status": "active",
        "name": "Elm Street",
        "extension": [{"url": ZONE, "valueCode": "America/New_York"}],
    }


def practitioner(provider: str) -> list[Json]:
    """Return a provider with a schedule at the place."""
    actors = [{"reference": f"Practitioner/{provider}"}, {"reference": f"Location/{LOCATION}"}]
    name = [{"family": provider.title(), "given": ["Dr."]}]
    return [
        {"resourceType": "Practitioner", "id": provider, "active": True, "name": name},
        {"resourceType": "Schedule", "id": provider, "active": True, "actor": actors},
    ]


def patient(external: str, number: int) -> Json:
    """Return a patient with a mobile phone; numbers repeat after two thousand people."""
    areas = (201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225, 228)
    phone = f"+1{areas[number // 100 % len(areas)]}55501{number % 100:02d}"
    return {
        "resourceType": "Patient",
        "id": external,
        "active": True,
        "identifier": [{"system": MRN_SYSTEM, "value": f"M{number:06d}"}],
        "name": [{"family": f"Sample{number}", "given": ["Robin"]}],
        "birthDate": "1980-01-01",
        "telecom": [{"system": "phone", "use": "mobile", "value": phone, "rank": 1}],
    }


def slot(time: Time, status: str) -> Json:
    """Return a slot of a provider's schedule."""
    return {
        "resourceType": "Slot",
        "id": time.slot,
        "schedule": {"reference": f"Schedule/{time.provider}"},
        "status": status,
        "start": time.start.isoformat(),
        "end": time.end.isoformat(),
    }


def appointment(time: Time, patient: str, **more: Any) -> Json:
    """Return a booked appointment in a slot, with an id unless ``more`` leaves it out."""
    actors = (f"Patient/{patient}", f"Practitioner/{time.provider}", f"Location/{LOCATION}")
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "appointmentType": {"coding": [{"system": TYPE_SYSTEM, "code": "FOLLOWUP", "display": "Follow-up"}]},
        "start": time.start.isoformat(),
        "end": time.end.isoformat(),
        "participant": [{"actor": {"reference": actor}, "status": "accepted"} for actor in actors],
        **more,
    }
