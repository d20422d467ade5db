"""A proprietary REST system behind the gateway protocol, made of a declaration and three functions, or up to five.

The functions send and fetch; what has to be right for every system is done here: ids are checked before they stand in
an address, answers are filtered once more, and a write whose answer cannot be read is unknown, never failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from integrations.codebook import CodeBook
from integrations.ehr import zones
from integrations.ehr.fhir import coverage, many, people, search
from integrations.ehr.fhir.adapter import TYPES
from integrations.ehr.fhir.answers import ID
from integrations.ehr.fhir.calendar import Reader
from integrations.ehr.fhir.elements import Json, Unreadable, resource_id, version_of
from integrations.ehr.fhir.free_time import LONGEST, joined
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.fhir.windows import LOAD_AHEAD, LOAD_BACK, PAGE_SECONDS
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
    OutcomeUnknown,
    Page,
    PatientAsRead,
    Record,
    Rejected,
    StaleVersion,
    Stored,
)
from integrations.ehr.rest import checking, paging, resources
from integrations.ehr.rest.declaration import (
    Adapter,
    Cancellation,
    Declaration,
    Free,
    Insurance,
    Look,
    Many,
    Read,
    Rows,
    Wanted,
    Write,
)
from integrations.models import Connection
from scheduling.corrections import Correction
from scheduling.models import Appointment, Writeback
from scheduling.records import AppointmentRecord, Freshness, Interval, LocationRecord, PatientRecord, SlotRecord


def opener(
    declaration: Declaration,
    *,
    read: Read,
    free: Free,
    write: Write,
    many: Many | None = None,
    insurance: Insurance | None = None,
) -> Callable[..., RestGateway]:
    """Return the ``open_gateway`` of an adapter's module; nothing is sent when it is called."""
    adapter = Adapter(declaration, read, free, write, many, insurance)

    def open_gateway(connection: Connection, *, writeback: Writeback | None = None) -> RestGateway:
        return RestGateway(adapter, connection, writeback)

    return open_gateway


class RestGateway:
    """An open connection to one proprietary system."""

    def __init__(self, adapter: Adapter, connection: Connection, writeback: Writeback | None = None) -> None:
        self._adapter, self._connection = adapter, connection
        self.capabilities: Capabilities = adapter.declaration.capabilities
        self.transport = self._transport(writeback=writeback)
        self._codes = CodeBook(connection)
        self._fields = FieldBook(connection)
        self._zones: dict[str, ZoneInfo | None] = {}
        self._reader = Reader(self.transport.base_url, self._codes, self._zone_of)

    def _transport(self, **options: Any) -> Transport:
        return Transport(self._connection, media_type=self._adapter.declaration.media_type, **options)

    def fetch(self, kind: Kind, external_id: str) -> Record:
        """Return the current state of one record; raises NotFound, Unreadable."""
        return self.read(kind, self._resource(kind, external_id))

    def _resource(self, kind: Kind, external_id: str) -> Json:
        pages = self._pages(Wanted(kind, external_id=_checked(external_id)))
        found = [each for page in pages for each in page.resources]
        if not found:
            raise NotFound("The EHR answered with no record.")
        if len(found) > 1 or found[0]["id"] != external_id:
            raise Malformed("The EHR answered with another record than the one asked for.")
        return found[0]

    def fetch_many(self, kind: Kind, external_ids: Sequence[str]) -> Mapping[str, Record | GatewayError]:
        """Return the records of these ids that the function ``many`` finds, or the error of one that cannot be read."""
        if self._adapter.many is None:
            return {}
        wanted = [each for each in external_ids if ID.fullmatch(each)]
        pages = self._adapter.many(self.transport, kind, wanted)
        found: list[Json] = []
        for page in self._paged(kind, pages):
            many.refuse_others(page.resources, wanted)
            found += page.resources
        times = Counter(each["id"] for each in found if isinstance(each["id"], str))
        certain = {each["id"]: (each, "") for each in found if each["id"] in wanted and times[each["id"]] == 1}
        return many.parsed(certain, lambda resource, _: self.read(kind, resource))

    def read(self, kind: Kind, resource: Json) -> Record:
        """Return the record that a resource made from a row of this system stands for; raises Unreadable."""
        try:
            return search.guarded(lambda raw: self._parse(kind, raw), resource)
        finally:
            self._codes.flush()
            self._fields.flush()

    def find_by_identifier(self, system: str, value: str) -> AppointmentRecord | None:
        """Return the appointment with our key, a live one before a cancelled one, or None; raises Rejected."""
        if system != self._connection.identifier_system or not self.capabilities.finds_by_identifier:
            raise Rejected("This EHR cannot be searched for this identifier.")
        found = [
            record
            for record in self._appointments(Wanted("appointment", key=value))
            if any(each.value == value for each in record.identifiers)
        ]
        return min(found, key=lambda record: record.status not in Appointment.OCCUPYING, default=None)

    def find_patients(self, system: str, number: str) -> list[PatientRecord]:
        """Raise Rejected: these systems are asked for a patient by their own id only."""
        raise Rejected("This EHR cannot be searched for a patient's number.")

    def find_people(self, family_name: str, birth_date: date) -> list[PatientRecord]:
        """Raise Rejected: these systems are asked for a patient by their own id only."""
        raise Rejected("This EHR cannot be searched for a patient’s name.")

    def create_patient(self, key: str, record: PatientRecord) -> Stored:
        """Raise Rejected: these systems let us register nobody."""
        raise Rejected("This EHR lets us register no patient.")

    def read_patient(self, external_id: str) -> PatientAsRead:
        """Return a patient as they are in the system now, with the resource that paths of fields are followed in."""
        resource = self._resource("patient", external_id)
        record = self.read("patient", resource)
        if not isinstance(record, PatientRecord):
            raise Malformed("The EHR answered with another record than the one asked for.")
        return PatientAsRead(record, record.version, resource)

    def correct_patient(self, read: PatientAsRead, corrections: Sequence[Correction]) -> None:
        """Raise Rejected: these systems let us change no patient."""
        raise Rejected("This EHR lets us change no patient.")

    def changed_since(self, since: datetime | None) -> Iterator[Page]:
        """Yield pages of what changed at or after ``since``, or of the whole window where changes cannot be asked."""
        by_time = since is not None and self.capabilities.search_last_updated
        for page in self._pages(Wanted("appointment", changed_since=since) if by_time else _window()):
            yield search.compare_page(page, TYPES["appointment"])

    def calendar(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Yield pages of the appointments that begin in this time, as ids, versions and bodies."""
        transport = self._transport(seconds=PAGE_SECONDS)
        for page in self._pages(Wanted("appointment", start=start, end=end), transport):
            yield search.compare_page(page, TYPES["appointment"])

    def load(self, kind: Kind, held: Held | None = None, since: datetime | None = None) -> Iterator[Page]:
        """Yield pages of every location, provider and patient, or of the appointments from 30 days back to 90 ahead."""
        transport = self._transport(seconds=PAGE_SECONDS)
        for page in self._pages(_window() if kind == "appointment" else Wanted(kind), transport):
            yield search.read_page(page, TYPES[kind], lambda resource: self._parse(kind, resource), held)
            self._codes.flush()
            self._fields.flush()

    def history(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Yield pages of every appointment, cancelled ones among them, that begins in this time; may raise Rejected."""
        if not self.capabilities.lists_cancelled:
            raise Rejected("This EHR does not list cancelled appointments of the past.")
        transport = self._transport(seconds=PAGE_SECONDS)
        for page in self._pages(Wanted("appointment", start=start, end=end), transport):
            yield search.read_page(page, TYPES["appointment"], lambda resource: self._parse("appointment", resource))
            self._codes.flush()

    def availability(self, provider_id: str, location_id: str, start: datetime, end: datetime) -> Freshness:
        """Say which of this time the system shows as free now."""
        self.transport.is_urgent = True
        asked_at, asked = timezone.now(), Interval(start, end)
        look = Look(_checked(provider_id), _checked(location_id), asked)
        try:
            pieces = list(self._adapter.free(self.transport, look))
        except paging.OTHER_FORM:
            raise Malformed("The EHR's answer about free time has another form than its adapter knows.") from None
        slots = tuple(each for each in pieces if isinstance(each, SlotRecord) and each.free)
        stretches = joined([each for each in pieces if isinstance(each, Interval)] + [each.interval for each in slots])
        free = [Interval(max(each.start, start), min(each.end, end)) for each in stretches if each.overlaps(asked)]
        return Freshness(asked_at, tuple(free), tuple(slot for slot in slots if slot.interval.overlaps(asked)))

    def find_booking(self, key: str, patient_id: str, start: datetime) -> AppointmentRecord | None:
        """Return the live appointment with our key, else the patient's at exactly this start, or None."""
        if self.capabilities.finds_by_identifier:
            ours = self.find_by_identifier(self._connection.identifier_system, key)
            if ours is not None and ours.status in Appointment.OCCUPYING:
                return ours
        for record in self.appointments_of(patient_id, start, start + timedelta(minutes=1)):
            if record.start == start:
                return record
        return None

    def appointments_of(self, patient_id: str, start: datetime, end: datetime) -> list[AppointmentRecord]:
        """Return the patient's appointments, with whomever, that take up some of this time."""
        wanted = Wanted("appointment", patient_id=_checked(patient_id), start=start - LONGEST, end=end)
        return [
            record
            for record in self._appointments(wanted)
            if record.patient_id == patient_id
            and record.status in Appointment.OCCUPYING
            and record.start
            and record.end
            and Interval(record.start, record.end).overlaps(Interval(start, end))
        ]

    def coverages(self, patient_ids: Sequence[str]) -> Iterator[tuple[str, Coverages | Malformed]]:
        """Yield what the function ``insurance`` finds for each of these patients."""
        for patient_id in map(_checked, dict.fromkeys(patient_ids)):
            try:
                yield patient_id, self._coverages(patient_id)
            except Malformed as problem:
                yield patient_id, problem

    def _coverages(self, patient_id: str) -> Coverages:
        fields, insurance = self._adapter.declaration.coverage, self._adapter.insurance
        if fields is None or insurance is None:
            raise Rejected("This EHR tells nothing of insurance.")
        pages = paging.rows(insurance(self.transport, patient_id))
        rows = [row for page in pages for row in page.rows]
        made = [resources.coverage(fields, row) for row in rows if isinstance(row, dict)]
        strange = [row for row in rows if not isinstance(row, dict)]
        return coverage.read(made, strange, patient_id, self.transport.base_url)

    def create(self, booking: Booking) -> Stored:
        """Book; raises OutcomeUnknown when it may have happened, Taken, Duplicate, Rejected when it has not."""
        if not self.capabilities.writes_appointments:
            raise Rejected("This EHR takes no bookings from us.")
        if self.capabilities.book_mode == "one_slot" and len(booking.slot_ids) != 1:
            raise Rejected("This EHR books exactly one slot at a time.")
        return self._write(booking)

    def cancel(self, external_id: str, version: str) -> Stored:
        """Cancel the appointment if it is still at ``version``; raises StaleVersion when it changed."""
        if not self.capabilities.cancels:
            raise Rejected("This EHR does not let us cancel an appointment.")
        if not version or not self.capabilities.version_check:
            held = self.fetch("appointment", external_id).version
            if version and version != held:
                raise StaleVersion("It changed in the EHR meanwhile.")
            version = held
        return self._write(Cancellation(_checked(external_id), version))

    def findings(self) -> Iterator[Finding]:
        """Try what we need of this system, changing nothing in it, and yield what came of each."""
        declaration = self._adapter.declaration
        return checking.findings(self._connection, declaration, self._adapter.read)

    def _write(self, change: Booking | Cancellation) -> Stored:
        try:
            row = self._adapter.write(self.transport, change)
            named = resources.identity(self._adapter.declaration.appointment, row)
            return Stored(resource_id(named), version_of(named))
        except (Malformed, *paging.OTHER_FORM):
            raise OutcomeUnknown("The EHR's answer to a write has another form than its adapter knows.") from None

    def _pages(self, wanted: Wanted, transport: Transport | None = None) -> Iterator[search.Found]:
        """Yield pages of resources; raises Malformed when they do not end or are of another form."""
        return self._paged(wanted.kind, self._adapter.read(transport or self.transport, wanted))

    def _paged(self, kind: Kind, pages: Iterator[Rows]) -> Iterator[search.Found]:
        for page in paging.rows(pages):
            yield self._found(kind, page)

    def _found(self, kind: Kind, page: Rows) -> search.Found:
        rows = [row for row in page.rows if isinstance(row, dict)]
        strange = [row for row in page.rows if not isinstance(row, dict)]
        made = [resources.resource(self._adapter.declaration, self._connection, kind, row) for row in rows]
        return search.Found(made, strange, page.answer, page.answer.server_time)

    def _parse(self, kind: Kind, resource: Json) -> Record:
        if kind == "appointment":
            return self._reader.appointment(resource)
        if kind == "patient":
            told = people.patient_record(resource, self.transport.base_url, self._connection.mrn_system)
            return self._codes.with_language(self._fields.read(resource, told))
        return people.provider_record(resource) if kind == "provider" else people.location_record(resource)

    def _appointments(self, wanted: Wanted) -> list[AppointmentRecord]:
        """Return every appointment wanted; raises Malformed at the first that cannot be read."""
        try:
            pages = list(self._pages(wanted))
            if any(page.strange for page in pages):
                raise Malformed("The EHR's answer has an entry that is no record.")
            return [search.guarded(self._reader.appointment, each) for page in pages for each in page.resources]
        finally:
            self._codes.flush()

    def _zone_of(self, location_id: str) -> ZoneInfo | None:
        """Return the zone of times without an offset: the mirrored location's, else what the system says of it."""
        if location_id and location_id not in self._zones:
            self._zones[location_id] = zones.mirrored(self._connection, location_id) or self._told_zone(location_id)
        return self._zones.get(location_id)

    def _told_zone(self, location_id: str) -> ZoneInfo | None:
        try:
            record = self.fetch("location", location_id)
            told = record.time_zone if isinstance(record, LocationRecord) else ""
            return ZoneInfo(told) if told else None
        except (NotFound, Rejected, Unreadable, ValueError, KeyError):
            return None


def _window() -> Wanted:
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return Wanted("appointment", start=today - LOAD_BACK, end=today + LOAD_AHEAD + timedelta(days=1))


def _checked(external_id: str) -> str:
    if not ID.fullmatch(external_id):
        raise Rejected("The id is not one that can stand in an address.")
    return external_id
