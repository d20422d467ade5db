"""The patients' pages: an offer's link shows it, a button answers it. Nothing changes on GET or HEAD, ever."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from audit import log
from audit.context import Actor, acting_as
from audit.middleware import client_address
from audit.models import AccessRecord
from waitlist import claims, links
from waitlist.calendar_file import calendar_file
from waitlist.links import Found
from waitlist.models import Offer
from waitlist.pages import birth_year, content, late, limits
from waitlist.pages.birth_year import Check
from waitlist.pages.states import PageState, Standing, standing_of
from waitlist.wording import LANGUAGES, language_of

YES, NO = "yes", "no"
#: Tighter than the rest of the site: no script, no frame, nothing from elsewhere.
POLICY = {
    "default-src": [NONE],
    "style-src": [SELF],
    "img-src": [SELF],
    "form-action": [SELF],
    "base-uri": [NONE],
    "frame-ancestors": [NONE],
}
Parameters = ParamSpec("Parameters")
View = Callable[Concatenate[HttpRequest, Parameters], HttpResponse]


def patient_page(*methods: str) -> Callable[[View[Parameters]], View[Parameters]]:
    """Make a view a page behind a token: never stored, never indexed, its address told to nobody.

    The token is the credential, and nothing here reads a cookie, so a forged request could do no more than who holds
    the token already can. Django's check against forgery would refuse real patients instead: those without
    cookies, and everybody whose browser honours ``no-referrer`` and then posts with ``Origin: null``.
    """

    def decorate(view: View[Parameters]) -> View[Parameters]:
        @wraps(view)
        def page(request: HttpRequest, *args: Parameters.args, **kwargs: Parameters.kwargs) -> HttpResponse:
            response = view(request, *args, **kwargs)
            response.headers["Cache-Control"] = "no-store"
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Robots-Tag"] = "noindex, nofollow"
            return response

        return cast("View[Parameters]", csrf_exempt(csp_replace(POLICY)(require_http_methods(methods)(page))))

    return decorate


@patient_page("GET", "HEAD", "POST")
def offer_page(request: HttpRequest, token: str) -> HttpResponse:
    """Show an offer as it stands, or take the patient's answer and come back to the page."""
    says_yes = request.method == "POST" and request.POST.get("answer") == YES
    if says_yes and late.note_late_yes(token, timezone.now()):
        return _back_to_the_page(request)
    found = links.find_offer(token)
    if found is None or not _is_alive(found.offer):
        return _dead_link(request, is_guess=found is None)
    if request.method == "POST":
        return _answer(request, found)
    return _show(request, found)


@patient_page("GET", "HEAD")
def calendar(request: HttpRequest, token: str) -> HttpResponse:
    """Give a confirmed appointment as a calendar file; before that there is none."""
    found, now = links.find_offer(token), timezone.now()
    standing = standing_of(found.offer, now) if found and _is_alive(found.offer) else None
    if found is None or standing is None or standing.claim is None or standing.state != PageState.CONFIRMED:
        return _dead_link(request, is_guess=found is None)
    _record_view(request, found.offer, "calendar")
    language = _language(request, found.offer)
    location = found.offer.opening.location
    text = calendar_file(standing.claim.appointment, content.frame(language, location)["practice"], language, now)
    response = HttpResponse(text, content_type="text/calendar; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="appointment.ics"'
    return response


def _is_alive(offer: Offer) -> bool:
    """Return whether a link still tells anything: once its time is past it is as dead as one that never was."""
    return offer.status != Offer.Status.PROPOSED and offer.end > timezone.now()


def _show(request: HttpRequest, found: Found, *, problem: str = "") -> HttpResponse:
    offer, now = found.offer, timezone.now()
    standing = standing_of(offer, now)
    if standing.can_say_yes and found.asks_birth_year and not birth_year.can_be_asked(offer):
        standing = Standing(PageState.CALL)
    _record_view(request, offer, standing.state)
    language = _language(request, offer)
    context = content.describe(found, standing, language, now)
    context |= {
        "heading": standing.state.label,
        "problem": problem if standing.can_say_yes else "",
        "asks_birth_year": found.asks_birth_year,
    }
    return _render(f"waitlist/{standing.state}.html", language, context)


def _answer(request: HttpRequest, found: Found) -> HttpResponse:
    """Take a yes or a no and come back to the page; one that needs the right birth year first says so."""
    answer = request.POST.get("answer", "")
    if answer in (YES, NO):
        checked = birth_year.check(found, request.POST.get("birth_year", ""))
        if checked in (Check.MISSING, Check.WRONG):
            return _show(request, found, problem=checked)
        if checked == Check.RIGHT:
            _act(found.offer, answer)
    return _back_to_the_page(request)


def _back_to_the_page(request: HttpRequest) -> HttpResponse:
    """The page says what is true now; loading it again, or going back to it, sends nothing a second time."""
    response = HttpResponse(status=303)
    # Without its host, whatever the request calls it, and in the language it is read in.
    language = _asked_for(request)
    response.headers["Location"] = f"{request.path}?lang={language}" if language else request.path
    return response


def _act(offer: Offer, answer: str) -> None:
    with acting_as(Actor.for_patient(offer.patient_id)):
        if answer == YES:
            claims.claim(offer.opening, offer.patient, offer=offer, channel="link")
        else:
            claims.decline(offer, "link")


def _dead_link(request: HttpRequest, *, is_guess: bool) -> HttpResponse:
    """One answer for every link that leads nowhere: guessed, mistyped, cut off or long past."""
    language = _asked_for(request) or language_of(translation.get_language_from_request(request))
    if is_guess and limits.guesses_too_often(client_address(request)):
        context = content.frame(language) | {"heading": _("Please wait ten minutes")}
        response = _render("waitlist/too_many.html", language, context, status=429)
        response.headers["Retry-After"] = str(limits.WRONG_LINKS_FOR)
        return response
    context = content.frame(language) | {"heading": _("This link does not work")}
    return _render("waitlist/dead_link.html", language, context, status=404)


def _render(template: str, language: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    # Without the request: a page that reads no session, user or message sets no cookie.
    with translation.override(language):
        return HttpResponse(render_to_string(template, context), status=status, headers={"Content-Language": language})


def _record_view(request: HttpRequest, offer: Offer, page: str) -> None:
    if request.method == "HEAD":
        return  # nothing is shown
    with acting_as(Actor.for_patient(offer.patient_id)):
        log.record(
            AccessRecord.Action.VIEW,
            subject=offer,
            location_id=offer.opening.location_id,
            detail={"page": str(page), "patient": offer.patient_id},
        )


def _language(request: HttpRequest, offer: Offer) -> str:
    return _asked_for(request) or language_of(offer.patient.language)


def _asked_for(request: HttpRequest) -> str:
    wanted = request.GET.get("lang", "")
    return wanted if wanted in LANGUAGES else ""
