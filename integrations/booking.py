"""Booking an appointment in the EHR: look, create, read back, compare."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from django.utils import timezone

from integrations import outcomes
from integrations.attempt import Attempt
from integrations.ehr import intake
from integrations.ehr.fhir.events import Notice
from integrations.ehr.gateway import (
    Booking,
    Duplicate,
    GatewayError,
    LoginRefused,
    NotFound,
    OutcomeUnknown,
    Refused,
    Rejected,
    StaleVersion,
    Stored,
    Taken,
    Throttled,
    Unavailable,
)
from integrations.models import CodeMapping, InboundEvent
from integrations.readback import compare
from scheduling.models import Appointment, ExternalId
from scheduling.records import AppointmentRecord, Freshness, Interval
from waitlist import moveups
from waitlist.booking_comment import comment_on
from waitlist.telling import BUSY_PATIENT

#: How often a read-back is repeated at once when newer news of the appointment came in between.
READINGS = 3


def book(attempt: Attempt) -> None:
    """Book the row's appointment exactly once in effect; raises GatewayError when the EHR gave no answer."""
    asked = booking_for(attempt)
    if attempt.may_have_worked:
        found = look_up(attempt, asked)
        if found is not None:
            _judge(attempt, asked, found, adopted=True)
            return
        if not _absence_is_proven(attempt):
            return
    if attempt.is_too_late:
        outcomes.refused(attempt.row, "too_late", outcomes.TOO_LATE)
        return
    _look_and_create(attempt, asked)


def booking_for(attempt: Attempt) -> Booking:
    """Return what to ask of the EHR, in its own names; raises UnknownReference for what it has no name for."""
    row, appointment = attempt.row, attempt.row.appointment
    if appointment.start is None or appointment.end is None:
        raise ValueError("an appointment without times cannot be booked")
    system, code, display = _type_codes(attempt, appointment)
    return Booking(
        key=str(row.key),
        patient_id=attempt.external(ExternalId.Kind.PATIENT, appointment.patient_id),
        provider_id=attempt.external(ExternalId.Kind.PROVIDER, appointment.provider_id),
        location_id=attempt.external(ExternalId.Kind.LOCATION, appointment.location_id),
        start=appointment.start,
        end=appointment.end,
        type_system=system,
        type_code=code,
        type_display=display,
        slot_ids=tuple(row.slots),
    )


def _with_comment(attempt: Attempt, asked: Booking) -> Booking:
    """Where the EHR shows comments, say why the name appeared in its calendar."""
    if not attempt.gateway.capabilities.comments:
        return asked
    return replace(asked, comment=comment_on(attempt.row.appointment))


def _type_codes(attempt: Attempt, appointment: Appointment) -> tuple[str, str, str]:
    """Return the EHR's code for the visit's type: the one on the appointment, else the one mapped to our type."""
    if appointment.type_code or appointment.appointment_type is None:
        return appointment.type_system, appointment.type_code, appointment.type_display
    mapped = attempt.connection.code_mappings.filter(
        domain=CodeMapping.Domain.TYPE, state=CodeMapping.State.MAPPED, target=appointment.appointment_type.code
    ).first()
    return (mapped.system, mapped.code, mapped.display) if mapped else ("", "", "")


def look_up(attempt: Attempt, asked: Booking) -> AppointmentRecord | None:
    """Find what an earlier call left in the EHR: by our key in any state, else the patient's at this start."""
    attempt.asked_at = timezone.now()
    try:
        by_key = attempt.gateway.find_by_identifier(attempt.connection.identifier_system, asked.key)
    except Rejected:
        by_key = None  # an EHR that cannot search by identifier is asked for the patient's day
    return by_key or attempt.gateway.find_booking(asked.key, asked.patient_id, asked.start)


def _absence_is_proven(attempt: Attempt) -> bool:
    """Return whether it may be sent again; else see to what happens instead."""
    if timezone.now() < attempt.settled_at:
        outcomes.unknown(attempt.row, attempt.settled_at, attempt.row.error_code or "outcome_unknown", counts=False)
        return False
    attempt.sent_before, attempt.may_have_worked = None, False
    if attempt.gateway.capabilities.retry_safety == "none":
        outcomes.dead(attempt.row, "unsafe_to_retry", "The answer was lost, and this EHR cannot tell a repetition.")
        return False
    if outcomes.tries_are_used_up(attempt.row):
        outcomes.dead(attempt.row, "tries_used_up", "The EHR did not store it, each time we tried.")
        return False
    return True


def _look_and_create(attempt: Attempt, asked: Booking) -> None:
    look = _look(attempt, asked)
    if look is None:
        return
    wish = _with_comment(attempt, with_current_slots(asked, look))
    attempt.about_to_send("Asked the EHR to book it.")
    try:
        stored = attempt.gateway.create(wish)
    except (Throttled, Unavailable, LoginRefused):
        attempt.had_no_effect()
        raise
    except Taken as error:
        attempt.had_no_effect()
        attempt.keep()
        _believe_or_not(attempt, asked, error)
    except Duplicate:
        attempt.keep()
        _done_before(attempt, asked)
    except (Rejected, NotFound, StaleVersion, Refused) as error:
        outcomes.refused(attempt.row, error.code, f"The EHR would not take this booking{_as_it_said(error)}.")
    else:
        _read_back(attempt, asked, stored)


def is_free(look: Freshness, asked: Booking) -> bool:
    """Return whether the whole of the asked time is free."""
    return not Interval(asked.start, asked.end).minus(look.free)


def with_current_slots(asked: Booking, look: Freshness) -> Booking:
    """Return the booking with slots that exist now: those claimed, else those that cover its time today."""
    free = [slot for slot in look.slots if slot.free]
    if not free or set(asked.slot_ids) <= {slot.external_id for slot in free}:
        return asked
    time = Interval(asked.start, asked.end)
    covering = [slot for slot in free if time.covers(slot.interval)]
    exact = not time.minus(slot.interval for slot in covering)
    return replace(asked, slot_ids=tuple(slot.external_id for slot in covering)) if exact else asked


def _look(attempt: Attempt, asked: Booking) -> Freshness | None:
    """Return what is free when nothing stands in the way; else settle the write and return None.

    The patient's own appointments are asked for last: one that staff make between the two questions is found.
    """
    look = attempt.gateway.availability(asked.provider_id, asked.location_id, asked.start, asked.end)
    own = _own_appointment(attempt, asked)
    if own is not None:
        _judge(attempt, asked, own, adopted=True)
    elif not is_free(look, asked):
        outcomes.refused(
            attempt.row, "taken", "The time was booked in the EHR by somebody else first.", taken=True, ask=False
        )
    else:
        return look
    return None


def _own_appointment(attempt: Attempt, asked: Booking) -> AppointmentRecord | None:
    """Return what the patient has at this time: what was asked for before anything else, nothing that is given up."""
    attempt.asked_at = timezone.now()
    try:
        found = attempt.gateway.appointments_of(asked.patient_id, asked.start, asked.end)
    except Rejected:
        return None  # an EHR that cannot search by patient has its provider's time to go by
    for name in attempt.names_of_retired_records():
        with suppress(Rejected):  # an EHR may answer for a record that was merged away, or not
            found = [*found, *attempt.gateway.appointments_of(name, asked.start, asked.end)]
    given_up = _name_of_the_later_one(attempt) if found else ""
    standing = [record for record in found if record.external_id != given_up]
    return max(standing, key=lambda record: _likeness(asked, record), default=None)


def _likeness(asked: Booking, record: AppointmentRecord) -> tuple[bool, bool]:
    reading = compare(asked, record)
    return reading.agrees, reading.ours


def _name_of_the_later_one(attempt: Attempt) -> str:
    """Return what the EHR calls the appointment that a patient is moved up from, empty when there is none."""
    later = moveups.later_one(attempt.row.appointment)
    return attempt.external(ExternalId.Kind.APPOINTMENT, later.pk) if later is not None else ""


def _believe_or_not(attempt: Attempt, asked: Booking, error: Taken) -> None:
    """A conflict is what a fresh look shows it to be: the time is gone, or the EHR refuses for a reason of its own."""
    if _look(attempt, asked) is not None:
        detail = f"The EHR would not take this booking{_as_it_said(error)}, although it shows the time as free."
        outcomes.refused(attempt.row, Rejected.code, detail)


def _as_it_said(error: GatewayError) -> str:
    """Return the status and code of its answer, never its words, which may name a patient."""
    said = " ".join(filter(None, [f"HTTP {error.status}" if error.status else "", error.outcome_code]))
    return f" ({said})" if said else ""


def _done_before(attempt: Attempt, asked: Booking) -> None:
    """The EHR says it has done this already."""
    found = look_up(attempt, asked)
    if found is None:
        raise OutcomeUnknown("duplicate of nothing")
    _judge(attempt, asked, found, adopted=True)


def _read_back(attempt: Attempt, asked: Booking, stored: Stored) -> None:
    attempt.keep()
    _judge(attempt, asked, _fetch(attempt, stored.external_id), adopted=False)


def _fetch(attempt: Attempt, external_id: str) -> AppointmentRecord:
    attempt.asked_at = timezone.now()
    try:
        record = attempt.gateway.fetch("appointment", external_id)
    except NotFound:
        # Some systems answer before they can be read; the key finds it a moment later.
        raise OutcomeUnknown("not readable yet") from None
    if not isinstance(record, AppointmentRecord):
        raise OutcomeUnknown("not an appointment")
    return record


def _judge(
    attempt: Attempt, asked: Booking, record: AppointmentRecord, *, adopted: bool, readings: int = READINGS
) -> None:
    """Compare what the EHR holds with what was asked, and settle accordingly."""
    reading = compare(asked, record)
    if reading.agrees:
        summary = (
            "The EHR already held the booking; it is ours." if adopted else "The EHR holds the booking; read back."
        )
        if not outcomes.booked(attempt.row, record, attempt.asked_at, summary):
            _read_again(attempt, asked, record, adopted, readings - 1)
    elif reading.gone:
        outcomes.refused(attempt.row, "cancelled_in_ehr", "The booking was cancelled in the EHR at once.")
    elif reading.ours or not adopted:  # what answered our own call is ours, whether it kept our key or not
        outcomes.mismatched(attempt.row, reading.differs, undone=_undo(attempt, record))
    else:
        # The patient's own appointment elsewhere at that moment: it is not ours to change, but ours to know.
        outcomes.refused(
            attempt.row, BUSY_PATIENT, "The patient has another appointment at this time in the EHR.", ask=False
        )
        intake.remember(attempt.connection, InboundEvent.Via.POLL, Notice("appointment", record.external_id))


def _read_again(attempt: Attempt, asked: Booking, record: AppointmentRecord, adopted: bool, readings: int) -> None:
    """Newer news of the appointment was stored while we read: what counts is what the EHR says now."""
    if readings <= 0:
        raise OutcomeUnknown("newer news came in")
    attempt.keep()
    again = _fetch(attempt, record.external_id)
    _judge(attempt, asked, again, adopted=adopted, readings=readings)


def _undo(attempt: Attempt, record: AppointmentRecord) -> bool:
    """Cancel what was booked wrongly and see that it is cancelled; False when that did not work."""
    attempt.keep()
    try:
        attempt.gateway.cancel(record.external_id, record.version)
        after = attempt.gateway.fetch("appointment", record.external_id)
    except GatewayError:
        return False
    return isinstance(after, AppointmentRecord) and after.status in Appointment.FREEING
