"""Cancelling an appointment in the EHR: one its patient gave up, or the later one of a patient who was moved up."""

from __future__ import annotations

from django.utils import timezone

from integrations import by_hand, outcomes
from integrations.attempt import Attempt
from integrations.codebook import CodeBook
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
        record = _standing(attempt, external_id)
        if record is None:
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
            outcomes.refused(attempt.row, "too_late", outcomes.TOO_LATE)
            return
        attempt.about_to_send(f"Asked the EHR to cancel {_which(attempt)}.")
        try:
            attempt.gateway.cancel(external_id, version)
        except (Throttled, Unavailable, LoginRefused):
            attempt.had_no_effect()
            raise
        except StaleVersion:
            attempt.had_no_effect()
            record = _standing(attempt, external_id)
            if record is None:
                return
            version = record.version
            continue
        except NotFound as error:
            attempt.had_no_effect()
            if _standing(attempt, external_id) is not None:
                outcomes.refused(attempt.row, error.code, f"The EHR would not cancel {_which(attempt)}.")
            return
        except (Rejected, Refused) as error:
            outcomes.refused(attempt.row, error.code, f"The EHR would not cancel {_which(attempt)}.")
            return
        _read_back(attempt, external_id)
        return
    raise StaleVersion("changed again and again")


def _read_back(attempt: Attempt, external_id: str) -> None:
    if _standing(attempt, external_id) is not None:
        raise OutcomeUnknown("not cancelled yet")


def _standing(attempt: Attempt, external_id: str) -> AppointmentRecord | None:
    """Return the appointment as the EHR has it now; None when nothing is left to do, which is then settled."""
    attempt.keep()
    attempt.asked_at = timezone.now()
    try:
        record = attempt.gateway.fetch("appointment", external_id)
    except NotFound:
        verdict = CodeBook(attempt.connection).reason("", "", "")  # a deletion gives no reason
        outcomes.deleted(attempt.row, external_id, attempt.asked_at, verdict)
        return None
    if not isinstance(record, AppointmentRecord):
        raise OutcomeUnknown("not an appointment")
    return None if _is_settled(attempt, record) else record


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
