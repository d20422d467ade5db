"""The protocol every EHR adapter fulfils: neutral values in, neutral values or named errors out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from django.utils.module_loading import import_string

from integrations.ehr import kinds
from integrations.ehr.errors import (
    Duplicate,
    GatewayError,
    LoginRefused,
    Malformed,
    NotFound,
    OutcomeUnknown,
    Refused,
    Rejected,
    StaleVersion,
    Taken,
    Throttled,
    Unavailable,
)
from scheduling.corrections import Correction
from scheduling.records import (
    AppointmentRecord,
    CoverageRecord,
    Freshness,
    LocationRecord,
    PatientRecord,
    ProviderRecord,
)

if TYPE_CHECKING:
    from integrations.models import Connection
    from scheduling.models import Writeback

__all__ = [
    "ADAPTERS",
    "Booking",
    "Capabilities",
    "Coverages",
    "Duplicate",
    "Finding",
    "Gateway",
    "GatewayError",
    "Held",
    "Kind",
    "Learned",
    "LoginRefused",
    "Malformed",
    "NotFound",
    "OutcomeUnknown",
    "Page",
    "PatientAsRead",
    "Quarantined",
    "Record",
    "Refused",
    "Rejected",
    "StaleVersion",
    "Stored",
    "Taken",
    "Throttled",
    "Unavailable",
    "Verdict",
    "connect",
]

Kind = Literal["patient", "provider", "location", "appointment"]
Learned = Literal["tried", "declared", "known"]
Verdict = Literal["yes", "partly", "no", "not_tried"]
Record = PatientRecord | ProviderRecord | LocationRecord | AppointmentRecord

#: One folder per kind of EHR, each with an ``adapter`` module that offers ``open_gateway``. An installation adds
#: its own by the setting EHR_ADAPTERS.
ADAPTERS = {
    "fhir": "integrations.ehr.fhir.adapter.open_gateway",
    "oracle": "integrations.ehr.oracle.adapter.open_gateway",
    "argonaut": "integrations.ehr.argonaut.adapter.open_gateway",
    "athena": "integrations.ehr.athena.adapter.open_gateway",
    "hl7v2": "integrations.ehr.hl7v2.adapter.open_gateway",
}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an EHR can do, as it declares it or as its adapter knows better.

    ``retry_safety`` none: a lost write goes to staff. ``finds_by_identifier``: our own key on a booking is kept and
    found again. ``cancels``: an appointment can be cancelled by us. ``confirms_itself``: it writes to patients on its
    own about bookings. ``holds``: it keeps a time aside before it is booked, which we leave out: a time is
    booked within moments of the look that found it.
    ``comments``: a booking's comment is kept and shown to whoever opens it there.
    ``people_last_updated``: patients, clinicians and places can be asked for by when they changed. ``reads_many``: how
    several records are fetched by one call, by a batch of reads or by a list of ids; empty where
    each takes a call of its own.
    ``lists_cancelled``: a search by days finds cancelled appointments of the past too. ``corrects_patients``: how
    details of a patient are changed by us; empty: by staff only. ``creates_patients``: we may register somebody.
    ``coverage_by``: by which parameter it tells what pays for a patient; empty: it does not tell.
    """

    events: bool = False
    search_last_updated: bool = False
    conditional_create: bool = False
    patch: bool = False
    version_check: bool = False
    writes_appointments: bool = False
    slots: bool = False
    book_mode: Literal["plain", "one_slot"] = "plain"
    retry_safety: Literal["conditional_create", "slot_guard", "none"] = "none"
    finds_by_identifier: bool = True
    cancels: bool = True
    confirms_itself: bool = False
    holds: bool = False
    lists_cancelled: bool = True
    comments: bool = False
    people_last_updated: bool = False
    reads_many: Literal["", "batch", "ids"] = ""
    corrects_patients: Literal["", "patch", "put"] = ""
    creates_patients: bool = False
    conditional_patient_create: bool = False
    coverage_by: Literal["", "patient", "beneficiary"] = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check of a connection found out, in words for whoever connects the EHR.

    ``key`` is stable; ``costs`` says what the practice does without, or what to do, empty where all is well.
    ``learned``: the check tried it, the EHR declares it, or its adapter knows it of every EHR of this kind.
    ``since`` is when a check first gave this verdict, in ISO form; empty where it was never kept. ``had`` is the best
    verdict since a person last checked.
    """

    key: str
    question: str
    verdict: Verdict
    says: str
    costs: str = ""
    learned: Learned = "tried"
    since: str = ""
    had: Verdict | Literal[""] = ""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An entry of a page that could not be read: what it seems to be, why, and its raw JSON."""

    reference: str
    why: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Coverages:
    """Everything in force or to come that pays for one patient, and what among it could not be read."""

    records: tuple[CoverageRecord, ...]
    quarantined: tuple[Quarantined, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search. ``server_time`` is the EHR's own clock when it answered, ``asked_at`` ours before.

    A page of changes has no records: what changed is known by comparing ``versions`` (by external id) with those we
    hold, and only the ``bodies`` of what did change are read. A page of a load leaves out the ``unchanged`` ones, and
    has the ``total`` of the whole search where the EHR tells it.
    """

    records: tuple[Record, ...]
    quarantined: tuple[Quarantined, ...] = ()
    server_time: datetime | None = None
    versions: dict[str, str] = field(default_factory=dict)
    bodies: Mapping[str, bytes] = field(default_factory=dict)
    asked_at: datetime | None = None
    unchanged: int = 0
    total: int | None = None


#: Returns which of these versions, by external id, we hold, so that they need not be read.
Held = Callable[[Mapping[str, str]], Collection[str]]


@dataclass(frozen=True, slots=True)
class Booking:
    """An appointment to be created. Ids are the EHR's own; ``key`` is found again as an identifier."""

    key: str
    patient_id: str
    provider_id: str
    location_id: str
    start: datetime
    end: datetime
    type_system: str = ""
    type_code: str = ""
    type_display: str = ""
    slot_ids: tuple[str, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class PatientAsRead:
    """A patient as the EHR has them now; paths are followed in ``raw``, its JSON, and corrections written into it."""

    record: PatientRecord
    version: str = ""
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the EHR answered to a write: the id and version, the latter empty where it gave none."""

    external_id: str
    version: str = ""


class Gateway(Protocol):
    """An open connection to one EHR. Every method may raise :class:`GatewayError`; none runs in a transaction."""

    capabilities: Capabilities

    def fetch(self, kind: Kind, external_id: str) -> Record:
        """Return the current state of one resource."""

    def fetch_many(self, kind: Kind, external_ids: Sequence[str]) -> Mapping[str, Record | GatewayError]:
        """Ask for several resources by one call; return by id what came of each, as :meth:`fetch` would end.

        What the answer says nothing certain about is left out and has to be fetched by itself. Asked only where
        ``reads_many`` is declared.
        """

    def read(self, kind: Kind, resource: dict[str, Any]) -> Record:
        """Return what a resource of this EHR that came otherwise (in a page, in an event) says."""

    def find_by_identifier(self, system: str, value: str) -> AppointmentRecord | None:
        """Return the appointment with this identifier, or None."""

    def find_patients(self, system: str, number: str) -> list[PatientRecord]:
        """Return the patients who have this number of this system."""

    def find_people(self, family_name: str, birth_date: date) -> list[PatientRecord]:
        """Return the patients of this family name, case aside, born on this day."""

    def create_patient(self, key: str, record: PatientRecord) -> Stored:
        """Register a patient with ``key`` as our identifier; raises OutcomeUnknown when it may have happened."""

    def read_patient(self, external_id: str) -> PatientAsRead:
        """Return a patient as they are in the EHR now, to be compared and corrected."""

    def correct_patient(self, read: PatientAsRead, corrections: Sequence[Correction]) -> None:
        """Write corrected details into the record as it was read, changing nothing else.

        Raises StaleVersion when the record changed since; called only where ``corrects_patients`` is declared.
        """

    def changed_since(self, since: datetime | None) -> Iterator[Page]:
        """Yield pages of appointments changed at or after ``since`` by the EHR's clock."""

    def calendar(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Yield pages of the appointments that begin in this time, like those of changes; others may be among them."""

    def load(self, kind: Kind, held: Held | None = None, since: datetime | None = None) -> Iterator[Page]:
        """Yield pages of everything of a kind that the practice needs, without what is ``held`` already.

        ``since`` may leave out what was not changed after it, by the EHR's clock, where ``people_last_updated`` says
        that patients, clinicians and places can be asked for so.
        """

    def history(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Yield pages of every appointment, cancelled ones among them, that begins in this time; may raise Rejected."""

    def availability(self, provider_id: str, location_id: str, start: datetime, end: datetime) -> Freshness:
        """Say which of this time is free now."""

    def find_booking(self, key: str, patient_id: str, start: datetime) -> AppointmentRecord | None:
        """Return the live appointment with our key, else the patient's at exactly this start, or None."""

    def appointments_of(self, patient_id: str, start: datetime, end: datetime) -> list[AppointmentRecord]:
        """Return the patient's appointments, with whomever, that take up some of this time."""

    def coverages(self, patient_ids: Sequence[str]) -> Iterator[tuple[str, Coverages | Malformed]]:
        """Yield what pays for each of these patients, in whatever order; asked only where ``coverage_by`` is declared.

        ``plan_target`` is left empty. An error of the whole raises; what was yielded by then stands.
        """

    def create(self, booking: Booking) -> Stored:
        """Book; raises :class:`OutcomeUnknown` when it may have happened."""

    def cancel(self, external_id: str, version: str) -> Stored:
        """Cancel the appointment if it is still at ``version``."""

    def findings(self) -> Iterator[Finding]:
        """Try what we need of this EHR, changing nothing in it, and yield what came of each; never raises."""


def connect(connection: Connection, *, writeback: Writeback | None = None) -> Gateway:
    """Open the gateway of a connection; every call it makes is recorded as an API call."""
    ours = ADAPTERS.get(connection.kind)
    open_gateway = import_string(ours) if ours else kinds.adapter_of(connection.kind).open_gateway
    gateway: Gateway = open_gateway(connection, writeback=writeback)
    return gateway
