"""Cancelling an appointment in the EHR: one its patient gave up, or the later one of a patient who was moved up."""

from __future__ import annotations

from django.utils import timezone

from integrations import by_hand, outcomes
from integrations.attempt import Attempt
from integrations.ehr.gateway import (
    LoginRefused,
    NotFound,
    OutcomeUnknown,
    Refused,
    Rejected,
    StaleVersion,
    Throttled,
    Unavailable,
)
from scheduling import mirror
from scheduling.models import Appointment, ExternalId
from scheduling.records import AppointmentRecord

#: A version that changes again and again between our look and our call is left to the retry schedule.
STALE_TRIES = 3


def cancel(attempt: Attempt) -> None:
    """Cancel the row's appointment; raises GatewayError when the EHR gave no answer."""
    if not attempt.gateway.capabilities.cancels:
        by_hand.hand_over(attempt.row)
        return
    external_id = attempt.external(ExternalId.Kind.APPOINTMENT, attempt.row.appointment_id)
    held = mirror.known(attempt.row.source, ExternalId.Kind.APPOINTMENT, external_id)
    version = held.version if held and held.version != mirror.IN_DOUBT else ""
    if attempt.may_have_worked or not version:
        record = _fetch(attempt, external_id)
        if _is_settled(attempt, record):
            return
        if attempt.may_have_worked and timezone.now() < attempt.settled_at:
            code = attempt.row.error_code or "outcome_unknown"
            outcomes.unknown(attempt.row, attempt.settled_at, code, counts=False)
            return
        attempt.sent_before, attempt.may_have_worked = None, False
        version = record.version
    _cancel_at(attempt, external_id, version)


def _cancel_at(attempt: Attempt, external_id: str, version: str) -> None:
    for _ in range(STALE_TRIES):
        if attempt.is_too_late:
            outcomes.refused(attempt.row, "too_late", "The appointment's time had come before the EHR answered.")
            return
        attempt.about_to_send(f"Asked the EHR to cancel {_which(attempt)}.")
        try:
            attempt.gateway.cancel(external_id, version)
        except (Throttled, Unavailable, LoginRefused):
            attempt.had_no_effect()
            raise
        except StaleVersion:
            attempt.had_no_effect()
            record = _fetch(attempt, external_id)
            if _is_settled(attempt, record):
                return
            version = record.version
            continue
        except (Rejected, NotFound, Refused) as error:
            outcomes.refused(attempt.row, error.code, f"The EHR would not cancel {_which(attempt)}.")
            return
        _read_back(attempt, external_id)
        return
    raise StaleVersion("changed again and again")


def _read_back(attempt: Attempt, external_id: str) -> None:
    if not _is_settled(attempt, _fetch(attempt, external_id)):
        raise OutcomeUnknown("not cancelled yet")


def _fetch(attempt: Attempt, external_id: str) -> AppointmentRecord:
    attempt.keep()
    attempt.asked_at = timezone.now()
    record = attempt.gateway.fetch("appointment", external_id)
    if not isinstance(record, AppointmentRecord):
        raise OutcomeUnknown("not an appointment")
    return record


def _is_settled(attempt: Attempt, record: AppointmentRecord) -> bool:
    """Return whether nothing is left to do: it is cancelled, or it is no longer the appointment we meant."""
    appointment = attempt.row.appointment
    if record.status in Appointment.FREEING:
        outcomes.cancelled(attempt.row, record, attempt.asked_at)
        return True
    patient_id = attempt.external(ExternalId.Kind.PATIENT, appointment.patient_id)
    if record.start == appointment.start and record.patient_id == patient_id and record.status in Appointment.OCCUPYING:
        return False
    detail = f"Not cancelled: the EHR changed {_which(attempt)} meanwhile, and what it says stands."
    outcomes.refused(attempt.row, "changed_in_ehr", detail)
    return True


def _which(attempt: Attempt) -> str:
    return "the appointment" if attempt.row.by_patient else "the later appointment"
