"""Telling a patient who gave an appointment up what became of it: received, cancelled, or still standing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from scheduling.models import Appointment, WorkItem, Writeback
from scheduling.story import tell
from scheduling.worklist import ask_staff, finish_for
from scheduling.writebacks import Outcome
from waitlist import consent, entries, messages
from waitlist.models import Claim, Message

CALLS = {
    Message.Kind.CANCELLED: "Call a patient: the appointment they gave up is cancelled",
    Message.Kind.NOT_CANCELLED: "Call a patient: the appointment they gave up still stands",
}
#: What begins the dedupe key of this news; the write's key follows.
NEWS = "cancel"


def settle(writeback: Writeback, outcome: Outcome) -> None:
    """Act on how a cancellation that a patient asked for ended, in the transaction that stores it. Safe to call twice.

    Staff were asked by whoever settled the write. One that is unknown or held changes nothing: the patient was told
    that it is not done yet.
    """
    if outcome.result == "done":
        heard(writeback)
    elif outcome.result in ("refused", "dead"):
        say(writeback, Message.Kind.NOT_CANCELLED)
        _tell_story(writeback, "cancel.failed", "The appointment still stands; staff were asked and the patient told.")


def heard(writeback: Writeback) -> None:
    """The EHR shows the cancellation, by our own call or since: the patient is told, once."""
    finish_for(f"writeback.refused:{writeback.pk}", "The EHR has cancelled it.")
    finish_for(pending_key(writeback.appointment_id), "The EHR has cancelled it.")
    say(writeback, Message.Kind.CANCELLED)
    _tell_story(writeback, "cancel.done", "The EHR has cancelled it at the patient's wish; its time opens by itself.")


def say(writeback: Writeback, kind: str, now: datetime | None = None) -> None:
    """Tell the patient by every way they agreed to, of receipt by one; where there is none, a person calls."""
    appointment, now = writeback.appointment, now or timezone.now()
    if appointment.patient is None:
        return
    contacts = consent.ways(appointment.patient, consent.day_at(appointment.location, now))
    for contact in contacts[:1] if kind == Message.Kind.CANCELLING else contacts:
        address = messages.Address.of(contact)
        messages.queue(
            kind,
            address,
            subject_of(appointment),
            describe(writeback),
            dedupe_key=f"{NEWS}:{writeback.pk}:{kind}:{address.channel}:{address.index[:24]}",
            initiated=False,
            expires_at=appointment.end,
            now=now,
        )
    if not contacts and kind in CALLS:
        ask_to_call(writeback, kind)


def ask_to_call(writeback: Writeback, kind: str) -> WorkItem:
    """Have staff tell the patient, who cannot be written to, what became of it; ``kind`` is one of :data:`CALLS`."""
    appointment = writeback.appointment
    return ask_staff(
        "claim.tell",
        CALLS[Message.Kind(kind)],
        advice="No text or e-mail may be sent. The EHR shows what is true. Call, then mark this done.",
        dedupe_key=f"{NEWS}.tell:{writeback.pk}:{kind}",
        urgency=WorkItem.Urgency.RED,
        subject=appointment,
        patient=appointment.patient,
        location=appointment.location,
        due_at=appointment.start,
    )


def behind(message: Message) -> Writeback | None:
    """Return the write that a message of this news is about; None for other messages."""
    name, _, rest = message.dedupe_key.partition(":")
    number = rest.partition(":")[0]
    if name != NEWS or not number.isdigit():
        return None
    rows = Writeback.objects.select_related("appointment__patient", "appointment__location", "source")
    return rows.filter(pk=int(number)).first()


def subject_of(appointment: Appointment) -> messages.Subject:
    """Return what messages about an appointment are about."""
    return messages.Subject(appointment.patient, appointment.location, type_id=appointment.appointment_type_id)


def describe(writeback: Writeback) -> dict[str, Any]:
    """Return what the words need: time, reference, whether a person will cancel it, whether the patient still waits."""
    appointment = writeback.appointment
    context: dict[str, Any] = {
        "reference": appointment.reference or "",
        "staff": writeback.status == Writeback.Status.BY_HAND or not writeback.source.cancels,
        "waiting": Claim.objects.filter(appointment=appointment, entry__status__in=entries.LIVE).exists(),
    }
    if appointment.start is not None:
        zone = appointment.location.zone if appointment.location else None
        context["start"] = timezone.localtime(appointment.start, zone)
    return context


def pending_key(appointment_id: int) -> str:
    """Return the worklist's key of an appointment given up while it was still being booked."""
    return f"appointment.cancel:{appointment_id}"


def is_left_to_staff(appointment_id: int) -> bool:
    """Return whether its patient gave an appointment up while it was being booked, and staff are still to cancel it."""
    items = WorkItem.objects.filter(dedupe_key=pending_key(appointment_id), status=WorkItem.Status.OPEN)
    return items.exists()


def _tell_story(writeback: Writeback, kind: str, summary: str) -> None:
    claim = Claim.objects.filter(appointment=writeback.appointment_id).select_related("opening").first()
    if claim is None:
        return
    told = claim.opening.timeline.filter(kind=kind, data__writeback_id=writeback.pk)
    if not told.exists():
        tell(claim.opening, kind, summary, writeback_id=writeback.pk)
