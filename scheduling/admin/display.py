"""How states and times look on every staff page: the word, its icon, its colour; the distance, then the exact time."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Final

from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scheduling.models import Opening, Patient

MINUTE, HOUR, DAY = 60, 3600, 86400
NARROW = "\u00a0"

#: State to tone; the tone gives icon and colour. Words that mean the same look the same wherever they stand.
TONES: Final[dict[str, str]] = {
    **dict.fromkeys(("open", "offering", "sent", "active", "automatic", "eligible"), "accent"),
    **dict.fromkeys(
        ("checking", "claimed", "waiting", "sending", "received", "processing", "pending", "proposed", "asked", "new"),
        "wait",
    ),
    **dict.fromkeys(
        ("filled", "done", "confirmed", "yes", "delivered", "booked", "mapped", "ok", "granted", "fulfilled", "live"),
        "ok",
    ),
    **dict.fromkeys(
        ("closed", "no", "expired", "withdrawn", "left", "ignored", "too_late", "declined", "cancelled", "released"),
        "stop",
    ),
    **dict.fromkeys(("paused", "held", "by_hand", "mine", "suppressed", "ask_first", "test", "off"), "pause"),
    **dict.fromkeys(
        ("dead", "refused", "failed", "unknown", "quarantined", "stopped", "unmapped", "urgent", "revoked", "red"),
        "danger",
    ),
}
ICONS: Final[dict[str, str]] = {
    "accent": "dot",
    "wait": "clock",
    "ok": "check",
    "stop": "dash",
    "pause": "pause",
    "danger": "alert",
}


def icon(name: str) -> SafeString:
    """Return one picture of the icon file; it says nothing a word beside it does not."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("desk/icons.svg"),
        name,
    )


def state(value: str, label: str = "", tone: str = "") -> SafeString:
    """Return a state as word, icon and colour."""
    tone = tone or TONES.get(str(value), "stop")
    return format_html('<span class="state state-{}">{}{}</span>', tone, icon(ICONS[tone]), label or str(value))


def relative(moment: datetime, now: datetime | None = None) -> str:
    """Return the distance to ``moment`` as people say it: "in 42 min", "3 h 10 min ago", "just now"."""
    seconds = (moment - (now or timezone.now())).total_seconds()
    distance = abs(seconds)
    if distance < 1:
        return "just now"
    if distance < MINUTE:
        text = f"{distance:.0f} s"
    elif distance < HOUR:
        text = f"{distance / MINUTE:.0f} min"
    elif distance < 2 * DAY:
        # In days it could be "in 2 days" for what is tomorrow.
        hours, minutes = divmod(round(distance / MINUTE), 60)
        text = f"{hours} h {minutes} min" if minutes and hours < 12 else f"{hours} h"
    else:
        days = round(distance / DAY)
        text = f"{days} days"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def span(length: timedelta) -> str:
    """Return a short duration: "0.8 s", "4 min 10 s", "2 h 5 min", "30 min", "46 h"."""
    seconds = length.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        minutes, rest = divmod(int(seconds), MINUTE)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(int(seconds) // MINUTE, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def clock(moment: datetime, zone: tzinfo | None = None, *, seconds: bool = False) -> str:
    """Return the time of day in ``zone``: "2:05 PM"."""
    local = timezone.localtime(moment, zone or None)
    hour = local.hour % 12 or 12
    return f"{hour}:{local:%M:%S}{local: %p}" if seconds else f"{hour}:{local:%M %p}"


def day(moment: datetime, zone: tzinfo | None = None, now: datetime | None = None) -> str:
    """Return the day in ``zone``: "today", "tomorrow", "Tue Nov 24"."""
    local = timezone.localtime(moment, zone or None)
    today = timezone.localtime(now or timezone.now(), zone or None).date()
    names = {0: "today", 1: "tomorrow", -1: "yesterday"}
    distance = (local.date() - today).days
    year = f" {local.year}" if local.year != today.year else ""
    return names.get(distance) or f"{local:%a %b} {local.day}{year}"


def exact(moment: datetime, zone: tzinfo | None = None, *, seconds: bool = False, named: bool = True) -> str:
    """Return day, time and zone without room for doubt: "Tue Nov 24, 2:05 PM EST".

    Without the zone if not ``named``, for a page that names it once.
    """
    local = timezone.localtime(moment, zone or None)
    year = f" {local.year}" if local.year != timezone.now().year else ""
    time = f"{local:%a %b} {local.day}{year}, {clock(moment, zone, seconds=seconds)}"
    return f"{time} {local:%Z}" if named else time


def when(moment: datetime | None, zone: tzinfo | None = None, *, seconds: bool = False) -> SafeString:
    """Return the distance to a moment with the exact time on hover and focus; a dash for none."""
    if moment is None:
        return format_html('<span class="quiet">{}</span>', "–")
    return format_html(
        '<span class="when" tabindex="0"><time datetime="{}">{}</time><span class="exact">{}</span></span>',
        moment.isoformat(),
        relative(moment),
        exact(moment, zone, seconds=seconds),
    )


def slot(start: datetime, end: datetime, zone: tzinfo | None = None) -> str:
    """Return an appointment's time, the hours never broken over lines: "today 2:00–2:30 PM EST"."""
    first, last = clock(start, zone), clock(end, zone)
    if first[-2:] == last[-2:]:
        first = first[:-3]
    hours = f"{first}–{last} {timezone.localtime(start, zone or None):%Z}"
    return f"{day(start, zone)} {hours.replace(' ', NARROW)}"


def channel(value: str) -> str:
    """Return how something reached us or the patient, in words: "text" for sms."""
    return {"sms": "text", "email": "e-mail"}.get(value, value)


def link(text: str, view: str, *args: object, query: str = "") -> SafeString:
    """Return a link to one of the staff pages by its name ("scheduling_opening_change")."""
    address = reverse(f"admin:{view}", args=args)
    return format_html('<a href="{}{}">{}</a>', address, f"?{query}" if query else "", text)


def opening_link(opening: Opening | None) -> SafeString:
    """Return a link to an opening's page that says whose time it is and when; a dash for none."""
    if opening is None:
        return format_html("{}", "–")
    time = slot(opening.start, opening.end, opening.location.zone)
    return link(f"{opening.provider.name}, {time}", "desk_opening", opening.pk)


def patient_name(patient: Patient | None) -> SafeString:
    """Return the patient's name as a link to their page; it is one line, whatever stands in it."""
    if patient is None:
        return format_html('<span class="quiet">{}</span>', "not known")
    name = " ".join(patient.full_name.split()) or f"patient {patient.pk} (no name)"
    return format_html(
        '<a class="name" href="{}"><bdi>{}</bdi></a>',
        reverse("admin:scheduling_patient_change", args=[patient.pk]),
        name,
    )
