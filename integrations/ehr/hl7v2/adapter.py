"""An EHR that only sends HL7 v2: what it sent is all that can be known of it, and staff enter what we would write.

A question about an appointment is answered from the newest message about it, and whether a time is free by the calendar
that messages made, as long as they keep coming.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NoReturn

from django.db.models import Q
from django.utils import timezone

from integrations.codebook import CodeBook
from integrations.ehr import watching
from integrations.ehr.fhir import people as fhir
from integrations.ehr.fhir.calendar import Reader
from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.gateway import (
    Booking,
    Capabilities,
    Coverages,
    Finding,
    GatewayError,
    Held,
    Kind,
    Malformed,
    Page,
    PatientAsRead,
    Record,
    Rejected,
    Stored,
)
from integrations.ehr.hl7v2 import appointments, messages, people, times
from integrations.ehr.hl7v2.segments import Message
from integrations.models import Connection, InboundEvent
from scheduling import mirror
from scheduling.corrections import Correction
from scheduling.models import Appointment, ExternalId, PatientIdentifier, Writeback
from scheduling.records import AppointmentRecord, Freshness, Interval, PatientRecord

#: Of one appointment no more messages than these are looked at to find the newest.
MOST_MESSAGES = 50


class MessageGateway:
    """An EHR behind the gateway protocol that can be asked nothing. It makes no call."""

    capabilities = Capabilities(cancels=False, finds_by_identifier=False, lists_cancelled=False)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fetch(self, kind: Kind, external_id: str) -> Record:
        """Return what the newest message about an appointment or a patient says; raises Rejected for anything else."""
        if kind == "patient":
            return self.read_patient(external_id).record
        newest_first = self._told(f"Appointment/{external_id}") if kind == "appointment" else []
        if not newest_first:
            _cannot_be_asked()
        event, message = newest_first[0]
        codes = CodeBook(self._connection)
        whose = appointments.named_patient(self._connection, message)
        version = messages.digest(bytes(event.body))
        try:
            return appointments.read(self._connection, message, codes, whose, version)
        finally:
            codes.flush()

    def _told(self, subject: str) -> list[tuple[InboundEvent, Message]]:
        """Return the last messages about a patient or an appointment, the newest first."""
        rows = InboundEvent.objects.filter(
            connection=self._connection, subject_key=subject, content_type=messages.CONTENT_TYPE
        )
        found: list[tuple[datetime, InboundEvent, Message]] = []
        for row in rows.order_by("-pk")[:MOST_MESSAGES]:
            try:
                message = messages.parsed(bytes(row.body), messages.Reading.of(self._connection))
            except Unreadable:
                continue
            found.append((times.sent_at(message, row.received_at), row, message))
        # Of those made at the same moment the one that came last goes first.
        return [(row, message) for _, row, message in sorted(found, key=lambda each: each[0], reverse=True)]

    def fetch_many(self, kind: Kind, external_ids: Sequence[str]) -> Mapping[str, Record | GatewayError]:
        """Raise Rejected."""
        _cannot_be_asked()

    def read(self, kind: Kind, resource: dict[str, Any]) -> Record:
        """Return what a message says that was written as FHIR."""
        if kind == "appointment":
            return Reader("", CodeBook(self._connection), lambda place: None).appointment(resource)
        return fhir.patient_record(resource, "", self._connection.mrn_system)

    def find_by_identifier(self, system: str, value: str) -> AppointmentRecord | None:
        """Raise Rejected."""
        _cannot_be_asked()

    def find_patients(self, system: str, number: str) -> list[PatientRecord]:
        """Raise Rejected."""
        _cannot_be_asked()

    def find_people(self, family_name: str, birth_date: date) -> list[PatientRecord]:
        """Raise Rejected."""
        _cannot_be_asked()

    def create_patient(self, key: str, record: PatientRecord) -> Stored:
        """Raise Rejected."""
        _cannot_be_asked()

    def read_patient(self, external_id: str) -> PatientAsRead:
        """Return what the newest messages about a patient say, to see whether staff have entered a correction there.

        Of the messages with their number those count that mean them and nobody else.
        """
        source, system = self._connection.source, self._connection.mrn_system
        held = mirror.known(source, ExternalId.Kind.PATIENT, external_id)
        numbers = PatientIdentifier.objects.filter(source=source, system=system)
        number = numbers.filter(patient_id=held.object_id).first() if held is not None else None
        if number is None:
            _cannot_be_asked()
        newest_first = [message for _, message in self._told(messages.patient_key(number.value))]
        record = people.told(self._connection, newest_first, number.value, number.patient)
        if record is None:
            raise Rejected("No message about this patient is kept.")
        return PatientAsRead(record, record.version)

    def correct_patient(self, read: PatientAsRead, corrections: Sequence[Correction]) -> None:
        """Raise Rejected."""
        _cannot_be_asked()

    def changed_since(self, since: datetime | None) -> Iterator[Page]:
        """Raise Rejected."""
        _cannot_be_asked()

    def calendar(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Raise Rejected."""
        _cannot_be_asked()

    def load(self, kind: Kind, held: Held | None = None, since: datetime | None = None) -> Iterator[Page]:
        """Yield nothing: the calendar fills as messages come."""
        yield from ()

    def history(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Raise Rejected."""
        _cannot_be_asked()

    def availability(self, provider_id: str, location_id: str, start: datetime, end: datetime) -> Freshness:
        """Say which of this time is free by the calendar that messages made.

        Raises Rejected, so that staff look, when nothing has come for as long as makes the EHR a silent one.
        """
        asked_at, row = timezone.now(), Connection.objects.get(pk=self._connection.pk)
        if row.last_event_at is None or watching.is_too_long(row, row.last_event_at, asked_at):
            raise Rejected("Its messages have stopped coming, so nobody knows whether the time is free.")
        provider = mirror.object_id(row.source, ExternalId.Kind.PROVIDER, provider_id)
        during = Q(provider_id=provider, start__lt=end, end__gt=start)
        # Whether a visit of a status that nobody mapped still stands is not known: its time counts as taken.
        visits = Appointment.objects.filter(during, status__in=(*Appointment.OCCUPYING, Appointment.Status.UNKNOWN))
        busy = [Interval(begin, until) for begin, until in visits.values_list("start", "end") if begin and until]
        return Freshness(asked_at, tuple(Interval(start, end).minus(busy)))

    def find_booking(self, key: str, patient_id: str, start: datetime) -> AppointmentRecord | None:
        """Return the live appointment of the patient at exactly this start that a message told of, or None."""
        source = self._connection.source
        patient = mirror.known(source, ExternalId.Kind.PATIENT, patient_id)
        if patient is None:
            return None
        rows = Appointment.objects.filter(source=source, start=start, patient_id=patient.object_id)
        names = ExternalId.objects.filter(
            source=source, kind=ExternalId.Kind.APPOINTMENT, object_id__in=rows.values("pk")
        )
        for name in names:
            record = self.fetch("appointment", name.value)
            if isinstance(record, AppointmentRecord) and record.status in Appointment.OCCUPYING:
                return record
        return None

    def appointments_of(self, patient_id: str, start: datetime, end: datetime) -> list[AppointmentRecord]:
        """Return nothing: what messages told of is in the mirror, and whoever asks has looked there."""
        return []

    def coverages(self, patient_ids: Sequence[str]) -> Iterator[tuple[str, Coverages | Malformed]]:
        """Raise Rejected."""
        _cannot_be_asked()

    def create(self, booking: Booking) -> Stored:
        """Raise Rejected: staff book."""
        _cannot_be_asked()

    def cancel(self, external_id: str, version: str) -> Stored:
        """Raise Rejected: staff cancel."""
        _cannot_be_asked()

    def findings(self) -> Iterator[Finding]:
        """Say what an EHR that only sends lets us do."""
        heard = self._connection.last_event_at
        yield Finding(
            "messages",
            "Do its messages come?",
            "yes" if heard else "no",
            f"The last one came on {heard:%d %B %Y}." if heard else "None has come yet.",
            "" if heard else "Have the interface engine send ADT and SIU to this connection’s webhook address.",
        )
        yield Finding(
            "writes",
            "Can we book and cancel?",
            "no",
            "It only sends.",
            "Staff enter each booking; the message about it confirms it to the patient.",
        )


def _cannot_be_asked() -> NoReturn:
    raise Rejected("This EHR only sends messages; it cannot be asked.")


def open_gateway(connection: Connection, *, writeback: Writeback | None = None) -> MessageGateway:
    """Open the gateway of a connection that only receives messages."""
    return MessageGateway(connection)
