"""The patients' pages: an offer's link shows it, a button answers it. Nothing changes on GET or HEAD, ever."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.context import Actor, acting_as
from waitlist import claims, links, own_request
from waitlist.calendar_file import calendar_file
from waitlist.links import Found
from waitlist.models import Offer
from waitlist.pages import birth_year, content, late
from waitlist.pages.birth_year import Check
from waitlist.pages.shell import back_to, dead_link, language_for, patient_page, preferred, record_view, render
from waitlist.pages.states import PageState, Standing, standing_of

YES, NO, NOT_THIS_DAY = "yes", "no", "not_this_day"
FRONT = _("Do you have a message from us?")


@patient_page("GET", "HEAD", "POST")
def offer_page(request: HttpRequest, token: str) -> HttpResponse:
    """Show an offer as it stands, or take the patient's answer and come back to the page."""
    says_yes = request.method == "POST" and request.POST.get("answer") == YES
    if says_yes and late.note_late_yes(token, timezone.now()):
        return back_to(request, request.path)
    found = links.find_offer(token)
    if found is None or not _is_alive(found.offer):
        return dead_link(request)
    if request.method == "POST":
        return _answer(request, found)
    return _show(request, found)


@patient_page("GET", "HEAD")
def calendar(request: HttpRequest, token: str) -> HttpResponse:
    """Give a confirmed appointment as a calendar file; before that there is none."""
    found, now = links.find_offer(token), timezone.now()
    standing = standing_of(found.offer, now) if found and _is_alive(found.offer) else None
    if found is None or standing is None or standing.claim is None or standing.state != PageState.CONFIRMED:
        return dead_link(request)
    _record_view(request, found.offer, "calendar")
    language = language_for(request, found.offer.patient)
    location = found.offer.opening.location
    text = calendar_file(standing.claim.appointment, content.frame(language, location)["practice"], language, now)
    response = HttpResponse(text, content_type="text/calendar; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="appointment.ics"'
    return response


@patient_page("GET", "HEAD")
def front_page(request: HttpRequest) -> HttpResponse:
    """Say where to go to whoever typed the bare address: patients to their message or the phone, staff to sign in."""
    language = preferred(request)
    return render("waitlist/front.html", language, content.frame(language) | {"heading": FRONT})


@patient_page("GET", "HEAD")
def cut_off_page(request: HttpRequest) -> HttpResponse:
    """Answer a link that lost a part, or got one, as every other that leads nowhere."""
    return dead_link(request)


def _is_alive(offer: Offer) -> bool:
    """Return whether a link still tells anything: once its time is past it is as dead as one that never was."""
    return offer.is_told and offer.end > timezone.now()


def _show(request: HttpRequest, found: Found, *, problem: str = "") -> HttpResponse:
    offer, now = found.offer, timezone.now()
    standing = standing_of(offer, now)
    if standing.can_say_yes and found.asks_birth_year and not birth_year.can_be_asked(offer.patient):
        standing = Standing(PageState.CALL)
    _record_view(request, offer, standing.state)
    language = language_for(request, offer.patient)
    context = content.describe(found, standing, language, now)
    context |= {
        "heading": standing.state.label,
        "problem": problem if standing.can_say_yes else "",
        "asks_birth_year": found.asks_birth_year,
    }
    if request.GET.get("still"):  # whoever reads slowly stops the page from loading itself
        context["look_again_seconds"] = None
    return render(f"waitlist/{standing.state}.html", language, context)


def _answer(request: HttpRequest, found: Found) -> HttpResponse:
    """Take a yes or a no and come back to the page; one that needs the right birth year first says so."""
    answer = request.POST.get("answer", "")
    if answer in (YES, NO, NOT_THIS_DAY):
        checked = birth_year.check_offer(found, request.POST.get("birth_year", ""))
        if checked != Check.RIGHT:
            return _show(request, found, problem=checked)
        _act(found.offer, answer)
    return back_to(request, request.path)


def _act(offer: Offer, answer: str) -> None:
    with acting_as(Actor.for_patient(offer.patient_id)):
        if answer == YES:
            claims.claim(offer.opening, offer.patient, offer=offer, channel="link")
        else:
            claims.decline(offer, "link")
        if answer == NOT_THIS_DAY:
            own_request.leave_out(offer.entry, offer.start.astimezone(offer.opening.location.zone).weekday())


def _record_view(request: HttpRequest, offer: Offer, page: str) -> None:
    record_view(request, offer, offer.patient_id, offer.opening.location_id, page)
