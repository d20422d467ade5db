"""Appointments and slots: from raw FHIR JSON to neutral records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from integrations.ehr.fhir.elements import (
    FREE_TEXT,
    Json,
    Unreadable,
    codes,
    first_coding,
    items,
    reference_id,
    resource_id,
    text,
    version_of,
)
from integrations.ehr.fhir.times import instant
from integrations.meanings import with_type
from scheduling.models import Appointment
from scheduling.records import AppointmentRecord, IdentifierRecord, ReasonVerdict, SlotRecord
from waitlist.booking_comment import OUR_COMMENT

#: Statuses that may come without times.
_TIMELESS = (
    Appointment.Status.PROPOSED,
    Appointment.Status.CANCELLED,
    Appointment.Status.WAITLIST,
    Appointment.Status.ENTERED_IN_ERROR,
)
#: Participation types of the one who sees the patient.
_LEADING = ({"PPRF"}, {"ATND"})
_LONGEST_VISIT = timedelta(hours=24)


class Codes(Protocol):
    """What codes of the EHR mean here."""

    def status(self, code: str, location: str) -> str:
        """Return one of ``Appointment.Status``."""

    def type_target(self, system: str, code: str, display: str, location: str) -> str | None:
        """Return the code of our appointment type, empty when there was none, None when nobody mapped it."""

    def reason(self, system: str, code: str, display: str, location: str) -> ReasonVerdict:
        """Return what a cancellation's reason means."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the appointments of one EHR. ``zone_of`` gives the zone of a location by its id there."""

    base_url: str
    codes: Codes
    zone_of: Callable[[str], ZoneInfo | None]
    practitioner_of_role: Callable[[str], str] = lambda role: ""

    def appointment(self, resource: Json, fallback_version: str = "") -> AppointmentRecord:
        """Return the appointment; raises Unreadable when a booking could go wrong by it."""
        self._check_shape(resource)
        coming = _coming(resource)
        location_id = self._actor(coming, "Location")
        status_code = text(resource["status"], 60)
        status = self.codes.status(status_code, location_id)
        start, end = self._times(resource, location_id, status)
        freed = status in Appointment.FREEING
        type_system, type_code, type_display = _type_of(resource)
        target = self.codes.type_target(type_system, type_code, type_display, location_id)
        reason_system, reason_code, reason_display = _reason_of(resource) if freed else ("", "", "")
        verdict = self.codes.reason(reason_system, reason_code, reason_display, location_id) if freed else "missing"
        said = _said_of_reason(resource) if freed and reason_code in ("", FREE_TEXT) else ""
        if said:
            verdict = "ask_staff"  # words are for a person to read, not for us to guess at
        verdict = with_type(verdict, target)
        return AppointmentRecord(
            external_id=resource_id(resource),
            version=version_of(resource, fallback_version),
            status=status,
            status_code=status_code,
            start=start,
            end=end,
            patient_id=self._patient(resource),
            provider_id=self._provider(coming),
            location_id=location_id,
            type_system=type_system,
            type_code=type_code,
            type_display=type_display,
            type_target=target or "",
            reason_system=reason_system,
            reason_code=reason_code,
            reason_verdict=verdict,
            slot_ids=self._slot_ids(resource),
            identifiers=tuple(_identifiers(resource)),
            reason_text=said,
            cancelled_at=_cancelled_at(resource) if freed else None,
        )

    def slot(self, resource: Json) -> SlotRecord:
        """Return the slot; raises Unreadable."""
        if resource.get("resourceType") != "Slot":
            raise Unreadable("it is not a Slot")
        start = instant(resource.get("start"), lambda: None, "start")
        end = instant(resource.get("end"), lambda: None, "end")
        if start is None or end is None or end <= start:
            raise Unreadable("it has no start and end in order")
        return SlotRecord(resource_id(resource), start, end, resource.get("status") == "free")

    def _check_shape(self, resource: Json) -> None:
        if resource.get("resourceType") != "Appointment":
            raise Unreadable("it is not an Appointment")
        if not text(resource.get("status")):
            raise Unreadable("it has no status")
        if not isinstance(resource.get("participant", []), list):
            raise Unreadable("its participants are not a list")

    def _times(self, resource: Json, location_id: str, status: str) -> tuple[datetime | None, datetime | None]:
        start = instant(resource.get("start"), lambda: self.zone_of(location_id), "start")
        end = instant(resource.get("end"), lambda: self.zone_of(location_id), "end")
        if start is None or (end is None and status in _TIMELESS and not resource.get("minutesDuration")):
            if status in _TIMELESS:
                return None, None
            raise Unreadable("it has no start")
        if end is None:
            end = start + _minutes(resource.get("minutesDuration"))
        if not start < end <= start + _LONGEST_VISIT:
            raise Unreadable("its end is not after its start on the same day")
        return start, end

    def _actor(self, coming: list[Json], resource_type: str) -> str:
        for each in coming:
            if found := reference_id(each.get("actor"), resource_type, self.base_url):
                return found
        return ""

    def _provider(self, coming: list[Json]) -> str:
        """Return the practitioner who sees the patient: the performer, else the first who must be there."""
        people = [(found, each) for each in coming if (found := self._practitioner(each))]
        if len(people) == 1:
            return people[0][0]
        for wanted in _LEADING:
            for found, each in people:
                if any(wanted & codes(kind) for kind in items(each, "type")):
                    return found
        required = [found for found, each in people if each.get("required", "required") == "required"]
        return next(iter(required or [found for found, _ in people]), "")

    def practitioners(self, resource: Json) -> set[str]:
        """Return everybody whose time the appointment takes up."""
        return {found for each in _coming(resource) if (found := self._practitioner(each))}

    def _patient(self, resource: Json) -> str:
        """Return whose visit it is. One of several patients is nobody's here: to take the first would be a guess."""
        several = self.patients(resource)
        return several.pop() if len(several) == 1 else ""

    def patients(self, resource: Json) -> set[str]:
        """Return every patient who is to come."""
        found = {reference_id(each.get("actor"), "Patient", self.base_url) for each in _coming(resource)}
        return found - {""}

    def _practitioner(self, participant: Json) -> str:
        actor = participant.get("actor")
        if found := reference_id(actor, "Practitioner", self.base_url):
            return found
        role = reference_id(actor, "PractitionerRole", self.base_url)
        return self.practitioner_of_role(role) if role else ""

    def _slot_ids(self, resource: Json) -> tuple[str, ...]:
        ids = (reference_id(each, "Slot", self.base_url) for each in items(resource, "slot"))
        return tuple(found for found in ids if found)


def _coming(resource: Json) -> list[Json]:
    """Return the participants; those who declined only when nobody else is left."""
    everybody = list(items(resource, "participant"))
    return [each for each in everybody if each.get("status") != "declined"] or everybody


def _minutes(value: Any) -> timedelta:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 24 * 60:
        raise Unreadable("it has no end and no duration")
    return timedelta(minutes=value)


def _type_of(resource: Json) -> tuple[str, str, str]:
    kind = first_coding(resource.get("appointmentType"))
    return kind if kind[1] else first_coding(resource.get("serviceType"))


def _reason_of(resource: Json) -> tuple[str, str, str]:
    # One l in R4, two in R5 and in servers that mean R5.
    reason = first_coding(resource.get("cancelationReason"))
    return reason if reason[1] else first_coding(resource.get("cancellationReason"))


def _said_of_reason(resource: Json) -> str:
    """Return what is said in free text of a cancellation, each thing once; a comment of ours says nothing of it."""
    reasons = (resource.get("cancelationReason"), resource.get("cancellationReason"))
    said = [text(each.get("text"), 1000) for each in reasons if isinstance(each, dict)]
    comment = text(resource.get("comment"), 1000)
    if not comment.startswith(OUR_COMMENT):
        said.append(comment)
    return " / ".join(dict.fromkeys(each for each in said if each))


def _cancelled_at(resource: Json) -> datetime | None:
    """Return R5's date of the cancellation, else when the resource last changed, as R4 tells no more."""
    meta = resource.get("meta")
    for written in (resource.get("cancellationDate"), meta.get("lastUpdated") if isinstance(meta, dict) else None):
        with suppress(Unreadable):
            if (told := instant(written, lambda: None, "time")) is not None:
                return told
    return None


def _identifiers(resource: Json) -> list[IdentifierRecord]:
    pairs = ((text(each.get("system")), text(each.get("value"))) for each in items(resource, "identifier"))
    return [IdentifierRecord(system, value) for system, value in pairs if value]
