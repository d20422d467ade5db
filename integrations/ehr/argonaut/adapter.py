"""Argonaut Scheduling, Epic among its servers: open times are found as proposed appointments, and one is booked.

Appointments can be read and searched, not created, changed or cancelled by us: cancelling is left to staff. A time is
booked within moments of the look that found it, so it is not held in between; a hold that outlived a lost answer would
make our own booking look taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.utils import timezone

from integrations.ehr.argonaut.forms import form_of
from integrations.ehr.fhir import search
from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.fhir.answers import Answer
from integrations.ehr.fhir.elements import Json, items, resource_id, text, version_of
from integrations.ehr.fhir.free_time import joined
from integrations.ehr.fhir.outcomes import issue_codes
from integrations.ehr.gateway import Booking, Malformed, OutcomeUnknown, Rejected, Stored, Taken
from integrations.models import Connection
from scheduling.models import Writeback
from scheduling.records import Freshness, Interval, SlotRecord

#: Codes of an OperationOutcome by which a refused booking says that somebody else has the time.
_TAKEN = frozenset({"conflict", "duplicate", "lock-error"})


class ArgonautGateway(FhirGateway):
    """An open connection to one server of Argonaut's scheduling operations."""

    known_better: Mapping[str, Any] = {
        "search_last_updated": False,
        "conditional_create": False,
        "patch": False,
        "writes_appointments": True,
        "slots": True,
        "finds_by_identifier": False,
        "cancels": False,
        "book_mode": "one_slot",
        "retry_safety": "slot_guard",
    }

    def __init__(self, connection: Connection, writeback: Writeback | None = None) -> None:
        super().__init__(connection, writeback)
        self._form = form_of(self.transport.base_url)
        self.known_better = {**self.known_better, "holds": self._form.holds}
        self._proposals = replace(self._reader, base_url=self._form.base_url)

    def availability(self, provider_id: str, location_id: str, start: datetime, end: datetime) -> Freshness:
        """Say which of this time is free now: what ``$find`` proposes. A proposal stands for a slot."""
        self.transport.is_urgent = True
        asked, asked_at = Interval(start, end), timezone.now()
        _, proposed = _parts(self._form.find(self.transport, provider_id, location_id, start, end))
        # Not every server can be asked for one clinician, and some do not look at what they do not know.
        ours = [each for each in proposed if provider_id in self._proposals.practitioners(each)]
        slots = [search.guarded(self._proposal, each) for each in ours if each.get("status") == "proposed"]
        fitting = tuple(sorted((each for each in slots if asked.covers(each.interval)), key=lambda each: each.start))
        return Freshness(asked_at, tuple(joined([each.interval for each in fitting])), fitting)

    def create(self, booking: Booking) -> Stored:
        """Book the proposal that the booking names; raises OutcomeUnknown, Taken, Rejected."""
        if len(booking.slot_ids) != 1:
            raise Rejected("This EHR books exactly one proposed time at a time.")
        answer = self._form.book(self.transport, booking)
        try:
            outcomes, appointments = _parts(answer)
        except Malformed as problem:
            raise OutcomeUnknown(problem.detail, status=answer.status) from None
        booked = next((each for each in appointments if each.get("status") == "booked"), None)
        if booked is None:
            raise _refusal(answer, outcomes)
        return Stored(resource_id(booked), version_of(booked))

    def _proposal(self, resource: Json) -> SlotRecord:
        record = self._proposals.appointment(resource)
        if record.start is None or record.end is None:
            raise ValueError("a proposal without times")
        return SlotRecord(resource_id(resource), record.start, record.end, free=True)


def _parts(answer: Answer) -> tuple[list[Json], list[Json]]:
    """Return the OperationOutcomes and the Appointments of an operation's Bundle; raises Malformed."""
    bundle = answer.resource()
    if bundle["resourceType"] != "Bundle":
        raise Malformed("The answer of a scheduling operation is not a Bundle.", status=answer.status)
    resources = [each.get("resource") for each in items(bundle, "entry")]
    found = [each for each in resources if isinstance(each, dict)]
    return (
        [each for each in found if each.get("resourceType") == "OperationOutcome"],
        [each for each in found if each.get("resourceType") == "Appointment"],
    )


def _refusal(answer: Answer, outcomes: list[Json]) -> Taken | Rejected | OutcomeUnknown:
    """Return the error for a booking that was answered without a booked appointment."""
    failed = [
        each for each in outcomes if any(text(i.get("severity")) in ("error", "fatal") for i in items(each, "issue"))
    ]
    codes = [code for each in failed for code in issue_codes(each)]
    if not codes:
        return OutcomeUnknown("The EHR answered without a booking and without a reason.", status=answer.status)
    kind = Taken if _TAKEN.intersection(codes) else Rejected
    return kind("The EHR did not book the proposed time.", status=answer.status, outcome_code=codes[0])


def open_gateway(connection: Connection, *, writeback: Writeback | None = None) -> ArgonautGateway:
    """Open the gateway of an Argonaut connection. Nothing is sent yet."""
    return ArgonautGateway(connection, writeback)
