"""Mirrored visits whose codes get their meaning after they came: the status they then have, the time they gave up."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from scheduling import freed_time, mirror, writebacks
from scheduling.appointments import follow_status
from scheduling.models import Appointment, ExternalId, Opening
from scheduling.records import Interval, ReasonVerdict
from scheduling.story import tell


def restate(appointment_id: int, status_code: str, status: str) -> bool:
    """Give a mirrored appointment the status that its unchanged code means by now; False when it has moved on.

    Opens nothing: :func:`open_given_up` does.
    """
    with transaction.atomic():
        appointment = Appointment.objects.select_for_update().get(pk=appointment_id)
        before = appointment.status
        if appointment.status_code != status_code or writebacks.booking_is_open(appointment):
            return False
        appointment.status = status
        appointment.save(update_fields=["status", "updated_at"])
        follow_status(appointment, before)
    return True


def open_given_up(appointment_id: int, judge: Callable[[Appointment], ReasonVerdict | None]) -> Opening | None:
    """Open the time of a cancellation we were told of, and whose codes only now say what it meant.

    ``judge`` says of the visit as it is now what its codes mean for its time, None for nothing. Returns None when
    nothing is to be offered, its time was opened before whatever came of that, or it was so when the calendar was read.
    """
    with transaction.atomic():
        appointment = Appointment.objects.select_for_update().get(pk=appointment_id)
        if appointment.status not in Appointment.FREEING or appointment.status_seen_at is None:
            return None
        if appointment.start is None or appointment.end is None or appointment.openings.exists():
            return None
        if appointment.provider_id is None or appointment.location_id is None:
            return None
        verdict = judge(appointment)
        if verdict is None:
            return None
        opening = freed_time.open_freed_time(
            appointment,
            provider_id=appointment.provider_id,
            location_id=appointment.location_id,
            interval=Interval(appointment.start, appointment.end),
            version=mirror.held_version(appointment.source_id, ExternalId.Kind.APPOINTMENT, appointment.pk),
            verdict=verdict,
            freed_at=appointment.status_seen_at,
        )
        if opening is not None:
            tell(opening, "opening.mapped", "What the EHR's code for it means was entered only now.")
        return opening
