"""The page behind the QR code of a consent form. It says the same to everybody who has the link."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from waitlist import consent_forms
from waitlist.pages import content
from waitlist.pages.shell import back_to, dead_link, patient_page, preferred, render

SHORTEST_PHONE = 10


@patient_page("GET", "HEAD", "POST")
def consent_page(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for consent, or take it. Nothing on it tells whose form it is, nor whether what was written is right."""
    link = consent_forms.find_link(token)
    if link is None:
        return dead_link(request)
    # Not in the patient's language: even that would tell something.
    language = preferred(request)
    context = content.frame(language) | {"heading": _("May we text you about earlier appointments?")}
    context["words"] = consent_forms.words(language)
    if link.answered_at is not None:
        return render("waitlist/consent_done.html", language, context | {"heading": _("Thank you")})
    if request.method != "POST":
        return render("waitlist/consent.html", language, context)
    year, phone = request.POST.get("birth_year", "").strip(), request.POST.get("phone", "").strip()
    missing = {"no_year": not _is_year(year), "no_phone": not _is_phone(phone)}
    if any(missing.values()):
        typed = {"problem": True, "year": year, "phone_typed": phone}
        return render("waitlist/consent.html", language, context | typed | missing)
    consent_forms.answer(link, year, phone, language)
    return back_to(request, request.path)


def _is_year(year: str) -> bool:
    """Return whether it could be a year; whether it is the right one is not said."""
    return len(year) == 4 and year.isascii() and year.isdigit()


def _is_phone(phone: str) -> bool:
    digits = sum(letter.isdigit() for letter in phone)
    return SHORTEST_PHONE <= digits <= 2 * SHORTEST_PHONE
