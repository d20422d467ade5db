"""How staff's templates write states, times and table cells."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from config.desk import appointment_sync as appointment_syncs
from config.desk.appointment_sync import AppointmentSync
from config.desk.patient_sync import PatientSync, sync_of
from config.desk.places import Place, place_of
from scheduling.admin import display, search
from scheduling.models import Appointment, Patient, WorkItem
from waitlist import times, why_not_sent, why_withdrawn

register = template.Library()

register.simple_tag(display.icon, name="icon")
register.simple_tag(display.state, name="state")
register.simple_tag(display.when, name="when")
register.filter("patient_name", display.patient_name)
register.filter("channel", display.channel)
register.filter("why_not_sent", why_not_sent.say)
register.filter("why_withdrawn", why_withdrawn.say)
register.filter("phone", times.say_phone)
register.filter("relative", display.relative)
register.filter("unseal", search.unseal)

_CELL = re.compile(r"^<(td|th)\b")


@register.simple_tag
def slot(start: datetime, end: datetime, zone: Any = None) -> str:
    """Return an appointment's time in ``zone``."""
    return display.slot(start, end, zone)


@register.simple_tag(takes_context=True)
def patient_sync(context: template.Context, patient: Patient) -> PatientSync:
    """Return when a patient was last read from the EHR, what waits and what failed."""
    return sync_of(patient, context["request"].user)


@register.simple_tag(takes_context=True)
def appointment_sync(context: template.Context, appointment: Appointment) -> AppointmentSync:
    """Return when the EHR last told of an appointment, what waits, what failed and whether it differs."""
    return appointment_syncs.sync_of(appointment, context["request"].user)


@register.simple_tag(takes_context=True)
def place(context: template.Context, item: WorkItem) -> Place | None:
    """Return the page where an item is dealt with; without an address for whoever may not see it."""
    return place_of(item, context["request"].user)


@register.simple_tag
def exact(moment: datetime, zone: Any = None, *, named: bool = True) -> str:
    """Return day, time and zone of a moment; without the zone if not ``named``."""
    return display.exact(moment, zone, named=named)


@register.simple_tag
def clock(moment: datetime | None, zone: Any = None) -> str:
    """Return the time of day in ``zone``, to the second."""
    return display.clock(moment, zone, seconds=True) if moment else ""


@register.filter
def with_headers(cells: Iterable[str], headers: list[dict[str, Any]]) -> list[SafeString]:
    """Write each column's heading into its cell, where a narrow screen shows it in front of the value."""
    return [_labelled(str(cell), _heading(header)) for cell, header in zip(cells, headers, strict=False)]


def _labelled(cell: str, label: str) -> SafeString:
    # Only the admin's own tag is touched; what stands in the cell is escaped already.
    return mark_safe(_CELL.sub(lambda found: f'<{found[1]} data-label="{escape(label)}"', cell))  # noqa: S308


def _heading(header: dict[str, Any]) -> str:
    text = str(header.get("text", ""))
    return "" if "<" in text else text[:1].upper() + text[1:]
