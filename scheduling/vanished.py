"""Bookings that a patient was told stand, and that the EHR does not have: a person calls them, once.

A deletion gives no reason, and the EHR may tell the patient nothing of it. A visit that is cancelled there is left to
whoever cancelled it.
"""

from __future__ import annotations

from django.utils import timezone

from scheduling.models import Appointment, WorkItem, Writeback
from scheduling.worklist import ask_staff, finish_for

GONE = "The EHR no longer has it, and does not say why. They may have another time there by now."
DECIDED = "It was decided that the EHR is right."


def was_promised(appointment: Appointment) -> bool:
    """Return whether its patient was told that this visit ahead is confirmed, and did not ask to be rid of it."""
    return (
        appointment.origin == Appointment.Origin.WAITLIST
        and appointment.occupies_time
        and appointment.status != Appointment.Status.PENDING
        and appointment.start is not None
        and appointment.start > timezone.now()
        and not appointment.writebacks.filter(kind=Writeback.Kind.CANCEL).exists()
    )


def ask_to_call(appointment: Appointment, why: str) -> None:
    """Have staff tell the patient; once, however it is found out."""
    ask_staff(
        "calendar.not_booked",
        "Call a patient: the appointment they were told of is not in the EHR",
        advice=f"{why} The patient may believe that the appointment stands.",
        dedupe_key=_key(appointment),
        urgency=WorkItem.Urgency.RED,
        subject=appointment,
        patient=appointment.patient,
        location=appointment.location,
        due_at=appointment.start,
    )


def stands_again(appointment: Appointment) -> None:
    """The EHR has it after all: nobody is to be called."""
    finish_for(_key(appointment), "It stands in the EHR again.")


def _key(appointment: Appointment) -> str:
    return f"calendar.not_booked:{appointment.pk}"
