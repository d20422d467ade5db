"""What is shown when a request cannot be read, or something of ours fails: to staff in staff's words.

Everybody else gets the bilingual page for patients. Neither asks the database, the session or the request for
anything: any of these may be what failed.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseServerError
from django.template import loader
from django.urls import reverse
from django.utils import timezone
from django.views import defaults

from audit.context import correlation_id


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, with what IT finds the fault by."""
    if not _is_staffs(request):
        return defaults.server_error(request)
    context = {"at": f"{timezone.now():%Y-%m-%d, %H:%M:%S}", "correlation_id": correlation_id()}
    return HttpResponseServerError(loader.get_template("admin/500.html").render(context))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400."""
    if not _is_staffs(request):
        return defaults.bad_request(request, exception)
    return HttpResponseBadRequest(loader.get_template("admin/400.html").render())


def _is_staffs(request: HttpRequest) -> bool:
    return request.path_info.startswith(reverse("admin:index"))
