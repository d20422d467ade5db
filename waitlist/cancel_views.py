"""The page on which a patient gives up the appointment that a link of ours led to."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.context import Actor, acting_as
from scheduling.models import Appointment
from waitlist import links
from waitlist.cancellations import cancel_by_patient
from waitlist.links import Found
from waitlist.pages import birth_year, content
from waitlist.pages.birth_year import Check
from waitlist.pages.shell import back_to, dead_link, language_for, patient_page, record_view, render
from waitlist.pages.states import GIVES_UP, Standing, standing_of

#: What the patient wants instead.
NOTHING, ANOTHER = "nothing", "another"


@patient_page("GET", "HEAD", "POST")
def cancel_page(request: HttpRequest, token: str) -> HttpResponse:
    """Ask whether the appointment is to be canceled, or have it canceled and show how it stands."""
    now = timezone.now()
    found = links.find_offer(token)
    if found is None or not found.offer.is_told or found.offer.end <= now:
        return dead_link(request)
    standing = standing_of(found.offer, now)
    claim, page = standing.claim, request.path.removesuffix("cancel/")
    if claim is None or standing.state not in GIVES_UP or _has_begun(claim.appointment):
        return back_to(request, page)
    if request.method != "POST":
        return _show(request, found, standing)
    wish = request.POST.get("then", "")
    if wish not in (NOTHING, ANOTHER):
        return _show(request, found, standing, problem="no_choice")
    checked = birth_year.check_offer(found, request.POST.get("birth_year", ""))
    if checked != Check.RIGHT:
        return _show(request, found, standing, problem=str(checked))
    with acting_as(Actor.for_patient(claim.patient_id)):
        cancel_by_patient(claim.appointment, wants_another=wish == ANOTHER)
    return back_to(request, page)


def _show(request: HttpRequest, found: Found, standing: Standing, problem: str = "") -> HttpResponse:
    offer = found.offer
    record_view(request, offer, offer.patient_id, offer.opening.location_id, "cancel")
    language = language_for(request, offer.patient)
    context = content.describe(found, standing, language, timezone.now()) | {
        "heading": _("Cancel this appointment?"),
        "look_again_seconds": None,
        "problem": problem,
        "then": request.POST.get("then", ""),
        "asks_birth_year": found.asks_birth_year,
        "must_call": found.asks_birth_year and not birth_year.can_be_asked(offer.patient),
    }
    return render("waitlist/cancel.html", language, context)


def _has_begun(appointment: Appointment) -> bool:
    return appointment.start is None or appointment.start <= timezone.now()
