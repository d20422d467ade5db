"""The words and figures on an offer's page that are not its template's: times as people say them, places, phones."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext, override

from scheduling.models import Location, Practice
from waitlist import given_up, own_request, telling, wording
from waitlist.links import Found
from waitlist.models import Claim, Offer
from waitlist.offering import kept_until_confirmed
from waitlist.pages.states import GIVES_UP, PageState, Standing
from waitlist.times import say, say_phone, weekday_name

#: While a booking is pending its page looks again by itself: every so many seconds, up to this age of the claim.
LOOKS = ((timedelta(minutes=1), 3), (timedelta(minutes=10), 15), (timedelta(hours=4), 60))


def frame(language: str, location: Location | None = None) -> dict[str, Any]:
    """Return what every page shows: who it is from, the phone a person answers, and the other language."""
    practice = Practice.current()
    phone = (location.phone if location else "") or practice.phone
    return {
        "language": language,
        "practice": wording.plain((location.signature if location else "") or practice.name),
        "phone": say_phone(phone),
        "phone_digits": "".join(letter for letter in phone if letter in "+0123456789"),
        "is_test": settings.INSTALLATION == "test",
    }


def describe(found: Found, standing: Standing, language: str, now: datetime) -> dict[str, Any]:
    """Return the context of an offer's page."""
    offer, claim = found.offer, standing.claim
    location = offer.opening.location
    booked_at = claim.appointment.start if claim else None
    start = booked_at or offer.start
    return frame(language, location) | {
        "when": say(start.astimezone(location.zone), language, zone=True),
        "when_there": _when_there(start, location, offer.patient.time_zone, language),
        **_place(location),
        "provider": wording.plain(offer.opening.provider.name) if location.names_providers else "",
        "can_say_yes": standing.can_say_yes,
        **_weekday(offer, standing, language),
        "answer_by": say(offer.expires_at.astimezone(location.zone), language),
        "can_give_up": standing.state in GIVES_UP and booked_at is not None and booked_at > now,
        **_other_appointment(offer, claim, standing, language),
        **(_booking(claim, language, now) if claim else {}),
        **(_canceling(claim) if claim and standing.state == PageState.CANCELING else {}),
    }


def _when_there(start: datetime, location: Location, zone_name: str, language: str) -> str:
    """Say the time on the reader's own clock, where that differs from the practice's at that moment."""
    if not zone_name:
        return ""
    there = start.astimezone(ZoneInfo(zone_name))
    is_same = there.utcoffset() == start.astimezone(location.zone).utcoffset()
    return "" if is_same else say(there, language, zone=True)


def _weekday(offer: Offer, standing: Standing, language: str) -> dict[str, str]:
    """Say what the button for the offer's weekday does; after a no, whether that weekday is still offered."""
    day = offer.start.astimezone(offer.opening.location.zone).weekday()
    named = weekday_name(day, language)
    if standing.state == PageState.DECLINED:
        return {"no_more_on": "" if own_request.is_offered_on(offer.entry, day) else named}
    if standing.state != PageState.QUESTION or not own_request.can_leave_out(offer.entry, day):
        return {}
    with override(language):
        return {"not_this_day": gettext("Never on a %(weekday)s") % {"weekday": named}}


def _place(location: Location) -> dict[str, str]:
    """Say where; a location that signs neutrally is not named otherwise here."""
    name = "" if location.signature else wording.plain(location.name)
    return {"place": name, "address": wording.plain(location.address)}


def _booking(claim: Claim, language: str, now: datetime) -> dict[str, Any]:
    due = claim.chase_at or now
    call_after = telling.answered_at(claim, due)
    says_when = claim.chase_at is not None or call_after > due
    age = now - claim.created_at
    looks = [seconds for until, seconds in LOOKS if age < until]
    return {
        "reference": claim.appointment.reference or "",
        "call_after": say(call_after, language) if says_when else "",
        "look_again_seconds": looks[0] if looks and claim.state == Claim.State.PENDING else None,
    }


def _canceling(claim: Claim) -> dict[str, Any]:
    """Say who cancels it: where a person has to, a page that looks again every few seconds would promise too much."""
    by_staff = given_up.is_left_to_staff(claim.appointment_id)
    return {"by_staff": by_staff, "look_again_seconds": None if by_staff else LOOKS[0][1]}


def _other_appointment(offer: Offer, claim: Claim | None, standing: Standing, language: str) -> dict[str, str]:
    """Say which later appointment a yes gives up, or has given up."""
    if claim is not None:
        old = telling.moved_up(claim)
        start = old.start.astimezone(offer.opening.location.zone) if old and old.start else None
    else:
        start = kept_until_confirmed(offer) if standing.can_say_yes else None
    return {"other_appointment": say(start, language) if start else ""}
