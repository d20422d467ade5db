"""athenahealth: read by FHIR, booked and cancelled by its own REST interface, told of changes by its event platform.

An open slot is booked by its id, which becomes the appointment's. The EHR writes to patients about bookings by itself
unless each booking says not to, and patients hear from us already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.fhir.answers import ID, Answer
from integrations.ehr.gateway import Booking, OutcomeUnknown, Rejected, StaleVersion, Stored, Taken
from integrations.models import Connection
from integrations.safe_json import NotJson, read_json
from scheduling.models import Writeback
from scheduling.records import AppointmentRecord

CANCELLED_BY_US = "Given up by the patient through the waitlist"


class AthenaGateway(FhirGateway):
    """An open connection to one athenahealth practice."""

    known_better: Mapping[str, Any] = {
        "conditional_create": False,
        "patch": False,
        "version_check": False,
        "writes_appointments": True,
        "finds_by_identifier": False,
        "cancels": True,
        "confirms_itself": True,
        "book_mode": "one_slot",
        "retry_safety": "slot_guard",
    }

    def create(self, booking: Booking) -> Stored:
        """Book the open slot that the booking names; raises OutcomeUnknown, Taken, Rejected."""
        if len(booking.slot_ids) != 1:
            raise Rejected("This EHR books exactly one open slot at a time.")
        fields = {
            "patientid": booking.patient_id,
            "appointmenttypeid": booking.type_code,
            "donotsendconfirmationemail": "true",
            "bookingnote": booking.comment,
        }
        try:
            answer = self._put(booking.slot_ids[0], "", fields)
        except StaleVersion as error:  # what 409 means to a PUT; here it is the slot that somebody else has
            raise Taken(error.detail, status=error.status, outcome_code=error.outcome_code) from None
        return Stored(_appointment_id(answer))

    def cancel(self, external_id: str, version: str) -> Stored:
        """Cancel the appointment, if it is still at ``version``; raises StaleVersion when it changed."""
        record = self.fetch("appointment", external_id)
        if not isinstance(record, AppointmentRecord) or (version and record.version != version):
            raise StaleVersion("It changed in the EHR meanwhile.")
        fields = {"patientid": record.patient_id, "cancellationreason": CANCELLED_BY_US}
        self._put(external_id, "/cancel", fields)
        return Stored(external_id)

    def _put(self, external_id: str, action: str, fields: dict[str, str]) -> Answer:
        practice = self._connection.practice_number
        if not practice or not ID.fullmatch(external_id):
            raise Rejected("The practice's number at athenahealth is not entered at the connection.")
        path = f"/v1/{quote(practice, safe='')}/appointments/{external_id}{action}"
        return self.transport.send_form("PUT", path, {name: value for name, value in fields.items() if value})


def _appointment_id(answer: Answer) -> str:
    """Return the id a booking was answered with; raises OutcomeUnknown when it does not say."""
    try:
        said = read_json(answer.body)
    except NotJson:
        said = None
    first = said[0] if isinstance(said, list) and said else said
    found = str(first.get("appointmentid", "")) if isinstance(first, dict) else ""
    if not ID.fullmatch(found):
        raise OutcomeUnknown("The EHR accepted the booking without saying which one it is.", status=answer.status)
    return found


def open_gateway(connection: Connection, *, writeback: Writeback | None = None) -> AthenaGateway:
    """Open the gateway of an athenahealth connection. Nothing is sent yet."""
    return AthenaGateway(connection, writeback)
