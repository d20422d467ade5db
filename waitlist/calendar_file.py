"""A confirmed appointment as a calendar file."""

from __future__ import annotations

from datetime import UTC, datetime

from icalendar import Calendar, Event

from scheduling.models import Appointment

_TITLES = {"en": "Appointment", "es": "Cita"}


def calendar_file(appointment: Appointment, practice: str, language: str, now: datetime) -> str:
    """Return the appointment as iCalendar text; it says neither what the visit is for nor who it is with."""
    event = Event()
    event.add("uid", f"{appointment.reference}@appointments.invalid")
    event.add("dtstamp", now.astimezone(UTC))
    event.add("dtstart", appointment.start.astimezone(UTC) if appointment.start else now)
    event.add("dtend", appointment.end.astimezone(UTC) if appointment.end else now)
    event.add("summary", f"{_TITLES.get(language, _TITLES['en'])}: {practice}")
    if appointment.location is not None and appointment.location.address:
        event.add("location", appointment.location.address)
    event.add("status", "CONFIRMED")
    calendar = Calendar()
    calendar.add("prodid", "-//Sooner//Waitlist//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    text: str = calendar.to_ical().decode()
    return text
