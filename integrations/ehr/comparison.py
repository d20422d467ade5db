"""One comparison of the EHR's calendar with ours from end to end: what was met, what differs, what is under way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from integrations.ehr import comparing, intake, mirroring, poll
from integrations.ehr.comparing import Said
from integrations.ehr.differences import Finding
from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.gateway import Gateway, GatewayError, NotFound, Page, Rejected, connect
from integrations.ehr.reading_lease import ReadingLease
from integrations.models import Connection, Difference, InboundEvent
from integrations.safe_json import read_json
from scheduling import registrations
from scheduling.exceptions import UnknownReference
from scheduling.models import Appointment, ExternalId, Writeback
from scheduling.records import AppointmentRecord

Kind = Difference.Kind
#: A calendar that lacks more of what we hold than this is not believed: nothing is asked one by one, nothing concluded.
MOST_ABSENT = 200
#: Events that are still to be dealt with.
UNREAD_EVENTS = (InboundEvent.Status.RECEIVED, InboundEvent.Status.PROCESSING)


class Implausible(GatewayError):
    """The EHR's calendar lacks so much of what we hold that its search cannot have found everything."""

    code = "implausible"


@dataclass(slots=True)
class Found:
    """What one comparison came to so far."""

    compared: int = 0
    unreadable: int = 0
    met: set[str] = field(default_factory=set)
    unsettled: set[str] = field(default_factory=set)
    differing: list[Finding] = field(default_factory=list)


class Comparison:
    """One comparison. Nothing is stored before its end, so that one that breaks off is simply begun again."""

    def __init__(self, connection: Connection, lease: ReadingLease, begin: datetime, until: datetime) -> None:
        self._connection, self._source, self._lease = connection, connection.source, lease
        self._begin, self._until = begin, until
        self._gateway: Gateway = connect(connection)
        self.found = Found()

    def run(self) -> None:
        """Read the calendar and everything we hold of it that was not met there."""
        poll.read_changes(self._connection, self._lease)
        for page in self._gateway.calendar(self._begin, self._until):
            self._take(page)
            self._lease.keep()
        self._look_for_the_rest()
        self._look_for_bookings_without_a_name()

    def _take(self, page: Page) -> None:
        intake.set_aside(self._connection, InboundEvent.Via.POLL, page.quarantined)
        self.found.met |= set(page.versions)
        for each in page.quarantined:
            # A broken one is there, whatever it says.
            external_id = each.reference.removeprefix("Appointment/")
            self.found.met.add(external_id)
            self._not_judged(f"ext:{external_id}")
        names = ExternalId.objects.filter(
            source=self._source, kind=ExternalId.Kind.APPOINTMENT, value__among=list(page.versions)
        )
        known = {name.value: name for name in names}
        keys = {value: known[value].object_id if value in known else None for value in page.versions}
        unsettled = self._unsettled(keys)
        asked_at = page.asked_at or timezone.now()
        for external_id, version in page.versions.items():
            name = known.get(external_id)
            self.found.compared += 1
            if name is not None and version and name.version == version:
                continue
            if external_id in unsettled:
                self.found.unsettled.add(f"ext:{external_id}")
            elif name is None or name.seen_at is None or name.seen_at <= asked_at:
                self._compare_body(external_id, page.bodies[external_id], name, asked_at)

    def _compare_body(self, external_id: str, body: bytes, name: ExternalId | None, asked_at: datetime) -> None:
        try:
            record = self._gateway.read("appointment", read_json(body))
        except Unreadable:
            record = None
        if isinstance(record, AppointmentRecord):
            self._compare(external_id, record, name, asked_at)
        else:
            self._not_judged(f"ext:{external_id}")

    def _compare(
        self, external_id: str, record: AppointmentRecord, name: ExternalId | None, asked_at: datetime
    ) -> None:
        ehr_says = comparing.said_by(record)
        if name is None:
            if comparing.takes_time(ehr_says) and self._is_in_window(ehr_says):
                self._note(Finding(Kind.MISSING_HERE, f"ext:{external_id}", ehr_says, {}, record.version))
            return
        appointment = Appointment.objects.get(pk=name.object_id)
        we_hold = comparing.held(self._source, appointment)
        fields = comparing.differing(ehr_says, we_hold)
        if not fields:
            # Only the version is new to us: what it says we hold already, so that nothing is freed or taken by it.
            try:
                mirroring.apply(self._gateway, self._source, record, asked_at, opens=False)
            except (mirroring.ReferenceMissing, Rejected, Unreadable):
                # Off on both sides, and the EHR does not show whom it names by now: that must not end the comparison.
                self._not_judged(f"ext:{external_id}")
        elif self._is_in_window(ehr_says) or self._is_in_window(we_hold):
            subject = f"ext:{external_id}"
            self._note(Finding(Kind.DIFFERS, subject, ehr_says, we_hold, record.version, appointment, fields))

    def _is_in_window(self, said: Said) -> bool:
        start = comparing.start_of(said)
        return start is not None and self._begin < start < self._until

    def _not_judged(self, subject: str) -> None:
        """The EHR does not say what it has of this one, so that what was found before still stands."""
        self.found.unreadable += 1
        self.found.unsettled.add(subject)

    def _note(self, finding: Finding) -> None:
        self.found.differing.append(finding)

    def _look_for_the_rest(self) -> None:
        """What we hold and did not meet is asked for by its id: its absence proves nothing, the answer does."""
        names = ExternalId.objects.filter(
            source=self._source, kind=ExternalId.Kind.APPOINTMENT, object_id__in=self._ahead().values("pk")
        )
        absent = [name for name in names.iterator() if name.value not in self.found.met]
        if len(absent) > MOST_ABSENT:
            raise Implausible
        unsettled = self._unsettled({name.value: name.object_id for name in absent})
        for name in absent:
            self.found.compared += 1
            if name.value in unsettled:
                self.found.unsettled.add(f"ext:{name.value}")
                continue
            self._lease.keep()
            self._ask_for(name)

    def _ahead(self) -> QuerySet[Appointment]:
        """Return what we hold as taking up time of the window."""
        return Appointment.objects.filter(
            source=self._source, status__in=Appointment.OCCUPYING, start__gt=self._begin, start__lt=self._until
        )

    def _ask_for(self, name: ExternalId) -> None:
        asked_at = timezone.now()
        try:
            record = self._gateway.fetch("appointment", name.value)
        except NotFound:
            appointment = Appointment.objects.get(pk=name.object_id)
            we_hold = comparing.held(self._source, appointment)
            self._note(Finding(Kind.MISSING_THERE, f"ext:{name.value}", {}, we_hold, "", appointment))
            return
        except (Rejected, Unreadable):
            self._not_judged(f"ext:{name.value}")
            return
        if isinstance(record, AppointmentRecord) and not (record.version and record.version == name.version):
            self._compare(name.value, record, name, asked_at)

    def _look_for_bookings_without_a_name(self) -> None:
        """Bookings of ours that the EHR never named: it is asked for our key, else for the patient at that time."""
        named = ExternalId.objects.filter(source=self._source, kind=ExternalId.Kind.APPOINTMENT).values("object_id")
        ours = (
            self._ahead()
            .filter(origin=Appointment.Origin.WAITLIST)
            .exclude(Q(pk__in=named) | Q(status=Appointment.Status.PENDING))
        )
        busy = _in_flight(ours.values_list("pk", flat=True))
        for appointment in ours:
            self.found.compared += 1
            subject = f"own:{appointment.pk}"
            if appointment.pk in busy:
                self.found.unsettled.add(subject)
                continue
            self._lease.keep()
            we_hold = comparing.held(self._source, appointment)
            row = appointment.writebacks.filter(kind=Writeback.Kind.CREATE).order_by("-pk").first()
            if row is None or appointment.start is None or appointment.patient_id is None:
                continue
            try:
                is_there = self._is_there(str(row.key), appointment.patient_id, appointment.start)
            except (Rejected, Unreadable):
                # It finds none by patient, or what it found cannot be read: that says nothing about this booking.
                self._not_judged(subject)
                continue
            if not is_there:
                self._note(Finding(Kind.NOT_WRITTEN, subject, {}, we_hold, "", appointment))

    def _is_there(self, key: str, patient_id: int, start: datetime) -> bool:
        """Return whether the EHR has a booking of ours, whatever it calls it; of whom it does not know it has none."""
        try:
            name = registrations.name_at(self._source, patient_id)
        except UnknownReference:
            return False
        return self._gateway.find_booking(key, name, start) is not None

    def _unsettled(self, keys: dict[str, int | None]) -> set[str]:
        """Return those of these that an event or a write under way still decides."""
        events = InboundEvent.objects.filter(connection=self._connection, status__in=UNREAD_EVENTS)
        waiting = set(events.values_list("subject_key", flat=True))
        busy = _in_flight(pk for pk in keys.values() if pk is not None)
        return {
            external_id
            for external_id, pk in keys.items()
            if f"Appointment/{external_id}" in waiting or (pk is not None and pk in busy)
        }


def _in_flight(appointment_ids: Iterable[int]) -> set[int]:
    """Return those of the appointments about which a write is under way, or lies with staff as a dead letter."""
    rows = Writeback.objects.filter(status__in=(*Writeback.LIVE, Writeback.Status.DEAD))
    return set(rows.values_list("appointment_id", flat=True)).intersection(appointment_ids)
