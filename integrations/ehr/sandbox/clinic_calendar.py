"""Slots and appointments from 30 days back to 30 days ahead, in every status."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from .clinic_people import Patient, display_name, is_bookable
from .clinic_setup import (
    APPOINTMENT_SYSTEM,
    CANCELLATION_SYSTEM,
    LOCAL_CANCELLATION_SYSTEM,
    PROVIDERS,
    SITES,
    VISIT_TYPES,
    Provider,
    Site,
    schedule_id,
    visit_type_concept,
)

HORIZON_DAYS = 30
_SESSIONS = ((8, 12), (13, 17))
_OCCUPIED_PAST, _OCCUPIED_AHEAD = 0.82, 0.70
# Reason code and system; None stands for a cancellation that gives no reason.
REASONS = (
    ("pat", CANCELLATION_SYSTEM),
    ("pat-crt", CANCELLATION_SYSTEM),
    ("pat-mv", CANCELLATION_SYSTEM),
    ("prov", CANCELLATION_SYSTEM),
    ("prov-pers", CANCELLATION_SYSTEM),
    ("oth-weath", CANCELLATION_SYSTEM),
    ("ZZ-LEGACY-17", LOCAL_CANCELLATION_SYSTEM),
    None,
)
_PAST_STATUSES = (("fulfilled", 0.86), ("noshow", 0.07), ("checked-in", 0.02), ("arrived", 0.02), ("booked", 0.03))
_AHEAD_STATUSES = (("booked", 0.95), ("pending", 0.05))


@dataclass
class Piece:
    """One slot before it becomes a resource; times in the location's zone."""

    id: str
    provider: Provider
    site: Site
    start: datetime
    end: datetime
    status: str = "free"


@dataclass
class Calendar:
    """Builds the appointments; remembers which patient is busy on which day, since nobody comes twice a day here."""

    random: Random
    patients: list[Patient]
    today: date
    first_number: int = 1
    appointments: list[dict[str, Any]] = field(default_factory=list)
    holds: list[tuple[str, str]] = field(default_factory=list)
    _visits: set[tuple[str, date]] = field(default_factory=set)

    def patient_for(self, day: date) -> Patient:
        bookable = [patient for patient in self.patients if day < self.today or is_bookable(patient)]
        while True:
            patient = self.random.choice(bookable)
            if (patient["id"], day) not in self._visits:
                self._visits.add((patient["id"], day))
                return patient

    def add(
        self, status: str, pieces: list[Piece], code: str, *, names_slots: bool = True, timed: bool = True
    ) -> dict[str, Any]:
        number = self.first_number + len(self.appointments)
        first, last = pieces[0], pieces[-1]
        end = min(last.end, first.start + timedelta(minutes=VISIT_TYPES[code].minutes))
        patient = self.patient_for(first.start.date())
        appointment: dict[str, Any] = {
            "resourceType": "Appointment",
            "id": f"appointment-{number:05d}",
            "status": status,
            "identifier": [{"system": APPOINTMENT_SYSTEM, "value": f"HFP-A-{number:05d}"}],
            "appointmentType": visit_type_concept(code),
        }
        if timed:
            minutes = int((end - first.start).total_seconds()) // 60
            appointment |= {"start": first.start.isoformat(), "end": end.isoformat(), "minutesDuration": minutes}
        if names_slots and timed:
            appointment["slot"] = [{"reference": f"Slot/{piece.id}"} for piece in pieces]
        appointment["participant"] = _participants(patient, first.provider, first.site, status)
        self.appointments.append(appointment)
        return appointment


def calendar(
    today: date, patients: list[Patient]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[tuple[str, str]]]:
    """Slots, Appointments, and (slot id, appointment id) of the slots that are held."""
    # Seeded, so that the clinic comes out the same every time.
    book = Calendar(Random(20_300), patients, today)  # noqa: S311
    slots: list[Piece] = []
    for provider in PROVIDERS:
        for session in sessions_of(provider, today, range(-HORIZON_DAYS, HORIZON_DAYS + 1)):
            slots += session
            if session[0].start.date() == today + timedelta(days=17) and provider.id == "ortega":
                _block(session)
            else:
                _fill(book, session)
    _add_waiting(book, slots)
    return [_slot(piece) for piece in slots], book.appointments, book.holds


def sessions_of(provider: Provider, today: date, offsets: range) -> Iterator[list[Piece]]:
    """The slots of each half-day, in local wall times: a clock change moves the instant, not the office hours."""
    for offset in offsets:
        day = today + timedelta(days=offset)
        for site in SITES:
            if day.weekday() not in dict(provider.days).get(site.id, ()):
                continue
            for begin, end in _SESSIONS:
                yield list(_pieces(provider, site, day, begin, end))


def _pieces(provider: Provider, site: Site, day: date, begin: int, end: int) -> Iterator[Piece]:
    zone, length = ZoneInfo(site.zone), timedelta(minutes=provider.slot_minutes)
    start = datetime.combine(day, time(begin), zone)
    while start < datetime.combine(day, time(end), zone):
        yield Piece(f"{schedule_id(provider, site.id)}-{start:%Y%m%d-%H%M}", provider, site, start, start + length)
        start += length


def _block(session: list[Piece]) -> None:
    for piece in session:
        piece.status = "busy-unavailable"


def _fill(book: Calendar, session: list[Piece]) -> None:
    """Walk through a half-day: take a run of slots for a visit, or leave one free, sometimes after a cancellation."""
    position = 0
    while position < len(session):
        piece = session[position]
        past = piece.start.date() < book.today
        fitting = [code for code in piece.provider.types if _needed(code, piece.provider) <= len(session) - position]
        if not fitting or book.random.random() > (_OCCUPIED_PAST if past else _OCCUPIED_AHEAD):
            _maybe_cancelled(book, piece, fitting)
            position += 1
            continue
        code = book.random.choice(fitting)
        run = session[position : position + _needed(code, piece.provider)]
        appointment = book.add(_status(book, piece), run, code)
        if appointment["status"] == "noshow":
            appointment.pop("slot")
        else:
            for taken in run:
                taken.status = "busy"
                book.holds.append((taken.id, appointment["id"]))
        position += len(run)


def _maybe_cancelled(book: Calendar, piece: Piece, fitting: list[str]) -> None:
    """Some of the free time is free because somebody cancelled; every second such appointment has lost its slot."""
    single = [code for code in fitting if _needed(code, piece.provider) == 1]
    chance = book.random.random()
    if not single or chance > 0.2:
        return
    code = book.random.choice(single)
    if chance < 0.01:
        book.add("entered-in-error", [piece], code)
        return
    appointment = book.add("cancelled", [piece], code, names_slots=book.random.random() < 0.5)
    if piece.start.date() <= book.today:
        appointment["meta"] = cancelled_before(piece.start, len(book.appointments))
    reason = book.random.choice(REASONS)
    if reason is not None:
        appointment["cancelationReason"] = {"coding": [{"system": reason[1], "code": reason[0]}]}


def cancelled_before(start: datetime, number: int) -> dict[str, str]:
    """The meta of an appointment that was cancelled some time before its start: from half an hour to a week."""
    notice = timedelta(minutes=30) if number % 9 == 0 else timedelta(hours=3 + number * 37 % 165)
    return {"lastUpdated": (start - notice).astimezone(UTC).isoformat()}


def _add_waiting(book: Calendar, slots: list[Piece]) -> None:
    """Requests that hold no time: proposed ones on free slots, and the EHR's own waitlist without any time."""
    free = [piece for piece in slots if piece.status == "free" and piece.start.date() > book.today]
    for number, piece in enumerate(book.random.sample(free, 16)):
        code = next(code for code in piece.provider.types)
        book.add("proposed" if number < 10 else "waitlist", [piece], code, names_slots=False, timed=number < 10)


def _needed(code: str, provider: Provider) -> int:
    return -(-VISIT_TYPES[code].minutes // provider.slot_minutes)


def _status(book: Calendar, piece: Piece) -> str:
    day = piece.start.date()
    if day == book.today:
        return {8: "fulfilled", 9: "fulfilled", 10: "checked-in", 11: "arrived"}.get(piece.start.hour, "booked")
    choices = _PAST_STATUSES if day < book.today else _AHEAD_STATUSES
    return book.random.choices([name for name, _ in choices], [weight for _, weight in choices])[0]


def _participants(patient: Patient, provider: Provider, site: Site, status: str) -> list[dict[str, Any]]:
    reply = "needs-action" if status in ("proposed", "waitlist") else "accepted"
    actors = (
        (f"Patient/{patient['id']}", display_name(patient)),
        (f"Practitioner/{provider.id}", provider.display),
        (f"Location/{site.id}", site.name),
    )
    return [
        {"actor": {"reference": reference, "display": display}, "required": "required", "status": reply}
        for reference, display in actors
    ]


def _slot(piece: Piece) -> dict[str, Any]:
    return {
        "resourceType": "Slot",
        "id": piece.id,
        "status": piece.status,
        "schedule": {"reference": f"Schedule/{schedule_id(piece.provider, piece.site.id)}"},
        "start": piece.start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "end": piece.end.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
