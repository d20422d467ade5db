"""What every patients' page has in common: its headers, the one answer for wrong links, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, cast

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from audit import log
from audit.context import Actor, acting_as
from audit.middleware import client_address
from audit.models import AccessRecord
from scheduling.models import Patient
from waitlist.pages import content, limits
from waitlist.wording import LANGUAGES, language_of

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
    """Make a view a page behind a token. That it is stored nowhere is seen to for every answer at such an address.

    The token is the credential, and nothing here reads a cookie, so a forged request could do no more than who holds
    the token already can. Django's check against forgery would refuse real patients instead: those without
    cookies, and everybody whose browser honours ``no-referrer`` and then posts with ``Origin: null``.
    """

    def decorate(view: View[Parameters]) -> View[Parameters]:
        return cast("View[Parameters]", csrf_exempt(csp_replace(POLICY)(require_http_methods(methods)(view))))

    return decorate


def back_to(request: HttpRequest, path: str) -> HttpResponse:
    """The page says what is true now; loading it again, or going back to it, sends nothing a second time."""
    response = HttpResponse(status=303)
    # Without its host, whatever the request calls it, and in the language it is read in.
    language = asked_for(request)
    response.headers["Location"] = f"{path}?lang={language}" if language else path
    return response


def dead_link(request: HttpRequest) -> HttpResponse:
    """One answer for every link that leads nowhere: guessed, mistyped, cut off or long past.

    Each is counted, so that not even the answer to whoever tries too many tells one that was from one that never was.
    """
    language = preferred(request)
    if limits.guesses_too_often(client_address(request)):
        context = content.frame(language) | {"heading": _("Please wait ten minutes")}
        response = render("waitlist/too_many.html", language, context, status=429)
        response.headers["Retry-After"] = str(limits.WRONG_LINKS_FOR)
        return response
    context = content.frame(language) | {"heading": _("This link does not work")}
    return render("waitlist/dead_link.html", language, context, status=404)


def render(template: str, language: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """Render a page in a language; one with ``look_again_seconds`` is loaded again after them, without a script."""
    headers = {"Content-Language": language}
    if context.get("look_again_seconds"):
        headers["Refresh"] = str(context["look_again_seconds"])
    # Without the request: a page that reads no session, user or message sets no cookie.
    with translation.override(language):
        return HttpResponse(render_to_string(template, context), status=status, headers=headers)


def record_view(request: HttpRequest, subject: Model, patient_id: int, location_id: int | None, page: str) -> None:
    """Note that the patient was shown something."""
    if request.method == "HEAD":
        return  # nothing is shown
    with acting_as(Actor.for_patient(patient_id)):
        log.record(
            AccessRecord.Action.VIEW,
            subject=subject,
            location_id=location_id,
            detail={"page": str(page), "patient": patient_id},
        )


def language_for(request: HttpRequest, patient: Patient) -> str:
    """Return the language the page is asked for in, else the patient's."""
    return asked_for(request) or language_of(patient.language)


def preferred(request: HttpRequest) -> str:
    """Return the language the page is asked for in, else the browser's: for people we know nothing about."""
    return asked_for(request) or language_of(translation.get_language_from_request(request))


def asked_for(request: HttpRequest) -> str:
    """Return the language named in the address; empty when none of ours is."""
    wanted = request.GET.get("lang", "")
    return wanted if wanted in LANGUAGES else ""
