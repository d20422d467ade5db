"""What we send: built from fhirclient's models, so that it is valid before it leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fhirclient.models.appointment import Appointment, AppointmentParticipant
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.coding import Coding
from fhirclient.models.fhirabstractbase import FHIRValidationError
from fhirclient.models.fhirinstant import FHIRInstant
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.identifier import Identifier

from integrations.ehr.fhir.elements import Json
from integrations.ehr.gateway import Booking, Rejected
from integrations.meanings import HL7_REASONS
from scheduling.records import ContactRecord, PatientRecord

LANGUAGES = "urn:ietf:bcp:47"


def appointment(booking: Booking, identifier_system: str, *, one_slot: bool = False) -> Json:
    """Return the Appointment to create; raises Rejected when it would not be valid.

    ``one_slot``: servers that book an open slot take one slot and the patient alone.
    """
    if one_slot and len(booking.slot_ids) != 1:
        raise Rejected("This EHR books exactly one slot at a time.")
    built = Appointment()
    built.status = "booked"
    built.identifier = [_identifier(identifier_system, booking.key)]
    built.start, built.end = FHIRInstant(utc(booking.start)), FHIRInstant(utc(booking.end))
    if booking.slot_ids:
        built.slot = [_reference("Slot", slot) for slot in booking.slot_ids]
    if booking.type_code:
        built.appointmentType = _concept(booking.type_system, booking.type_code, booking.type_display)
    if booking.comment:
        built.comment = booking.comment
    actors = [("Patient", booking.patient_id)]
    if not one_slot:
        built.minutesDuration = int((booking.end - booking.start).total_seconds() // 60)
        actors += [("Practitioner", booking.provider_id), ("Location", booking.location_id)]
    built.participant = [_participant(kind, value) for kind, value in actors if value]
    try:
        sent: Json = built.as_json()
    except FHIRValidationError:
        raise Rejected("The booking cannot be written as a valid FHIR Appointment.") from None
    return sent


def patient(record: PatientRecord, identifier_system: str, key: str) -> Json:
    """Return a Patient that is to be registered, with ``key`` as our identifier."""
    names: list[Json] = [{"use": "official", "family": record.family_name, "given": record.given_name.split()}]
    if record.preferred_name:
        names.append({"use": "nickname", "given": [record.preferred_name]})
    built: Json = {
        "resourceType": "Patient",
        "active": True,
        "identifier": [{"system": identifier_system, "value": key}],
        "name": names,
    }
    if record.birth_date is not None:
        built["birthDate"] = record.birth_date.isoformat()
    if record.contacts:
        built["telecom"] = [_point(each) for each in record.contacts]
    if record.address:
        built["address"] = [{"use": "home", "text": record.address}]
    if record.language:
        built["communication"] = [{"language": {"coding": [{"system": LANGUAGES, "code": record.language}]}}]
    return built


def _point(contact: ContactRecord) -> Json:
    point: Json = {"system": contact.system, "value": contact.value}
    return {**point, "use": contact.use} if contact.use else point


def cancellation(resource: Json) -> list[Json]:
    """Return the JSON Patch that cancels ``resource`` at the patient's wish and touches nothing else."""
    reason = _concept(HL7_REASONS, "pat", "Patient").as_json()
    operations: list[Json] = [
        {"op": "replace", "path": "/status", "value": "cancelled"},
        {"op": "add", "path": "/cancelationReason", "value": reason},
    ]
    if "status" not in resource:
        operations[0]["op"] = "add"
    return operations


def cancelled(resource: Json) -> Json:
    """Return the resource as it was read, cancelled: for servers without PATCH. Unknown elements stay."""
    return {
        **resource,
        "status": "cancelled",
        "cancelationReason": _concept(HL7_REASONS, "pat", "Patient").as_json(),
    }


def utc(moment: datetime) -> str:
    """Return the moment as FHIR writes it in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reference(kind: str, value: str) -> Any:
    return FHIRReference({"reference": f"{kind}/{value}"})


def _participant(kind: str, value: str) -> Any:
    participant = AppointmentParticipant()
    participant.actor = _reference(kind, value)
    participant.status = "accepted"
    participant.required = "required"
    return participant


def _identifier(system: str, value: str) -> Any:
    return Identifier({"system": system, "value": value})


def _concept(system: str, code: str, display: str) -> Any:
    coding = {"system": system, "code": code, "display": display}
    return CodeableConcept({"coding": [Coding({k: v for k, v in coding.items() if v}).as_json()]})
