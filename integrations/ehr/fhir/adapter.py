"""A FHIR R4 server behind the gateway protocol: neutral values in and out, nothing of FHIR above."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from integrations.codebook import CodeBook
from integrations.ehr import zones
from integrations.ehr.fhir import build, capabilities, checking, correcting, coverage, free_time, many, people, search
from integrations.ehr.fhir.answers import ID, Answer
from integrations.ehr.fhir.calendar import Reader
from integrations.ehr.fhir.elements import MADE_UP, Json, Unreadable, reference_id, version_of
from integrations.ehr.fhir.stored import stored, stored_version
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.fhir.windows import PAGE_SECONDS, days, window
from integrations.ehr.field_reading import FieldBook
from integrations.ehr.gateway import (
    Booking,
    Capabilities,
    Coverages,
    Finding,
    GatewayError,
    Held,
    Kind,
    Malformed,
    NotFound,
    Page,
    PatientAsRead,
    Record,
    Rejected,
    StaleVersion,
    Stored,
)
from integrations.models import Connection
from scheduling.corrections import Correction
from scheduling.models import Appointment, Writeback
from scheduling.records import AppointmentRecord, Freshness, Interval, PatientRecord

TYPES: dict[str, str] = {
    "appointment": "Appointment",
    "patient": "Patient",
    "provider": "Practitioner",
    "location": "Location",
}


class FhirGateway:
    """An open connection to one FHIR server.

    A maker's dialect is a subclass in a folder of its own: it states in ``known_better`` what the server's
    CapabilityStatement leaves out or gets wrong, and overrides what the maker does in another way.
    """

    known_better: Mapping[str, Any] = {}

    def __init__(self, connection: Connection, writeback: Writeback | None = None) -> None:
        self._connection = connection
        self.transport = Transport(connection, writeback=writeback)
        self._codes = CodeBook(connection)
        self._fields = FieldBook(connection)
        self._zones: dict[str, ZoneInfo | None] = {}
        self._roles: dict[str, str] = {}
        self._reader = Reader(self.transport.base_url, self._codes, self._zone_of, self._practitioner_of_role)

    @property
    def capabilities(self) -> Capabilities:
        """What the server declares, asked once a day, and what we know better."""
        return replace(capabilities.of_connection(self._connection, self.transport), **self.known_better)

    def fetch(self, kind: Kind, external_id: str) -> Record:
        """Return the current state of one resource; raises NotFound, Unreadable."""
        answer, resource = self._read(TYPES[kind], external_id)
        return self.read(kind, resource, answer.etag_version)

    def fetch_many(self, kind: Kind, external_ids: Sequence[str]) -> Mapping[str, Record | GatewayError]:
        """Return what came of each that one call says something certain about; raises GatewayError for the call."""
        found = many.ask(self.transport, self.capabilities.reads_many, TYPES[kind], external_ids)
        return many.parsed(found, lambda resource, version: self.read(kind, resource, version))

    def read(self, kind: Kind, resource: Json, fallback_version: str = "") -> Record:
        """Return the record a resource of this server stands for; raises Unreadable."""
        try:
            return search.guarded(lambda raw: self._parse(kind, raw, fallback_version), resource)
        finally:
            self._codes.flush()
            self._fields.flush()

    def find_by_identifier(self, system: str, value: str) -> AppointmentRecord | None:
        """Return the appointment with this identifier, a live one before a cancelled one, or None.

        Raises Rejected for an identifier of ours where the EHR keeps none.
        """
        if system == self._connection.identifier_system and not self.capabilities.finds_by_identifier:
            raise Rejected("This EHR cannot be searched for an identifier of ours.")
        token = f"{_escaped(system)}|{_escaped(value)}" if system else _escaped(value)
        found = self._appointments([("identifier", token)])
        # A server that ignores the parameter returns everything; only what carries the identifier is meant.
        ours = [
            record
            for record in found
            if any(each.value == value and each.system in ("", system) for each in record.identifiers)
        ]
        ours.sort(key=lambda record: record.status not in Appointment.OCCUPYING)
        return ours[0] if ours else None

    def find_patients(self, system: str, number: str) -> list[PatientRecord]:
        """Return the patients who have this number of this system."""
        found = self._patients([("identifier", f"{_escaped(system)}|{_escaped(number)}")])
        return [each for each in found if any((own.system, own.value) == (system, number) for own in each.identifiers)]

    def find_people(self, family_name: str, birth_date: date) -> list[PatientRecord]:
        """Return the patients of this family name, case aside, born on this day."""
        found = self._patients([("family", _escaped(family_name)), ("birthdate", birth_date.isoformat())])
        named = " ".join(family_name.casefold().split())
        # A server may find names by their beginning, and one that ignores a parameter returns everything.
        return [
            each
            for each in found
            if each.birth_date == birth_date and " ".join(each.family_name.casefold().split()) == named
        ]

    def _patients(self, parameters: list[tuple[str, str]]) -> list[PatientRecord]:
        """Search by POST: what tells who somebody is must not stand in an address."""
        found = list(search.resources(self.transport, "Patient", parameters, in_body=True))
        records = [self.read("patient", resource) for resource in found]
        return [each for each in records if isinstance(each, PatientRecord)]

    def create_patient(self, key: str, record: PatientRecord) -> Stored:
        """Register a patient; raises OutcomeUnknown when it may have happened, Duplicate, Rejected when it has not."""
        system = self._connection.identifier_system
        headers = {}
        if self.capabilities.conditional_patient_create:
            headers["If-None-Exist"] = f"identifier={quote(f'{_escaped(system)}|{_escaped(key)}', safe='')}"
        body = build.patient(record, system, key)
        return stored(self.transport.write("POST", "Patient", body, headers), "Patient")

    def read_patient(self, external_id: str) -> PatientAsRead:
        """Return a patient as they are in the EHR now, with the JSON that corrections are written into."""
        answer, resource = self._read("Patient", external_id)
        record = self.read("patient", resource, answer.etag_version)
        if not isinstance(record, PatientRecord):
            raise Malformed("The EHR answered with another record than the one asked for.")
        return PatientAsRead(record, answer.etag_version or record.version, resource)

    def correct_patient(self, read: PatientAsRead, corrections: Sequence[Correction]) -> None:
        """Change what is corrected in the JSON as it was read; raises StaleVersion when it changed meanwhile."""
        path = f"Patient/{_checked(read.record.external_id)}"
        headers = {}
        if read.version and not read.version.startswith(MADE_UP):
            headers["If-Match"] = f'W/"{read.version}"'
        if self.capabilities.corrects_patients == "patch":
            headers["Content-Type"] = "application/json-patch+json"
            self.transport.write("PATCH", path, correcting.operations(read.raw, corrections), headers)
        elif self.capabilities.corrects_patients == "put":
            self.transport.write("PUT", path, correcting.corrected(read.raw, corrections), headers)
        else:
            raise Rejected("This EHR lets us change no patient.")

    def changed_since(self, since: datetime | None) -> Iterator[Page]:
        """Yield pages of what changed at or after ``since``, or of the whole window where changes cannot be asked."""
        if since is not None and self.capabilities.search_last_updated:
            searches = [[("_lastUpdated", f"ge{build.utc(since)}"), ("_sort", "_lastUpdated")]]
        else:
            searches = self.window_searches()
        for page in self._pages("Appointment", searches, self.transport):
            yield search.compare_page(page, "Appointment")

    def calendar(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Yield pages of the appointments that begin in this time, by whole days, as ids, versions and bodies."""
        transport = Transport(self._connection, seconds=PAGE_SECONDS)
        # A day more at either end: which day a moment belongs to depends on the server's clock.
        searches = self.window_searches(days(start - timedelta(days=1), end + timedelta(days=1)))
        for page in self._pages("Appointment", searches, transport):
            yield search.compare_page(page, "Appointment")

    def load(self, kind: Kind, held: Held | None = None, since: datetime | None = None) -> Iterator[Page]:
        """Yield pages of every location, provider and patient, or of the appointments from 30 days back to 90 ahead.

        Some servers take half a minute for a page of hundreds, so such a call may take longer than any other.
        """
        transport = Transport(self._connection, seconds=PAGE_SECONDS)
        changed = [("_lastUpdated", f"ge{build.utc(since)}")] if since and self.capabilities.people_last_updated else []
        searches = self.window_searches() if kind == "appointment" else [changed]
        for page in self._pages(TYPES[kind], searches, transport):
            read = search.read_page(page, TYPES[kind], lambda resource: self._parse(kind, resource), held)
            # What one of several searches finds in all says nothing about all of them.
            yield read if len(searches) == 1 else replace(read, total=None)
            self._codes.flush()
            self._fields.flush()

    def history(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Yield pages of every appointment, cancelled ones among them, that begins in this time; may raise Rejected."""
        if not self.capabilities.lists_cancelled:
            raise Rejected("This EHR does not list cancelled appointments of the past.")
        transport = Transport(self._connection, seconds=PAGE_SECONDS)
        # A day more at either end: which day a moment belongs to depends on the server's clock.
        searches = self.window_searches(days(start - timedelta(days=1), end + timedelta(days=1)))
        for page in self._pages("Appointment", searches, transport):
            yield search.read_page(page, "Appointment", lambda resource: self._parse("appointment", resource))
            self._codes.flush()

    def window_searches(self, asked: list[tuple[str, str]] | None = None) -> list[list[tuple[str, str]]]:
        """Return the searches that together find every appointment of the days asked for, else of the window."""
        return [asked or window()]

    def _pages(
        self, resource_type: str, searches: list[list[tuple[str, str]]], transport: Transport
    ) -> Iterator[search.Found]:
        for parameters in searches:
            yield from search.bundles(transport, resource_type, [*parameters, ("_count", str(search.PAGE_SIZE))])

    def availability(self, provider_id: str, location_id: str, start: datetime, end: datetime) -> Freshness:
        """Say which of this time is free now, by the EHR's slots where it has them and by its appointments."""
        self.transport.is_urgent = True
        return free_time.look(
            self.transport,
            self._reader,
            Interval(start, end),
            provider_id=provider_id,
            location_id=location_id,
            has_slots=self.capabilities.slots,
        )

    def find_booking(self, key: str, patient_id: str, start: datetime) -> AppointmentRecord | None:
        """Return the live appointment with our key, else the patient's at exactly this start, or None."""
        try:
            ours = self.find_by_identifier(self._connection.identifier_system, key)
        except Rejected:
            ours = None  # a server that cannot search by identifier says so
        if ours is not None and ours.status in Appointment.OCCUPYING:
            return ours
        day = [("date", f"ge{build.utc(start)}"), ("date", f"lt{build.utc(start + timedelta(minutes=1))}")]
        for record in self._appointments([("patient", patient_id), *day]):
            if record.patient_id == patient_id and record.start == start and record.status in Appointment.OCCUPYING:
                return record
        return None

    def appointments_of(self, patient_id: str, start: datetime, end: datetime) -> list[AppointmentRecord]:
        """Return the patient's appointments, with whomever, that take up some of this time."""
        try:
            return free_time.of_patient(self.transport, self._reader, patient_id, Interval(start, end))
        finally:
            self._codes.flush()

    def coverages(self, patient_ids: Sequence[str]) -> Iterator[tuple[str, Coverages | Malformed]]:
        """Yield what pays for each of these patients; an error of the whole raises, what was yielded by then stands."""
        able = self.capabilities
        wanted = [_checked(each) for each in dict.fromkeys(patient_ids)]
        return coverage.by_patient(self.transport, able.coverage_by or "patient", able.reads_many, wanted)

    def create(self, booking: Booking) -> Stored:
        """Book; raises OutcomeUnknown when it may have happened, Taken, Duplicate, Rejected when it has not."""
        declared = self.capabilities
        system = self._connection.identifier_system
        body = build.appointment(booking, system, one_slot=declared.book_mode == "one_slot")
        headers = {}
        if declared.conditional_create:
            headers["If-None-Exist"] = f"identifier={quote(f'{_escaped(system)}|{_escaped(booking.key)}', safe='')}"
        return stored(self.transport.write("POST", "Appointment", body, headers))

    def cancel(self, external_id: str, version: str) -> Stored:
        """Cancel the appointment if it is still at ``version``; raises StaleVersion when it changed."""
        if not self.capabilities.cancels:
            raise Rejected("This EHR does not let us cancel an appointment.")
        able = self.capabilities
        resource: Json = {"status": ""}
        if not (able.patch and able.version_check and version) or version.startswith(MADE_UP):
            # A server that keeps no versions, or takes whole records alone, would change whatever it has become.
            answer, resource = self._read("Appointment", external_id)
            now_there = version_of(resource, answer.etag_version)
            if version and version != now_there:
                raise StaleVersion("It changed in the EHR meanwhile.")
            version = answer.etag_version or now_there
        headers = {} if not version or version.startswith(MADE_UP) else {"If-Match": f'W/"{version}"'}
        path = f"Appointment/{_checked(external_id)}"
        if able.patch:
            headers["Content-Type"] = "application/json-patch+json"
            sent = self.transport.write("PATCH", path, build.cancellation(resource), headers)
        else:
            sent = self.transport.write("PUT", path, build.cancelled(resource), headers)
        return Stored(external_id, stored_version(sent))

    def findings(self) -> Iterator[Finding]:
        """Try what we need of this server, changing nothing in it, and yield what came of each."""
        return checking.findings(self._connection, self.known_better)

    def _read(self, resource_type: str, external_id: str) -> tuple[Answer, Json]:
        answer = self.transport.read(f"{resource_type}/{_checked(external_id)}")
        resource = answer.resource()
        if resource["resourceType"] != resource_type or resource.get("id") != external_id:
            raise Malformed("The EHR answered with another resource than the one asked for.")
        return answer, resource

    def _parse(self, kind: Kind, resource: Json, fallback_version: str = "") -> Record:
        if kind == "appointment":
            return self._reader.appointment(resource, fallback_version)
        if kind == "patient":
            base_url, mrn_system = self.transport.base_url, self._connection.mrn_system
            told = people.patient_record(resource, base_url, mrn_system, fallback_version)
            return self._codes.with_language(self._fields.read(resource, told))
        if kind == "provider":
            return people.provider_record(resource, fallback_version)
        return people.location_record(resource, fallback_version)

    def _appointments(self, parameters: list[tuple[str, str]]) -> list[AppointmentRecord]:
        found = search.resources(self.transport, "Appointment", parameters)
        try:
            return [search.guarded(self._reader.appointment, resource) for resource in found]
        finally:
            self._codes.flush()

    def _zone_of(self, location_id: str) -> ZoneInfo | None:
        """Return the zone naive times of this location are in: the mirrored one, else what the EHR says."""
        if not location_id:
            return None
        if location_id not in self._zones:
            known = zones.mirrored(self._connection, location_id)
            self._zones[location_id] = known or self._published_zone(location_id)
        return self._zones[location_id]

    def _published_zone(self, location_id: str) -> ZoneInfo | None:
        try:
            record = people.location_record(self._read("Location", location_id)[1])
            return ZoneInfo(record.time_zone) if record.time_zone else None
        except (NotFound, Unreadable, ValueError, KeyError):
            return None

    def _practitioner_of_role(self, role_id: str) -> str:
        """Return the practitioner who fills a role, or an empty string."""
        if role_id not in self._roles:
            try:
                role = self._read("PractitionerRole", role_id)[1]
            except NotFound:
                role = {}
            self._roles[role_id] = reference_id(role.get("practitioner"), "Practitioner", self.transport.base_url)
        return self._roles[role_id]


def open_gateway(connection: Connection, *, writeback: Writeback | None = None) -> FhirGateway:
    """Open the gateway of a FHIR connection. Nothing is sent yet."""
    return FhirGateway(connection, writeback)


def _checked(external_id: str) -> str:
    if not ID.fullmatch(external_id):
        raise Rejected("The id is not one that can stand in an address.")
    return external_id


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("|", "\\|").replace(",", "\\,").replace("$", "\\$")
