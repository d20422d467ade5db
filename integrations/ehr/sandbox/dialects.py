"""What each vendor's form of a FHIR server offers and refuses. The one place where the dialects differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import oracle, topic_operations
from .messages import Request, Response
from .search import PARAMETERS
from .store import Store, Transaction
from .topics import BACKPORT, Notifying

Json = dict[str, Any]

_BACKPORT_GUIDE = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition"
_READ = ("read", "vread", "search-type")
_WRITE = (*_READ, "create", "update", "patch")


@dataclass(frozen=True)
class Operation:
    """A FHIR operation. ``run`` gets the id at instance level, else an empty string; ``interaction`` is what a scope
    must cover for it."""

    run: Callable[[Store, Request, str], Response]
    definition: str
    levels: tuple[str, ...] = ("type", "instance")
    methods: tuple[str, ...] = ("GET", "POST")
    interaction: str = "read"


@dataclass(frozen=True)
class Offer:
    """What clients may do with one type of resource.

    ``interactions`` are codes as in a CapabilityStatement. ``withheld`` are search parameters that this server lacks.
    A search without ``_id`` needs exactly one parameter of each group in ``search_needs``. ``admit`` turns a new
    resource into the form that is stored, ``check_change`` refuses a new version; both raise ``FhirError``.
    """

    interactions: tuple[str, ...] = _WRITE
    withheld: frozenset[str] = frozenset()
    search_needs: tuple[tuple[str, ...], ...] = ()
    conditional_create: bool = True
    update_creates: bool = True
    writes_answer_with_body: bool = True
    location_names_version: bool = True
    admit: Callable[[Transaction, Json], Json] | None = None
    check_change: Callable[[Json, Json], None] | None = None
    operations: Mapping[str, Operation] = field(default_factory=dict)
    note: str = ""

    def parameters(self, resource_type: str) -> dict[str, str]:
        """Search parameters by name, with their types."""
        return {name: kind for name, kind in PARAMETERS[resource_type].items() if name not in self.withheld}


@dataclass(frozen=True)
class Dialect:
    """One vendor's form. Types of resources that are not among ``offers`` are unknown to clients."""

    name: str
    software: str
    publisher: str = ""
    offers: Mapping[str, Offer] = field(default_factory=dict)
    notifying: Notifying = field(default_factory=Notifying)


_DELETABLE = Offer((*_WRITE, "delete"))
PLAIN = Dialect(
    "plain",
    "Sandbox EHR",
    offers=dict.fromkeys(PARAMETERS, Offer())
    | {
        "Slot": _DELETABLE,
        "Appointment": replace(
            _DELETABLE, note="PATCH needs If-Match: 412 without it, 409 when stale. A taken time is 409 conflict."
        ),
        "Subscription": replace(
            _DELETABLE,
            operations={
                "$status": Operation(topic_operations.status, f"{_BACKPORT_GUIDE}/backport-subscription-status"),
                "$events": Operation(
                    topic_operations.events, f"{_BACKPORT_GUIDE}/backport-subscription-events", levels=("instance",)
                ),
            },
            note="R4 rest-hook by criteria, without deletes, and by topic as in the R5 backport. Topics: "
            + ", ".join(BACKPORT.topics),
        ),
    },
    notifying=BACKPORT,
)


_NO_CHANGES = frozenset({"_lastUpdated"})
_ORACLE_READ = Offer(("read", "search-type"), _NO_CHANGES, conditional_create=False, update_creates=False)
ORACLE = Dialect(
    "oracle",
    "Oracle Health Millennium (sandbox)",
    "Oracle Health",
    offers=dict.fromkeys((name for name in PARAMETERS if name != "Subscription"), _ORACLE_READ)
    | {
        "Slot": replace(_ORACLE_READ, search_needs=(("schedule", "schedule.actor"), ("start",))),
        "Appointment": replace(
            _ORACLE_READ,
            interactions=("read", "search-type", "create", "patch"),
            withheld=frozenset({"_lastUpdated", "identifier", "actor", "slot", "appointment-type"}),
            search_needs=(("patient", "practitioner", "location"), ("date",)),
            writes_answer_with_body=False,
            location_names_version=False,
            admit=oracle.appointment_in_one_slot,
            check_change=oracle.check_status_change,
            note="Create takes status booked, one slot and one accepted Patient without type, and nothing else counts."
            " PATCH needs If-Match: 412 without it, 409 when stale, 423 while locked.",
        ),
    },
)

DIALECTS = {dialect.name: dialect for dialect in (PLAIN, ORACLE)}
