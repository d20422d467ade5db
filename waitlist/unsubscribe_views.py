"""The page behind an e-mail's link for ending e-mails. Opening it changes nothing; its button, or a mailbox's, does."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from waitlist import unsubscribing
from waitlist.pages import content
from waitlist.pages.shell import asked_for, back_to, dead_link, patient_page, render
from waitlist.wording import language_of

#: What a mailbox posts in its reader's place. It follows no redirect.
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@patient_page("GET", "HEAD", "POST")
def unsubscribe_page(request: HttpRequest, token: str) -> HttpResponse:
    """Ask whether e-mails are to end, or end them. It names nobody, and asks for nothing: ending must be easy."""
    message = unsubscribing.find(token)
    if message is None:
        return dead_link(request)
    if request.method == "POST":
        unsubscribing.end(message)
        if request.POST.dict() != ONE_CLICK:
            return back_to(request, request.path)
    language = asked_for(request) or language_of(message.language)
    is_ended = unsubscribing.is_ended(message)
    heading = _("You get no more e-mails from us") if is_ended else _("End e-mails about earlier appointments?")
    context = content.frame(language, message.location) | {"heading": heading, "is_ended": is_ended}
    return render("waitlist/unsubscribe.html", language, context)
