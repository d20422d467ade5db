"""*Pause everything* and its undo."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from audit.log import record
from audit.models import AccessRecord
from config.desk.frame import may_pause
from scheduling import practice
from scheduling.models import Opening, Practice, Writeback
from waitlist.models import Message, Offer


@require_POST
def pause_view(request: HttpRequest) -> HttpResponse:
    """Stop everything we start, and say what is still under way."""
    if not may_pause(request):
        raise PermissionDenied
    reason = " ".join(request.POST.get("reason", "").split())
    if practice.pause(request.user.get_username(), reason):
        record(AccessRecord.Action.PAUSE, subject=Practice.current(), reason=reason)
        messages.warning(request, f"Everything is paused. {under_way()} Press “Go on” above to undo this.")
    else:
        messages.info(request, "Everything was paused already.")
    return HttpResponseRedirect(_back(request))


@require_POST
def resume_view(request: HttpRequest) -> HttpResponse:
    """Go on with everything."""
    if not may_pause(request):
        raise PermissionDenied
    if practice.resume(request.user.get_username()):
        record(AccessRecord.Action.RESUME, subject=Practice.current())
        messages.success(
            request, "Everything goes on. Openings are checked with the EHR before anybody is offered one."
        )
    else:
        messages.info(request, "Nothing was paused.")
    return HttpResponseRedirect(_back(request))


def under_way() -> str:
    """Return one or two sentences about what a pause does not stop."""
    sending = Writeback.objects.filter(status__in=(Writeback.Status.SENDING, Writeback.Status.UNKNOWN)).count()
    handed = Message.objects.filter(status=Message.Status.SENDING).count()
    offers = Offer.objects.filter(status=Offer.Status.SENT).count()
    claimed = Opening.objects.filter(status=Opening.Status.CLAIMED).count()
    parts = [
        _count(sending, "change is being written to the EHR", "changes are being written to the EHR"),
        _count(handed, "message is being handed over", "messages are being handed over"),
        _count(offers, "patient holds an offer and may still say yes", "patients hold offers and may still say yes"),
        _count(claimed, "claimed time waits to be booked", "claimed times wait to be booked"),
    ]
    told = [part for part in parts if part]
    if not told:
        return "Nothing is under way."
    return f"Still under way: {'; '.join(told)}."


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}" if number else ""


def _back(request: HttpRequest) -> str:
    target = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        return target
    return reverse("admin:index")
