"""What stands on the pages of a patient's own request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext, ngettext, override
from django.utils.translation import gettext_lazy as _

from scheduling.models import Appointment, Location
from waitlist import own_request
from waitlist.models import Claim, WaitlistEntry
from waitlist.own_request import Part
from waitlist.pages import content
from waitlist.policies import policy_for
from waitlist.times import say_hours, weekday_name
from waitlist.wording import plain

_S = WaitlistEntry.Status
#: The state of a request as the sentence in its page's heading.
HEADINGS = {
    _S.WAITING: _("You are on our waitlist"),
    _S.ASKED: _("Do you still want to be on our waitlist?"),
    _S.PAUSED: _("Your place on our waitlist is paused"),
    _S.BOOKED: _("You have an appointment now"),
    _S.LEFT: _("You are off our waitlist"),
    _S.EXPIRED: _("You are off our waitlist"),
}
#: One question each: what its page asks.
QUESTIONS = {
    "days": _("When could you come?"),
    "who": _("Who would you like to see?"),
    "notice": _("How much notice do you need?"),
    "night": _("May we text you at night?"),
    "pause": _("Pause your place on our waitlist?"),
    "leave": _("Leave our waitlist?"),
}


#: Each list of choices and the field of the form that they are chosen in.
FIELDS = {"weekdays": "weekday", "parts": "part", "people": "who", "notices": "notice", "nights": "night"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to choose."""

    value: str
    label: str
    chosen: bool


def location_of(entry: WaitlistEntry) -> Location | None:
    """Return the place whose signature and phone the patient knows: the only one the entry accepts, if it is one."""
    places = list(entry.locations.all()[:2])
    return places[0] if len(places) == 1 else None


def frame(entry: WaitlistEntry, language: str, place: Location | None) -> dict[str, Any]:
    """Return what every page of the request shows; ``place`` signs it."""
    return content.frame(language, place) | {"status": _stands(entry)}


def _stands(entry: WaitlistEntry) -> WaitlistEntry.Status:
    """Return how the request stands: the appointment it came to may have been canceled since."""
    if entry.status == _S.BOOKED:
        came_to = Appointment.objects.filter(claim__entry=entry, claim__state=Claim.State.CONFIRMED)
        statuses = set(came_to.values_list("status", flat=True))
        if statuses and statuses.isdisjoint(Appointment.OCCUPYING):
            return _S.LEFT
    return _S(entry.status)


def summary(entry: WaitlistEntry, language: str) -> dict[str, Any]:
    """Return what the request says now, in words."""
    with override(language):
        return {
            "heading": HEADINGS[_stands(entry)],
            "days": _say_days(entry, language),
            "can_choose_who": bool(own_request.possible_providers(entry)),
            "who": _say_who(entry),
            "notice": say_notice(entry.minimum_notice_minutes),
            "has_nights": bool(_text_hours(entry, language)),
            "night": gettext("at night too, if it cannot wait") if entry.texts_by_night else gettext("only by day"),
        }


def asks(entry: WaitlistEntry, step: str) -> bool:
    """Return whether there is such a question.

    None of nights where texts leave at any hour, none of people without a choice, none of pausing what is paused.
    """
    if step == "who":
        return bool(own_request.possible_providers(entry))
    if step == "night":
        return bool(_text_hours(entry, "en"))
    return step in QUESTIONS and (step, entry.status) != ("pause", _S.PAUSED)


def question(entry: WaitlistEntry, step: str, language: str, posted: QueryDict | None = None) -> dict[str, Any]:
    """Return what a page that changes one thing asks, and what can be chosen; marked is what was ``posted``, if so."""
    with override(language):
        choices = _CHOICES.get(step, lambda *_: {})(entry, language)
    if posted is not None:
        for name, field in FIELDS.items():
            chosen = posted.getlist(field)
            choices |= {name: [replace(each, chosen=each.value in chosen) for each in choices.get(name, ())]}
    return {"heading": QUESTIONS[step], "step": step, **choices}


def say_notice(minutes: int) -> str:
    """Return a length of time in words: "2 hours", "3 days"."""
    if not minutes:
        return gettext("I can come at once")
    if minutes % (24 * 60) == 0:
        days = minutes // (24 * 60)
        return ngettext("%(count)s day", "%(count)s days", days) % {"count": days}
    if minutes % 60 == 0:
        hours = minutes // 60
        return ngettext("%(count)s hour", "%(count)s hours", hours) % {"count": hours}
    return ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}


def _say_days(entry: WaitlistEntry, language: str) -> list[str]:
    windows = list(entry.windows.all())
    days = own_request.days_of(windows)
    if days.part is None:
        return [f"{weekday_name(row.weekday, language)}, {say_hours(row.start, row.end, language)}" for row in windows]
    if days.weekdays == own_request.WEEK:
        named = gettext("any day")
    else:
        named = ", ".join(weekday_name(day, language) for day in sorted(days.weekdays))
    return [named, str(days.part.label)]


def _say_who(entry: WaitlistEntry) -> str:
    named = {each.pk for each in own_request.possible_providers(entry)}
    wanted = list(entry.providers.all())
    chosen = [plain(each.name) for each in wanted if each.pk in named]
    return ", ".join(chosen) or (gettext("somebody our front desk entered") if wanted else gettext("anyone"))


def _days(entry: WaitlistEntry, language: str) -> dict[str, Any]:
    days = own_request.days_of(entry.windows.all())
    return {
        "weekdays": [
            Choice(str(day), weekday_name(day, language).capitalize(), day in days.weekdays)
            for day in sorted(own_request.WEEK)
        ],
        # Hours that staff entered are none of these parts: then none is marked, so that nobody loses them unasked.
        "parts": [Choice(part, str(part.label), part == days.part) for part in Part],
        "now": [] if days.part else _say_days(entry, language),
    }


def _who(entry: WaitlistEntry, language: str) -> dict[str, Any]:
    chosen = set(entry.providers.values_list("pk", flat=True))
    return {
        "people": [
            Choice(str(each.pk), plain(each.name), each.pk in chosen) for each in own_request.possible_providers(entry)
        ]
    }


def _notice(entry: WaitlistEntry, language: str) -> dict[str, Any]:
    known = [*own_request.NOTICES]
    return {"notices": _notice_choices(known, entry.minimum_notice_minutes)}


def _notice_choices(known: Sequence[int], current: int) -> list[Choice]:
    # What staff entered may be none of these: then the next longer one is marked, if there is one.
    marked = next((minutes for minutes in known if minutes >= current), None)
    return [Choice(str(minutes), say_notice(minutes), minutes == marked) for minutes in known]


def _text_hours(entry: WaitlistEntry, language: str) -> str:
    """Say from when to when texts leave; empty where there are no quiet hours, and so nothing to choose."""
    place = location_of(entry)
    policy = policy_for(place.pk if place else None, entry.appointment_type_id)
    ends, begins = policy.quiet_until, policy.quiet_from
    return "" if ends == begins else say_hours(ends, begins, language)


def _night(entry: WaitlistEntry, language: str) -> dict[str, Any]:
    return {
        "hours": _text_hours(entry, language),
        "nights": [
            Choice("no", gettext("No, text me only by day"), not entry.texts_by_night),
            Choice("yes", gettext("Yes, text me at any hour if it cannot wait"), entry.texts_by_night),
        ],
    }


_CHOICES = {"days": _days, "who": _who, "notice": _notice, "night": _night}
