"""Neutral records: what an adapter says about the outside world, with nothing of FHIR or HL7 in it.

External ids are the source's own. Times are aware datetimes. Records are plain values: comparing two of them
compares what they say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

#: What a cancellation reason means: offer the time, do not, ask a person; or there was none, or nobody mapped it.
ReasonVerdict = Literal["rebookable", "not_rebookable", "ask_staff", "missing", "unmapped", "unmapped_type"]


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A half-open stretch of time, ``start`` before ``end``."""

    start: datetime
    end: datetime

    def overlaps(self, other: Interval) -> bool:
        """Return whether the two share any time; touching ends do not."""
        return self.start < other.end and other.start < self.end

    def covers(self, other: Interval) -> bool:
        """Return whether ``other`` lies within this interval."""
        return self.start <= other.start and other.end <= self.end

    def minus(self, others: Iterable[Interval]) -> list[Interval]:
        """Return what is left of this interval without ``others``, in order."""
        left: list[Interval] = []
        cursor = self.start
        for other in sorted(others):
            if other.end <= cursor or other.start >= self.end:
                continue
            if other.start > cursor:
                left.append(Interval(cursor, other.start))
            cursor = max(cursor, other.end)
        if cursor < self.end:
            left.append(Interval(cursor, self.end))
        return left


@dataclass(frozen=True, slots=True)
class IdentifierRecord:
    """A number a system gave something: ``system`` is a URI, ``type_code`` MR for a medical record number."""

    system: str
    value: str
    type_code: str = ""


@dataclass(frozen=True, slots=True)
class ContactRecord:
    """A phone or e-mail as received; ``rank`` lower is preferred, 99 when the source gave none."""

    system: Literal["phone", "email"]
    value: str
    use: str = ""
    rank: int = 99
    valid_from: date | None = None
    valid_until: date | None = None
    guardian: bool = False


@dataclass(frozen=True, slots=True)
class EmergencyContact:
    """Whom to call about a patient in an emergency, as received."""

    name: str = ""
    relation: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """A person at the source. ``replaced_by`` is the external id of the record to be used instead.

    ``portal_active`` is None where the source does not say. ``unread`` names details of which something came that
    could not be read: of a patient who is known they stay as they are.
    """

    external_id: str
    version: str = ""
    given_name: str = ""
    family_name: str = ""
    preferred_name: str = ""
    birth_date: date | None = None
    language: str = ""
    language_code: str = ""
    active: bool = True
    deceased: bool = False
    replaced_by: str = ""
    identifiers: tuple[IdentifierRecord, ...] = ()
    contacts: tuple[ContactRecord, ...] = ()
    address: str = ""
    emergency_contact: EmergencyContact | None = None
    portal_active: bool | None = None
    unread: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CoverageRecord:
    """What pays for a patient's visits at the source, of what is in force or to come.

    ``system`` and ``code`` say which plan it is as received: whose it is, and what it is called there. ``plan_target``
    is the code of one of our plans, empty where nobody mapped it. ``position``: lower applies before others, None where
    the source does not say. ``valid_until`` is the last day on which it holds.
    """

    external_id: str
    patient_id: str
    system: str = ""
    code: str = ""
    display: str = ""
    position: int | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    plan_target: str = ""


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """A clinician at the source."""

    external_id: str
    version: str = ""
    name: str = ""
    npi: str = ""
    active: bool = True


@dataclass(frozen=True, slots=True)
class LocationRecord:
    """A place at the source; ``time_zone`` is an IANA name or empty when the source has none."""

    external_id: str
    version: str = ""
    name: str = ""
    time_zone: str = ""
    phone: str = ""
    address: str = ""
    active: bool = True


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """A bookable stretch of a schedule."""

    external_id: str
    start: datetime
    end: datetime
    free: bool

    @property
    def interval(self) -> Interval:
        """The slot's time."""
        return Interval(self.start, self.end)


@dataclass(frozen=True, slots=True)
class AppointmentRecord:
    """An appointment at the source, its codes both as received and as mapped.

    ``status`` is one of :class:`scheduling.models.Appointment.Status`, ``unknown`` when the received
    ``status_code`` has no mapping. ``type_target`` is the code of one of our appointment types or empty.
    ``cancelled_at`` is when it was cancelled or, where the source does not tell, last changed since; None: not known.
    """

    external_id: str
    version: str = ""
    status: str = ""
    status_code: str = ""
    start: datetime | None = None
    end: datetime | None = None
    patient_id: str = ""
    provider_id: str = ""
    location_id: str = ""
    type_system: str = ""
    type_code: str = ""
    type_display: str = ""
    type_target: str = ""
    reason_system: str = ""
    reason_code: str = ""
    reason_verdict: ReasonVerdict = "missing"
    slot_ids: tuple[str, ...] = ()
    identifiers: tuple[IdentifierRecord, ...] = ()
    #: Why it was cancelled, where that is said in free text alone.
    reason_text: str = field(default="", repr=False)
    cancelled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """The answer to "is this time really free?", asked at ``asked_at`` (before the call).

    ``free`` are the free stretches inside the asked interval; ``slots`` the free bookable slots in it, empty
    where the source has none and any stretch can be booked.
    """

    asked_at: datetime
    free: tuple[Interval, ...]
    slots: tuple[SlotRecord, ...] = ()
