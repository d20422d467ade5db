"""Entries that nobody types in: those of the EHR's own waitlist, and bookings that seek an earlier time.

Both are derived from the mirrored calendar every half minute, by what is true then. So no event is needed for it and
none can be lost: what the list lacks is added once, and whoever staff took off the list stays off.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from scheduling.models import Appointment, AppointmentType, WorkItem
from scheduling.worklist import ask_staff, finish_for
from waitlist import bumped, checklists, consent, entries
from waitlist.entry_drafts import MOVABLE
from waitlist.models import ConsentRecord, WaitlistEntry

_A = Appointment.Status
Origin = WaitlistEntry.Origin
#: The statuses by which an EHR says that a patient waits.
WAITS = (_A.WAITLIST, _A.PROPOSED)
#: Those by which it says that the patient has a time, and that it is all over.
HAS_TIME = (_A.PENDING, *Appointment.OCCUPYING)
OVER = (*Appointment.FREEING, _A.NOSHOW)
#: A booking that begins sooner seeks no earlier time.
TOO_SOON = timedelta(days=2)
BATCH = 500
ADDED_BY = "the EHR’s calendar"
#: Records that may be offered something.
PRESENT = Q(patient__active=True, patient__deceased=False, patient__restricted=False, patient__replaced_by__isnull=True)


def follow(now: datetime | None = None) -> int:
    """Bring the list in line with the calendar; return how many entries came or went."""
    now = now or timezone.now()
    bumped.settle()
    checklists.follow()
    return _end_waits() + _end_searches(now) + _begin_waits(now) + _begin_searches(now)


# --- the EHR's own waitlist -------------------------------------------------------------------------------------------


def _begin_waits(now: datetime) -> int:
    rows = _without_entry(Appointment.objects.filter(PRESENT, status__in=WAITS, ehr_entry__isnull=True))
    rows = rows.filter(Q(start__isnull=True) | Q(start__gt=now)).order_by("pk")
    return sum(_begin_wait(row) for row in rows.select_related(*_RELATED)[:BATCH])


def _begin_wait(row: Appointment) -> bool:
    fields = {"ehr_appointment": row, "joined_at": row.created_at, "origin": Origin.EHR}
    return _add(row, fields)


def _end_waits() -> int:
    """The EHR gave the patient a time, or took them off its list."""
    live = WaitlistEntry.objects.filter(status__in=entries.LIVE, ehr_appointment__isnull=False)
    ended = live.select_related("ehr_appointment").order_by("pk")
    done = sum(entries.mark_booked(row) for row in ended.filter(ehr_appointment__status__in=HAS_TIME)[:BATCH])
    done += sum(entries.leave(row) for row in ended.filter(ehr_appointment__status__in=OVER)[:BATCH])
    _ask_to_tidy()
    return done


def _ask_to_tidy() -> None:
    """We found the patient a time; the EHR's own list still has them, and only a person can take them off there."""
    booked = WaitlistEntry.objects.filter(status=WaitlistEntry.Status.BOOKED, ehr_appointment__isnull=False)
    asked = WorkItem.objects.filter(kind=TIDY, subject_id=OuterRef("ehr_appointment_id"))
    rows = booked.select_related("ehr_appointment__location", "patient")
    for row in rows.filter(~Exists(asked), ehr_appointment__status__in=WAITS)[:BATCH]:
        ask_staff(
            TIDY,
            "A patient has a time now and is still on the EHR’s own waitlist",
            advice="Nothing more is offered. Take them off the EHR’s waitlist; this closes by itself then.",
            dedupe_key=f"{TIDY}:{row.ehr_appointment_id}",
            urgency=WorkItem.Urgency.NORMAL,
            subject=row.ehr_appointment,
            patient=row.patient,
            location=row.ehr_appointment.location if row.ehr_appointment else None,
        )
    open_items = WorkItem.objects.filter(kind=TIDY, status=WorkItem.Status.OPEN)
    still = Appointment.objects.filter(pk=OuterRef("subject_id"), status__in=WAITS)
    for item in open_items.filter(~Exists(still))[:BATCH]:
        finish_for(item.dedupe_key, "The EHR’s own waitlist has them no more.")


TIDY = "entry.still_on_ehr_list"


# --- bookings that seek an earlier time -------------------------------------------------------------------------------


def _begin_searches(now: datetime) -> int:
    """Only those who agreed to messages: they did not ask to wait, so nobody calls them about it."""
    if not AppointmentType.objects.filter(seeks_earlier=True).exists():
        return 0
    rows = Appointment.objects.filter(
        PRESENT, status=_A.BOOKED, start__gt=now + TOO_SOON, appointment_type__seeks_earlier=True
    )
    agreed = ConsentRecord.objects.filter(patient_id=OuterRef("patient_id"), action=ConsentRecord.Action.GRANTED)
    lone = _without_entry(rows).filter(Exists(agreed), move_up_entries__isnull=True).order_by("start", "pk")
    ids = list(lone.values_list("pk", flat=True))
    return sum(_begin_some(ids[first : first + BATCH], now) for first in range(0, len(ids), BATCH))


def _begin_some(appointment_ids: list[int], now: datetime) -> int:
    found = list(Appointment.objects.filter(pk__in=appointment_ids).select_related(*_RELATED).order_by("start", "pk"))
    patients = {row.patient.pk: row.patient for row in found if row.patient is not None}
    reached = consent.every_way(patients.values(), now.date())
    return sum(_begin_search(row) for row in found if row.patient_id and reached[row.patient_id])


def _begin_search(row: Appointment) -> bool:
    return _add(row, {"move_up": row, "joined_at": row.created_at, "origin": Origin.BOOKING})


def _end_searches(now: datetime) -> int:
    """The booking was cancelled, has begun, or its kind of visit is not looked after any more."""
    live = WaitlistEntry.objects.filter(status__in=entries.LIVE, origin=Origin.BOOKING)
    stands = Q(move_up__status__in=MOVABLE, move_up__start__gt=now, appointment_type__seeks_earlier=True)
    return sum(entries.leave(row) for row in live.exclude(stands).order_by("pk")[:BATCH])


# --- both -------------------------------------------------------------------------------------------------------------

_RELATED = ("patient", "appointment_type", "provider", "location")


def _without_entry(rows: QuerySet[Appointment]) -> QuerySet[Appointment]:
    """Leave out whose patient waits for that kind of visit already."""
    waiting = WaitlistEntry.objects.filter(
        patient_id=OuterRef("patient_id"), appointment_type_id=OuterRef("appointment_type_id"), status__in=entries.LIVE
    )
    return rows.filter(~Exists(waiting), patient__isnull=False, appointment_type__active=True)


def _add(row: Appointment, fields: dict[str, Any]) -> bool:
    if row.patient is None or row.appointment_type is None:
        return False
    try:
        entries.add(
            row.patient,
            row.appointment_type,
            providers=_named(row.provider),
            locations=_named(row.location),
            added_by=ADDED_BY,
            **fields,
        )
    except entries.EntryRefused:  # somebody else was quicker, or the calendar changed: the next round sees
        return False
    return True


def _named(row: Any) -> Iterable[Any]:
    return (row,) if row is not None else ()
