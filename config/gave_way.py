"""A step of staff's that met somebody else's at the same moment: said in words, with the page to look at again."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from scheduling.contention import is_deadlock

SAID = (
    "Somebody else was at the same thing in the same moment, so your step was stopped. Look at what is true now, then "
    "press again if it is still needed."
)


class GaveWayMiddleware:
    """Answers a POST of the staff site that the database ended since two waited for each other; all else passes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Send the person back to the page they came from."""
        if request.method != "POST" or not request.path.startswith(reverse("admin:index")) or not is_deadlock(error):
            return None
        messages.warning(request, SAID)
        came_from = request.headers.get("Referer", "")
        if not url_has_allowed_host_and_scheme(came_from, {request.get_host()}, require_https=request.is_secure()):
            return HttpResponseRedirect(reverse("admin:index"))
        parts = urlsplit(came_from)
        return HttpResponseRedirect(f"{parts.path}?{parts.query}" if parts.query else parts.path)
