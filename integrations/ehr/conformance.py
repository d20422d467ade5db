"""Does an EHR behave as its adapter says? The same questions to every dialect, asked through the gateway alone.

These only read; what is found out by booking is asked in :mod:`integrations.ehr.conformance_writing`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.utils import timezone

from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.gateway import Coverages, Gateway, GatewayError, Kind, NotFound, Record
from scheduling.models import Appointment
from scheduling.records import AppointmentRecord, Freshness, Interval

#: Pages of each kind that are looked at: enough to see how the EHR answers.
MOST_PAGES = 3
#: So many of a kind are asked for by one call, and for the insurance of so many patients.
MOST_TOGETHER = 3


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one question: passed, failed, or not offered by this EHR. ``detail`` names no patient."""

    question: str
    verdict: str
    detail: str = ""


class Failed(Exception):
    """The EHR does not do what its adapter says."""


class NotOffered(Exception):
    """The adapter says that this EHR does not do that."""


Question = tuple[str, Callable[[], str]]


def read_only(gateway: Gateway) -> Iterator[Result]:
    """Ask everything that changes nothing; yields each result as it is known."""
    reading = _Reading(gateway)
    yield from asked(
        ("It says what it can do", reading.says_what_it_can),
        ("Locations can be read", lambda: reading.reads("location")),
        ("Clinicians can be read", lambda: reading.reads("provider")),
        ("Patients can be read", lambda: reading.reads("patient")),
        ("Appointments can be read", lambda: reading.reads("appointment")),
        ("An appointment read alone is the same as in a list", reading.same_alone),
        ("The days ahead can be read", reading.days_ahead),
        ("A booked time is not shown as free", reading.taken_is_taken),
        ("What changed lately can be asked", reading.changes),
        ("What pays for a patient's visits can be read", reading.insurance),
        ("An id that does not exist is said not to exist", reading.nobody),
        ("Several can be read by one call", reading.several),
    )


def asked(*questions: Question) -> Iterator[Result]:
    """Ask each question and yield what came of it, whatever it raised."""
    for question, ask in questions:
        try:
            yield Result(question, "passed", ask())
        except NotOffered as said:
            yield Result(question, "not offered", str(said))
        except Failed as said:
            yield Result(question, "failed", str(said))
        except GatewayError as error:
            yield Result(question, "failed", f"{error.code}: {error.detail}")
        except Unreadable as error:
            yield Result(question, "failed", f"cannot be read: {error.detail}")


class _Reading:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._found: dict[str, list[Record]] = {}

    def says_what_it_can(self) -> str:
        return "; ".join(self._gateway.capabilities.missing) or "nothing is missing"

    def reads(self, kind: Kind) -> str:
        pages = list(islice(self._gateway.load(kind), MOST_PAGES))
        records = [record for page in pages for record in page.records]
        aside = sum(len(page.quarantined) for page in pages)
        self._found[kind] = records
        if not records:
            raise Failed(f"none came; {aside} could not be read")
        if any(not record.external_id or not record.version for record in records):
            raise Failed("some have no id or no version")
        return f"{len(records)} read" + (f", {aside} could not be" if aside else "")

    def same_alone(self) -> str:
        listed = self._some_appointment()
        alone = self._gateway.fetch("appointment", listed.external_id)
        if alone != listed:
            raise Failed("the two differ")
        return ""

    def days_ahead(self) -> str:
        booked = self._some_appointment(ahead=True)
        assert booked.start is not None  # noqa: S101 - chosen so
        begin, end = booked.start - timedelta(hours=1), booked.start + timedelta(hours=1)
        found: dict[str, str] = {}
        for page in self._gateway.calendar(begin, end):
            found |= page.versions
        if found.get(booked.external_id) != booked.version:
            raise Failed("an appointment is missing from its own day, or has another version there")
        return f"{len(found)} around one"

    def taken_is_taken(self) -> str:
        booked = self._some_appointment(ahead=True)
        assert booked.start is not None and booked.end is not None  # noqa: S101, PT018 - chosen so
        look = self._gateway.availability(booked.provider_id, booked.location_id, booked.start, booked.end)
        if overlaps(look, booked.start, booked.end):
            raise Failed("a time that has an appointment is said to be free")
        return ""

    def changes(self) -> str:
        since = timezone.now() - timedelta(minutes=5)
        seen = sum(len(page.versions) for page in islice(self._gateway.changed_since(since), MOST_PAGES))
        way = "by time of change" if self._gateway.capabilities.search_last_updated else "by comparing days"
        return f"{seen}, {way}"

    def insurance(self) -> str:
        if not self._gateway.capabilities.coverage_by:
            raise NotOffered("plans are entered by staff")
        asked = [record.external_id for record in self._found.get("patient", ())[:MOST_TOGETHER]]
        if not asked:
            raise NotOffered("there is no patient to ask for")
        told = dict(self._gateway.coverages(asked))
        if told.keys() != set(asked):
            raise Failed("it did not answer for everybody")
        broken = [each for each in told.values() if not isinstance(each, Coverages)]
        if broken:
            raise Failed("an answer cannot be read")
        records = [record for each in told.values() if isinstance(each, Coverages) for record in each.records]
        aside = sum(len(each.quarantined) for each in told.values() if isinstance(each, Coverages))
        said = f"{len(records)} for {len(asked)} patients, {sum(bool(each.code) for each in records)} with a plan"
        return said + (f", {aside} could not be read" if aside else "")

    def nobody(self) -> str:
        try:
            self._gateway.fetch("appointment", _nobody())
        except GatewayError as error:
            if error.code == "not_found":
                return ""
            raise
        raise Failed("an appointment came back")

    def several(self) -> str:
        way = self._gateway.capabilities.reads_many
        if not way:
            raise NotOffered("each change costs a call of its own")
        kinds: tuple[Kind, ...] = ("appointment", "patient")
        read = sum(self._read_together(kind, self._found.get(kind, [])[:MOST_TOGETHER]) for kind in kinds)
        if not read:
            raise NotOffered("there is nothing to try it with")
        return f"{read} by {'a batch' if way == 'batch' else 'a search for their ids'}"

    def _read_together(self, kind: Kind, listed: list[Record]) -> int:
        if not listed:
            return 0
        nobody = _nobody()
        found = self._gateway.fetch_many(kind, [*(each.external_id for each in listed), nobody])
        left_out = [each for each in listed if each.external_id not in found]
        if left_out:
            raise Failed(f"{len(left_out)} of {len(listed)} were left out, and each takes a call of its own after all")
        if any(found[each.external_id] != each for each in listed):
            raise Failed("one differs from what a list says of it")
        if not isinstance(found.get(nobody, NotFound()), NotFound):
            raise Failed("an id that does not exist came back")
        return len(listed)

    def _some_appointment(self, *, ahead: bool = False) -> AppointmentRecord:
        now = timezone.now()
        for record in self._found.get("appointment", ()):
            if not isinstance(record, AppointmentRecord) or record.status != Appointment.Status.BOOKED:
                continue
            if record.provider_id and record.location_id and record.end and (not ahead or record.end > now):
                return record
        raise NotOffered("there is no booked appointment to try it with")


def _nobody() -> str:
    """Return an id that nothing has."""
    return f"none-{uuid.uuid4().hex[:12]}"


def overlaps(look: Freshness, start: datetime, end: datetime) -> bool:
    """Return whether any of this time is shown as free."""
    return any(piece.overlaps(Interval(start, end)) for piece in look.free)
