"""The form in which a dialect is declared: what is offered of each type of resource, and how changes are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .messages import Request, Response
from .search import PARAMETERS
from .store import Store, Transaction
from .topics import Notifying

Json = dict[str, Any]

READ = ("read", "vread", "search-type")
WRITE = (*READ, "create", "update", "patch")


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

    interactions: tuple[str, ...] = WRITE
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
    """One vendor's form. Types of resources that are not among ``offers`` are unknown to clients.

    ``base_path``: another address under which everything below /fhir is found too. ``tidy`` runs before each request.
    ``pages`` are addresses beside FHIR, by the beginning of their path.
    ``search_scope``: a parameter and its value without which no search is answered, as where one address serves many.
    ``own_identifiers``: the system of the identifier that the server gives to each resource of a type.
    """

    name: str
    software: str
    publisher: str = ""
    offers: Mapping[str, Offer] = field(default_factory=dict)
    notifying: Notifying = field(default_factory=Notifying)
    takes_batches: bool = False
    base_path: str = "/fhir"
    tidy: Callable[[Store], None] | None = None
    pages: Mapping[str, Callable[[Store, Request], Response]] = field(default_factory=dict)
    search_scope: tuple[str, str] | None = None
    own_identifiers: Mapping[str, str] = field(default_factory=dict)
