"""What each vendor's form of a FHIR server offers and refuses. The one place where the dialects differ."""

from __future__ import annotations

from dataclasses import replace

from . import argonaut, athena, athena_rest, epic, oracle, proposals, topic_operations
from .offers import READ, WRITE, Dialect, Offer, Operation
from .search import PARAMETERS
from .topics import BACKPORT

_BACKPORT_GUIDE = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition"
_ARGONAUT_GUIDE = "http://fhir.org/guides/argonaut-scheduling/OperationDefinition"

_DELETABLE = Offer((*WRITE, "delete"))
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
    takes_batches=True,
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
        # By patient alone: the real one may be asked by encounter too, and there are none here.
        "Coverage": replace(
            _ORACLE_READ,
            withheld=frozenset({"_lastUpdated", "identifier", "beneficiary", "status", "payor", "type"}),
            search_needs=(("patient",),),
        ),
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

_ARGONAUT_READ = Offer(READ, _NO_CHANGES, conditional_create=False, update_creates=False)
ARGONAUT = Dialect(
    "argonaut",
    "Argonaut Scheduling EHR (sandbox)",
    offers=dict.fromkeys((name for name in PARAMETERS if name != "Subscription"), _ARGONAUT_READ)
    | {
        "Appointment": replace(
            _ARGONAUT_READ,
            operations={
                "$find": Operation(proposals.find, f"{_ARGONAUT_GUIDE}/appointment-find", levels=("type",)),
                "$hold": Operation(
                    argonaut.hold, f"{_ARGONAUT_GUIDE}/appointment-hold", methods=("POST",), interaction="create"
                ),
                "$book": Operation(
                    argonaut.book, f"{_ARGONAUT_GUIDE}/appointment-book", methods=("POST",), interaction="create"
                ),
            },
            note="Booked by $find, $hold and $book. Cancelled and changed by HL7 v2 messages or by staff, not here.",
        ),
    },
    tidy=argonaut.release_expired,
)

EPIC = replace(
    ARGONAUT,
    name="epic",
    software="Epic (sandbox)",
    offers={
        **ARGONAUT.offers,
        "Appointment": replace(_ARGONAUT_READ, note=f"Booked by POST {epic.STU3}/Appointment/$find and $book."),
    },
    base_path=epic.R4,
    pages={f"{epic.STU3}/": epic.answer},
)

_ATHENA_READ = Offer(READ, conditional_create=False, update_creates=False)
ATHENA = Dialect(
    "athena",
    "athenahealth (sandbox)",
    "athenahealth",
    offers=dict.fromkeys(PARAMETERS, _ATHENA_READ)
    | {
        "Appointment": replace(
            _ATHENA_READ,
            note=f"Booked and cancelled by PUT /v1/{athena.PRACTICE}/appointments/{{id}}, which is no FHIR.",
        ),
        "Subscription": replace(
            _ATHENA_READ,
            interactions=("read", "search-type", "create", "delete"),
            note="One per topic, id-only, signed by X-Hub-Signature with the secret from X-Hub-Secret.",
        ),
    },
    notifying=athena.NOTIFYING,
    pages={"/v1/": athena_rest.answer, "/fhir/SubscriptionTopic/": athena.list_topics},
    search_scope=athena.SEARCH_SCOPE,
    own_identifiers={"Appointment": athena.APPOINTMENT_SYSTEM},
)

DIALECTS = {dialect.name: dialect for dialect in (PLAIN, ORACLE, ARGONAUT, EPIC, ATHENA)}
