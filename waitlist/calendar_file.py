"""A confirmed appointment as a calendar file."""

from __future__ import annotations

from datetime import UTC, datetime

from icalendar import Calendar, Event

from scheduling.models import Appointment
from waitlist.times import say, say_phone
from waitlist.wording import language_of, plain

_TITLES = {"en": "Appointment", "es": "Cita"}
_NOTES = {
    "en": "{when}. Reference: {reference}. If you cannot come, call {phone}.",
    "es": "{when}. Referencia: {reference}. Si no puede venir, llame al {phone}.",
}


def calendar_file(appointment: Appointment, practice: str, language: str, now: datetime) -> str:
    """Return the appointment as iCalendar text (RFC 5545), which says neither what the visit is for nor who it is with.

    Raises ValueError for an appointment without a time.
    """
    if appointment.start is None or appointment.end is None:
        raise ValueError("an appointment without a time has no calendar file")
    language, location = language_of(language), appointment.location
    event = Event()
    event.add("uid", f"{appointment.reference}@appointments.invalid")
    event.add("dtstamp", now.astimezone(UTC))
    event.add("dtstart", appointment.start.astimezone(UTC))
    event.add("dtend", appointment.end.astimezone(UTC))
    event.add("summary", f"{_TITLES[language]}: {plain(practice)}")
    if location is not None and location.address:
        event.add("location", plain(location.address))
    if location is not None and location.phone:
        # A calendar shows the time on its owner's clock; the words say it on the practice's.
        when = say(appointment.start.astimezone(location.zone), language, zone=True)
        note = _NOTES[language].format(when=when, reference=appointment.reference, phone=say_phone(location.phone))
        event.add("description", note)
    event.add("status", "CONFIRMED")
    calendar = Calendar()
    calendar.add("prodid", "-//Sooner//Waitlist//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    text: str = calendar.to_ical().decode()
    return text
