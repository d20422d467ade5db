"""How an attempt to write ended: stored, told and handed to whoever asked for the write, in one transaction."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.context import current_actor
from integrations.ehr.errors import Throttled, Unavailable
from scheduling import appointments, mirror, vanished, writebacks
from scheduling.models import Appointment, ExternalId, WorkItem, Writeback
from scheduling.records import AppointmentRecord, ReasonVerdict
from scheduling.story import tell
from scheduling.worklist import ask_staff, finish_for
from scheduling.writebacks import Outcome
from waitlist import claims

#: One reason to wait for two workers: the one found no answer, the other leaves the EHR in peace since.
IS_AWAY = frozenset({Unavailable.code, Throttled.code})
#: Waits vary by this share either way, so that writes held up together do not come back together.
JITTER = 0.2


class SomebodyElseHasIt(Exception):
    """Another worker took the row over, or newer news of the appointment came in: nothing of ours may be stored."""


def tries_are_used_up(row: Writeback) -> bool:
    """Return whether the tries that count are more than the retry schedule has."""
    return row.attempts > len(settings.WRITE_RETRY_SECONDS)


def next_try(row: Writeback, now: datetime | None = None) -> datetime:
    """Return the time of the next try by the schedule, with jitter, never past the row's deadline."""
    schedule = settings.WRITE_RETRY_SECONDS
    wait = schedule[min(max(row.attempts, 1), len(schedule)) - 1]
    spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing
    at = (now or timezone.now()) + timedelta(seconds=wait * spread)
    return min(at, row.deadline_at)


def booked(row: Writeback, record: AppointmentRecord, fetched_at: datetime, summary: str) -> bool:
    """The EHR holds the booking and was read back.

    False, changing nothing, when another worker settled it or something newer is known about the appointment.
    """
    held = row.status, row.lease_until
    try:
        with transaction.atomic():
            _must(writebacks.mark_done(row))
            adopt(row, record, fetched_at)
            tell(row.opening, "writeback.confirmed", summary, writeback_id=row.pk, external_id=record.external_id)
            _clear_work(row)
            claims.settle(row, Outcome("done"))
    except (SomebodyElseHasIt, IntegrityError):
        row.refresh_from_db()
        # As we had it: whoever goes on has to find out that it is another worker's by now, and not to take it for ours.
        row.status, row.lease_until = held
        return False
    return True


def taken_at_their_word(row: Writeback) -> bool:
    """Staff say that they have entered it, and there is no connection by which the EHR could be asked."""
    with transaction.atomic():
        if not writebacks.mark_done(row):
            return False
        said_by = current_actor().name
        tell(row.opening, "writeback.by_word", f"Entered in the EHR, says {said_by}.", writeback_id=row.pk)
        _clear_work(row)
        claims.settle(row, Outcome("done"))
    return True


def adopt(row: Writeback, record: AppointmentRecord, fetched_at: datetime) -> None:
    """Make our pending appointment the mirror of ``record``.

    A booking that staff made meanwhile was mirrored as an appointment of its own; its name passes to ours.
    """
    source, appointment = row.source, row.appointment
    external = mirror.known(source, ExternalId.Kind.APPOINTMENT, record.external_id)
    if external is None:
        mirror.name(
            source,
            ExternalId.Kind.APPOINTMENT,
            record.external_id,
            appointment.pk,
            version=record.version,
            fetched_at=fetched_at,
        )
    else:
        # The webhook about our own booking may have been fetched after us: the same version says the same.
        known_already = bool(record.version) and external.version == record.version
        _must(mirror.accept(external, record.version, fetched_at) or known_already)
        if external.object_id != appointment.pk:
            _give_up_double(external.object_id)
            ExternalId.objects.filter(pk=external.pk).update(object_id=appointment.pk)
    appointment.refresh_from_db()
    kind = appointment.appointment_type
    appointments.fill(appointment, source, record)
    appointment.appointment_type = appointment.appointment_type or kind
    appointment.save()


def _give_up_double(appointment_id: int) -> None:
    double = Appointment.objects.get(pk=appointment_id)
    double.status = Appointment.Status.ENTERED_IN_ERROR
    double.status_code = "merged"
    double.save(update_fields=["status", "status_code", "updated_at"])


def cancelled(row: Writeback, record: AppointmentRecord, fetched_at: datetime) -> bool:
    """The EHR holds the cancellation; what it freed becomes an opening of its own."""
    with transaction.atomic():
        if not writebacks.mark_done(row):
            return False
        which = "the appointment" if row.by_patient else "the later appointment"
        tell(row.opening, "writeback.cancelled", f"The EHR has cancelled {which}.", writeback_id=row.pk)
        _clear_work(row)
        appointments.apply_appointment(row.source, record, fetched_at)
        claims.settle(row, Outcome("done"))
    return True


def deleted(row: Writeback, external_id: str, fetched_at: datetime, verdict: ReasonVerdict) -> bool:
    """The EHR no longer has what was to be cancelled, which comes to the same; ``verdict`` is of a deletion."""
    with transaction.atomic():
        if not writebacks.mark_done(row):
            return False
        tell(row.opening, "writeback.cancelled", "The EHR no longer has the appointment.", writeback_id=row.pk)
        _clear_work(row)
        appointments.apply_absence(row.source, external_id, fetched_at, verdict=verdict)
        claims.settle(row, Outcome("done"))
    return True


def refused(row: Writeback, code: str, detail: str, *, taken: bool = False, ask: bool = True) -> bool:
    """The EHR will not do it, or it must not be done any more. ``detail`` is a sentence for the front desk."""
    with transaction.atomic():
        if not writebacks.mark_refused(row, code, detail):
            return False
        tell(row.opening, "writeback.refused", detail, writeback_id=row.pk, code=code, taken=taken)
        _clear_work(row)
        if _is_told_otherwise(row):
            vanished.ask_to_call(row.appointment, f"It was sent there again and not taken. {detail}")
        elif ask:
            _ask(row, "writeback.refused", f"The EHR refused {_what(row)}", f"{detail} The patient is told.", soon=True)
        claims.settle(row, Outcome("refused", taken=taken, code=code, detail=detail))
    return True


def mismatched(row: Writeback, differs: tuple[str, ...], undone: bool) -> bool:
    """The EHR booked something else than we asked for: not confirmed, and red for staff."""
    named = ", ".join(differs)
    detail = f"What the EHR booked differs from what we asked: {named}."
    advice = (
        f"{detail} We cancelled it in the EHR and told the patient it is not booked. Check the EHR's set-up."
        if undone
        else f"{detail} We could not cancel it. Cancel it in the EHR by hand now; the patient is told it is not booked."
    )
    with transaction.atomic():
        if not writebacks.mark_refused(row, "mismatch", detail):
            return False
        tell(row.opening, "writeback.mismatch", detail, writeback_id=row.pk, differs=list(differs), undone=undone)
        _ask(row, "writeback.mismatch", "The EHR booked something else than we asked for", advice)
        if _is_told_otherwise(row):
            vanished.ask_to_call(row.appointment, f"It was sent there again and booked otherwise. {detail}")
        claims.settle(row, Outcome("refused", code="mismatch", detail=detail))
    return True


def _is_told_otherwise(row: Writeback) -> bool:
    """Whether a confirmed booking was sent anew: its claim is settled long since, so nobody else tells the patient."""
    return row.kind == Writeback.Kind.CREATE and vanished.was_promised(row.appointment)


def unknown(row: Writeback, look_at: datetime, code: str, *, counts: bool = True) -> bool:
    """The call may have had an effect: look it up at ``look_at`` before anything else is done."""
    if counts and tries_are_used_up(row):
        return dead(row, code, "We could not find out whether the EHR has it.")
    is_news = _is_news(row, code)
    with transaction.atomic():
        if not writebacks.mark_unknown(row, look_at, code, counts=counts):
            return False
        if is_news:
            tell(
                row.opening,
                "writeback.unknown",
                "The EHR's answer was lost. We look in the EHR before we do anything else.",
                writeback_id=row.pk,
                code=code,
            )
            claims.settle(row, Outcome("unknown", code=code))
    return True


def _is_news(row: Writeback, code: str) -> bool:
    """Return whether it waits for another reason than the last time: the story tells each once, not at each look."""
    return row.error_code != code and not {row.error_code, code} <= IS_AWAY


TOO_LATE = "The appointment's time was too close before the EHR answered."
NO_ANSWER = "The EHR does not answer. The booking is kept and goes on by itself as soon as it does."


def held(row: Writeback, until: datetime, code: str, *, sent_before: datetime | None, summary: str = NO_ANSWER) -> bool:
    """Nothing can be written now and nothing was: the write is kept, and resumes by itself."""
    is_news = _is_news(row, code)
    with transaction.atomic():
        if not writebacks.postpone(row, min(until, row.deadline_at), code, counts=False):
            return False
        Writeback.objects.filter(pk=row.pk).update(sent_at=sent_before)
        if is_news:
            tell(
                row.opening,
                "writeback.held",
                summary,
                writeback_id=row.pk,
                code=code,
            )
            claims.settle(row, Outcome("held", code=code))
    return True


def try_again(row: Writeback, code: str, *, sent_before: datetime | None) -> bool:
    """Nothing was written and the answer made no sense: the retry schedule goes on."""
    if tries_are_used_up(row):
        return dead(row, code, "It failed each time we tried.")
    with transaction.atomic():
        if not writebacks.postpone(row, next_try(row), code):
            return False
        Writeback.objects.filter(pk=row.pk).update(sent_at=sent_before)
        tell(row.opening, "writeback.retrying", "That did not work; we try again.", writeback_id=row.pk, code=code)
    return True


def dead(row: Writeback, code: str, detail: str, *, settle: bool = True) -> bool:
    """A person decides: the tries are used up, or trying again could book twice."""
    advice = f"{detail} Nothing is lost. Look in the EHR. If it is not done there, send it again below."
    with transaction.atomic():
        if not writebacks.mark_dead(row, code, detail):
            return False
        tell(row.opening, "writeback.dead", f"{detail} Staff were asked.", writeback_id=row.pk, code=code)
        _ask(row, "writeback.dead", f"We could not finish {_what(row)} in the EHR", advice)
        if settle:
            claims.settle(row, Outcome("dead", code=code, detail=detail))
    return True


def _what(row: Writeback) -> str:
    return "a booking" if row.kind == Writeback.Kind.CREATE else "a cancellation"


def _ask(row: Writeback, kind: str, title: str, advice: str, *, soon: bool = False) -> None:
    ask_staff(
        kind,
        title,
        advice=advice,
        dedupe_key=f"{kind}:{row.pk}",
        urgency=WorkItem.Urgency.SOON if soon else WorkItem.Urgency.RED,
        subject=row,
        opening=row.opening,
        patient=row.appointment.patient,
        location=row.appointment.location,
        due_at=row.deadline_at,
    )


def _clear_work(row: Writeback) -> None:
    for kind in ("writeback.dead", "writeback.by_hand"):
        finish_for(f"{kind}:{row.pk}", "It was settled.", by=current_actor().name)


def _must(held: bool) -> None:
    if not held:
        raise SomebodyElseHasIt
