"""What an adapter of a proprietary REST system declares, and what its three functions are asked and answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from integrations.ehr.fhir.answers import Answer
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Booking, Capabilities, Kind
from scheduling.records import Interval, SlotRecord

#: One record as the system wrote it: an object of its JSON.
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Where a row holds what we need. ``a.b`` is b within the object a; empty is what the system does not keep.

    Without ``version`` a row's whole text stands for its version, so a row alone must be the same as in a list.
    """

    external_id: str
    version: str = ""
    active: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFields(Fields):
    """A patient's row. ``birth_date`` is YYYY-MM-DD, ``replaced_by`` the id of the record this one went into."""

    given_name: str
    family_name: str
    birth_date: str
    record_number: str = ""
    mobile: str = ""
    phone: str = ""
    email: str = ""
    language: str = ""
    replaced_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFields(Fields):
    """A clinician's row."""

    name: str
    npi: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationFields(Fields):
    """A place's row. ``time_zone`` is an IANA name; times without an offset are read in it."""

    name: str
    time_zone: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppointmentFields(Fields):
    """An appointment's row. ``end`` or ``minutes`` says how long; ``key`` is our own key, kept by the system.

    ``cancelled_at`` is when it was cancelled or, if that is all there is, when the row last changed.
    """

    status: str
    start: str
    patient_id: str
    provider_id: str
    location_id: str
    end: str = ""
    minutes: str = ""
    type_code: str = ""
    type_name: str = ""
    reason_code: str = ""
    cancelled_at: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageFields(Fields):
    """A row of what pays for a patient's visits. Either ``plan`` or ``payor`` says which plan it is; both is better.

    ``position``: lower applies before others. Dates are YYYY-MM-DD, ``valid_until`` the last day on which it holds.
    """

    patient_id: str
    plan: str = ""
    plan_name: str = ""
    payor: str = ""
    payor_name: str = ""
    position: str = ""
    valid_from: str = ""
    valid_until: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A system's name, what it can do, where its rows hold what, and its words for an appointment's status.

    ``statuses`` maps them to :class:`scheduling.models.Appointment.Status`; one that is missing is shown to staff
    under *Code mappings*. Raises ValueError for a promise that nothing else here keeps.
    """

    label: str
    capabilities: Capabilities
    patient: PatientFields
    provider: ProviderFields
    location: LocationFields
    appointment: AppointmentFields
    statuses: Mapping[str, str]
    coverage: CoverageFields | None = None
    media_type: str = "application/json"

    def __post_init__(self) -> None:
        able, held = self.capabilities, self.appointment
        for is_wrong, why in (
            (able.events, "events: a system without FHIR is polled"),
            (able.version_check and not held.version, "version_check, but its appointments have no version"),
            (
                able.finds_by_identifier and not held.key,
                "finds_by_identifier, but its appointments hold no key",
            ),
            (
                bool(able.coverage_by) != bool(self.coverage),
                "coverage_by without coverage's fields, or these without it",
            ),
            (not (held.end or held.minutes), "neither an appointment's end nor its minutes"),
        ):
            if is_wrong:
                raise ValueError(f"{self.label} declares {why}.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows ``read`` is asked for. Whatever is set narrows them; with nothing set, all of the kind.

    ``start`` and ``end`` come together: appointments that begin at or after the one and before the other.
    ``changed_since`` is asked only where ``search_last_updated`` is declared, ``key`` where ``finds_by_identifier`` is.
    """

    kind: Kind
    external_id: str = ""
    changed_since: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None
    patient_id: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """One page of rows, and the answer it came in, by whose Date header polls go on."""

    answer: Answer
    rows: list[Any]


@dataclass(frozen=True, slots=True)
class Look:
    """Whose free time ``free`` is asked for, where and when."""

    provider_id: str
    location_id: str
    time: Interval


@dataclass(frozen=True, slots=True)
class Cancellation:
    """An appointment to be cancelled at the patient's wish, if it is still at ``version``."""

    external_id: str
    version: str


#: Yields pages; ends when there are no more.
Read = Callable[[Transport, Wanted], Iterator[Rows]]
#: Yields pages of the rows of a kind with these ids; a row that is missing is asked for alone.
Many = Callable[[Transport, Kind, Sequence[str]], Iterator[Rows]]
#: Yields pages of the rows of everything that pays for one patient's visits, by the patient's id.
Insurance = Callable[[Transport, str], Iterator[Rows]]
#: Returns free stretches, as slots where the system books by a slot's id; they may reach beyond the time asked for.
Free = Callable[[Transport, Look], Iterable[Interval | SlotRecord]]
#: Returns the appointment's row as stored.
Write = Callable[[Transport, Booking | Cancellation], Row]


@dataclass(frozen=True, slots=True)
class Adapter:
    """A declaration and its functions; raises ValueError unless what is optional is both declared and given."""

    declaration: Declaration
    read: Read
    free: Free
    write: Write
    many: Many | None = None
    insurance: Insurance | None = None

    def __post_init__(self) -> None:
        if self.declaration.capabilities.reads_many != ("ids" if self.many else ""):
            raise ValueError(
                f"{self.declaration.label}: reads_many is 'ids' where a function many is given, else empty."
            )
        if self.declaration.capabilities.coverage_by != ("patient" if self.insurance else ""):
            raise ValueError(
                f"{self.declaration.label}: coverage_by is 'patient' where a function insurance is given, else empty."
            )
