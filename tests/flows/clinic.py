"""A small clinic in a sandbox EHR of its own process, and the product connected to it as a practice would connect.

Two providers at one location, half-hour slots four days ahead. ``holder-1`` and so on have the bookings that tests
cancel; ``waiting-1`` and so on are on the waitlist, in that order.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from config.demo.control import SandboxControl
from config.sandbox import SandboxProcess, start_sandbox
from integrations.ehr import event_stream, load
from integrations.models import CodeMapping, Connection
from scheduling import mirror
from scheduling.models import (
    Appointment,
    AppointmentType,
    Bookable,
    ExternalId,
    Location,
    Opening,
    Patient,
    Practice,
    Provider,
    Source,
)
from waitlist import consent, entries
from waitlist.models import OutreachPolicy, WaitlistEntry

TYPE_SYSTEM = "https://sandbox-ehr.example.org/appointment-type"
REASON_SYSTEM = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
TIMEZONE = "http://hl7.org/fhir/StructureDefinition/timezone"
MRN_SYSTEM = "urn:example:mrn"
PROVIDERS = ("ana", "ben")
SLOTS = 8
CLIENT_SECRET = "sandbox-client-secret"
CONTROL_TOKEN = "sandbox-control-token"
WEBHOOK_SECRET = "sandbox-webhook-secret"


@contextmanager
def sandbox_process(directory: Path) -> Iterator[SandboxProcess]:
    """Run an empty sandbox EHR in its own process with its own file."""
    process = start_sandbox(
        database=directory / "sandbox.sqlite3",
        arguments=["--client-id", "sooner"],
        environment={"SANDBOX_CLIENT_SECRET": CLIENT_SECRET, "SANDBOX_CONTROL_TOKEN": CONTROL_TOKEN},
    )
    try:
        yield process
    finally:
        process.stop()


class Clinic:
    """The EHR's side by its control interface, ours by the rows."""

    def __init__(self, sandbox: SandboxProcess, waiting: int = 4, holders: int = 4) -> None:
        self.sandbox = sandbox
        self.control = SandboxControl(sandbox.url, CONTROL_TOKEN)
        self.day = timezone.now().replace(hour=14, minute=0, second=0, microsecond=0) + timedelta(days=4)
        self._fill_ehr(waiting, holders)
        self.connection = self._connect()
        load.load(self.connection.pk)
        self._set_up(waiting)

    # --- the EHR's side -------------------------------------------------------------------------------------------

    def start_of(self, slot: int) -> datetime:
        """Start of a provider's slot ``slot``, counted from 0."""
        return self.day + timedelta(minutes=30 * slot)

    def cancel(self, number: int = 1, reason: str | None = "pat") -> None:
        """The EHR's front desk cancels ``booking-<number>``."""
        self.control.post(f"appointments/booking-{number}/cancel", {"reason_code": reason})

    def fault(self, kind: str, **options: Any) -> int:
        """Switch a fault on and return its number; see the sandbox's own page for kinds and options."""
        return int(self.control.post("faults", {"kind": kind, **options})["number"])

    def heal(self, number: int | None = None) -> None:
        """Switch every fault off, or the one of a number; what waited because of it goes on."""
        self.control.delete("faults" if number is None else f"faults/{number}")

    def is_hit(self, number: int) -> bool:
        """Whether a request to the EHR has met the fault, and may be waiting for its answer."""
        return any(each["hits"] for each in self.control.get("faults")["faults"] if each["number"] == number)

    def creates(self) -> int:
        """How many appointments the EHR was made to book over its interface, by its own log."""
        calls = self.control.get("log", limit=2000)["requests"]
        made = [each for each in calls if each["method"] == "POST" and each["path"].endswith("/Appointment")]
        return len([each for each in made if each["status"] == 201])

    def bookings_at(self, slot: int, provider: str = "ana") -> list[dict[str, Any]]:
        """Appointments that the EHR itself holds as booked for a provider at a slot's start."""
        found = self.control.get("appointments", practitioner=provider, status="booked", _count=200)
        resources = found["appointments"]
        return [each for each in resources if datetime.fromisoformat(each["start"]) == self.start_of(slot)]

    def patient_of(self, appointment: dict[str, Any]) -> str:
        """The id of the patient an EHR appointment is for."""
        actors = [each["actor"].get("reference", "") for each in appointment["participant"] if "actor" in each]
        return next(actor.removeprefix("Patient/") for actor in actors if actor.startswith("Patient/"))

    def subscribe(self, url: str) -> None:
        """Have the EHR notify ``url`` of every change to an Appointment, as a practice's subscription would."""
        event_stream.start(self.connection, url)

    # --- ours -----------------------------------------------------------------------------------------------------

    def patient(self, external: str) -> Patient:
        """Our row of an EHR patient."""
        return Patient.objects.get(pk=mirror.object_id(self.source, ExternalId.Kind.PATIENT, external))

    def entry(self, number: int) -> WaitlistEntry:
        """The waitlist entry of ``waiting-<number>``."""
        return WaitlistEntry.objects.get(patient=self.patient(f"waiting-{number}"))

    def appointment(self, external: str) -> Appointment:
        """Our mirror of an EHR appointment."""
        return Appointment.objects.get(pk=mirror.object_id(self.source, ExternalId.Kind.APPOINTMENT, external))

    def opening(self) -> Opening | None:
        """The opening made from a cancellation, if there is one yet."""
        return Opening.objects.order_by("pk").first()

    @property
    def source(self) -> Source:
        return self.connection.source

    def _connect(self) -> Connection:
        source = Source.objects.create(key="sandbox", name="Sandbox EHR")
        connection = Connection.objects.create(
            slug="sandbox",
            source=source,
            base_url=self.sandbox.url,
            client_id="sooner",
            client_secret=CLIENT_SECRET,
            webhook_secrets=[WEBHOOK_SECRET],
            mrn_system=MRN_SYSTEM,
        )
        for domain, system, code, target in (
            (CodeMapping.Domain.TYPE, TYPE_SYSTEM, "FOLLOWUP", "follow-up"),
            (CodeMapping.Domain.REASON, REASON_SYSTEM, "pat", CodeMapping.REBOOKABLE),
            (CodeMapping.Domain.REASON, REASON_SYSTEM, "prov", CodeMapping.NOT_REBOOKABLE),
        ):
            CodeMapping.objects.create(
                connection=connection, domain=domain, system=system, code=code, target=target, state="mapped"
            )
        return connection

    def _set_up(self, waiting: int) -> None:
        practice = Practice.current()
        practice.name, practice.phone = "Elm Street Clinic", "(212) 555-0100"
        practice.save()
        OutreachPolicy.objects.create(start_delay_seconds=0, quiet_from="00:00", quiet_until="00:00")
        follow_up = AppointmentType.objects.create(code="follow-up", name="Follow-up", duration_minutes=30)
        location = Location.objects.get()
        for provider in Provider.objects.all():
            Bookable.objects.create(
                provider=provider, location=location, appointment_type=follow_up, duration_minutes=30, mode="automatic"
            )
        for number in range(1, waiting + 1):
            patient = self.patient(f"waiting-{number}")
            Patient.objects.filter(pk=patient.pk).update(established=True)
            patient.refresh_from_db()
            for contact in patient.contact_points.all():
                consent.grant(patient, contact, source="form", wording_version="test")
            joined = timezone.now() - timedelta(days=60, minutes=-number)
            entries.add(patient, follow_up, minimum_notice_minutes=0, joined_at=joined)

    def _fill_ehr(self, waiting: int, holders: int) -> None:
        people = [f"waiting-{number}" for number in range(1, waiting + 1)]
        people += [f"holder-{number}" for number in range(1, holders + 1)]
        resources: list[dict[str, Any]] = [_location()]
        resources += [_patient(external, number) for number, external in enumerate(people)]
        for provider in PROVIDERS:
            resources += [_practitioner(provider), _schedule(provider)]
            resources += [self._slot(provider, slot, slot < holders and provider == "ana") for slot in range(SLOTS)]
        resources += [self._booking(number) for number in range(1, holders + 1)]
        self.control.post("load", {"resourceType": "Bundle", "entry": [{"resource": each} for each in resources]})

    def _slot(self, provider: str, slot: int, busy: bool) -> dict[str, Any]:
        return {
            "resourceType": "Slot",
            "id": f"{provider}-{slot}",
            "schedule": {"reference": f"Schedule/{provider}"},
            "status": "busy" if busy else "free",
            "start": self.start_of(slot).isoformat(),
            "end": self.start_of(slot + 1).isoformat(),
        }

    def _booking(self, number: int) -> dict[str, Any]:
        slot = number - 1
        return {
            "resourceType": "Appointment",
            "id": f"booking-{number}",
            "status": "booked",
            "appointmentType": {"coding": [{"system": TYPE_SYSTEM, "code": "FOLLOWUP", "display": "Follow-up"}]},
            "start": self.start_of(slot).isoformat(),
            "end": self.start_of(slot + 1).isoformat(),
            "slot": [{"reference": f"Slot/ana-{slot}"}],
            "participant": [
                {"actor": {"reference": f"Patient/holder-{number}"}, "status": "accepted"},
                {"actor": {"reference": "Practitioner/ana"}, "status": "accepted"},
                {"actor": {"reference": "Location/elm"}, "status": "accepted"},
            ],
        }


def _location() -> dict[str, Any]:
    return {
        "resourceType": "Location",
        "id": "elm",
        "status": "active",
        "name": "Elm Street",
        "extension": [{"url": TIMEZONE, "valueCode": "America/New_York"}],
    }


def _practitioner(provider: str) -> dict[str, Any]:
    name = [{"family": provider.title(), "given": ["Dr."]}]
    return {"resourceType": "Practitioner", "id": provider, "active": True, "name": name}


def _schedule(provider: str) -> dict[str, Any]:
    actors = [{"reference": f"Practitioner/{provider}"}, {"reference": "Location/elm"}]
    return {"resourceType": "Schedule", "id": provider, "active": True, "actor": actors}


def _patient(external: str, number: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": external,
        "active": True,
        "identifier": [{"system": MRN_SYSTEM, "value": f"M{number:04d}"}],
        "name": [{"family": f"Sample{number}", "given": ["Robin"]}],
        "birthDate": "1980-01-01",
        "telecom": [
            {"system": "phone", "use": "mobile", "value": phone_of(number), "rank": 1},
            {"system": "email", "value": f"{external}@example.org", "rank": 2},
        ],
    }


def phone_of(number: int) -> str:
    """A reserved number for the person ``number``."""
    return f"+1{(212, 312, 415, 617)[number // 100]}55501{number % 100:02d}"


def unique() -> str:
    """An id that no other message of the test has."""
    return secrets.token_hex(8)
