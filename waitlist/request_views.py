"""The pages of a patient's own request: what they wait for, and one page for each thing they may change about it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils import timezone

from audit.context import Actor, acting_as
from waitlist import entries, links, own_request
from waitlist.models import WaitlistEntry
from waitlist.own_request import Part
from waitlist.pages import birth_year
from waitlist.pages import request as words
from waitlist.pages.birth_year import Check
from waitlist.pages.shell import back_to, dead_link, language_for, patient_page, record_view, render

_S = WaitlistEntry.Status
#: What can be changed is changed while the patient waits, or could again.
OPEN = (_S.WAITING, _S.ASKED, _S.PAUSED)


@patient_page("GET", "HEAD", "POST")
def request_page(request: HttpRequest, token: str, step: str = "", *, by_offer: bool = False) -> HttpResponse:
    """Show a request or one question about it, or take the answer and come back to what is true now."""
    found = find(token, by_offer=by_offer)
    if found is None:
        return dead_link(request)
    entry = found.entry
    if step and (entry.status not in OPEN or not words.asks(entry, step)):
        return _summary_instead(request, step)
    if request.method != "POST":
        return _show(request, found, step)
    problem = _problem(found, request.POST) or _take(entry, step, request.POST)
    if problem:
        return _show(request, found, step, problem)
    return _summary_instead(request, step)


def find(token: str, *, by_offer: bool) -> links.FoundRequest | None:
    """Return the request behind a link of its own, or of an offer while that tells anything."""
    now = timezone.now()
    if not by_offer:
        return links.find_request(token, now)
    found = links.find_offer(token)
    if found is None or not found.offer.is_told or found.offer.end <= now:
        return None
    # The page is signed as the offer was: a place that signs neutrally is named nowhere behind its link.
    return links.FoundRequest(found.offer.entry, found.asks_birth_year, found.offer.opening.location)


def _summary_instead(request: HttpRequest, step: str) -> HttpResponse:
    path = request.path.removesuffix(f"{step}/") if step else request.path
    return back_to(request, path)


def _show(request: HttpRequest, found: links.FoundRequest, step: str, problem: str = "") -> HttpResponse:
    entry, patient = found.entry, found.entry.patient
    language = language_for(request, patient)
    place = found.location or words.location_of(entry)
    record_view(request, entry, patient.pk, place.pk if place else None, f"request {step}".strip())
    context = words.frame(entry, language, place) | {
        "problem": problem,
        "asks_birth_year": found.asks_birth_year,
        "must_call": found.asks_birth_year and not birth_year.can_be_asked(patient),
    }
    if not step:
        return render("waitlist/request.html", language, context | words.summary(entry, language))
    # What was chosen stays chosen while something else on the page is put right.
    posted = request.POST if request.method == "POST" else None
    template = "waitlist/request_confirm.html" if step in ("pause", "leave") else f"waitlist/request_{step}.html"
    return render(template, language, context | words.question(entry, step, language, posted))


def _problem(found: links.FoundRequest, posted: QueryDict) -> str:
    if not found.asks_birth_year:
        return ""
    checked = birth_year.check(found.entry.patient, posted.get("birth_year", ""), subject=found.entry)
    return "" if checked == Check.RIGHT else str(checked)


def _take(entry: WaitlistEntry, step: str, posted: QueryDict) -> str:
    """Do what the patient chose; return what is wrong with the choice, empty when it was done."""
    with acting_as(Actor.for_patient(entry.patient_id)):
        return _STEPS[step](entry, posted) or ""


def _on_summary(entry: WaitlistEntry, posted: QueryDict) -> None:
    if posted.get("do") == "stay" and entry.status in (_S.ASKED, _S.PAUSED):
        entries.resume(entry)


def _days(entry: WaitlistEntry, posted: QueryDict) -> str | None:
    days = {int(day) for day in posted.getlist("weekday") if day in tuple("0123456")}
    part = posted.get("part", "")
    if not days:
        return "no_day"
    if part not in Part.values:
        return "no_part"
    own_request.choose_days(entry, days, Part(part))
    return None


def _who(entry: WaitlistEntry, posted: QueryDict) -> None:
    chosen = set(posted.getlist("who"))
    own_request.choose_providers(
        entry, {each.pk for each in own_request.possible_providers(entry) if str(each.pk) in chosen}
    )


def _notice(entry: WaitlistEntry, posted: QueryDict) -> str | None:
    minutes = posted.get("notice", "")
    known = {str(each): each for each in own_request.NOTICES}
    chosen = minutes in known and own_request.choose_notice(entry, known[minutes])
    return None if chosen else "no_notice"


def _night(entry: WaitlistEntry, posted: QueryDict) -> str | None:
    wish = posted.get("night", "")
    if wish not in ("yes", "no"):
        return "no_night"
    own_request.choose_night(entry, wanted=wish == "yes")
    return None


def _pause(entry: WaitlistEntry, posted: QueryDict) -> None:
    entries.pause(entry)


def _leave(entry: WaitlistEntry, posted: QueryDict) -> None:
    entries.leave(entry)


_STEPS: dict[str, Callable[[WaitlistEntry, QueryDict], str | None]] = {
    "": _on_summary,
    "days": _days,
    "who": _who,
    "notice": _notice,
    "night": _night,
    "pause": _pause,
    "leave": _leave,
}
