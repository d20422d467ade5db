"""Patients whose visit the practice itself took back: proposed for the list, first, for a person to say."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from scheduling import families
from scheduling.models import Appointment, WorkItem
from scheduling.worklist import finish
from waitlist import entries
from waitlist.models import WaitlistEntry

#: The kind of work item by which the calendar proposes them.
KIND = "appointment.bumped"
BATCH = 200
_WAITS = "They are on the waitlist for it, as urgent."
_HAS_TIME = "They have a new time."


def put_on_the_list(appointment: Appointment) -> str:
    """Let the patient of a bumped visit wait for the same, as urgent; return a sentence about what was done.

    Whoever waits for that kind of visit already keeps their place and becomes urgent; what they have beside it stays.
    """
    patient, kind = appointment.patient, appointment.appointment_type
    if patient is None or kind is None:
        return "Nothing was changed: its kind of visit is not mapped. Put the patient on the waitlist yourself."
    with transaction.atomic():
        waiting = _entries_like(appointment).first()
        if waiting is not None and waiting.origin == WaitlistEntry.Origin.BOOKING:
            # It only sought an earlier time than the one that was taken back, and ends with that.
            entries.leave(waiting)
            waiting = None
        if waiting is not None:
            entries.change(waiting, urgency=WaitlistEntry.Urgency.URGENT, **_without(waiting, appointment))
            return "The patient was on the waitlist for it already and is urgent now."
        entries.add(
            patient,
            kind,
            providers=[appointment.provider] if appointment.provider else (),
            locations=[appointment.location] if appointment.location else (),
            urgency=WaitlistEntry.Urgency.URGENT,
            joined_at=appointment.created_at,
        )
    return "The patient is on the waitlist, as urgent, for the same visit at the same place."


def _entries_like(appointment: Appointment) -> QuerySet[WaitlistEntry]:
    mine = Q(patient__in=families.records_of_one(appointment.patient_id or 0))
    rows: QuerySet[WaitlistEntry] = WaitlistEntry.objects.filter(mine, status__in=entries.LIVE)
    return rows.filter(appointment_type=appointment.appointment_type)


def _without(waiting: WaitlistEntry, appointment: Appointment) -> dict[str, None]:
    """A time that was taken back can be moved up no more; the entry waits like one without."""
    return {"move_up": None} if waiting.move_up_id == appointment.pk else {}


def settle() -> int:
    """Close what was asked about those who wait as urgent by now, or have a new time; return how many."""
    gone = Appointment.objects.filter(pk=OuterRef(OuterRef("subject_id"))).values("appointment_type")[:1]
    mine = Q(patient=OuterRef("patient"), appointment_type=gone)
    # One of a series does not take the place of another: what counts came to be known since.
    new = Appointment.objects.filter(mine, status__in=Appointment.OCCUPYING, created_at__gte=OuterRef("created_at"))
    booked = new.filter(start__gt=timezone.now())
    urgent = WaitlistEntry.objects.filter(mine, status__in=entries.LIVE, urgency=WaitlistEntry.Urgency.URGENT)
    waits = urgent.exclude(move_up=OuterRef("subject_id"))
    asked = WorkItem.objects.filter(kind=KIND, status=WorkItem.Status.OPEN)
    done = 0
    for found, said in ((booked, _HAS_TIME), (waits, _WAITS)):
        done += sum(finish(item, "system", said) for item in asked.filter(Exists(found)).order_by("pk")[:BATCH])
    return done
