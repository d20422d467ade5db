"""Hand-written stand-ins for what lies outside: an EHR in memory that a test can have fail on demand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.utils import timezone

from integrations.ehr.gateway import (
    Booking,
    Capabilities,
    GatewayError,
    Held,
    NotFound,
    Page,
    PatientAsRead,
    StaleVersion,
    Stored,
    Taken,
)
from scheduling.records import AppointmentRecord, Freshness, IdentifierRecord, Interval, PatientRecord

KEY_SYSTEM = "urn:sooner:booking"


@dataclass
class FakeEhr:
    """An EHR without slots: a provider's time is free where no live appointment lies.

    ``fail(method, error, ...)`` makes the next calls of a method raise; ``after`` lets the call take effect first, as
    when an answer is lost. ``before(method, act)`` runs something at the very moment of a call, ``behind(method, act)``
    when its answer is on its way. ``calls`` is what was asked, in order.
    """

    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(
            events=True,
            search_last_updated=True,
            conditional_create=True,
            patch=True,
            version_check=True,
            writes_appointments=True,
            retry_safety="conditional_create",
        )
    )
    appointments: dict[str, AppointmentRecord] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    creates: list[Booking] = field(default_factory=list)
    patients: dict[str, dict[str, Any]] = field(default_factory=dict)
    distort: Callable[[AppointmentRecord], AppointmentRecord] = lambda record: record
    conditional: bool = True

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self._failures: list[tuple[str, GatewayError, bool]] = []
        self._acts: list[tuple[str, Callable[[], Any]]] = []
        self._acts_behind: list[tuple[str, Callable[[], Any]]] = []

    # What a test says

    def fail(self, method: str, error: GatewayError, *, times: int = 1, after: bool = False) -> None:
        self._failures += [(method, error, after)] * times

    def before(self, method: str, act: Callable[[], Any]) -> None:
        self._acts.append((method, act))

    def behind(self, method: str, act: Callable[[], Any]) -> None:
        self._acts_behind.append((method, act))

    def put(self, **fields: Any) -> AppointmentRecord:
        """Hold an appointment that somebody made in the EHR itself."""
        external_id = fields.pop("external_id", "") or f"appt-{next(self._ids)}"
        record = AppointmentRecord(external_id=external_id, **{"version": "1", "status": "booked", **fields})
        self.appointments[external_id] = record
        return record

    def change(self, external_id: str, **fields: Any) -> AppointmentRecord:
        """Change an appointment in the EHR; its version goes up."""
        old = self.appointments[external_id]
        self.appointments[external_id] = replace(old, version=str(int(old.version) + 1), **fields)
        return self.appointments[external_id]

    @property
    def live(self) -> list[AppointmentRecord]:
        """The appointments that take up time."""
        return [record for record in self.appointments.values() if record.status in ("booked", "pending", "arrived")]

    # What the product asks

    def fetch(self, kind: str, external_id: str) -> AppointmentRecord:
        with _Call(self, "fetch"):
            if external_id not in self.appointments:
                raise NotFound(status=404)
            return self.appointments[external_id]

    def read_patient(self, external_id: str) -> PatientAsRead:
        with _Call(self, "read_patient"):
            if external_id not in self.patients:
                raise NotFound(status=404)
            return PatientAsRead(PatientRecord(external_id), "1", self.patients[external_id])

    def find_by_identifier(self, system: str, value: str) -> AppointmentRecord | None:
        with _Call(self, "find_by_identifier"):
            return self._by_key(value)

    def find_booking(self, key: str, patient_id: str, start: datetime) -> AppointmentRecord | None:
        with _Call(self, "find_booking"):
            ours = self._by_key(key)
            if ours is not None and ours in self.live:
                return ours
            return next((each for each in self.live if (each.patient_id, each.start) == (patient_id, start)), None)

    def appointments_of(self, patient_id: str, start: datetime, end: datetime) -> list[AppointmentRecord]:
        with _Call(self, "appointments_of"):
            asked = Interval(start, end)
            return [
                each
                for each in self.live
                if each.patient_id == patient_id
                and each.start
                and each.end
                and Interval(each.start, each.end).overlaps(asked)
            ]

    def availability(self, provider_id: str, location_id: str, start: datetime, end: datetime) -> Freshness:
        asked_at = timezone.now()
        with _Call(self, "availability"):
            taken = [
                Interval(each.start, each.end)
                for each in self.live
                if each.provider_id == provider_id and each.start and each.end
            ]
            return Freshness(asked_at, tuple(Interval(start, end).minus(taken)))

    def create(self, booking: Booking) -> Stored:
        with _Call(self, "create"):
            self.creates.append(booking)
            known = self._by_key(booking.key) if self.conditional else None
            if known is not None:
                return Stored(known.external_id, known.version)
            wanted = Interval(booking.start, booking.end)
            theirs = [each for each in self.live if each.provider_id == booking.provider_id and each.start and each.end]
            if any(Interval(each.start, each.end).overlaps(wanted) for each in theirs if each.start and each.end):
                raise Taken(status=409)
            record = self.distort(
                AppointmentRecord(
                    external_id=f"appt-{next(self._ids)}",
                    version="1",
                    status="booked",
                    status_code="booked",
                    start=booking.start,
                    end=booking.end,
                    patient_id=booking.patient_id,
                    provider_id=booking.provider_id,
                    location_id=booking.location_id,
                    identifiers=(IdentifierRecord(KEY_SYSTEM, booking.key),),
                )
            )
            self.appointments[record.external_id] = record
            return Stored(record.external_id, record.version)

    def cancel(self, external_id: str, version: str) -> Stored:
        with _Call(self, "cancel"):
            if external_id not in self.appointments:
                raise NotFound(status=404)
            if version and self.appointments[external_id].version != version:
                raise StaleVersion(status=412)
            after = self.change(external_id, status="cancelled", status_code="cancelled")
            return Stored(external_id, after.version)

    def changed_since(self, since: datetime | None) -> Iterator[Page]:
        yield Page(tuple(self.appointments.values()), server_time=timezone.now())

    def calendar(self, start: datetime, end: datetime) -> Iterator[Page]:
        asked_at = timezone.now()
        with _Call(self, "calendar"):
            found = [each for each in self.appointments.values() if each.start and start <= each.start < end]
            bodies = {each.external_id: json.dumps({"id": each.external_id}).encode() for each in found}
            yield Page(
                (), versions={each.external_id: each.version for each in found}, bodies=bodies, asked_at=asked_at
            )

    def read(self, kind: str, resource: dict[str, Any]) -> AppointmentRecord:
        return self.appointments[resource["id"]]

    def load(self, kind: str, held: Held | None = None, since: datetime | None = None) -> Iterator[Page]:
        yield Page(tuple(self.appointments.values()) if kind == "appointment" else ())

    def _by_key(self, key: str) -> AppointmentRecord | None:
        found = [
            record
            for record in self.appointments.values()
            if any(each.value.removeprefix("urn:uuid:") == key for each in record.identifiers)
        ]
        return found[0] if found else None


class _Call:
    """One call: noted, then failing before or after its effect as the test wished."""

    def __init__(self, ehr: FakeEhr, method: str) -> None:
        self._ehr, self._method = ehr, method

    def __enter__(self) -> None:
        self._ehr.calls.append(self._method)
        self._act(self._ehr._acts)
        self._failure = self._next_failure()
        if self._failure is not None and not self._failure[1]:
            raise self._failure[0]

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._act(self._ehr._acts_behind)
        if kind is None and self._failure is not None:
            raise self._failure[0]

    def _act(self, acts: list[tuple[str, Callable[[], Any]]]) -> None:
        for index, (method, act) in enumerate(acts):
            if method == self._method:
                del acts[index]
                act()
                return

    def _next_failure(self) -> tuple[GatewayError, bool] | None:
        for index, (method, error, after) in enumerate(self._ehr._failures):
            if method == self._method:
                del self._ehr._failures[index]
                return error, after
        return None


_standing_in: dict[int, FakeEhr] = {}


def stand_in(connection: Any, ehr: FakeEhr) -> FakeEhr:
    """Have ``ehr`` answer for a connection; see the ``fake_ehr`` fixture."""
    _standing_in[connection.pk] = ehr
    return ehr


def open_gateway(connection: Any, *, writeback: Any = None) -> FakeEhr:
    """What ``gateway.ADAPTERS`` names while a fake stands in."""
    return _standing_in[connection.pk]
